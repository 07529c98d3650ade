"""Data races over plain cells: found where nothing orders two accesses, and only there."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import reference
import vmsmp
from vmsmp import LK_SHARED, PCATCH, PINTERLOCKED
from vmsmp.campaign import search
from vmsmp.engine.schedule import Schedule

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
SORTS = pytest.mark.parametrize("sort", ["spinlock", "token", "lockmgr"])


def races(program, **options):
    """What the detector says in a search that goes on after every failure."""
    options = {"sched": "random", "schedules": 100, "check": False, **options}
    result = vmsmp.explore(program, races=True, stop="never", **options)
    return [failure for failure in result.failures if failure.kind == "data-race"]


def in_turn(program, locks="atomic"):
    """What the detector says of the one run in which the CPUs follow each other as they were made."""
    words = ["exact", "races"] if locks == "exact" else ["races"]
    line = "+".join(["v1:program", *words]) + ":0:"
    failure = vmsmp.replay(program, line, check=False).failure
    return None if failure is None else (failure.kind, failure.message)


RACE = ("data-race", "x: load and store, with nothing to order them")
STORES = ("data-race", "x: store and store, with nothing to order them")


def two(first, second):
    """The program of two CPUs that share the cell x, an atomic word and whatever they close over."""

    def program(m):
        x, flag = m.cell(0, name="x"), m.atomic(0, name="flag")
        m.spawn(first, m, x, flag)
        m.spawn(second, m, x, flag)
        m.join()

    return program


def store(_m, x, _flag):
    x.store(1)


def load(_m, x, _flag):
    x.load()


# -- what is a race -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "told"), [(store, load, RACE), (load, store, RACE), (store, store, STORES)]
)
def test_two_accesses_of_which_one_stores_are_a_race(first, second, told):
    assert told == in_turn(two(first, second))


def test_two_loads_are_none():
    assert [] == races(two(load, load))


def test_accesses_of_one_cpu_are_none():
    def program(m):
        x = m.cell(0)
        x.store(x.load() + 1)
        x.store(x.load() + 1)

    assert [] == races(program, schedules=1)


def test_accesses_to_two_cells_are_none():
    def program(m):
        for n in range(2):
            m.spawn(m.cell(0, name=f"x{n}").store, 1)
        m.join()

    assert [] == races(program)


def test_words_with_atomic_operations_do_not_race():
    def increment(_m, _x, flag):
        flag.store(flag.load() + 1)

    assert [] == races(two(increment, increment))


def test_a_value_that_is_only_peeked_at_does_not_race():
    assert [] == races(two(store, lambda _m, x, _flag: x.peek()))


def test_a_load_before_other_loads_races_with_the_store():
    """The reads since the last store are kept for every CPU, not only the last of them."""

    def program(m):
        x, flag = m.cell(0, name="x"), m.atomic(0)

        def ordered():
            x.load()
            flag.store(1)

        def writer():
            flag.load()
            x.store(1)

        m.spawn(x.load)
        m.spawn(ordered)
        m.spawn(writer)
        m.join()

    assert RACE == in_turn(program)


def test_without_the_detector_nobody_speaks_of_races():
    assert vmsmp.explore(two(store, load), sched="random").ok


@DEPTHS
def test_a_race_names_both_places_and_the_locks_held(locks):
    def program(m):
        x, a, b = m.cell(0, name="x"), m.spinlock("a"), m.lockmgr("b")

        def writer():
            with a:
                x.store(1)

        def reader():
            b.lock(LK_SHARED)
            x.load()
            b.release()

        m.spawn(writer)
        m.spawn(reader)
        m.join()

    (found,) = races(program, locks=locks)
    told = {re.sub(r" at check/test_happens_before.py:\d+", "", fact) for fact in found.facts}
    assert {
        "cpu1 store in writer, holding exclusive spinlock 'a'",
        "cpu2 load in reader, holding shared lockmgr 'b'",
    } == told


def test_a_race_names_the_lines_of_the_program():
    (found,) = races(two(store, load))
    lines = [fn.__code__.co_firstlineno + 1 for fn in (store, load)]
    assert {
        f"cpu1 store at check/test_happens_before.py:{lines[0]} in store, holding nothing",
        f"cpu2 load at check/test_happens_before.py:{lines[1]} in load, holding nothing",
    } == set(found.facts)


# -- locks ----------------------------------------------------------------------------------------


@DEPTHS
@SORTS
def test_a_lock_orders_accesses(locks, sort):
    def program(m):
        x, lock = m.cell(0, name="x"), getattr(m, sort)("lock")

        def add():
            with lock:
                x.store(x.load() + 1)

        m.spawn(add)
        m.spawn(add)
        m.join()

    assert [] == races(program, locks=locks)


@DEPTHS
@SORTS
def test_two_locks_do_not_order_accesses(locks, sort):
    def program(m):
        x = m.cell(0, name="x")

        def add(lock):
            with lock:
                x.store(1)

        m.spawn(add, getattr(m, sort)("a"))
        m.spawn(add, getattr(m, sort)("b"))
        m.join()

    assert STORES == in_turn(program, locks)


@DEPTHS
@SORTS
def test_an_access_after_the_release_races_with_one_under_the_lock(locks, sort):
    def program(m):
        x, lock = m.cell(0, name="x"), getattr(m, sort)("lock")

        def late():
            with lock:
                pass
            x.store(1)

        def reader():
            with lock:
                x.load()

        m.spawn(late)
        m.spawn(reader)
        m.join()

    assert RACE == in_turn(program, locks)


@DEPTHS
@SORTS
def test_an_access_before_the_acquire_races_with_one_under_the_lock(locks, sort):
    def program(m):
        x, lock = m.cell(0, name="x"), getattr(m, sort)("lock")

        def reader():
            with lock:
                x.load()

        def early():
            x.store(1)
            with lock:
                pass

        m.spawn(reader)
        m.spawn(early)
        m.join()

    assert RACE == in_turn(program, locks)


def readers_and_writer(m, sort):
    x, lock = m.cell(0, name="x"), getattr(m, sort)("lock")

    def reader():
        lock.acquire_shared()
        x.load()
        (lock.release_shared if sort == "spinlock" else lock.release)()

    def writer():
        with lock:
            x.store(1)

    for role in (reader, writer, reader):
        m.spawn(role)
    m.join()


@DEPTHS
@SORTS
def test_readers_under_a_shared_lock_do_not_race_with_a_writer_under_an_exclusive_one(locks, sort):
    assert [] == races(lambda m: readers_and_writer(m, sort), locks=locks)


@DEPTHS
@SORTS
def test_shared_locks_do_not_order_the_store_of_one_reader(locks, sort):
    def program(m):
        x, lock = m.cell(0, name="x"), getattr(m, sort)("lock")

        def reader(access):
            lock.acquire_shared()
            access()
            (lock.release_shared if sort == "spinlock" else lock.release)()

        m.spawn(reader, lambda: x.store(1))
        m.spawn(reader, x.load)
        m.join()

    assert RACE == in_turn(program, locks)


@DEPTHS
@SORTS
def test_a_lock_that_was_only_tried_for_orders_too(locks, sort):
    def program(m):
        x, lock = m.cell(0, name="x"), getattr(m, sort)("lock")

        def add():
            if sort == "lockmgr":
                got = lock.lock(vmsmp.LK_EXCLUSIVE | vmsmp.LK_NOWAIT) == 0
            else:
                got = lock.try_acquire()
            if got:
                x.store(x.load() + 1)
                lock.release()

        m.spawn(add)
        m.spawn(add)
        m.join()

    assert [] == races(program, locks=locks)


@DEPTHS
def test_an_upgraded_lock_orders_a_store(locks):
    def program(m):
        x, lock = m.cell(0, name="x"), m.lockmgr("lock")

        def add():
            lock.acquire_shared()
            lock.upgrade()
            x.store(x.load() + 1)
            lock.downgrade()
            x.load()
            lock.release()

        m.spawn(add)
        m.spawn(add)
        m.join()

    assert [] == races(program, locks=locks)


@DEPTHS
def test_a_token_lost_in_a_sleep_orders_what_comes_before_and_after(locks):
    def program(m):
        x, token = m.cell(0, name="x"), m.token("token")

        def napper():
            with token:
                x.store(x.load() + 1)
                m.tsleep("nap", 0, "", 1)
                x.store(x.load() + 1)

        m.spawn(napper)
        m.spawn(napper)
        m.join()

    assert [] == races(program, locks=locks)


# -- spawn, join, wakeup --------------------------------------------------------------------------


def test_a_spawn_orders_what_came_before_it():
    def program(m):
        x = m.cell(0, name="x")
        x.store(1)
        m.spawn(x.store, 2)

    assert [] == races(program)


def test_a_spawn_does_not_order_what_comes_after_it():
    def program(m):
        x = m.cell(0, name="x")
        m.spawn(x.store, 2)
        x.load()

    assert [RACE[1]] == [failure.message for failure in races(program)]


@pytest.mark.parametrize("one", [True, False])
def test_a_join_orders_what_the_child_did(one):
    def program(m):
        x = m.cell(0, name="x")
        child = m.spawn(x.store, 2)
        (child if one else m).join()
        x.store(3)

    assert [] == races(program)


def test_siblings_are_ordered_if_the_first_is_joined_before_the_second_is_made():
    def program(m):
        x = m.cell(0, name="x")
        m.spawn(x.store, 1).join()
        m.spawn(x.store, 2).join()

    assert [] == races(program)


@DEPTHS
@pytest.mark.parametrize("call", ["wakeup", "wakeup_one"])
def test_a_wakeup_orders_what_came_before_it(locks, call):
    def program(m):
        x = m.cell(0, name="x")

        def sleeper():
            m.tsleep("bed", 0, "", 0)
            x.load()

        def waker():
            x.store(1)
            getattr(m, call)("bed")

        m.spawn(sleeper)
        m.spawn(waker)
        m.join()

    assert [] == races(program, locks=locks, schedules=200)


@DEPTHS
def test_a_wakeup_of_somebody_else_orders_nothing(locks):
    def program(m):
        x = m.cell(0, name="x")

        def sleeper():
            m.tsleep("bed", 0, "", 0)
            x.load()

        def stranger():
            x.store(1)
            m.wakeup("sofa")

        m.spawn(sleeper)
        m.spawn(stranger)
        m.spawn(m.wakeup, "bed")
        m.join()

    assert RACE == in_turn(program, locks)


@DEPTHS
def test_a_sleep_that_times_out_orders_nothing(locks):
    def program(m):
        x = m.cell(0, name="x")

        def sleeper():
            m.tsleep("bed", 0, "", 1)
            x.load()

        m.spawn(x.store, 1)
        m.spawn(sleeper)
        m.join()

    assert RACE == in_turn(program, locks)


def test_a_wakeup_orders_what_every_sleeper_does():
    def program(m):
        x = m.cell(0, name="x")

        def sleeper():
            m.tsleep("bed")
            x.load()

        def waker():
            x.store(1)
            m.wakeup("bed")

        for role in (sleeper, sleeper, waker):
            m.spawn(role)
        m.join()

    assert [] == races(program, locks="exact", schedules=400)


@DEPTHS
def test_a_wakeup_between_the_interlock_and_the_sleep_orders_too(locks):
    def program(m):
        x, announced = m.cell(0, name="x"), m.atomic(0)

        def sleeper():
            m.tsleep_interlock("bed")
            announced.store(1)
            m.tsleep("bed", PINTERLOCKED)
            x.load()

        def waker():
            while not announced.load():
                m.pause()
            x.store(1)
            m.wakeup("bed")

        m.spawn(sleeper)
        m.spawn(waker)
        m.join()

    assert [] == races(program, locks=locks)


@DEPTHS
def test_a_signal_that_ends_a_sleep_orders_what_came_before_it(locks):
    def program(m):
        x = m.cell(0, name="x")

        def sleeper():
            m.tsleep("bed", PCATCH)
            x.load()

        child = m.spawn(sleeper)
        x.store(1)
        m.signal(child)
        m.join()

    assert [] == races(program, locks=locks)


def test_an_ident_that_cannot_be_hashed_is_no_error():
    def program(m):
        m.spawn(m.tsleep, ["bed"])
        m.spawn(m.wakeup, ["bed"])
        m.join()

    assert None is in_turn(program)


# -- atomic words ---------------------------------------------------------------------------------

#: Ways to write a word that is 0 so that it becomes 1.
RELEASES = {
    "store": lambda flag: flag.store(1),
    "fetchadd": lambda flag: flag.fetchadd(1),
    "swap": lambda flag: flag.swap(1),
    "cmpset": lambda flag: flag.cmpset(0, 1),
    "fcmpset": lambda flag: flag.fcmpset(0, 1),
    "setbits": lambda flag: flag.setbits(1),
    "rmw": lambda flag: flag.rmw(lambda _: 1),
}
#: Ways to read a word, and what they say of it.
ACQUIRES = {
    "load": lambda flag: flag.load(),
    "fetchadd": lambda flag: flag.fetchadd(0),
    "swap": lambda flag: flag.swap(1),
    "cmpset": lambda flag: flag.cmpset(1, 2),
    "failed cmpset": lambda flag: flag.fcmpset(7, 8)[1],
    "clearbits": lambda flag: flag.clearbits(1),
    "rmw": lambda flag: flag.rmw(lambda old: old),
}


@pytest.mark.parametrize("acquire", ACQUIRES.values(), ids=ACQUIRES)
@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_who_sees_a_word_written_sees_what_came_before(release, acquire):
    def writer(_m, x, flag):
        x.store(1)
        release(flag)

    def reader(_m, x, flag):
        if acquire(flag):
            x.load()

    assert None is in_turn(two(writer, reader))


def test_words_order_under_every_schedule():
    def writer(_m, x, flag):
        x.store(1)
        flag.store(1)

    def reader(_m, x, flag):
        if flag.load():
            x.load()

    assert [] == races(two(writer, reader), schedules=300)


NO_RELEASE = {
    "a load": lambda flag: flag.load(),
    "a failed cmpset": lambda flag: flag.cmpset(7, 8),
    "a failed fcmpset": lambda flag: flag.fcmpset(7, 8),
}


@pytest.mark.parametrize("look", NO_RELEASE.values(), ids=NO_RELEASE)
def test_what_only_looks_at_a_word_publishes_nothing(look):
    def writer(_m, x, flag):
        x.store(1)
        look(flag)

    def reader(_m, x, flag):
        flag.load()
        x.load()

    assert RACE == in_turn(two(writer, reader))


def test_a_store_to_a_word_learns_nothing():
    def writer(_m, x, flag):
        x.store(1)
        flag.store(1)

    def reader(_m, x, flag):
        flag.store(2)
        x.load()

    assert RACE == in_turn(two(writer, reader))


def test_what_comes_after_the_release_is_not_published():
    def writer(_m, x, flag):
        flag.store(1)
        x.store(1)

    def reader(_m, x, flag):
        flag.load()
        x.load()

    assert RACE == in_turn(two(writer, reader))


def test_order_goes_through_a_third_cpu():
    def program(m):
        x, one, other = m.cell(0, name="x"), m.atomic(0), m.atomic(0)

        def first():
            x.store(1)
            one.store(1)

        def second():
            one.load()
            other.store(1)

        def third():
            other.load()
            x.store(2)

        for role in (first, second, third):
            m.spawn(role)
        m.join()

    assert None is in_turn(program)


def test_a_word_orders_though_a_lock_is_released_right_after_it():
    """What an atomic operation orders is settled at the next operation, which comes after the hook."""

    def program(m):
        x, flag, lock = m.cell(0, name="x"), m.atomic(0), m.spinlock("lock")

        def writer():
            with lock:
                x.store(1)
                flag.store(1)

        def reader():
            if flag.load():
                x.load()

        m.spawn(writer)
        m.spawn(reader)
        m.join()

    assert [] == races(program)


@DEPTHS
def test_a_lock_that_was_asked_for_in_vain_orders_nothing(locks):
    def program(m):
        x, lock = m.cell(0, name="x"), m.spinlock("lock")

        def holder():
            with lock:
                x.store(1)
                m.yield_()
                m.yield_()

        def trier():
            if not lock.try_acquire():
                x.load()
            else:
                lock.release()

        m.spawn(holder)
        m.spawn(trier)
        m.join()

    assert [RACE[1]] == [failure.message for failure in races(program, locks=locks)]


# -- what comes of it -----------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_a_signature_has_no_instance_numbers(named):
    def program(m):
        for _ in range(m.choose(3)):
            m.cell(0)
        x = m.cell(0, name=f"page {m.choose(100)}" if named else None)
        m.spawn(x.store, 1)
        m.spawn(x.load)
        m.join()

    name = "page N" if named else "cell N"
    assert [f"data-race: {name}: load and store, with nothing to order them"] == [
        failure.signature for failure in races(program)
    ]


def test_a_signature_is_the_same_whichever_access_comes_first():
    signatures = {
        vmsmp.explore(two(*roles), races=True, sched="rr").failure.signature
        for roles in ((store, load), (load, store))
    }
    assert 1 == len(signatures)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
@pytest.mark.parametrize("program", [reference.account, reference.lazy01, reference.deadlock01])
def test_the_detector_does_not_change_a_run(program, locks):
    found = vmsmp.explore(program, sched="pos", check=False, locks=locks, stop="never", schedules=60).failures
    digests = []
    for failure in found:
        line = Schedule.parse(failure.schedule)
        watched = replace(line, options=replace(line.options, races=True))
        digests.append(vmsmp.replay(program, watched, check=False).digest)
    assert [failure.digest for failure in found] == digests


def test_the_line_of_a_race_says_that_races_fail():
    failure = vmsmp.explore(reference.wronglock, sched="pos", races=True).failure
    assert ["races"] == Schedule.parse(failure.schedule).options.words()


@pytest.mark.parametrize("locks", ["atomic", "exact"])
@pytest.mark.parametrize("sched", ["pos", "random", "dpor", "portfolio"])
def test_the_line_of_a_race_brings_it_back(sched, locks):
    failure = vmsmp.explore(reference.wronglock, sched=sched, races=True, locks=locks).failure
    again = vmsmp.replay(reference.wronglock, failure.schedule)
    assert ("data-race", failure.signature, failure.digest) == (
        again.failure.kind,
        again.failure.signature,
        again.digest,
    )


def test_a_race_can_be_minimized():
    failure = vmsmp.explore(reference.wronglock, sched="pos", races=True).failure
    small = vmsmp.minimize(reference.wronglock, failure.schedule)
    assert failure.signature == vmsmp.replay(reference.wronglock, small).failure.signature


@pytest.mark.parametrize("sched", ["pos", "dpor", "portfolio"])
@pytest.mark.parametrize("program", [reference.reorder(3), reference.wronglock, reference.bluetooth])
def test_programs_with_races_are_flagged_soon(program, sched):
    assert races(program, sched=sched, schedules=50)


@pytest.mark.parametrize("name", ["account", "lazy01", "twostage", "deadlock01"])
def test_programs_whose_bug_is_no_race_are_not_flagged(name):
    assert [] == races(getattr(reference, name), sched="pos", schedules=300)


@pytest.mark.parametrize("name", ["account", "lazy01", "twostage", "deadlock01"])
def test_no_trace_of_programs_whose_bug_is_no_race_has_one(name):
    assert [] == races(getattr(reference, name), sched="dpor", schedules=60)


def test_dpor_goes_on_after_a_race_to_the_end_of_the_program():
    result = vmsmp.explore(two(store, store), sched="dpor", races=True, stop="never", schedules=1000)
    assert ([STORES[1]], True) == ([failure.message for failure in result.failures], result.exhausted)


# -- hints ----------------------------------------------------------------------------------------


def hidden(m):
    """The lock orders the two accesses in every run in which the first CPU is first, as in a round robin."""
    x, lock = m.cell(0, name="x"), m.spinlock("lock")

    def writer():
        x.store(1)
        with lock:
            pass

    def reader():
        for _ in range(6):
            m.yield_()
        with lock:
            pass
        x.load()

    m.spawn(writer)
    m.spawn(reader)
    m.join()


def test_plain_schedules_may_hide_a_race(monkeypatch):
    monkeypatch.setattr(search, "RUNS_FOR_A_HINT", 0)
    assert vmsmp.explore(hidden, sched="rr", schedules=20, races=True).ok


def test_a_cell_that_no_lock_protects_is_worth_a_targeted_run():
    failure = vmsmp.explore(hidden, sched="rr", schedules=20, races=True).failure
    assert RACE == (failure.kind, failure.message)


def test_a_targeted_run_is_one_of_the_schedules_asked_for():
    assert vmsmp.explore(hidden, sched="rr", schedules=1, races=True).ok


def test_what_a_targeted_run_found_comes_back_from_its_line():
    failure = vmsmp.explore(hidden, sched="rr", schedules=20, races=True).failure
    assert failure.digest == vmsmp.replay(hidden, failure.schedule).digest


def targeted(program, monkeypatch, **options):
    """The places that targeted runs of a search were made for."""
    made = []

    class Seen(search.Rendezvous):
        def __init__(self, places, seed):
            super().__init__(places, seed)
            made.append(places)

    monkeypatch.setattr(search, "Rendezvous", Seen)
    vmsmp.explore(program, races=True, schedules=50, **{"sched": "random", **options})
    return made


def test_a_hint_is_followed_once_a_search(monkeypatch):
    def ordered(m):
        x, flag = m.cell(0), m.atomic(0)

        def writer():
            x.store(1)
            flag.store(1)

        def reader():
            if flag.load():
                x.load()

        m.spawn(writer)
        m.spawn(reader)
        m.join()

    assert search.RUNS_FOR_A_HINT == len(targeted(ordered, monkeypatch))


def test_a_cell_that_one_lock_protects_all_the_time_is_no_hint(monkeypatch):
    assert [] == targeted(reference.lazy01, monkeypatch, check=False, stop="never")


def test_a_cell_that_is_only_read_by_several_cpus_is_no_hint(monkeypatch):
    assert [] == targeted(two(load, load), monkeypatch)


def test_a_systematic_search_takes_no_targeted_runs(monkeypatch):
    assert [] == targeted(hidden, monkeypatch, sched="dpor")


# -- what may race --------------------------------------------------------------------------------


def flagged(sloppy):
    """A reader that looks at a word without a lock, and at another one behind it."""

    def program(m):
        x, flag = m.cell(0, name="x"), m.cell(False, name="flag", sloppy=sloppy)

        def writer():
            x.store(1)
            flag.store(True)

        def reader():
            if flag.load():
                x.load()

        m.spawn(writer)
        m.spawn(reader)
        m.join()

    return program


def races_of(program, **options):
    """The cells that a search finds to race."""
    result = vmsmp.explore(program, races=True, stop="never", **{"sched": "dfs", **options})
    return {failure.message.partition(":")[0] for failure in result.failures}


def test_a_word_that_is_declared_sloppy_races_by_design():
    def program(m):
        flag = m.cell(0, sloppy="a store that is lost is made again")
        for _ in range(2):
            m.spawn(lambda: flag.store(flag.load() + 1))
        m.join()

    assert set() == races_of(program)


def test_a_sloppy_word_orders_nothing():  # the first race of a run is the one that is told
    assert ({"flag"}, {"x"}) == (races_of(flagged(None)), races_of(flagged("looked at again")))


def test_a_sloppy_word_is_not_worth_a_targeted_run(monkeypatch):
    def program(m):
        flag = m.cell(0, sloppy="looked at again")
        m.spawn(flag.store, 1)
        m.spawn(flag.load)
        m.join()

    assert [] == targeted(program, monkeypatch)


def test_a_declaration_changes_no_step():
    digests = [
        [vmsmp.replay(program, f"v1:program:{seed}:").digest for seed in range(5)]
        for program in (flagged(None), flagged("looked at again"))
    ]
    assert digests[0] == digests[1]
