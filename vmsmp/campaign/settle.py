"""How a worker process begins: on a core of its own, and with Ctrl-C and its like left to the parent."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: Signals that end a command: the parent sees them, and ends its workers.
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold these signals back: a process that starts meanwhile starts so, and settles before they reach it.

    The parent sees them when this is over.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def settle(core: int | None) -> None:
    """Take that core, if any, and leave the signals to the parent; runs as a worker begins."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    if core is not None:
        os.environ["VMSMP_CORE"] = str(core)
