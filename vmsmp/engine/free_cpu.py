"""A CPU of the free engine, with what it needs to run beside others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.flag import Flag
from vmsmp.engine.protocol import Home
from vmsmp.engine.source import Place
from vmsmp.engine.workers import Worker

#: Operations each CPU remembers for the report of a hang.
RING: Final = 32


class FreeCpu(Cpu):
    """A CPU whose thread the host schedules."""

    __slots__ = ("blocked", "ended", "fuse", "permit", "ring", "stood", "worker")

    def __init__(
        self,
        machine: Home[Cpu],
        index: int,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        name: str | None,
        worker: Worker,
    ) -> None:
        super().__init__(machine, index, fn, args, name, worker.thread)
        self.worker = worker
        #: At which operation something slow is due: a stall, a rendezvous, the end.
        self.fuse = 0
        #: The operations performed last.
        self.ring = [0] * RING
        #: Whether it stands still: it waits in the host, or for its start.
        self.blocked = False
        #: What it sleeps on in the host until it is made ready.
        self.permit = threading.Lock()
        self.permit.acquire()
        self.ended = Flag()
        #: Where it stood as the execution was ended, where no other thread may look.
        self.stood: tuple[Place, ...] = ()

    def end(self) -> None:
        """It runs no more, unless an interrupt comes."""
        self.done = True
        self.ended.set()
