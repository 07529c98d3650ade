"""A machine: CPUs, their time, and the one door through which everything visible passes.

`Machine` is what a program is a function of.  It does not say which engine runs it and the program
has no way to ask.  The kernel's primitives are put on top by `vmsmp.machine.Machine`; this class
knows CPUs only, so that any lock protocol can be built on it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from vmsmp.engine import ops
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Hooks, Observer
from vmsmp.engine.schedule import Options
from vmsmp.errors import Halt

if TYPE_CHECKING:
    from vmsmp.engine.controlled import ControlledEngine
    from vmsmp.engine.free import FreeEngine


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an execution ended early: the first thing that went wrong, and on which CPU.

    `message` is the stable headline, `facts` the lines below it.
    """

    kind: str
    message: str
    facts: tuple[str, ...] = ()
    cpu: int = 0


class Machine:
    """One execution of one program.

    `point` is the engine's own, bound once: a call of it is the only place where CPUs change.
    Everything that one machine knows hangs off it; two machines in a process do not see each other.
    """

    def __init__(
        self,
        engine: ControlledEngine | FreeEngine,
        *,
        seed: int = 0,
        options: Options | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        self.engine = engine
        self.point: Callable[[int], None] = engine.point
        self.seed = seed
        self.options = options or Options()
        self.hooks = Hooks(observers)
        self.cpus: list[Cpu] = []
        self.trouble: Trouble | None = None

    # -- CPUs ---------------------------------------------------------------------------------

    def spawn(self, fn: Callable[..., Any], *args: Any, name: str | None = None) -> Cpu:
        """Start `fn(*args)` on the next CPU.

        Raises: ValueError beyond 64 CPUs.
        """
        if len(self.cpus) >= ops.MAX_CPUS:
            raise ValueError(f"a machine has at most {ops.MAX_CPUS} CPUs")
        return self.engine.spawn(fn, args, name)

    def join(self) -> None:
        """Wait until every other CPU has run its program to the end."""
        current = self.engine.current
        n = 1
        while n < len(self.cpus):  # a CPU may spawn more while we wait
            if self.cpus[n] is not current:
                self.engine.join(self.cpus[n])
            n += 1

    @property
    def curcpu(self) -> Cpu:
        """The running CPU."""
        return self.engine.current

    @property
    def ticks(self) -> int:
        """Time in ticks of a hundredth of a second: virtual when controlled, real when free."""
        return self.engine.ticks

    def yield_(self) -> None:
        """Give way to another runnable CPU, if there is one."""
        self.engine.yield_()

    def pause(self) -> None:
        """One turn of a spin loop: the search may hold this CPU until somebody writes what it read."""
        self.engine.pause()

    # -- data ---------------------------------------------------------------------------------

    def choose(self, n: int) -> int:
        """Pick a number below `n`: from the seed, or by the search where it enumerates."""
        if n < 1:
            raise ValueError(f"choose({n}): there is nothing to choose from")
        return self.engine.choose(n)

    @property
    def rng(self) -> random.Random:
        """The running CPU's own random numbers, from the schedule's seed."""
        return self.engine.current.rng("rng")

    def enroll(self, thing: Any) -> int:
        """Give a new object its identity: the creating CPU and how many it has made before."""
        cpu = self.engine.current
        objects = cpu.objects
        objects.append(thing)
        return len(objects) - 1 << ops.CPU_BITS | cpu.index

    def find(self, ident: int) -> Any:
        """The object of that identity, or None once it is gone."""
        index, n = ident & ops.MAX_CPUS - 1, ident >> ops.CPU_BITS
        if index < len(self.cpus) and n < len(self.cpus[index].objects):
            return self.cpus[index].objects[n]
        return None

    # -- verdicts -----------------------------------------------------------------------------

    def check(self, ok: object, message: str = "check") -> None:
        """Fail the execution with kind "check" unless `ok`."""
        if not ok:
            self.fail("check", message)

    def panic(self, message: str) -> NoReturn:
        """Fail the execution as the kernel's panic would, with kind "check"."""
        self.fail("check", f"panic: {message}")

    def fail(self, kind: str, message: str, facts: Iterable[str] = ()) -> NoReturn:
        """End the execution here.  The first caller's verdict stands; all CPUs unwind."""
        self.engine.abort(Trouble(kind, message, tuple(facts), self.engine.current.index))
        raise Halt

    def repaired(self, name: str) -> bool:
        """Whether the named repair of a finding of the kernel's own is switched on."""
        return name in self.options.repairs

    def quiesce(self) -> None:
        """Let the whole-machine predicates speak; the engine calls it when all CPUs stand still."""
        for hook in self.hooks.quiescent:
            hook(self)

    def close(self) -> None:
        """Cut the cycles of a finished execution, so that it goes without a collector."""
        for cpu in self.cpus:
            cpu.objects = []
            cpu.held = []
            cpu.td = None
