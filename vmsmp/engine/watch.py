"""Looking at the runs under way and ending them from outside, as a watchdog does.

A caller that wants to be able to stop what it starts puts a `Watch` into `WATCH` before it starts
anything.  Every pool made in that context enters the watch while it works, so there is no global list
of engines.  The cost is one lookup per pool and one comparison per execution.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any, Final, Protocol

#: How long to wait between two looks whether the runs have come to their end, in seconds.
LOOK_S: Final = 0.01


class Watchable(Protocol):
    """A pool at work that can be stopped from outside."""

    @property
    def engine(self) -> Any:
        """The engine that works with it, or None yet."""

    def halt(self) -> None:
        """Have what is under way end at its next step."""

    def shake(self) -> None:
        """End it wherever it computes."""

    def abandon(self) -> None:
        """Let the caller go on without waiting for it."""


class Watch:
    """The pools at work for one caller.  Any thread may look and stop."""

    def __init__(self) -> None:
        self.pools: list[Watchable] = []
        #: Raised at the caller instead of a result once the runs have been stopped.
        self.verdict: BaseException | None = None

    def enter(self, pool: Watchable) -> None:
        """`pool` begins to work.  Raises: the verdict, if there is one: nothing starts after it."""
        if self.verdict is not None:
            raise self.verdict
        self.pools.append(pool)

    def leave(self, pool: Watchable) -> None:
        """`pool` has gone home."""
        self.pools.remove(pool)

    def stop(self, verdict: BaseException, patience: float = 1.0) -> None:
        """End every run, and have `verdict` raised on the thread that asked for it.

        The CPUs get half of `patience` seconds to unwind at their next operation or wake, and the
        other half to unwind wherever they compute.  A pool with a CPU that does neither (it sleeps
        in the host) is abandoned: its caller goes on without it.
        """
        self.verdict = verdict
        self._halt(patience / 2)
        for pool in list(self.pools):
            pool.shake()
        self._halt(patience / 2)
        for pool in list(self.pools):
            pool.abandon()

    def _halt(self, seconds: float) -> None:
        """Halt what works until nothing does, or the time is up."""
        deadline = time.monotonic() + seconds
        while self.pools and time.monotonic() < deadline:
            for pool in list(self.pools):
                pool.halt()  # again and again: an execution that begins knows nothing of it
            time.sleep(LOOK_S)


#: The watch over the runs of this context, if there is one.
WATCH: ContextVar[Watch | None] = ContextVar("vmsmp_watch", default=None)
