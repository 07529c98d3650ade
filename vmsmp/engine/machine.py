"""A machine: CPUs, their time, and the one door through which everything visible passes.

`Machine` is what a program is a function of.  It does not say which engine runs it and the program
has no way to ask.  The kernel's primitives are put on top by `vmsmp.machine.Machine`; this class
knows CPUs only, so that any lock protocol can be built on it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, NoReturn

from vmsmp.engine import ops, source
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.identity import Finder, Identities
from vmsmp.engine.options import Options
from vmsmp.engine.protocol import Engine
from vmsmp.engine.source import Place
from vmsmp.engine.verdict import FailureKind, Violation
from vmsmp.errors import Halt, UsageError, in_words


@dataclass(frozen=True, slots=True, eq=False)
class Debt:
    """Something that became hot: who made it so."""

    cpu: Cpu


@dataclass(frozen=True, slots=True)
class CpuSnapshot:
    """How one CPU stood at a moment: what it held and wanted, what it was about to do, and where."""

    cpu: int
    name: str
    holds: tuple[str, ...]
    wants: str
    before: str
    done: bool
    frames: tuple[Place, ...] = ()


class Machine:
    """One execution of one program.

    `point` is the engine's own, bound once: a call of it is the only place where CPUs change.
    All state belongs to a machine; two machines in a process do not see each other.
    """

    def __init__(
        self,
        engine: Engine[Cpu],
        *,
        seed: int = 0,
        options: Options | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self.engine = engine
        self.point: Callable[[int], None] = engine.point
        self.seed = seed
        self.options = options or Options()
        self.hooks = hooks or Hooks()
        #: Who is shown operations.
        self.on_op = self.hooks.op
        self.cpus: list[Cpu] = []
        self.violation: Violation | None = None
        #: How every CPU stood when the violation came.
        self.scene: tuple[CpuSnapshot, ...] = ()
        #: Words that locks and sleep queues are made of, by identity, and what they belong to.
        self.words: dict[int, Any] = {}
        #: Words at which a CPU looks in the step in which it starts, as codes of loads.
        self.seen_at_start: tuple[int, ...] = ()
        #: What has an identity.
        self.identities = Identities()
        #: What the program owes (`hot`).
        self.owed: dict[str, Debt] = {}
        #: How many CPUs the program's author declared, where he did.
        self.declared: int | None = None
        #: Whether the program looked at `ncpus`, and so would do with fewer.
        self.asked_how_many = False
        #: The longest loop over `rounds` that the program made.
        self.most_rounds = 0
        #: Whether a CPU makes something large for the program, in one step that may take seconds.
        self.setting_up = False
        #: How many CPUs there were when the boot CPU waited for all of them.
        self.awaited = 1

    # -- CPUs ---------------------------------------------------------------------------------

    def spawn(self, fn: Callable[..., Any], *args: Any, name: str | None = None) -> Cpu:
        """Start `fn(*args)` on the next CPU.

        Raises: ValueError beyond 63 CPUs (CPU 0 boots), UsageError beyond the number of CPUs asked for,
        TypeError for what cannot be called.
        """
        if not callable(fn):
            raise TypeError(f"a CPU runs a function, not {in_words(fn, repr)}")
        return self.engine.spawn(fn, args, name)

    def add_cpu(self, cpu: Cpu) -> None:
        """The engine made a CPU."""
        self.cpus.append(cpu)
        self.identities.made.append([None])

    def room_for_one_more(self) -> None:
        """The engine asks in the step in which it makes a CPU."""
        if len(self.cpus) >= ops.MAX_CPUS:
            raise ValueError(f"this machine has {ops.MAX_CPUS - 1} CPUs beside the boot CPU")
        asked = self.options.cpus
        if asked is not None and len(self.cpus) > asked + self.options.pressure:
            raise UsageError(f"the program starts more than the {asked} CPUs that were asked for (cpus)")

    def join(self) -> None:
        """Wait until every other CPU has run its program to the end: one visible operation."""
        self.engine.join_all()
        if not self.engine.current.index:
            self.awaited = len(self.cpus)

    @property
    def ncpus(self) -> int:
        """How many CPUs a scenario is to use beside the boot CPU: the user's word, else its own."""
        self.asked_how_many = True
        return self.options.cpus or self.declared or ops.MAX_CPUS - 1

    def rounds(self, n: int) -> range:
        """`range(n)`, for a loop that means the same with fewer turns: `minimize` tries how few will do."""
        most = self.options.rounds
        n = n if most is None else min(n, most)
        self.most_rounds = max(self.most_rounds, n)
        return range(n)

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
        """One turn of a spin loop: the search may hold this CPU until another one writes what it read."""
        self.engine.pause()

    def step(self) -> AbstractContextManager[None]:
        """Make several accesses to memory one visible operation: `with m.step(): ...`.

        Fails with kind "lock-misuse" if anything else is done inside.
        """
        return self.engine.indivisible()

    # -- data ---------------------------------------------------------------------------------

    def choose(self, n: int) -> int:
        """Pick a number below `n`: from the seed, or by the search where it enumerates."""
        if not isinstance(n, int):
            raise TypeError(f"choose({n!r}): a whole number is needed")
        if n < 1:
            raise ValueError(f"choose({n}): there is nothing to choose from")
        return self.engine.choose(n)

    @property
    def rng(self) -> random.Random:
        """The running CPU's own random numbers, from the schedule's seed."""
        return self.engine.current.rng("rng")

    # -- identities -----------------------------------------------------------------------------

    def enroll(self, thing: Any) -> int:
        """Give a new object its identity: the creating CPU and how many it has made before."""
        return self.identities.enroll(self.engine.current.index, thing)

    def reserve(self, count: int, finder: Finder) -> int:
        """Set `count` identities aside for objects made in bulk or later, and return the first.

        The n-th is the first plus `n << CPU_BITS`; `finder(n)` says which object it is.  So an object
        made on first use has an identity that does not depend on who comes to use it first.
        """
        return self.identities.reserve(self.engine.current.index, count, finder)

    def identify(self, name: str) -> int:
        """The identity of something that is nothing but its name, as a wait channel may be."""
        return self.identities.identify(name)

    def find(self, ident: int) -> Any:
        """The object of that identity, or None once it is gone."""
        return self.identities.find(ident)

    # -- verdicts -----------------------------------------------------------------------------

    def check(self, ok: object, message: str = "check") -> None:
        """Fail the execution with kind "check" unless `ok`."""
        if not ok:
            self.fail(FailureKind.CHECK, message)

    def hot(self, what: str) -> None:
        """From here on the program owes something: a request waits for its answer.

        It fails if that stays so on fair picks (kind "livelock"), or to the end (kind "check").
        """
        if what not in self.owed:
            self.owed[what] = Debt(self.engine.current)

    def cold(self, what: str) -> None:
        """What made `what` hot has been answered."""
        self.owed.pop(what, None)

    def panic(self, message: str) -> NoReturn:
        """Fail the execution as the kernel's panic would, with kind "check"."""
        self.fail(FailureKind.CHECK, f"panic: {message}")

    def fail(self, kind: str, message: str, facts: Iterable[str] = ()) -> NoReturn:
        """End the execution here.  The first caller's verdict stands; all CPUs unwind.

        Raises: ValueError for a kind that is none of `FailureKind`.
        """
        self.engine.abort(self._violation(kind, message, facts))
        raise Halt

    def warn(self, kind: str, message: str, facts: Iterable[str] = (), hold_at: tuple[Any, ...] = ()) -> None:
        """As `fail`, but for a failure that is only predicted: a search for whole runs goes on after it."""
        if self.engine.abort(self._violation(kind, message, facts, hold_at), stop=False):
            raise Halt

    def _violation(
        self, kind: str, message: str, facts: Iterable[str], hold_at: tuple[Any, ...] = ()
    ) -> Violation:
        """The verdict that the running CPU speaks."""
        lines = tuple(in_words(fact) for fact in facts)
        return Violation(FailureKind(kind), in_words(message), lines, self.engine.current.index, hold_at)

    def take_interrupts(self, cpu: Cpu) -> None:
        """Let the running CPU, which is `cpu`, take the interrupts that have come for it."""

    def interrupts(self, cpu: Cpu) -> bool:
        """Whether interrupts have come for `cpu` that it would take where it waits or ends."""
        return False

    def arise(self, cpu: Cpu) -> None:
        """What a CPU does before its program begins, on its own thread."""

    def retire(self, cpu: Cpu) -> None:
        """What a CPU does when its program has ended, on its own thread."""

    def live_on(self, cpu: Cpu) -> None:
        """What a CPU that has ended does when an interrupt comes, on its own thread."""
        self.take_interrupts(cpu)
        for hook in self.hooks.exits:
            hook(cpu)

    def live(self, cpu: Cpu) -> None:
        """A CPU's life, on its own thread; the boot CPU's ends when all others have ended.

        A CPU that has ended is idle: an interrupt makes it go on until it has taken it.
        """
        self.arise(cpu)
        cpu.run()
        self.retire(cpu)
        self.take_interrupts(cpu)
        if cpu.index == 0:
            while self.awaited < len(self.cpus) or any(not other.done for other in self.cpus[1:]):
                self.join()
        for hook in self.hooks.exits:
            hook(cpu)
        if cpu.index == 0:
            self.quiesce()
            for hook in self.hooks.end:
                hook(self)

    def survey(self, frames: dict[int, FrameType] | None = None) -> tuple[CpuSnapshot, ...]:
        """How every CPU stands right now; takes no lock, so it may be asked from any thread.

        `frames` are those of the threads that may be looked at, by thread identity; by default all.
        """
        frames = source.current_frames() if frames is None else frames
        return tuple(self._snapshot(cpu, frames) for cpu in list(self.cpus))

    def _snapshot(self, cpu: Cpu, frames: dict[int, FrameType]) -> CpuSnapshot:
        wait = cpu.wants
        return CpuSnapshot(
            cpu.index,
            cpu.name,
            tuple(f"{hold.mode} {in_words(hold.lock)}" for hold in list(cpu.held)),
            f"{wait.mode} {in_words(getattr(wait.what, 'name', wait.what))}" if wait is not None else "",
            "" if cpu.done else self.describe(cpu.pending),
            cpu.done,
            _standing(cpu, frames),
        )

    def describe(self, code: int) -> str:
        """An operation in words."""
        name = ops.NAMES[ops.kind_of(code)]
        ident = ops.object_of(code)
        thing = self.find(ident)
        if thing is None or not ident:
            return name
        return f"{name} {in_words(getattr(thing, 'name', thing))}"

    def quiesce(self) -> None:
        """Let the whole-machine predicates speak; the engine calls it when all CPUs stand still."""
        for hook in self.hooks.quiescent:
            hook(self)

    def close(self) -> None:
        """Cut the cycles of a finished execution, so that it goes without a collector.

        Raises: UsageError while it runs.
        """
        if self.cpus and not self.cpus[0].done:
            raise UsageError(
                "a program closes its machine while it runs: only who runs it may, after its end"
            )
        for cpu in self.cpus:
            cpu.forget()
        self.cpus = []
        self.words = {}
        self.owed = {}
        self.identities = Identities()
        self.engine.close()


#: How often a CPU is looked at to see where it stands.
_LOOKS: Final = 20


def _standing(cpu: Cpu, frames: dict[int, FrameType]) -> tuple[Place, ...]:
    """Where a CPU stands, if its thread is still in its program.

    One that runs on meanwhile, as it may without the GIL, leaves the frames that are looked at: look again.
    """
    for _ in range(_LOOKS):
        frame = frames.get(cpu.thread.ident or 0)
        if cpu.done or frame is None:
            break
        if places := source.standing(frame):
            return places
        frames = source.current_frames()
    return ()
