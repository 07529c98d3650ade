"""How checkers and traces watch a run: pure observers, each hook optional.

`Observer` has the hooks that the engine itself calls.  A room above that has more to show extends it: locks
in `sync.observer`, records in `records.observer`, the kernel's virtual memory in `vm.observer`.

An observer takes no simulated lock, holds no host lock across a switch point and draws nothing
from the schedule: with all of them off the same line gives the same digest (a test holds it).
It speaks by `machine.fail`, which ends the execution on the CPU that is running.
"""

from __future__ import annotations

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine


class Observer:
    """All that can be seen of a run.  Override what you need; the rest costs nothing.

    `free` says whether the observer may be attached to the free engine, where hooks of several
    CPUs run at the same time and there is no `op`.
    """

    free = True
    #: Whether the class only declares hooks, so that not overriding them costs nothing.
    interface = True

    def begin(self, machine: Machine) -> None:
        """The machine is built and its boot CPU is about to run."""

    def op(self, cpu: Cpu, code: int) -> None:
        """`cpu` performs the operation next; all other CPUs stand before theirs."""

    def accessed(self, cpu: Cpu, code: int) -> None:
        """`cpu` performs the access next, as part of a step of several (`Machine.step`)."""

    def spawned(self, cpu: Cpu, child: Cpu) -> None:
        """`cpu` started `child`."""

    def joined(self, cpu: Cpu, child: Cpu) -> None:
        """`cpu` saw `child` end."""

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
