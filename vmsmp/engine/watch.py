"""Who may look at the runs under way and end them from outside: a watchdog, if there is one.

A caller that wants to be able to stop what it starts puts a `Watch` into `WATCH` before it starts
anything.  Every crew made in that context enters it for as long as it works; nothing else is
needed to find the engines, so no list of them hangs off a module.  It costs one lookup a crew and
one comparison an execution.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vmsmp.engine.crew import Crew
    from vmsmp.engine.machine import Machine

#: How long to wait between two looks whether the runs have come to their end, in seconds.
LOOK_S: Final = 0.01


class Watch:
    """The crews at work for one caller.  Any thread may look and stop."""

    def __init__(self) -> None:
        self.crews: list[Crew] = []
        #: What the caller is to see instead of a result, once somebody has stopped the runs.
        self.verdict: BaseException | None = None

    def enter(self, crew: Crew) -> None:
        """`crew` begins to work.  Raises: the verdict, if there is one: nothing starts after it."""
        if self.verdict is not None:
            raise self.verdict
        self.crews.append(crew)

    def leave(self, crew: Crew) -> None:
        """`crew` has gone home."""
        self.crews.remove(crew)

    def machines(self) -> list[Machine]:
        """The machines that run now, oldest first."""
        engines = [crew.engine for crew in list(self.crews)]
        return [engine.machine for engine in engines if hasattr(engine, "machine")]

    def stop(self, verdict: BaseException, patience: float = 1.0) -> None:
        """End every run, and have `verdict` raised on the thread that asked for it.

        The CPUs get half of `patience` seconds to unwind at their next operation or wake, and the
        other half to unwind wherever they compute.  A crew with a CPU that does neither (it sleeps
        in the host) is abandoned: its caller goes on without it.
        """
        self.verdict = verdict
        for insist in ("shake", "abandon"):
            deadline = time.monotonic() + patience / 2
            while self.crews and time.monotonic() < deadline:
                for crew in list(self.crews):
                    crew.halt()  # again and again: an execution that begins knows nothing of it
                time.sleep(LOOK_S)
            for crew in list(self.crews):
                getattr(crew, insist)()


#: The watch under which runs of this context are made (None: nobody watches).
WATCH: ContextVar[Watch | None] = ContextVar("vmsmp_watch", default=None)
