"""Who may look at the runs under way and end them from outside: a watchdog, if there is one.

A caller that wants to be able to stop what it starts puts a `Watch` into `WATCH` before it starts
anything.  Every pool made in that context enters it for as long as it works; nothing else is
needed to find the engines, so no list of them hangs off a module.  It costs one lookup a pool and
one comparison an execution.
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
        """Let whoever waits for it go on without it."""


class Watch:
    """The pools at work for one caller.  Any thread may look and stop."""

    def __init__(self) -> None:
        self.pools: list[Watchable] = []
        #: What the caller is to see instead of a result, once somebody has stopped the runs.
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


#: The watch under which runs of this context are made (None: nobody watches).
WATCH: ContextVar[Watch | None] = ContextVar("vmsmp_watch", default=None)
