"""What all locks share: a name, a class, their holders, counters of use.

A lock's *class* is its name without instance numbers: `pq.active[3]` and `pq.active[7]` are of class
`pq.active[]`.  Lock order is between classes.  A lock without a name is a class of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.wait import Hold, WaitMode

if TYPE_CHECKING:
    from types import TracebackType

    from vmsmp.sync.services import Services

#: How a report shows this module's frames (`engine.source`).
FRAMES = "machinery"
EXCLUSIVE: Final = WaitMode.EXCLUSIVE
SHARED: Final = WaitMode.SHARED
UPGRADE: Final = WaitMode.UPGRADE


@lru_cache(4096)
def _class_of(name: str) -> str:
    return re.sub(r"\[\d+\]|#\d+", "[]", name)


@dataclass(frozen=True, slots=True)
class LockStatistics:
    """How a lock was used: how many grants, and how many of them had to wait."""

    name: str
    acquisitions: int
    contested: int


class Lock:
    """Base of spinlock, token, lockmgr lock, mutex and the like at either depth.

    `sleepable`: waiting for the lock is a blocking point.  The holder writes the counters, so they
    are exact for exclusive use, and approximate for shared use in the free engine.
    """

    kind: ClassVar[str] = "lock"
    sleepable: ClassVar[bool] = False
    #: The record whose fields it protects, if checkers need it.
    guards: Any = None

    def __init__(self, machine: Services, name: str | None = None, ident: int | None = None) -> None:
        self.machine = machine
        self.engine = machine.engine
        self.hooks = machine.hooks
        self.ident = ident = machine.enroll(self) if ident is None else ident
        self.name = name or f"{self.kind} {ident & 63}.{ident >> 6}"
        self.klass = _class_of(name) if name else self.name
        # invariant: the same holds as in `cpu.held` of all CPUs, here by lock
        self.holders: list[tuple[Cpu, str]] = []
        self.acquisitions = 0
        self.contested = 0

    def acquire(self) -> None:
        """Take it exclusively, with no limit to the wait."""
        raise NotImplementedError

    def release(self) -> None:
        """Release it."""
        raise NotImplementedError

    def held(self) -> bool:
        """Whether the running CPU holds it, in any mode."""
        return any(hold.lock is self for hold in self.engine.current.held)

    def statistics(self) -> LockStatistics:
        return LockStatistics(self.name, self.acquisitions, self.contested)

    def check_word(self) -> str | None:
        """Return what is wrong with the state word, or None; called after every operation."""
        return None

    def check_rest(self) -> str | None:
        """Return what is wrong with the lock, or None; called when no CPU uses it."""
        return None

    def holds_of(self, mode: str) -> dict[int, int]:
        """How often each CPU, by index, holds it in that mode: for checkers."""
        holds: dict[int, int] = {}
        for cpu, held in self.holders:
            if held == mode:
                holds[cpu.index] = holds.get(cpu.index, 0) + 1
        return holds

    def state(self) -> str:
        """The state as a report shows it."""
        return ", ".join(f"{mode} {cpu}" for cpu, mode in list(self.holders)) or "free"

    # -- ghost state: who owns what, for checkers and reports -----------------------------------

    def note_wanted(self, cpu: Cpu, mode: str) -> None:
        """`cpu` asks for the lock, and may have to wait."""
        for hook in self.hooks.wants:
            hook(cpu, self, mode)

    def note_acquired(self, cpu: Cpu, mode: str, tried: bool = False) -> None:
        """`cpu` holds the lock from this step on; `tried` if it would not have waited."""
        cpu.held.append(Hold(self, mode))
        self.holders.append((cpu, mode))
        self.acquisitions += 1
        for hook in self.hooks.acquired:
            hook(cpu, self, mode, tried)

    def note_released(self, cpu: Cpu, mode: str) -> None:
        """`cpu` releases the lock with its next operation."""
        for hook in self.hooks.released:
            hook(cpu, self, mode)
        if cpu.let_go(self, mode):
            self.holders.remove((cpu, mode))

    def mode_of(self, cpu: Cpu) -> WaitMode | None:
        """The mode of the last hold of `cpu`, or None."""
        held = cpu.held
        if held and held[-1].lock is self:  # the usual case
            mode: WaitMode = held[-1].mode
            return mode
        return next((hold.mode for hold in reversed(held) if hold.lock is self), None)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"{self.kind} {self.name!r}" if self.name[: len(self.kind)] != self.kind else self.name
