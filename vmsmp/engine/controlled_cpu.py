"""A CPU under control, with what the controlled engine keeps of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.protocol import Home
from vmsmp.engine.workers import Worker


class ControlledCpu(Cpu):
    """A CPU that runs when it gets its worker's baton."""

    __slots__ = ("baton", "everybody", "ident", "injections", "joiners", "pause_mark", "roused", "worker")

    def __init__(
        self,
        machine: Home[Cpu],
        index: int,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        name: str | None,
        worker: Worker,
    ) -> None:
        Cpu.__init__(self, machine, index, fn, args, name, worker.thread)  # a step faster than super()
        self.worker = worker
        self.baton = worker.baton
        self.ident = worker.thread.ident
        self.joiners: list[ControlledCpu] = []
        #: Whether an interrupt ended its wait before what it waits for came.
        self.roused = False
        #: Whether the CPU that it waits for is only the first of all.
        self.everybody = False
        #: How long the log was after its last PAUSE; -1 if its next turn may see something new.
        self.pause_mark = -1
        #: How often the scheduler ended its wait (`engine.injection`).
        self.injections = 0

    @property
    def resume_code(self) -> int:
        """The operation of taking an interrupt."""
        return self.ops_join & ~ops.KIND_MASK | ops.RESUME
