"""Several accesses of one CPU as one visible operation: a step of a controlled execution.

Between the first and the last of them no other CPU runs and nothing is written down but the step itself.
It may touch any word, so it depends on whatever other CPUs do (`ops.ON_ALL`).  Only memory may be
accessed: a step neither takes locks nor waits, sleeps, spawns or draws data.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, Protocol

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.verdict import FailureKind


class Switching(Protocol):
    """What a step needs of the execution it is part of."""

    machine: Machine
    current: Any
    pick: Callable[[Any, Any], Any]
    on_op: tuple[Callable[..., None], ...]
    log: list[int]
    inside: Indivisible | None
    forced: int

    def point(self, code: int) -> None:
        """Stand before an operation."""

    def written(self, codes: list[int]) -> None:
        """The running CPU performed these."""

    def show(self) -> None:
        """Show operations to those who want to see them."""


class Indivisible:
    """One step: it keeps what the execution does at a switch point until the step is over."""

    __slots__ = ("_kept", "_run")

    def __init__(self, run: Switching) -> None:
        self._run = run
        self._kept: Any = None

    def __enter__(self) -> None:
        run = self._run
        run.point(ops.STEP)
        self._kept = run.pick, run.forced, run.log
        run.pick, run.forced, run.log = self._stay, -1, []
        run.on_op = run.machine.hooks.accessed
        run.inside = self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self.leave()

    @property
    def outer_log(self) -> list[int]:
        """The log of the execution, while the step keeps it."""
        kept: list[int] = self._kept[2]
        return kept

    def leave(self) -> None:
        """The step is over, or has failed."""
        run = self._run
        if run.inside is self:
            run.inside = None
            done = run.log
            run.pick, run.forced, run.log = self._kept
            run.show()
            run.written(done)

    def _stay(self, cur: Cpu, _run: list[Cpu]) -> Cpu:
        judge(cur, cur.pending)
        return cur


def judge(cpu: Cpu, code: int) -> None:
    """End the execution if the operation has no place in a step: only the program's own words have."""
    machine = cpu.machine
    if code & ops.KIND_MASK not in ops.WORDS or ops.object_of(code) in machine.words:
        refuse(cpu, machine.describe(code))


def refuse(cpu: Cpu, what: str) -> NoReturn:
    """End the execution: `what` has no place in a step."""
    cpu.machine.fail(
        FailureKind.LOCK_MISUSE,
        f"{what} inside m.step(), where only memory may be accessed",
        [f"{cpu} is in the middle of a step of several accesses"],
    )
