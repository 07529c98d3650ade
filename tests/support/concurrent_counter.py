"""Concurrent state machines with a bug that is known, and one without."""

from __future__ import annotations

from hypothesis import strategies as st

from vmsmp.check.specs import Sequential
from vmsmp.engine.options import Options
from vmsmp.hypothesis_support import ConcurrentStateMachine, at_end, operation


class Tally(Sequential):
    """A number that is added to."""

    operations = ("add", "look")

    def initial(self):
        return 0

    def look(self, state):
        yield state, state

    def add(self, state, n):
        yield state + n, None


class Counter(ConcurrentStateMachine):
    """A counter without a lock."""

    specification = Tally()

    def setup(self):
        self.word = self.m.cell(0, name="word")

    @operation()
    def look(self):
        return self.word.load()

    @operation(st.integers(1, 3))
    def add(self, n):
        self.word.store(self.word.load() + n)

    @at_end
    def its_value_counts(self):
        self.look()


class Locked(Counter):
    """A counter with one."""

    def setup(self):
        super().setup()
        self.lock = self.m.spinlock("lock")

    @operation()
    def look(self):
        with self.lock:
            return self.word.load()

    @operation(st.integers(1, 3))
    def add(self, n):
        with self.lock:
            self.word.store(self.word.load() + n)


class Pip(ConcurrentStateMachine):
    """I/O in progress, with a catalogued bug of who waits for its end."""

    options = Options(locks="exact", mutants=frozenset({"RC-01a"}))

    def setup(self):
        self.pip = self.m.refcount(0, "pip")

    @operation()
    def io(self):
        self.pip.acquire()
        self.pip.release_wakeup()

    @operation()
    def drain(self):
        self.pip.wait("pip")


class Named(Counter):
    """One whose operations take what can be written and what cannot."""

    cpus = 3

    @operation(st.text(), st.lists(st.integers()))
    def keep(self, text, numbers):
        self.word.store((text, numbers))

    @operation(st.builds(object))
    def hide(self, thing):
        self.word.store(thing)
