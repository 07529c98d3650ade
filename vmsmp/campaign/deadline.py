"""The seconds that a job may take: asked about now and then, and with an alarm for what does not ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from vmsmp.engine.flag import Flag

#: Seconds between two rings of an alarm: a job may begin something new as it rings.
AGAIN_S: Final = 0.2

#: The clock of all deadlines.
now: Callable[[], float] = time.monotonic


class Deadline:
    """So many seconds from now; None for no end."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self.start = now()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return now() - self.start

    def passed(self) -> bool:
        """Whether the time is up."""
        return self.seconds is not None and self.elapsed >= self.seconds

    @contextmanager
    def alarm(self, ring: Callable[[], None], grace: float) -> Iterator[None]:
        """Call `ring` from another thread, again and again, once the time is up and `grace` seconds more."""
        if self.seconds is None:
            yield
            return
        done = Flag()
        wait = max(0.0, self.seconds + grace)

        def rings() -> None:
            seconds = wait
            while not done.wait(seconds):
                ring()
                seconds = AGAIN_S

        thread = threading.Thread(target=rings, name="vmsmp-alarm", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
