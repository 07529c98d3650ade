"""Drawn programs of readers and writers under each lock, on drawn schedules: as if a pair were one word.

And with a guard removed they are seen to be two, by few calls and few preemptions.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import find, settings
from hypothesis import strategies as st

from vmsmp.check.specs import Sequential
from vmsmp.engine.options import Options
from vmsmp.hypothesis_support import ConcurrentStateMachine, check, concurrent_test, operation, runs


class Word(Sequential):
    """A word that is read and written whole."""

    operations = ("read", "write")

    def initial(self):
        return 0, 0

    def read(self, state):
        yield state, state

    def write(self, state, value):
        yield (value, value), None


class Pair(ConcurrentStateMachine):
    """Two cells under a lock: a reader shares it, a writer has it alone."""

    cpus = 3
    max_ops = 2
    specification = Word()

    def setup(self):
        self.first, self.second = (self.m.cell(0, name=name) for name in ("first", "second"))
        self.lock = self.made()

    def made(self):
        """The lock."""
        raise NotImplementedError

    def share(self):
        """Take it as a reader."""
        self.lock.acquire_shared()

    def unshare(self):
        self.lock.release()

    def take(self):
        """Take it as a writer."""
        self.lock.acquire()

    def give(self):
        self.lock.release()

    @operation()
    def read(self):
        self.share()
        seen = self.first.load(), self.second.load()
        self.unshare()
        return seen

    @operation(st.integers(1, 2))
    def write(self, value):
        self.take()
        self.first.store(value)
        self.second.store(value)
        self.give()


class Spinlock(Pair):
    def made(self):
        return self.m.spinlock("lock")

    def unshare(self):
        self.lock.release_shared()


class Token(Pair):
    def made(self):
        return self.m.token("lock")


class Lockmgr(Pair):
    def made(self):
        return self.m.lockmgr("lock")


class Rwlock(Pair):
    def made(self):
        return self.m.rwlock("lock")


class Mutex(Pair):
    def made(self):
        return self.m.mutex("lock")

    def share(self):
        self.lock.lock_shared()

    def take(self):
        self.lock.lock()

    def unshare(self):
        self.lock.unlock()

    give = unshare


def of(kind, options):
    """The class, run with these options."""
    return type(kind.__name__, (kind,), {"options": options})


@pytest.mark.parametrize("examples", [15, pytest.param(300, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("depth", ["atomic", "exact"])
@pytest.mark.parametrize("kind", [Spinlock, Token, Lockmgr, Rwlock, Mutex], ids=lambda kind: kind.__name__)
def test_readers_and_writers_see_a_pair_as_one(kind, depth, examples):
    concurrent_test(of(kind, Options(locks=depth)), max_examples=examples, derandomize=True, database=None)()


def fails(run):
    try:
        check(*run)
    except AssertionError:
        return True
    return False


@pytest.mark.nightly
def test_a_guard_that_is_missing_is_found_by_few_calls_and_preemptions():
    """A reader looks before its interlock: the writer's wakeup comes in between."""
    broken = of(Lockmgr, Options(locks="exact", mutants=frozenset({"LK-07"})))
    bounds = settings(database=None, deadline=None, max_examples=3000)
    program, schedule = find(runs(broken), fails, settings=bounds, random=Random(0))
    assert {"read()", "write(1)"} == {repr(call) for calls in program.lists for call in calls}
    assert len(program) <= 4, f"{program} along {schedule}"
    assert len(schedule) <= 4, f"{program} along {schedule}"
