"""What Ctrl-C does, from the first moment of a command to its last.

While the command's modules are loaded nothing runs yet, and Ctrl-C ends the process at once.  Then it is an
exception, and the command keeps what it has.  Once the verdict stands Ctrl-C ends the process at once again,
with the verdict's code.  Where Ctrl-C is ignored from the start, as in a job in the background, it stays so.

Python drops what is raised within a destructor or a weak reference's callback: an interrupt that comes there
comes again a moment later.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Self

from vmsmp.cli import NOTHING_RAN

#: Seconds after which an interrupt that Python has dropped comes again.
AGAIN_S: Final = 0.01


class Interrupts:
    """The handling of SIGINT for the time of a command; `for_good`: the process ends with it."""

    def __init__(self, *, for_good: bool) -> None:
        self._for_good = for_good
        self._before: Any = None
        self._dropped = sys.unraisablehook

    def __enter__(self) -> Self:
        before = signal.getsignal(signal.SIGINT)
        if before is signal.default_int_handler and threading.current_thread() is threading.main_thread():
            self._before = before
            self.leave_with(NOTHING_RAN)
        return self

    def leave_with(self, code: int) -> None:
        """From here on Ctrl-C ends the process at once, with that exit code."""

        def leave(_number: int, _frame: FrameType | None) -> None:
            os._exit(code)

        self._set(leave)
        # CPython 3.13 ends with the signal if the last text that was executed was interrupted
        exec("")  # noqa: S102 - so it is not

    def begin(self) -> None:
        """From here on Ctrl-C interrupts a command."""
        self._set(signal.default_int_handler)
        if self._before is not None:
            sys.unraisablehook = self._come_again

    def _come_again(self, dropped: Any) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            self._dropped(dropped)
            return
        main = threading.main_thread().ident or 0
        again = threading.Timer(AGAIN_S, signal.pthread_kill, (main, signal.SIGINT))
        again.daemon = True
        again.start()

    def __exit__(self, *_: object) -> None:
        """Ctrl-C is what it was; `for_good`: ignored, as the interpreter takes handlers away at its end."""
        self._set(signal.SIG_IGN if self._for_good else self._before)
        sys.unraisablehook = self._dropped

    def _set(self, handler: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def endings_as_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGHUP do what Ctrl-C does, so that a long command keeps its results.

    One that is ignored from the start, as SIGHUP is under `nohup`, stays so.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    if threading.current_thread() is not threading.main_thread():
        before.clear()
    for number, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
