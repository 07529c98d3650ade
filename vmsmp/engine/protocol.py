"""What a machine, its CPUs and the engine that runs them are to each other.

`Engine` is what an engine offers to a machine, to the kernel's primitives and to checkers: one object
for each execution.  `Home` is the machine as its CPUs, and through them observers and schedulers, see
it.  Both are written for CPUs of a kind `C`, so that this module knows none of those it describes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn, Protocol, TypeVar

from vmsmp.engine.hooks import Hooks
from vmsmp.engine.options import Options
from vmsmp.engine.verdict import Violation
from vmsmp.engine.wait import Wait, WaitEnd, WaitMode

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)


class Gate(Protocol[C_co]):
    """Waiting for a condition, and taking it, as one visible operation.

    Conditions read model state only, so a gate never decides by host time.
    """

    @property
    def host(self) -> AbstractContextManager[Any]:
        """Held around what is done to the state behind the conditions outside of the gate."""

    def enter(
        self,
        code: int,
        ready: Callable[[C_co], bool],
        take_it: Callable[[C_co], Any],
        wait: Wait,
        timeout: int | None = None,
    ) -> Any:
        """Stand before `code` until `ready(cpu)`, then `take_it(cpu)` in the same step.

        With a `timeout`, in ticks, the wait may end without it: then `cpu.wait_end` says how and
        None is returned.
        """

    def alter(self, code: int, change: Callable[[C_co], Any]) -> Any:
        """Do `change(cpu)` as the one visible operation `code`; never waits."""

    def waits(self, mode: WaitMode) -> bool:
        """Whether a CPU waits here in that mode."""

    def changed(self) -> None:
        """The state behind the conditions has changed: look again who can go on."""


class Engine(Protocol[C]):
    """One execution: who runs, what counts as a step, how a run is written down."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """What the engine is called in a report."""

    @property
    def parallel(self) -> bool:
        """Whether CPUs run at the same time: what is written one after the other agrees only at rest."""

    @property
    def halting(self) -> bool:
        """Whether the execution is over and its CPUs unwind."""

    @property
    def log(self) -> list[int]:
        """The steps performed, in order (`engine.trace`); empty where there is no order to write down."""

    @property
    def current(self) -> C:
        """The running CPU."""

    @property
    def ticks(self) -> int:
        """Time in ticks of a hundredth of a second."""

    # -- steps ----------------------------------------------------------------------------------

    def point(self, code: int) -> None:
        """Stand before the operation `code`; return when it is to be performed."""

    def failed(self) -> None:
        """The try just performed changed nothing."""

    def yield_(self) -> None:
        """Give way to another runnable CPU, if there is one."""

    def pause(self) -> None:
        """One turn of a spin loop."""

    def choose(self, n: int) -> int:
        """Pick a number below `n`."""

    def indivisible(self) -> AbstractContextManager[None]:
        """Make what is done inside one visible operation; only memory may be accessed there."""

    # -- CPUs -----------------------------------------------------------------------------------

    def spawn(self, fn: Callable[..., Any], args: tuple[Any, ...], name: str | None) -> C:
        """Start `fn(*args)` on the next CPU."""

    def join(self, target: C) -> None:
        """Wait until `target` has run its program to the end."""

    def join_all(self) -> None:
        """Wait until every other CPU has run its program to the end: one visible operation."""

    # -- waiting --------------------------------------------------------------------------------

    def sleep(self, code: int, timeout: int | None) -> WaitEnd:
        """Take the running CPU off until `ready`, at most `timeout` ticks (None: for ever)."""

    def ready(self, cpu: C) -> None:
        """`cpu` can go on."""

    def rouse(self, cpu: C) -> None:
        """An interrupt came for `cpu`.

        If it spins it looks again; if it waits at a gate or for an end, or has ended, it takes its interrupts
        (`Machine.take_interrupts`) and then waits again.  An interrupt that is latched (`Cpu.latched`) it
        takes before its next operation wherever it is, unless it is `closed`.
        """

    def gate(self) -> Gate[C]:
        """Make a place where CPUs wait for a condition and take it in one step."""

    def host_lock(self) -> AbstractContextManager[Any]:
        """Make what keeps other CPUs out of a part of one step: a lock of the host, or nothing."""

    # -- how it stands --------------------------------------------------------------------------

    def can_run(self, cpu: C) -> bool:
        """Whether `cpu` waits for nothing."""

    def anyone_spins(self) -> bool:
        """Whether a CPU is held back because it spins and nothing that it reads has changed."""

    def recent(self, cpu: C) -> list[int]:
        """The last operations of `cpu`, oldest first."""

    def position(self, cpu: C) -> int:
        """Where in the run `cpu` is now."""

    def step_at(self, position: int) -> int:
        """The step that a report tells for a position: the last one performed by then."""

    # -- the end --------------------------------------------------------------------------------

    def abort(self, violation: Violation, *, stop: bool = True) -> bool:
        """Keep the first verdict and end the execution; whether the caller has to unwind.

        Without `stop` an execution whose rest is to be followed goes on.
        """

    def close(self) -> None:
        """The machine is no longer needed: let go of it."""


class Home(Protocol[C]):
    """The machine that a CPU belongs to."""

    seed: int
    scene: tuple[Any, ...]

    @property
    def engine(self) -> Engine[C]: ...
    @property
    def options(self) -> Options: ...
    @property
    def hooks(self) -> Hooks: ...
    @property
    def cpus(self) -> Sequence[C]: ...
    @property
    def curcpu(self) -> C: ...
    @property
    def violation(self) -> Violation | None: ...
    @property
    def words(self) -> Mapping[int, Any]: ...

    def enroll(self, thing: Any) -> int:
        """Give a new object its identity."""

    def find(self, ident: int) -> Any:
        """The object of that identity, or None."""

    def describe(self, code: int) -> str:
        """An operation in words."""

    def survey(self) -> tuple[Any, ...]:
        """How every CPU stands right now."""

    def panic(self, message: str) -> NoReturn:
        """End the execution as the kernel's panic would."""

    def fail(self, kind: str, message: str, facts: Iterable[str] = ()) -> NoReturn:
        """End the execution here."""

    def warn(self, kind: str, message: str, facts: Iterable[str] = (), hold_at: tuple[Any, ...] = ()) -> None:
        """As `fail`, but for a failure that is only predicted."""
