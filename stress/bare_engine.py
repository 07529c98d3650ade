"""The lower bound: an engine with nothing but the hand-off.

Pooled threads, an eventfd baton passed from thread to thread, everything on one core; modelled locks, a
point before each operation, a random walk or PCT, a list of the threads that ran.  No named objects, no
checks, no values, no replay.  The cost of vmsmp is given as a ratio to this.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable


class Bare:
    """Runs programs written against `spawn`, `load`, `store`, `lock` and `unlock`."""

    def __init__(self, threads: int, strategy: str, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.draw = self.random.random
        self.strategy = strategy
        self.batons = [os.eventfd(0) for _ in range(threads)]
        self.jobs: list[Callable[[], None] | None] = [None] * threads
        self.steps = 0
        self.choices = 16
        for n in range(1, threads):
            threading.Thread(target=self._loop, args=(n,), daemon=True).start()

    def _loop(self, me: int) -> None:
        baton = self.batons[me]
        while True:
            os.eventfd_read(baton)
            job = self.jobs[me]
            assert job is not None
            job()

    def execute(self, program: Callable[[Bare], None]) -> None:
        """One execution, on the caller's thread as thread 0."""
        self.current = 0
        self.run = [0]
        self.owner: dict[int, int] = {}
        self.waiting: dict[int, list[int]] = {}
        self.alive = 0
        self.trace: list[int] = []
        self.threads = 1
        self.count = 0
        if self.strategy == "pct":
            self.priority = [1.0 + self.draw()]
            self.changes = set(self.random.sample(range(1, self.choices + 1), 2))
            self.low = 1.0
        program(self)
        self.join_all()
        self.steps += len(self.trace)
        self.choices = max(self.choices, self.count)

    def point(self) -> None:
        """Stop before an operation; return when it may be performed."""
        me = self.current
        run = self.run
        nxt = self._pick() if len(run) > 1 else run[0]
        if nxt != me:
            self.current = nxt
            os.eventfd_write(self.batons[nxt], 1)
            os.eventfd_read(self.batons[me])
        self.trace.append(me)

    def _pick(self) -> int:
        run = self.run
        if self.strategy == "random":
            return run[int(self.draw() * len(run))]
        self.count += 1
        priority = self.priority
        best = max(run, key=priority.__getitem__)
        if self.count in self.changes:
            self.low /= 2
            priority[best] = self.low
            best = max(run, key=priority.__getitem__)
        return best

    def spawn(self, body: Callable[[], None]) -> int:
        self.point()
        n = self.threads
        self.threads += 1
        self.alive += 1
        if self.strategy == "pct":
            self.priority.append(1.0 + self.draw())

        def job() -> None:
            self.trace.append(n)
            body()
            self.alive -= 1
            self.run.remove(n)
            if not self.alive and 0 not in self.run:
                self.run.append(0)
            nxt = self._pick() if len(self.run) > 1 else self.run[0]
            self.current = nxt
            os.eventfd_write(self.batons[nxt], 1)

        self.jobs[n] = job
        self.run.append(n)
        return n

    def join_all(self) -> None:
        """Wait, as thread 0, until all other threads have ended."""
        if self.alive:
            self.run.remove(0)
        self.point()

    def lock(self, lock: int) -> None:
        me = self.current
        waiting = self.waiting.setdefault(lock, [])
        waiting.append(me)
        if lock in self.owner:
            self.run.remove(me)
        self.point()
        waiting.remove(me)
        self.owner[lock] = me
        for other in waiting:
            self.run.remove(other)

    def unlock(self, lock: int) -> None:
        self.point()
        del self.owner[lock]
        self.run += self.waiting[lock]

    def load(self, word: list[int]) -> int:
        self.point()
        return word[0]

    def store(self, word: list[int], value: int) -> None:
        self.point()
        word[0] = value
