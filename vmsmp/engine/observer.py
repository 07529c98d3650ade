"""How checkers and traces watch a run: pure observers, each hook optional.

An observer takes no simulated lock, holds no host lock across a switch point and draws nothing
from the schedule: with all of them off the same line gives the same digest (a test holds it).
It speaks by `machine.fail`, which ends the execution on the CPU that is running.
"""

from __future__ import annotations

from typing import Any, ClassVar

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.hooks import HOOKS
from vmsmp.engine.machine import Machine
from vmsmp.engine.wait import WaitEnd


class Observer:
    """All that can be seen of a run.  Override what you need; the rest costs nothing.

    `free` says whether the observer may be attached to the free engine, where hooks of several
    CPUs run at the same time and there is no `op`.
    """

    free = True
    #: The hooks that a class overrides.
    sees: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.sees = frozenset(name for name in HOOKS if getattr(cls, name) is not getattr(Observer, name))

    def begin(self, machine: Machine) -> None:
        """The machine is built and its boot CPU is about to run."""

    def op(self, cpu: Cpu, code: int) -> None:
        """`cpu` performs the operation next; all other CPUs stand before theirs."""

    def wants(self, cpu: Cpu, lock: Any, mode: str) -> None:
        """`cpu` asks for `lock` and is ready to wait for it."""

    def acquired(self, cpu: Cpu, lock: Any, mode: str, tried: bool) -> None:
        """`cpu` holds `lock` now; `tried` if it would not have waited for it."""

    def released(self, cpu: Cpu, lock: Any, mode: str) -> None:
        """`cpu` is about to let go of `lock`."""

    def blocking(self, cpu: Cpu, what: str) -> None:
        """`cpu` enters a blocking point."""

    def interlocked(self, cpu: Cpu, ident: Any) -> None:
        """`cpu` announced that it may sleep on `ident`."""

    def sleeps(self, cpu: Cpu, ident: Any) -> None:
        """`cpu` goes to sleep on `ident`."""

    def woken(self, cpu: Cpu, ident: Any, why: WaitEnd) -> None:
        """`cpu` is back from a sleep, or comes back without one (`WaitEnd.BEFORE`)."""

    def wakeup(self, cpu: Cpu, ident: Any, domain: int, woke: int) -> None:
        """`cpu` sent a wakeup to `ident` in `domain` that reached `woke` sleepers or interlocked CPUs."""

    def spawned(self, cpu: Cpu, child: Cpu) -> None:
        """`cpu` started `child`."""

    def joined(self, cpu: Cpu, child: Cpu) -> None:
        """`cpu` saw `child` end."""

    def access(self, cpu: Cpu, thing: Any, field: Any, write: bool) -> None:
        """`cpu` reads or writes a field of a shared record that names its lock."""

    def took(self, cpu: Cpu, thing: Any, share: str) -> None:
        """`cpu` took a share of `thing` that is no lock: a busy, a hold, a wiring, a reference."""

    def gave(self, cpu: Cpu, thing: Any, share: str) -> None:
        """`cpu` is about to give such a share back."""

    def allocated(self, cpu: Cpu, thing: Any, request: int) -> None:
        """An allocator is about to return `thing`, for a request with those flags."""

    def freed(self, cpu: Cpu, thing: Any) -> None:
        """`thing` is about to go back to its allocator."""

    def found(self, cpu: Cpu, thing: Any, key: tuple[Any, ...]) -> None:
        """A lookup is about to return `thing` as what `key` stands for."""

    def idle(self, machine: Machine) -> None:
        """No CPU can run; a timeout, if there is one, fires next."""

    def late(self, machine: Machine) -> None:
        """One more step in the second half of the step limit, where all picks are fair."""

    def endless(self, machine: Machine, why: str) -> None:
        """The run makes no headway: the step limit is reached, or only spinning is left."""

    def quiescent(self, machine: Machine) -> None:
        """Every CPU stands between two operations: predicates over the whole machine."""

    def exits(self, cpu: Cpu) -> None:
        """`cpu` ran its program to the end."""

    def end(self, machine: Machine) -> None:
        """All CPUs are done and nothing failed."""
