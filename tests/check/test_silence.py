"""Checkers watch and never take part: the same line, the same run, with or without them."""

import pytest

import vmsmp
from verdicts import silent
from vmsmp import LK_EXCLUPGRADE, LK_SHARED, LK_TIMELOCK
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def everything(m):
    """A clean program that uses all that checkers look at, and fails by its own check if it races."""
    lock, token, spin = m.lockmgr("l", timo=3), m.token("t"), m.spinlock("s")
    cell, flag, ref = m.cell(0, "cell"), m.atomic(0, "flag"), m.refcount(2, "r")

    def worker():
        cell.store(cell.load() + 1)
        with lock, token, spin:
            flag.fetchadd(1)
        if lock.lock(LK_SHARED | LK_TIMELOCK) == 0 and lock.lock(LK_EXCLUPGRADE) == 0:
            lock.downgrade()
            lock.release()
        with token:
            m.tsleep("nap", 0, "", 1)
        ref.release_wakeup()

    m.spawn(worker)
    m.spawn(worker)
    ref.wait()
    m.join()
    m.check(cell.load() == 2, "both increments are counted")


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3", "dfs:2"])
def test_a_search_finds_the_same_with_checkers_and_without(locks, sched):
    runs = [
        vmsmp.explore(everything, sched=sched, schedules=300, locks=locks, check=check, stop="never")
        for check in (True, False)
    ]
    if sched == "random":
        assert ["check: both increments are counted"] == list(runs[0].counts)
    assert (runs[0].counts, runs[0].steps) == (runs[1].counts, runs[1].steps)
    assert [f.digest for f in runs[0].failures] == [f.digest for f in runs[1].failures]
    assert [f.schedule for f in runs[0].failures] == [f.schedule for f in runs[1].failures]


@DEPTHS
def test_the_same_line_gives_the_same_digest_with_checkers_and_without(locks):
    failure = vmsmp.explore(everything, sched="random", schedules=300, locks=locks).failure
    digests = {vmsmp.replay(everything, failure.schedule, check=check).digest for check in (True, False)}
    assert {failure.digest} == digests


@DEPTHS
def test_a_clean_run_has_the_same_digest_with_checkers_and_without(locks):
    """The line with no preemption, under which the increments do not race."""
    line = str(Schedule("everything", options=Options(locks=locks)))
    runs = [vmsmp.replay(everything, line, check=check) for check in (True, False)]
    assert [None, None] == [run.failure for run in runs]
    assert runs[0].digest == runs[1].digest


@DEPTHS
def test_checkers_keep_nothing_from_one_execution_to_the_next(locks):
    """Each execution takes the locks in one order only; both orders come in the search."""

    def program(m):
        locks_ = [m.spinlock("a"), m.spinlock("b")]
        first = m.choose(2)

        def nest():
            with locks_[first], locks_[1 - first]:
                pass

        m.spawn(nest)
        m.spawn(nest)
        m.join()

    silent(program, locks=locks, schedules=100)


def test_the_free_engine_runs_it_with_all_its_checkers_in_silence():
    def program(m):
        lock, token, spin = m.lockmgr("l"), m.token("t"), m.spinlock("s")

        def worker():
            for _ in range(20):
                with lock, token, spin:
                    pass
                m.tsleep("nap", 0, "", 1) if m.curcpu.index == 1 else m.yield_()

        for _ in range(3):
            m.spawn(worker)
        m.join()

    assert None is vmsmp.run(program, engine="free").failure
