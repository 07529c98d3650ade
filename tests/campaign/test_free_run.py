"""One run under a chosen engine, and rounds of free runs."""

from __future__ import annotations

import threading
import time

import pytest

import vmsmp
from small_programs import clean
from vmsmp.campaign.free_run import FreeRounds, free_rounds
from vmsmp.campaign.outcome import Failure, Outcome
from vmsmp.engine import free
from vmsmp.engine.options import Options
from vmsmp.errors import UsageError
from vmsmp.sync.lock import LockStatistics


def counter(m):
    lock, word = m.spinlock("l"), m.cell(0)

    def worker():
        for _ in range(10):
            with lock:
                word.store(word.load() + 1)

    m.spawn(worker)
    m.spawn(worker)
    m.join()
    m.check(word.load() == 20, "every increment is counted")


def wrong(m):
    m.spawn(lambda: m.check(False, "page 7 is busy"))
    m.join()


def endless(m):
    word = m.atomic(0)

    def worker():
        while True:
            word.fetchadd(1)

    m.spawn(worker)
    m.join()


def rounds_of(program, *, time_s=0.2, **more):
    return free_rounds(program, time_s=time_s, **{"options": Options(), **more})


# -- once -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["free", "controlled"])
def test_a_clean_program_runs_clean(engine):
    assert (None, "counter") == (
        vmsmp.run(counter, engine=engine).failure,
        vmsmp.run(counter, engine=engine).program,
    )


@pytest.mark.parametrize("engine", ["free", "controlled"])
def test_a_failure_has_its_signature_in_either_engine(engine):
    assert "check: page N is busy" == vmsmp.run(wrong, engine=engine).failure.signature


def test_a_free_failure_has_no_line():
    failure = vmsmp.run(wrong).failure
    assert ("free", "", "") == (failure.engine, failure.schedule, failure.digest)


def test_a_free_failure_tells_how_every_cpu_stood_and_what_it_did_last():
    history = vmsmp.run(wrong).failure.history
    assert "cpu0" == history.scene[0].name
    assert "cpu0" == history.recent[0][0]


def test_a_controlled_failure_has_a_line_that_replays_it():
    outcome = vmsmp.run(wrong, engine="controlled")
    assert outcome.failure.digest == vmsmp.replay(wrong, outcome.schedule).digest


def test_a_free_run_that_reaches_its_time_is_no_failure():
    assert None is vmsmp.run(endless, time_s=0.2).failure


def test_a_free_run_that_reaches_its_operations_is_no_failure():
    outcome = vmsmp.run(endless, max_ops=1000)
    assert (None, True) == (outcome.failure, outcome.operations >= 1000)


def test_a_free_run_counts_its_locks():
    assert [("l", 20)] == [(lock.name, lock.acquisitions) for lock in vmsmp.run(counter).locks]


def test_a_free_run_counts_its_operations():
    assert 80 <= vmsmp.run(counter).operations


def test_a_scenario_s_own_depth_holds():
    def program(m):
        seen.append(m.options.locks)

    seen = []
    program.locks = "exact"
    vmsmp.run(program)
    assert ["exact"] == seen


def test_the_caller_s_depth_wins():
    def program(m):
        seen.append(m.options.locks)

    seen = []
    program.locks = "exact"
    vmsmp.run(program, locks="atomic")
    assert ["atomic"] == seen


def test_a_mutant_is_planted_in_a_free_run():
    def program(m):
        from vmsmp.patches.dispatch import in_place
        from vmsmp.sync import spinlock

        seen.append(in_place(spinlock._spin_lock_contested).__code__.co_filename)

    seen = []
    vmsmp.run(program, mutants=["SP-05"])
    assert ["<mutant of _spin_lock_contested>"] == seen


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"engine": "diesel"}, "engine must be 'free' or 'controlled', not 'diesel'"),
        ({"locks": "deep"}, "locks must be"),
        ({"cpus": 99}, "cpus must be"),
        ({"repairs": ["x"]}, "unknown repair 'x'"),
        ({"mutants": ["XX-99"]}, "unknown mutant 'XX-99'"),
    ],
)
def test_what_cannot_be_is_refused(more, words):
    with pytest.raises(UsageError, match=words):
        vmsmp.run(counter, **more)


# -- rounds ---------------------------------------------------------------------------------------


def test_rounds_repeat_while_there_is_time():
    assert 1 < rounds_of(counter).rounds


def test_the_use_of_a_lock_adds_up_over_the_rounds():
    done = rounds_of(counter)
    whole = done.rounds - 1  # the last one may have been ended by the time
    assert 20 * whole <= done.locks["l"].acquisitions <= 20 * done.rounds


def test_rounds_end_after_a_failure():
    done = rounds_of(wrong, time_s=20.0)
    assert (1, {"check: page N is busy": 1}) == (done.rounds, done.counts)


def test_rounds_go_on_up_to_the_failures_asked_for():
    done = rounds_of(wrong, time_s=20.0, stop_at=3)
    assert (3, 1, {"check: page N is busy": 3}) == (done.rounds, len(done.failures), done.counts)


def test_every_round_has_a_seed_of_its_own():
    def program(m):
        drawn.append(m.choose(10**9))

    drawn = []
    done = rounds_of(program)
    assert done.rounds == len(set(drawn))


def test_rounds_say_how_far_they_are():
    seen = []
    done = rounds_of(counter, progress=lambda so_far: seen.append(so_far.rounds))
    assert list(range(1, done.rounds + 1)) == seen


def test_no_time_means_no_round():
    assert 0 == rounds_of(counter, time_s=0.0).rounds


def test_a_program_that_does_not_end_ends_with_the_time():
    assert (1, []) == (rounds_of(endless).rounds, rounds_of(endless).failures)


@pytest.fixture
def workers():
    """The threads of CPUs that were not there when the test began."""
    before = set(threading.enumerate())
    return lambda: [
        t.name for t in threading.enumerate() if t.name.startswith("vmsmp-cpu") and t not in before
    ]


def test_no_thread_is_left_after_rounds(workers):
    rounds_of(counter)
    assert [] == workers()


def test_ctrl_c_in_a_round_keeps_what_was_done(monkeypatch):
    ran = free.supervise
    turns = []

    def interrupted(*words):
        turns.append(words)
        if len(turns) == 3:
            raise KeyboardInterrupt
        ran(*words)

    monkeypatch.setattr(free, "supervise", interrupted)
    done = rounds_of(counter, time_s=20.0)
    assert (2, True) == (done.rounds, done.interrupted)


@pytest.mark.parametrize("moment", ["_launch", "supervise", "_collect"])
def test_ctrl_c_at_any_moment_of_a_round_leaves_no_thread(monkeypatch, workers, moment):
    owner = free if moment == "supervise" else free.FreeExecution
    ran = getattr(owner, moment)
    turns = []

    def interrupted(*words):
        turns.append(words)
        if moment != "_collect":
            ran(*words)
        if len(turns) == 1:
            time.sleep(0.1)  # the CPUs are under way by now
            raise KeyboardInterrupt
        if moment == "_collect":
            ran(*words)

    monkeypatch.setattr(owner, moment, interrupted)
    rounds_of(endless, time_s=0.5)
    assert [] == workers()


def test_ctrl_c_between_two_rounds_keeps_what_was_done():
    def progress(so_far):
        if so_far.rounds == 2:
            raise KeyboardInterrupt

    try:
        done = rounds_of(counter, time_s=20.0, progress=progress)
    except KeyboardInterrupt:
        pytest.fail("two rounds are lost")
    assert (2, True) == (done.rounds, done.interrupted)


# -- added up -------------------------------------------------------------------------------------


def outcome(*locks, failure=None, operations=10):
    return Outcome(
        "mine", "", operations, failure, "", operations, 0.1, tuple(LockStatistics(*one) for one in locks)
    )


def test_locks_of_one_name_add_up():
    done = FreeRounds("mine")
    done.add(outcome(("a", 5, 1), ("b", 2, 0)))
    done.add(outcome(("a", 7, 2)))
    assert {"a": (12, 3), "b": (2, 0)} == {
        name: (lock.acquisitions, lock.contested) for name, lock in done.locks.items()
    }


def test_rounds_and_operations_add_up():
    done = FreeRounds("mine")
    done.add(outcome(operations=10))
    done.add(outcome(operations=5))
    assert (2, 15) == (done.rounds, done.operations)


def test_a_failure_is_kept_once_and_counted():
    done = FreeRounds("mine")
    failure = Failure("check", "bad", "check: bad", "", "", engine="free")
    for _ in range(3):
        done.add(outcome(failure=failure))
    assert ([failure], {"check: bad": 3}) == (done.failures, done.counts)


# -- under control --------------------------------------------------------------------------------


def test_a_controlled_run_is_one_schedule():
    assert vmsmp.run(clean, engine="controlled", seed=1).ok


def test_the_failure_of_a_controlled_run_can_be_replayed():
    def failing(m):
        m.spawn(m.yield_)
        m.check(False, "down")

    outcome = vmsmp.run(failing, engine="controlled", seed=1)
    assert outcome.digest == vmsmp.replay(failing, outcome.schedule).digest
