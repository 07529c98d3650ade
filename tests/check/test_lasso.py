"""Lassos: what goes round at the step limit is named, and what ends before it is left alone."""

import os
import random
import re
import subprocess
import sys
from itertools import repeat

import pytest

import vmsmp
from verdicts import found, silent
from vmsmp.check.lasso import ROUNDS, Loop, loop_at_end
from vmsmp.library import find_scenario

STATE = "the same steps come back, and what they use is as it was"
STEPS = "no end in sight after the step limit"
NO_LOOP = "no end in sight after the step limit"
LIMIT = 600
#: Turns that end shortly before the limit, long after lassos are looked for.
TURNS = LIMIT * 19 // 20


def alone(body):
    """A program whose one CPU does `body(m)`."""

    def program(m):
        m.spawn(body, m)
        m.join()

    return program


def looks(program, **options):
    """The failure of one search, if there is one, whose line must bring it back."""
    failure = vmsmp.explore(
        program, **{"sched": "random", "schedules": 1, "max_steps": LIMIT, **options}
    ).failure
    if failure is not None:
        again = vmsmp.replay(program, failure.schedule)
        assert (failure.signature, failure.digest) == (again.failure.signature, again.digest)
    return failure


# -- the loop at the end of a log -----------------------------------------------------------------


def defined(log, start):
    """What `loop_at_end` says, by its definition."""
    tail = log[start:]
    for period in range(1, len(tail)):
        n = len(tail)
        while n > period and tail[n - 1] == tail[n - 1 - period]:
            n -= 1
        entered = n - period
        if len(tail) - entered >= ROUNDS * period:
            return Loop(start + entered, period)
    return None


def stem(length):
    """Entries that occur nowhere else."""
    return list(range(1000, 1000 + length))


@pytest.mark.parametrize("entered", [0, 1, 5, 40])
@pytest.mark.parametrize("period", [1, 2, 3, 4, 7, 16])
def test_a_loop_is_as_long_as_its_turn_and_begins_where_the_stem_ends(period, entered):
    log = stem(entered) + list(range(period)) * ROUNDS
    assert Loop(entered, period) == loop_at_end(log, 0)


@pytest.mark.parametrize("period", [2, 3, 7])
def test_a_loop_may_be_left_in_the_middle_of_a_turn(period):
    turns = list(range(period)) * (ROUNDS + 1)
    for left in range(1, period):
        assert Loop(4, period) == loop_at_end(stem(4) + turns[:-left], 0)


def test_a_loop_begins_in_the_stem_where_that_ends_like_a_turn():
    assert Loop(2, 3) == loop_at_end([9, 9, 2, 3, *[1, 2, 3] * ROUNDS], 0)


@pytest.mark.parametrize("period", [1, 2, 3, 7])
@pytest.mark.parametrize("entered", [0, 1, 5])
def test_one_turn_too_few_is_no_loop(period, entered):
    turns = list(range(period)) * ROUNDS
    assert None is loop_at_end(stem(entered) + turns[1:], 0)
    assert None is loop_at_end(stem(entered) + turns[period:], 0)


@pytest.mark.parametrize("period", [1, 2, 5])
def test_a_loop_that_is_broken_just_before_the_end_is_none(period):
    turn = list(range(period))
    assert None is loop_at_end(turn * 3 * ROUNDS + [99], 0)
    assert None is loop_at_end(turn * 3 * ROUNDS + [99, *turn], 0)
    assert Loop(3 * ROUNDS * period + 1, period) == loop_at_end(turn * 3 * ROUNDS + [99] + turn * ROUNDS, 0)


def test_the_shortest_loop_is_named():
    assert Loop(0, 2) == loop_at_end([1, 2] * 6 * ROUNDS, 0)
    assert Loop(0, 3) == loop_at_end([1, 1, 2] * ROUNDS, 0)
    # `ROUNDS` equal entries at the end of each turn are a loop of their own, the shorter one
    assert Loop(2 * ROUNDS + 3, 1) == loop_at_end([2, *[1] * ROUNDS] * 3, 0)


def test_what_does_not_repeat_has_no_loop():
    assert None is loop_at_end(list(range(500)), 0)
    assert None is loop_at_end([n.bit_count() % 2 for n in range(512)], 0)  # Thue-Morse: no cube


@pytest.mark.parametrize("log", [[], [1], [1, 1], [1] * (ROUNDS - 1)])
def test_a_log_that_is_too_short_has_no_loop(log):
    for start in range(len(log) + 1):
        assert None is loop_at_end(log, start)


def test_only_what_comes_from_the_start_on_is_looked_at():
    log = [1, 2] * 3 * ROUNDS
    for start in range(4 * ROUNDS + 1):
        assert Loop(start, 2) == loop_at_end(log, start)
    for start in range(4 * ROUNDS + 1, len(log) + 1):
        assert None is loop_at_end(log, start)


@pytest.mark.parametrize("seed", range(4))
def test_random_logs_have_the_loop_of_the_definition(seed):
    rng = random.Random(seed)
    loops = 0
    for _ in range(400):
        turn = [rng.randrange(-1, 2) for _ in range(rng.randrange(1, 6))]
        log = [rng.randrange(-1, 2) for _ in range(rng.randrange(12))] + turn * rng.randrange(2 * ROUNDS)
        log = log[: len(log) - rng.randrange(4)]
        if log and not rng.randrange(3):
            log[rng.randrange(len(log))] = rng.randrange(-1, 2)
        start = rng.randrange(len(log) // 2 + 1)
        loop = loop_at_end(log, start)
        assert defined(log, start) == loop, (log, start)
        loops += loop is not None
    assert 100 < loops < 350


@pytest.mark.parametrize("period", [1, 2, 61, 1000])
def test_a_log_is_searched_in_linear_time(period):
    class Entry(int):
        __slots__ = ()
        compared = 0
        __hash__ = int.__hash__

        def __eq__(self, other):
            Entry.compared += 1
            return int(self) == int(other)

    turn = [Entry(n == period - 1) for n in range(period)]  # all but one are the same
    log = (turn * 4000)[:4000]
    loop_at_end([*log[:-1], Entry(2)], 0)
    loop_at_end([Entry(2), *log], 0)
    assert Entry.compared <= 4 * len(log)


# -- loops that are loops -------------------------------------------------------------------------


def bare_spin(m):
    flag = m.atomic(0, "flag")

    def spinner():
        while not flag.load():
            pass

    m.spawn(spinner)
    m.join()


def undoing(m):
    word = m.atomic(0, "word")

    def setter(me):
        while word.swap(me) != 3:
            m.yield_()

    m.spawn(setter, 1, name="one")
    m.spawn(setter, 2, name="other")
    m.join()


def beating(m):
    flag, beat = m.atomic(0, "flag"), m.atomic(0, "beat")

    def heart():
        while not flag.load():
            beat.store(1)

    m.spawn(heart)
    m.join()


def stirring(m):
    """The set goes through the same states; its order is the hash seed's."""
    flag = m.atomic(0, "flag")

    def stirrer():
        names = {"a", "b", "c", "d", "e"}
        while not flag.load():
            names.remove("a")
            names.add("z")
            m.yield_()
            names.remove("z")
            names.add("a")

    m.spawn(stirrer)
    m.join()


LOOPS = [bare_spin, undoing, beating, stirring]
AROUND = pytest.mark.parametrize("program", LOOPS, ids=[p.__name__ for p in LOOPS])


@pytest.mark.parametrize("locks", ["atomic", "exact"])
@AROUND
def test_a_loop_is_named_at_the_step_limit_and_comes_back(program, locks):
    failure = found(program, "livelock", STATE, schedules=1, max_steps=LIMIT, locks=locks)
    steps = vmsmp.replay(program, failure.schedule).steps
    assert LIMIT // 2 <= steps <= LIMIT  # the limit counts every change of CPU, too


@AROUND
def test_a_loop_is_the_same_verdict_and_run_without_checkers(program):
    runs = [
        vmsmp.explore(program, sched="random", schedules=1, max_steps=LIMIT, check=check).failure
        for check in (True, False)
    ]
    assert runs[0].message == STATE
    assert (runs[0].signature, runs[0].digest, runs[0].schedule) == (
        runs[1].signature,
        runs[1].digest,
        runs[1].schedule,
    )
    assert runs[0].digest == vmsmp.replay(program, runs[0].schedule, check=False).digest


def test_a_loop_comes_back_in_a_fresh_process_whatever_the_hash_seed():
    here = [looks(program) for program in LOOPS]
    lines = [failure.schedule for failure in here]
    script = (
        "import test_lasso as t, vmsmp\n"
        f"for program, line in zip(t.LOOPS, {lines!r}):\n"
        "    told = vmsmp.replay(program, line)\n"
        "    print(told.digest, told.failure.signature)\n"
    )
    folder = os.path.dirname(__file__)
    path = os.pathsep.join(
        [
            folder,
            os.path.join(folder, "..", "support"),
            os.path.join(folder, "..", ".."),
            *filter(None, sys.path),
        ]
    )
    for seed in ("1", "4711"):
        ran = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ("", [f"{f.digest} {f.signature}" for f in here]) == (ran.stderr, ran.stdout.splitlines())


@pytest.mark.parametrize("sched", ["random", "rr", "pct:3", "pos", "surw", "dfs", "dpor", "delay:1"])
def test_every_scheduler_sees_the_loop(sched):
    failure = looks(undoing, sched=sched)
    assert ("livelock", STATE) == (failure.kind, failure.message)


def test_a_minimized_loop_needs_no_preemptions():
    failure = looks(undoing)
    small = vmsmp.minimize(undoing, failure.schedule)
    assert 60 < len(failure.schedule)
    assert () == small.preemptions
    assert failure.signature == vmsmp.replay(undoing, small).failure.signature


def test_the_facts_name_the_loop_its_length_and_each_cpus_operations():
    first, *facts = looks(undoing).facts
    said = re.fullmatch(r"from step (\d+)(?: or before)? on the same (\d+) steps go round:", first)
    assert 4 == int(said[2])  # a swap and a yield of each
    assert LIMIT // 4 <= int(said[1]) <= LIMIT // 2
    assert {"cpu1 one goes round: swap word, yield", "cpu1 one goes round: yield, swap word"} & {*facts}
    assert ["cpu1", "cpu2"] == [fact.split()[0] for fact in facts if "goes round" in fact]
    assert "cpu0 wants: join cpu1 one" in facts


def test_equal_steps_of_a_turn_are_folded_and_a_long_turn_is_cut():
    def program(m):
        words = [m.atomic(0, f"w{n}") for n in range(14)]

        def worker():
            while True:
                for _ in range(3):
                    m.yield_()
                for word in words:
                    word.load()

        m.spawn(worker)
        m.join()

    facts = looks(program, max_steps=2000).facts
    assert "the same 17 steps go round" in facts[0]
    shown, _, more = facts[1].removeprefix("cpu1 goes round: ").partition(", ... ")
    assert 12 == len(shown.split(", "))
    assert more in ("3 more", "4 more")  # the turn may be cut among its yields
    assert re.search(r"\byield x[23]\b", shown)


def test_the_steps_of_the_loop_are_those_of_the_story():
    failure = looks(beating)
    assert "on the same 2 steps go round" in failure.facts[0]
    start = int(failure.facts[0].split()[2])
    rows = vmsmp.replay(beating, failure.schedule).story.rows
    texts = [row.text for row in rows[start:]]
    assert len(texts) >= 2 * ROUNDS
    assert texts[2:] == texts[:-2]
    assert {"load flag", "store beat"} == set(texts)


@pytest.mark.parametrize("periods", [(2, 3), (7, 11)])
def test_loops_of_several_periods_close_after_their_least_common_multiple(periods):
    def program(m):
        flag = m.atomic(0, "flag")

        def spinner(period):
            while not flag.load():
                for _ in range(period):
                    m.yield_()

        for period in periods:
            m.spawn(spinner, period)
        m.join()

    failure = looks(program, max_steps=2200 if max(periods) > 3 else 1200)
    assert STATE == failure.message
    steps = int(failure.facts[0].split(" the same ")[1].split()[0])
    assert {(2, 3): 2 * 12, (7, 11): 2 * 24}[periods] == steps


def test_sleepers_of_one_period_go_round_while_time_passes():
    def program(m):
        flag = m.atomic(0, "flag")

        def sleeper(ident):
            while not flag.load():
                m.tsleep(ident, 0, "", 3)

        m.spawn(sleeper, "a")
        m.spawn(sleeper, "b")
        m.join()

    failure = looks(program)
    assert NO_LOOP == failure.message
    assert "steps go round" in failure.facts[0]


# -- the same steps, but not the same state -------------------------------------------------------


def modulo(period):
    """A word that one CPU counts up, and from 0 on again after so many turns."""

    def program(m):
        word = m.atomic(0, "word")

        def counter():
            while word.rmw(lambda v: (v + 1) % period) < period:
                pass

        m.spawn(counter)
        m.join()

    return program


@pytest.mark.parametrize(("period", "message"), [(1, STATE), (2, STEPS), (3, STEPS), (7, STEPS)])
def test_a_word_that_counts_is_not_as_it_was(period, message):
    failure = looks(modulo(period))
    _, *facts = failure.facts
    assert message == failure.message
    assert "cpu1 goes round: rmw word" in facts


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_word_that_counts_is_as_it_was_if_it_counts_within_one_turn(turns):
    def program(m):
        word, beat = m.atomic(0, "word"), m.atomic(0, "beat")

        def counter():
            while True:
                for _ in range(turns):
                    word.rmw(lambda v: (v + 1) % turns)
                beat.store(1)

        m.spawn(counter)
        m.join()

    assert STATE == looks(program).message


def counted(m):
    beat, turns = m.atomic(0, "beat"), []

    def counter():
        while True:
            turns.append(beat.load())

    m.spawn(counter)
    m.join()


def drawn(m):
    beat = m.atomic(0, "beat")

    def drawer():
        while m.rng.random() < 2:
            beat.load()

    m.spawn(drawer)
    m.join()


def ended(m):
    """It ends at double the limit."""
    beat = m.atomic(0, "beat")

    def worker():
        for _ in range(LIMIT * 5 // 4):
            beat.load()

    m.spawn(worker)
    m.join()


def polling(m):
    flag = m.atomic(0, "flag")

    def poller():
        while not flag.load():
            m.tsleep("nap", 0, "", 1)

    m.spawn(poller)
    m.join()


@pytest.mark.parametrize("program", [counted, drawn, ended, polling])
def test_steps_that_come_back_in_another_state_are_not_called_endless(program):
    assert STEPS == looks(program).message


def test_what_ends_is_silent_at_double_the_limit():
    silent(ended, schedules=1, max_steps=2 * LIMIT)


@pytest.mark.parametrize("limit", [5_000, 6_000])
def test_a_scenario_of_many_equal_turns_is_not_called_endless(limit):
    rollup = find_scenario("stats_rollup")
    assert NO_LOOP == vmsmp.explore(rollup, schedules=2, max_steps=limit).failure.message
    silent(rollup, schedules=2, max_steps=2 * limit)


def test_what_another_loop_used_is_not_compared():
    def program(m):
        early, flag = m.atomic(0, "early"), m.atomic(0, "flag")

        def worker():
            for _ in range(LIMIT // 4):
                early.fetchadd(1)
            while not flag.load():
                pass

        m.spawn(worker)
        m.join()

    assert STATE == looks(program).message


def test_steps_that_never_repeat_are_no_loop():
    def program(m):
        words = [m.atomic(0, "even"), m.atomic(0, "odd")]

        def worker():
            n = 0
            while True:
                words[n.bit_count() % 2].load()
                n += 1

        m.spawn(worker)
        m.join()

    failure = looks(program)
    assert NO_LOOP == failure.message
    assert [] == [fact for fact in failure.facts if "goes round" in fact or "go round" in fact]
    assert any(
        re.match(r"cpu1 repeats: load (even|odd) x\d+, load (even|odd) x\d+", f) for f in failure.facts
    )


def test_a_loop_that_is_left_before_the_limit_is_not_the_one_that_is_named():
    def program(m):
        early, late = m.atomic(0, "early"), m.atomic(0, "late")

        def worker():
            for _ in range(TURNS):
                early.load()
            while True:
                late.load()

        m.spawn(worker)
        m.join()

    failure = looks(program)
    assert "cpu1 goes round: load late" in failure.facts
    assert TURNS <= int(failure.facts[0].split()[2])


def test_a_loop_that_is_left_before_the_limit_says_nothing_of_the_next_one():
    def program(m):
        early, late = m.atomic(0, "early"), m.atomic(0, "late")

        def worker():
            for _ in range(TURNS):
                early.load()
            while True:
                late.fetchadd(1)

        m.spawn(worker)
        m.join()

    assert STEPS == looks(program).message


@pytest.mark.parametrize("limit", [LIMIT, LIMIT + 1])
def test_a_loop_of_tries_that_fail_is_found_wherever_the_limit_falls(limit):
    def program(m):
        lock = m.spinlock("lock")

        def trier():
            while not lock.try_acquire():
                m.yield_()

        lock.acquire()
        m.spawn(trier)
        m.join()

    assert STATE == looks(program, max_steps=limit).message


@pytest.mark.parametrize("start", [(0,), 0.0], ids=["tuple", "float"])
def test_a_cell_that_counts_in_other_values_is_not_called_as_it_was(start):
    def program(m):
        cell = m.cell(start, "cell")

        def counter():
            while True:
                value = cell.load()
                cell.store((value[0] + 1,) if start else value + 1)

        m.spawn(counter)
        m.join()

    assert STEPS == looks(program).message


# -- loops that end -------------------------------------------------------------------------------


def in_a_local(m):
    n = 0
    while n < TURNS:
        n += 1
        m.yield_()


def in_a_lists_length(m):
    box = []
    while len(box) < TURNS:
        box.append(0)
        m.yield_()


def in_an_iterator(m):
    for _ in repeat(None, TURNS):
        m.yield_()


class Slots:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0


def in_slots(m):
    box = Slots()
    while box.n < TURNS:
        box.n += 1
        m.yield_()


def in_a_closure(m):
    def counter():
        n = 0

        def turn():
            nonlocal n
            n += 1
            return n

        return turn

    turn = counter()
    while turn() < TURNS:
        m.yield_()


def in_an_atomic(m):
    box = m.atomic(0)
    while box.fetchadd(1) < TURNS:
        pass


def in_a_cell(m):
    box = m.cell(0)
    while box.load() < TURNS // 3:
        box.store(box.load() + 1)


def in_a_refcount(m):
    box = m.refcount(1)
    for _ in range(TURNS // 2):
        box.acquire()
    for _ in range(TURNS // 2 + 1):
        box.release()


def in_the_depth_of_the_stack(m):
    def down(left):
        m.yield_()
        if left:
            down(left - 1)

    for _ in range(10):
        down(TURNS // 10 - 1)


def in_ticks(m):
    while m.ticks < TURNS // 3:
        m.tsleep("nap", 0, "", 1)


COUNTS = [
    in_a_local, in_a_lists_length, in_an_iterator, in_slots, in_a_closure, in_an_atomic, in_a_cell,
    in_a_refcount, in_the_depth_of_the_stack, in_ticks,
]  # fmt: skip


@pytest.mark.parametrize("body", COUNTS, ids=[b.__name__ for b in COUNTS])
def test_a_loop_that_counts_and_ends_before_the_limit_is_silent(body):
    program = alone(body)
    silent(program, schedules=1, max_steps=LIMIT)
    longest = vmsmp.explore(program, schedules=1, max_steps=LIMIT).longest
    assert LIMIT * 9 // 10 < longest <= LIMIT  # else it never came to where lassos are looked for


def in_random_numbers(m):
    while m.rng.random() < 1 - 1 / 150:
        m.yield_()


def in_draws(m):
    while m.choose(150):
        m.yield_()


@pytest.mark.parametrize("body", [in_random_numbers, in_draws])
def test_a_loop_that_draws_ends_when_it_ends(body):
    # What is drawn is the seed's: some of these runs are short, some end well after half of the limit.
    ran = [vmsmp.explore(alone(body), schedules=1, seed=seed, max_steps=LIMIT) for seed in range(20)]
    assert {"livelock", ""} >= {r.failure.kind if r.failure else "" for r in ran}
    assert any(r.failure is None and r.longest > LIMIT // 2 + 2 * ROUNDS for r in ran)
    assert all(r.failure is None or LIMIT - 10 <= r.longest for r in ran)


def test_a_loop_that_another_cpu_ends_is_silent():
    def program(m):
        flag = m.atomic(0)

        def spinner():
            while not flag.load():
                pass

        def counter():
            for _ in range(TURNS // 4):
                m.yield_()
            flag.store(1)

        m.spawn(spinner)
        m.spawn(counter)
        m.join()

    result = vmsmp.explore(program, sched="rr", schedules=1, max_steps=LIMIT)
    assert result.failure is None
    assert LIMIT * 9 // 20 < result.longest


def test_a_loop_that_a_long_sleep_ends_is_silent():
    def program(m):
        flag = m.atomic(0)

        def poller():
            while not flag.load():
                m.tsleep("nap", 0, "", 1)

        m.spawn(poller)
        m.tsleep("long", 0, "", TURNS // 4)
        flag.store(1)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=1, max_steps=LIMIT)
    assert result.failure is None
    assert LIMIT * 9 // 10 < result.longest


def test_a_loop_of_joins_is_a_loop_like_any_other():
    def program(m):
        m.spawn(m.yield_)
        while True:
            m.join()

    failure = vmsmp.explore(program, schedules=1, max_steps=2_000).failure
    assert "livelock" == failure.kind


# -- the same words on every interpreter ------------------------------------------------------------


def in_a_list_comprehension(m):
    while True:
        [m.yield_() for _ in [0] * 2_000]


def in_the_inner_loop_of_one(m):
    while True:
        [m.yield_() for n in [0, 0] for _ in [n] * 2_000]


def in_a_generator(m):
    while True:
        any(m.yield_() for _ in [0] * 2_000)


def in_a_loop_whose_variable_is_no_number(m):
    for thing in ["x"] * 2_000:
        kept = thing
        m.yield_()
    return kept


def in_a_loop_that_keeps_a_number(m):
    number = 7
    for _thing in ["x"] * 2_000:
        kept = number
        m.yield_()
    return kept


def in_a_loop_of_pairs(m):
    for _left, _right in [("x", "y")] * 2_000:
        m.yield_()


def in_a_loop_over_equal_numbers(m):
    for _ in [0] * 2_000:
        m.yield_()


def in_a_loop_over_pairs_with_one(m):
    for _name, _ in [("x", 0)] * 2_000:
        m.yield_()


UNKNOWN = [
    in_a_loop_over_equal_numbers,
    in_a_loop_over_pairs_with_one,
    in_a_list_comprehension,
    in_the_inner_loop_of_one,
    in_a_generator,
    in_a_loop_whose_variable_is_no_number,
    in_a_loop_that_keeps_a_number,
    in_a_loop_of_pairs,
]


@pytest.mark.parametrize("body", UNKNOWN, ids=[b.__name__ for b in UNKNOWN])
def test_a_loop_whose_position_nobody_can_tell_is_not_called_endless(body):
    failure = vmsmp.explore(alone(body), schedules=1, max_steps=LIMIT).failure
    assert ("livelock", STEPS) == (failure.kind, failure.message)


def over_a_range(m):
    for n in range(2, 5):
        while n == 3:
            m.yield_()


def over_rounds(m):
    for n in m.rounds(5):
        for _ in range(n * 2 - n, n + 1):
            while n == 3:
                m.yield_()


def over_an_enumeration(m):
    for n, _name in enumerate("abcde"):
        while n == 3:
            m.yield_()


@pytest.mark.parametrize("body", [over_a_range, over_rounds, over_an_enumeration])
def test_a_turn_that_does_not_end_in_a_loop_that_counts_is_called_endless(body):
    failure = vmsmp.explore(alone(body), schedules=1, max_steps=LIMIT).failure
    assert ("livelock", STATE) == (failure.kind, failure.message)
