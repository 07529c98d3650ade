"""The story of a run: every step with its values, its place, and why another CPU went on."""

from __future__ import annotations

from itertools import pairwise

import pytest

import vmsmp
from vmsmp import PCATCH, PINTERLOCKED


def counter(m):
    word = m.cell(0, name="word")

    def worker():
        word.store(word.load() + 1)

    m.spawn(worker, name="first")
    m.spawn(worker, name="second")


def steps(outcome):
    return [(row.cpu, row.text, row.change) for row in outcome.story.rows]


def switches(outcome):
    return [row.switch for row in outcome.story.rows if row.switch]


def test_every_step_is_told_in_order(tell):
    assert [
        (0, "spawn first", ""),
        (0, "spawn second", ""),
        (1, "start first", ""),
        (1, "load word", "0"),
        (1, "store word", "0 -> 1"),
        (2, "start second", ""),
        (2, "load word", "1"),
        (2, "store word", "1 -> 2"),
        (0, "join all", ""),
    ] == steps(tell(counter))


def test_steps_are_numbered_from_0(tell):
    assert list(range(9)) == [row.step for row in tell(counter).story.rows]


def test_a_story_has_as_many_rows_as_the_run_had_steps(tell):
    told = tell(counter, "1.1>2")
    assert told.steps == len(told.story.rows)


def test_cpus_have_their_names(tell):
    assert ("cpu0", "cpu1 first", "cpu2 second") == tell(counter).story.cpus


def test_a_store_shows_what_was_there_and_what_is(tell):
    row = tell(counter).story.rows[4]
    assert ("0", "1", "0 -> 1") == (row.before, row.after, row.change)


def test_a_load_shows_what_it_saw(tell):
    assert "0" == tell(counter).story.rows[3].change


def test_a_lost_update_shows_the_same_store_twice(tell):
    # Both have loaded before one stores.
    stores = [row.change for row in tell(counter, "1.2>2").story.rows if row.text == "store word"]
    assert ["0 -> 1", "1"] == stores


def test_a_step_has_its_place(tell):
    (place,) = tell(counter).story.rows[3].place[:1]
    assert ("campaign/test_story.py", "worker") == (place.file, place.function)


def test_no_place_is_an_absolute_path(tell):
    assert [] == [
        place for row in tell(counter).story.rows for place in row.place if place.file.startswith("/")
    ]


def test_a_step_inside_a_lock_knows_how_much_is_held(tell):
    def program(m):
        lock, word = m.spinlock("l"), m.cell(0, name="word")

        def worker():
            word.load()
            with lock:
                word.load()

        m.spawn(worker)
        m.join()

    assert [0, 1] == [row.held for row in tell(program).story.rows if row.text == "load word"]


# -- why another CPU went on ----------------------------------------------------------------------


def test_a_cpu_that_ends_lets_another_go_on(tell):
    assert ["cpu0 waits: join first", "cpu1 first ended", "cpu2 second ended"] == switches(tell(counter))


def test_a_preempted_cpu_is_called_so(tell):
    assert "cpu1 first preempted" in switches(tell(counter, "1.2>2"))


def test_a_cpu_that_waits_for_a_lock_is_called_so(tell):
    def program(m):
        lock = m.spinlock("l")

        def worker():
            with lock:
                m.yield_()

        m.spawn(worker, name="first")
        m.spawn(worker, name="second")
        m.join()

    assert "cpu2 second waits: exclusive l" in switches(tell(program))


def test_a_cpu_that_gives_way_is_called_so(tell):
    def program(m):
        def worker():
            m.yield_()
            m.yield_()

        m.spawn(worker, name="first")
        m.spawn(worker, name="second")
        m.join()

    assert "cpu1 first gave way" in switches(tell(program))


def nappers(m):
    def sleeper():
        m.tsleep_interlock("ident")
        m.tsleep("ident", PINTERLOCKED, "nap", 5)

    m.spawn(sleeper, name="first")
    m.spawn(sleeper, name="second")
    m.join()


def test_a_cpu_whose_sleep_timed_out_is_called_so(tell):
    # The first sleeps; the second is about to when the first one's timeout comes.
    assert "cpu1 first: its wait ends, timeout" in switches(tell(nappers, "2.2>1", options="+any"))


def test_a_cpu_whose_sleep_ended_for_no_reason_is_called_so(tell):
    assert "cpu1 first: its wait ends, spurious" in switches(tell(nappers, "2.2>1", options="+spurious"))


def test_a_cpu_that_goes_on_is_not_switched_to(tell):
    rows = tell(counter).story.rows
    assert [] == [row for last, row in pairwise(rows) if bool(row.switch) != (row.cpu != last.cpu)]


# -- the end --------------------------------------------------------------------------------------


def test_at_the_end_every_cpu_is_done(tell):
    assert [True, True] == [stand.done for stand in tell(counter).story.scene[1:]]


def test_a_deadlock_shows_who_holds_and_wants_what(tell):
    def program(m):
        one, other = m.spinlock("one"), m.spinlock("other")

        def worker(first, second):
            with first, second:
                pass

        m.spawn(worker, one, other)
        m.spawn(worker, other, one)
        m.join()

    scene = tell(program, "1.2>2", check=False).story.scene
    assert [
        (("exclusive spinlock 'one'",), "exclusive other"),
        (("exclusive spinlock 'other'",), "exclusive one"),
    ] == [(stand.holds, stand.wants) for stand in scene[1:]]


def test_virtual_time_is_part_of_the_story(tell):
    def program(m):
        def sleeper():
            m.tsleep_interlock("ident")
            m.tsleep("ident", PINTERLOCKED, "nap", 5)

        m.spawn(sleeper)
        m.join()

    assert 5 <= tell(program).story.ticks


def test_a_story_changes_no_run(tell):
    assert tell(counter, "1.2>2").digest == tell(counter, "1.2>2", check=False).digest


# -- the second half of the step limit ------------------------------------------------------------


def taking_turns(m):
    def worker():
        for _ in range(60):
            m.rng.random()
            word.load()

    word = m.cell(0, name="word")
    m.spawn(worker, name="first")
    m.spawn(worker, name="second")
    m.join()


def test_fair_picks_begin_with_a_word_and_preempt_nobody(tell):
    rows = tell(taking_turns, "1.5>2,2.5>1,1.9>2", options="+steps=80").story.rows
    (fair,) = [row.step for row in rows if row.switch.startswith("half of the step limit")]
    before, after = rows[:fair], rows[fair + 1 :]
    assert 3 == sum("preempted" in row.switch for row in before)
    assert 10 < len(after)
    assert [] == [row.switch for row in after if row.switch]


def test_fair_picks_give_every_cpu_its_turn(tell):
    rows = tell(taking_turns, "", options="+steps=80").story.rows
    (fair,) = [row.step for row in rows if row.switch.startswith("half of the step limit")]
    turns = [row.cpu for row in rows[fair:]]
    assert {1, 2} == set(turns)
    assert [] == [n for n, (one, other) in enumerate(pairwise(turns)) if one == other]


def test_a_cpu_that_ends_on_fair_picks_is_still_called_so(tell):
    rows = tell(taking_turns, "", options="+steps=160").story.rows
    assert ["cpu1 first ended", "cpu2 second ended"] == [r.switch for r in rows if r.switch.endswith("ended")]


def test_a_story_of_the_second_half_changes_no_run(tell):
    runs = [tell(taking_turns, "1.5>2", options="+steps=80", check=check).digest for check in (True, False)]
    assert runs[0] == runs[1]


# -- sleeps and wakeups ---------------------------------------------------------------------------


def sleepers(m):
    cpus = [
        m.spawn(m.tsleep, "bed", 0, "", 0, name="plain"),
        m.spawn(m.tsleep, "couch", 0, "", 0, name="second"),
        m.spawn(m.tsleep, "chair", PCATCH, "", 0, name="signalled"),
        m.spawn(m.tsleep, "floor", 0, "", 5, name="timed"),
    ]

    def waker():
        m.wakeup_one("bed")
        m.wakeup("couch")
        m.wakeup("nothing")
        m.signal(cpus[2])

    m.spawn(waker)
    m.join()


def interlocked(m):
    def sleeper():
        m.tsleep_interlock("bed")
        m.pause()
        m.tsleep("bed", PINTERLOCKED, "", 0)

    m.spawn(sleeper)
    m.spawn(lambda: m.wakeup("bed"))
    m.join()


def notes(outcome):
    return [row.note for row in outcome.story.rows if row.note]


def test_a_wakeup_says_whom_it_woke_and_whether_one_or_all():
    assert [
        "wakes cpu1 plain; wakeup of one reaches 1",
        "wakes cpu2 second; wakeup of all reaches 1",
        "wakeup of all reaches nobody",
    ] == [note for note in notes(vmsmp.replay(sleepers, "v1:sleepers:0:")) if "wakeup" in note]


@pytest.mark.parametrize("locks", ["", "+exact"])
def test_a_sleep_says_how_it_ended(locks):
    assert [
        "sleep returns 0",
        "sleep returns 0",
        "sleep returns EINTR, by a signal",
        "sleep returns EWOULDBLOCK, timed out",
    ] == [note for note in notes(vmsmp.replay(sleepers, f"v1:sleepers{locks}:0:")) if "sleep" in note]


def test_at_exact_depth_a_wakeup_says_whether_one_or_all():
    found = [note for note in notes(vmsmp.replay(sleepers, "v1:sleepers+exact:0:")) if "wakeup" in note]
    assert ["one", "all", "all"] == [note.split()[2] for note in found]


def test_a_wakeup_before_the_sleep_is_told_on_both_sides():
    assert [
        "reaches cpu1 before the sleep; wakeup of all reaches 1",
        "sleep returns 0, without sleeping",
    ] == notes(vmsmp.replay(interlocked, "v1:interlocked:0:1.3>2"))


def test_a_spurious_end_of_a_sleep_is_told():
    def program(m):
        m.spawn(m.tsleep, "bed", 0, "", 0)
        m.spawn(m.yield_)
        m.join()

    found = vmsmp.replay(program, "v1:program+spurious:0:2.1>1")
    assert ["sleep returns 0, for no reason"] == notes(found)


def test_a_step_of_several_accesses_is_one_row_that_tells_them_all():
    def program(m):
        a, b = m.atomic(0, "a"), m.cell(5, "b")
        with m.step():
            a.store(1)
            b.load()
        m.check(False, "over")

    rows = vmsmp.explore(program, schedules=1).failure.story.rows
    assert [("step: store a 0 -> 1, load b 5", "", "")] == [(r.text, r.thing, r.change) for r in rows]
