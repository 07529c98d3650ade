"""Time as the model sees it, in ticks of a clock that runs at `HZ` a second.

The controlled engine's clock is virtual: it stands still while any CPU can run and jumps to the next
deadline when none can.  The free engine's clock is the host's.
"""

from __future__ import annotations

import time
from typing import Final

#: Ticks a second, the kernel's own default.
HZ: Final = 100


class VirtualClock:
    """A clock that only its owner moves.  Single-threaded by construction."""

    __slots__ = ("ticks",)

    def __init__(self) -> None:
        self.ticks = 0

    def advance(self, to: int) -> None:
        """Move to tick `to`, never backwards."""
        self.ticks = max(self.ticks, to)


class HostClock:
    """Ticks since it was made, from the host's monotonic clock."""

    __slots__ = ("_start",)

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def ticks(self) -> int:
        return int((time.monotonic() - self._start) * HZ)
