"""The free engine: the same programs on the same real threads, with nobody deciding who runs.

On a free-threaded build CPUs are truly parallel; with the GIL they are preempted by the host.
`point` here only counts, remembers and, now and then, stalls (`timing`).  Everything rare hides behind one
comparison, `nops >= fuse`: stalls, rendezvous, the end.  Meanwhile the host thread supervises (`supervisor`).
Locks: host locks protect one operation each and are never held across a `point`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any, Final, NoReturn

from vmsmp.engine import ops, scene
from vmsmp.engine.clock import HZ, HostClock
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.free_cpu import RING, FreeCpu
from vmsmp.engine.free_gate import NAP_S, FreeGate
from vmsmp.engine.indivisible import judge
from vmsmp.engine.machine import Machine
from vmsmp.engine.protocol import Engine
from vmsmp.engine.supervisor import Bound, Rendezvous, supervise, unended
from vmsmp.engine.timing import GIL, Timing
from vmsmp.engine.trouble import foreign_thread, internal_error, not_the_program_s, verdict_on
from vmsmp.engine.verdict import FailureKind, Violation
from vmsmp.engine.wait import JOIN, Wait, WaitEnd
from vmsmp.engine.workers import WorkerPool, give
from vmsmp.errors import Halt

#: Seconds until CPUs that stand still hang, and what is as good as never.
HANG_S: Final = 5.0
NEVER_S: Final = 1e9


class FreeEngine:
    """Makes executions one after another on a pool that is pinned nowhere.

    `seconds` and `max_ops` bound an execution, whichever comes first; a bounded execution is no
    failure.  `perturb` is the mean number of operations between two stalls (0: never).  CPUs of which none
    gets on for `hang_s` seconds hang (0: never).
    """

    def __init__(
        self,
        pool: WorkerPool,
        *,
        seconds: float = 10.0,
        max_ops: int = 100_000_000,
        perturb: int = 200,
        hang_s: float = HANG_S,
    ) -> None:
        self.pool = pool
        pool.engine = self
        self.seconds = seconds
        self.max_ops = max_ops
        self.perturb = perturb
        self.hang_s = hang_s or NEVER_S
        #: The execution prepared last; before the first, one that nobody runs.
        self.execution = FreeExecution(self)
        #: The machine that ran last.
        self.machine: Machine | None = None

    def prepare(self) -> FreeExecution:
        """Make the next execution: its machine is made on it, then it is executed."""
        self.execution = FreeExecution(self)
        return self.execution

    def interrupt(self) -> None:
        """End the execution under way, with no verdict on it; any thread may ask."""
        self.execution.interrupt()

    def computing(self) -> list[threading.Thread]:
        """The threads of the CPUs that have not ended."""
        return [cpu.thread for cpu in self.execution.cpus if not cpu.done]

    def give_up(self) -> None:
        """Wait for no CPU any longer."""
        for cpu in self.execution.cpus:
            cpu.ended.set()

    def refuse(self, error: BaseException) -> None:
        """End the execution under way with an error; a CPU asks."""
        self.execution._give_up(error)

    def hangs(self, bound: float) -> None:
        """Nothing to say: the supervisor of an execution tells a hang itself."""


class FreeExecution(Engine[Cpu]):
    """One run of one program, as the host has it."""

    __slots__ = (
        "_cpus",
        "_error",
        "_timing",
        "_tls",
        "_verdict",
        "bounded",
        "clock",
        "engine",
        "halting",
        "machine",
        "rendezvous",
    )

    name: Final = "free"
    parallel: Final = True
    log: Final[list[int]] = []  # there is no order to write down

    machine: Machine
    halting: bool

    def __init__(self, engine: FreeEngine) -> None:
        self.engine = engine
        self.clock = HostClock()
        self.halting = False
        #: Why the execution was cut short without a failure.
        self.bounded = Bound.NONE
        self.rendezvous = Rendezvous()
        self._cpus: list[FreeCpu] = []
        self._tls = threading.local()
        self._verdict = threading.Lock()
        self._error: BaseException | None = None
        self._timing = Timing(engine.perturb)

    @property
    def current(self) -> FreeCpu:
        cpu: FreeCpu = self._tls.cpu
        return cpu

    @property
    def cpus(self) -> list[FreeCpu]:
        """All CPUs there are by now."""
        return list(self._cpus)

    @property
    def ticks(self) -> int:
        return self.clock.ticks

    def execute(self, machine: Machine, program: Callable[..., Any]) -> None:
        """Run `program(machine)` to its end or bound; runs on the caller's thread, as supervisor."""
        self.machine = self.engine.machine = machine
        self.clock = HostClock()
        boot = self._new_cpu(program, (machine,), None)
        self._tls.cpu = boot  # the supervisor speaks for CPU 0 when it has a verdict
        for hook in machine.hooks.begin:
            hook(machine)
        try:
            self._launch(boot)
            supervise(self, self.engine, self.rendezvous, boot)
            self._collect()
        except BaseException:
            self.halt()
            self._collect()
            raise
        if self._error is not None:
            raise self._error

    def operations(self) -> int:
        """Visible operations performed so far."""
        return sum(cpu.nops for cpu in self.cpus)

    def _new_cpu(self, fn: Callable[..., Any], args: tuple[Any, ...], name: str | None) -> FreeCpu:
        index = len(self._cpus)
        cpu = FreeCpu(self.machine, index, fn, args, name, self.engine.pool.worker(index))
        cpu.fuse = self._timing.next_stall(cpu)
        self._cpus.append(cpu)
        self.machine.add_cpu(cpu)
        return cpu

    def _launch(self, cpu: FreeCpu) -> None:
        cpu.worker.job = lambda: self._carry_out(cpu, self._live)
        give(cpu.worker.baton, 1)

    def _carry_out(self, cpu: FreeCpu, life: Callable[[FreeCpu], None]) -> None:
        """Run `life`, which ends the CPU unless something leaves it: that is judged, and ends it here."""
        self._tls.cpu = cpu
        try:
            if self._survives(cpu, life):
                return  # and an interrupt may have begun its next life
        except Halt:
            pass
        except BaseException as error:  # as it was judged
            self._give_up(not_the_program_s(error) or internal_error(error))
        cpu.end()

    def _survives(self, cpu: FreeCpu, life: Callable[[FreeCpu], None]) -> bool:
        """Run `life`, and judge what leaves it; whether nothing does."""
        try:
            life(cpu)
        except BaseException as error:
            scene.say(cpu, error)
            if isinstance(error, Halt):
                return False
            verdict = verdict_on(cpu, error)
            if isinstance(verdict, Violation):
                self.abort(verdict)
            else:
                self._give_up(verdict)
            return False
        return True

    def _live(self, cpu: FreeCpu) -> None:
        if cpu.index:
            self._timing.await_start(cpu, self)
            self.resume(cpu)
            self.point(cpu.pending)
        self.machine.live(cpu)
        self._rest(cpu)

    def _rest(self, cpu: FreeCpu) -> None:
        """Take the interrupts that have come, and end; one that comes later begins here again."""
        while not self._ends(cpu):
            self.machine.live_on(cpu)

    def _give_up(self, error: BaseException) -> None:
        """End the execution without a verdict; `execute` raises the first such error."""
        with self._verdict:
            self._error = self._error or error
            self.halt()

    def _ends(self, cpu: FreeCpu) -> bool:
        """End, unless an interrupt has come: `rouse` sees either the end or a CPU that looks again."""
        with self._verdict:
            if cpu.index and self.machine.interrupts(cpu):
                return False
            cpu.end()
        return True

    def rouse(self, cpu: FreeCpu) -> None:  # type: ignore[override]  # its CPUs are ours
        """Have a CPU that has ended take its interrupts; those that wait look by themselves.

        One with an interrupt latched looks at its next operation: `_due` resets the fuse before it looks.
        """
        if cpu.latched:
            cpu.fuse = 0
        with self._verdict:
            if cpu.done and not self.halting:
                cpu.done = False
                cpu.ended.clear()
                cpu.worker.job = lambda: self._carry_out(cpu, self._rest)
                give(cpu.worker.baton, 1)

    def abort(self, violation: Violation, *, stop: bool = True) -> bool:
        """Keep the first verdict and make every CPU unwind at its next arrival or wake, `stop` or not."""
        with self._verdict:
            if not self.halting:
                self._judge(violation, scene.in_sight())
            self.halt()
        return True

    def _judge(self, violation: Violation, frames: dict[int, FrameType] | None = None) -> None:
        """Keep the first verdict, and how every CPU stands; `frames` are as in `Machine.survey`."""
        if self.machine.violation is None:
            self.machine.violation = violation
            self.machine.scene = self.machine.survey(frames)

    def interrupt(self) -> None:
        """End the execution, with no verdict on it; any thread may ask."""
        self.bounded = self.bounded or Bound.INTERRUPTED
        self.halt()

    def halt(self) -> None:
        """Make every CPU unwind at its next arrival or wake."""
        self.halting = True
        self.rendezvous.dismiss()
        for cpu in self.cpus:
            cpu.fuse = 0
            cpu.started = True
            self.ready(cpu)

    def _collect(self) -> None:
        """Wait for every CPU; one that reaches no visible operation any more is a hang."""
        cpu = unended(self, self.engine.hang_s)
        if cpu is not None:
            what = f"{cpu.name} reaches no visible operation any more"
            self._judge(Violation(FailureKind.HANG, what, (), cpu.index))
            self.engine.pool.leave_behind()
        self.machine.scene = scene.completed(self.machine.scene, self._cpus)

    # -- the door -------------------------------------------------------------------------------

    def point(self, code: int) -> None:
        """Stand before `code`: count it, and do what is due."""
        try:
            cpu: FreeCpu = self._tls.cpu
        except AttributeError:
            self._foreign()
        cpu.pending = code
        nops = cpu.nops
        if nops >= cpu.fuse:
            self._due(cpu, code)
            nops, cpu.pending = cpu.nops, code
        cpu.nops = nops + 1
        cpu.ring[nops % RING] = code

    def _foreign(self) -> NoReturn:
        """A thread that is no CPU's performs an operation."""
        error = foreign_thread()
        self._give_up(error)
        raise error from None

    def _due(self, cpu: FreeCpu, code: int) -> None:
        if cpu is self.rendezvous.caller and not self.halting:
            judge(cpu, code)
            return
        cpu.fuse = self._timing.next_stall(cpu)
        if self.halting:
            cpu.fuse = 0
            raise Halt
        if self._timing.starting and cpu.index == 0:
            if code & ops.KIND_MASK == ops.SPAWN:
                cpu.fuse = 0
            else:
                self._timing.release()
        if self.rendezvous.called:
            cpu.blocked = True
            self.resume(cpu)
            if self.halting:
                raise Halt
        elif self.engine.perturb:
            self._timing.stall(cpu)
        if cpu.latched:
            self._serve(cpu)

    def _serve(self, cpu: FreeCpu) -> None:
        """Take the interrupt that is latched; a CPU that cannot now looks again at its next operation."""
        if cpu.closed or cpu.wants is not None:
            cpu.fuse = 0
        else:
            self.machine.take_interrupts(cpu)

    def failed(self) -> None:
        """A try changed nothing; only the controlled engine's log cares."""

    @contextmanager
    def indivisible(self) -> Iterator[None]:
        """All other CPUs stand still between two operations until it is over."""
        cpu = self.current
        self.point(ops.STEP)
        self.rendezvous.stand_alone(self, cpu)
        try:
            yield
        finally:
            self.rendezvous.end()

    # -- more CPUs ------------------------------------------------------------------------------

    def spawn(self, fn: Callable[..., Any], args: tuple[Any, ...], name: str | None) -> Cpu:
        parent = self.current
        made = self.machine.identities.made[parent.index]
        ident = len(made) << ops.CPU_BITS | parent.index
        self.point(ident << ops.KIND_BITS | ops.SPAWN)
        with self._verdict:
            self.machine.room_for_one_more()
            cpu = self._new_cpu(fn, args, name)
        made.append(cpu)
        cpu.pending = ident << ops.KIND_BITS | ops.START
        cpu.ops_join = ident << ops.KIND_BITS | ops.JOIN
        if parent.index == 0:
            self._timing.starting.append(cpu)
            parent.fuse = 0
        else:
            cpu.started = True
        try:
            for hook in self.machine.hooks.spawned:
                hook(parent, cpu)
        except Halt:
            cpu.end()  # it never begins
            raise
        self._launch(cpu)
        return cpu

    # -- waiting --------------------------------------------------------------------------------

    def join(self, target: FreeCpu) -> None:  # type: ignore[override]  # its CPUs are ours
        self.point(target.ops_join)
        self._see_end(self.current, target)

    def join_all(self) -> None:
        cpu, n = self.current, 1
        self.point(ops.JOIN_ALL)
        while n < len(self._cpus):  # a CPU may spawn more while we wait
            if self._cpus[n] is not cpu:
                self._see_end(cpu, self._cpus[n])
            n += 1
        while (roused := self._alive(cpu)) is not None:
            self._see_end(cpu, roused)

    def _alive(self, joiner: FreeCpu) -> FreeCpu | None:
        """A CPU beside `joiner` that lives; one that had ended may have been roused by another since."""
        with self._verdict:
            return next((cpu for cpu in self._cpus[1:] if cpu is not joiner and not cpu.done), None)

    def _see_end(self, cpu: FreeCpu, target: FreeCpu) -> None:
        cpu.wants = Wait(target, JOIN)
        cpu.blocked = True
        while not target.ended.wait(NAP_S):
            if self.halting:
                raise Halt
            if self.machine.interrupts(cpu):
                self.resume(cpu)
                self.machine.take_interrupts(cpu)
                cpu.wants = Wait(target, JOIN)
                cpu.blocked = True
        if self.halting:
            raise Halt
        self.resume(cpu)
        cpu.wants = None
        for hook in self.machine.hooks.joined:
            hook(cpu, target)

    def ready(self, cpu: FreeCpu) -> None:  # type: ignore[override]  # its CPUs are ours
        """Give `cpu` its permit to go on; one is kept if it does not sleep yet."""
        try:
            cpu.permit.release()
        except RuntimeError:
            pass  # it has one already

    def sleep(self, code: int, timeout: int | None) -> WaitEnd:
        """Sleep in the host until `ready`."""
        cpu = self.current
        self.point(code)
        if self.machine.options.spurious and cpu.rng("spurious").random() < 0.05:
            return WaitEnd.SPURIOUS
        deadline = None if timeout is None else time.monotonic() + max(1, timeout) / HZ
        cpu.deadline = None if timeout is None else self.ticks + timeout
        cpu.blocked = True
        try:
            while not cpu.permit.acquire(timeout=NAP_S):
                if self.halting:
                    raise Halt
                if deadline is not None and time.monotonic() >= deadline:
                    return WaitEnd.TIMEOUT
        finally:
            cpu.deadline = None
            self.resume(cpu)
        if self.halting:
            raise Halt
        return WaitEnd.GRANTED

    def resume(self, cpu: FreeCpu) -> None:
        """A wait in the host is over; during a rendezvous it lasts until that ends."""
        cpu.blocked = False
        while self.rendezvous.called and not self.halting:  # and one called just now may have seen it stand
            cpu.blocked = True
            self.rendezvous.attend(self)
            cpu.blocked = False

    def yield_(self) -> None:
        self.point(ops.YIELD)
        time.sleep(0)

    def pause(self) -> None:
        self.point(ops.PAUSE)
        if GIL or self.current.nops % 64 < 3:
            time.sleep(0)

    def choose(self, n: int) -> int:
        self.point(ops.CHOOSE)
        return int(self.current.rng("choose").random() * n)

    def gate(self) -> FreeGate:
        return FreeGate(self)

    def host_lock(self) -> AbstractContextManager[Any]:
        return threading.RLock()

    # -- how it stands --------------------------------------------------------------------------

    def can_run(self, cpu: Cpu) -> bool:
        return cpu.wants is None

    def anyone_spins(self) -> bool:
        """CPUs that spin are not told apart here; the controlled engine keeps them."""
        return False

    def recent(self, cpu: FreeCpu) -> list[int]:  # type: ignore[override]  # its CPUs are ours
        return [cpu.ring[n % RING] for n in range(max(0, cpu.nops - RING), cpu.nops)]

    def position(self, cpu: Cpu) -> int:
        """How many operations the CPU has performed."""
        return cpu.nops

    def step_at(self, position: int) -> int:
        return position

    def progress(self) -> object:
        """What changes as long as a CPU gets on."""
        return self.operations()

    def close(self) -> None:
        """Let go of the machine, which leads back here."""
        del self.machine
        self._timing.starting.clear()
        self._cpus, self._tls = [], threading.local()
