"""A flag that threads of the host wait for, at whatever moment Ctrl-C comes.

`threading.Event` is written in Python: an exception of a signal's handler at the wrong moment leaves its lock
taken for good, or becomes a RuntimeError.  Here all waiting is one call into C, for a lock of the host.
"""

from __future__ import annotations

import _thread
from typing import Final


class Flag:
    """`threading.Event`, which an interrupted wait leaves as it was."""

    __slots__ = ("_door", "_up")

    def __init__(self) -> None:
        self._up = False
        #: Open while the flag is up: each who comes through opens it for the next one.
        self._door: Final = _thread.allocate_lock()
        self._door.acquire()

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._up

    def set(self) -> None:
        """Put the flag up: all who wait go on."""
        self._up = True
        self._open()

    def clear(self) -> None:
        """Take the flag down: who comes from now on waits."""
        self._up = False
        self._door.acquire(blocking=False)

    def wait(self, timeout: float = -1) -> bool:
        """Wait until the flag is up, or for `timeout` seconds; return whether it is."""
        while not self._up and self._door.acquire(timeout=timeout):
            if self._up:
                self._open()  # else it was taken down again, and the door is closed now
        return self._up

    def _open(self) -> None:
        try:
            self._door.release()
        except RuntimeError:
            pass  # it is open
