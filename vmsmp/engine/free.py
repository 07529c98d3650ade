"""The free engine: the same programs on the same real threads, with nobody deciding who runs.

On a free-threaded build CPUs are truly parallel; with the GIL they are preempted by the host.
`point` here only counts, remembers and, now and then, stalls: a seeded perturbation that shakes the
timing.  Everything rare hides behind one comparison, `nops >= fuse`: stalls, rendezvous, the end.

CPUs that are spawned together start together, from a spin, else the first would be done before the
second begins.  Meanwhile the host thread supervises (`supervisor`).
Locks: host locks protect one operation each and are never held across a `point`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from vmsmp.engine import ops
from vmsmp.engine.clock import HZ, HostClock
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.free_cpu import RING, FreeCpu
from vmsmp.engine.free_gate import NAP_S, FreeGate
from vmsmp.engine.indivisible import judge
from vmsmp.engine.machine import Machine, violation_of
from vmsmp.engine.protocol import Engine
from vmsmp.engine.supervisor import Bound, Rendezvous, supervise
from vmsmp.engine.verdict import FailureKind, Violation
from vmsmp.engine.wait import JOIN, Wait, WaitEnd
from vmsmp.engine.workers import WorkerPool, gil_enabled, give
from vmsmp.errors import Halt

#: Seconds until CPUs that stand still hang.
HANG_S: Final = 5.0
#: Turns for which a CPU spins for its start before it gives its core to one that is still to come.
START_SPINS: Final = 300
#: Seconds that CPUs spawned together wait for one another.
START_S: Final = 0.005

GIL: Final = gil_enabled()


class FreeEngine:
    """Makes executions one after another on a pool that is pinned nowhere.

    `seconds` and `max_ops` bound an execution, whichever comes first; a bounded execution is no
    failure.  `perturb` is the mean number of operations between two stalls (0: never).
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
        self.hang_s = hang_s
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

    def hangs(self) -> str:
        """Nothing to say: the supervisor of an execution tells a hang itself."""
        return ""


class FreeExecution(Engine[Cpu]):
    """One run of one program, as the host has it."""

    __slots__ = (
        "_cpus",
        "_starting",
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
        #: CPUs spawned by the boot CPU that have not been let go.
        self._starting: list[FreeCpu] = []

    # -- one execution --------------------------------------------------------------------------

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

    def operations(self) -> int:
        """Visible operations performed so far."""
        return sum(cpu.nops for cpu in self.cpus)

    def _new_cpu(self, fn: Callable[..., Any], args: tuple[Any, ...], name: str | None) -> FreeCpu:
        index = len(self._cpus)
        cpu = FreeCpu(self.machine, index, fn, args, name, self.engine.pool.worker(index))
        cpu.fuse = self._next_stall(cpu)
        self._cpus.append(cpu)
        self.machine.add_cpu(cpu)
        return cpu

    def _launch(self, cpu: FreeCpu) -> None:
        cpu.worker.job = lambda: self._body(cpu)
        give(cpu.worker.baton, 1)

    def _body(self, cpu: FreeCpu) -> None:
        self._tls.cpu = cpu
        try:
            if cpu.index:
                self._await_start(cpu)
            self.machine.live(cpu)
        except Halt:
            pass
        except BaseException as error:
            self.abort(violation_of(cpu, error))
        cpu.end()

    def abort(self, violation: Violation, *, stop: bool = True) -> bool:
        """Keep the first verdict and make every CPU unwind at its next arrival or wake, `stop` or not."""
        with self._verdict:
            if not self.halting:
                self._judge(violation)
            self.halt()
        return True

    def _judge(self, violation: Violation) -> None:
        if self.machine.violation is None:
            self.machine.violation = violation
            self.machine.scene = self.machine.survey()

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
        deadline = time.monotonic() + self.engine.hang_s
        for cpu in self._cpus:
            if not cpu.ended.wait(max(0.0, deadline - time.monotonic())):
                self.engine.pool.abandoned = True
                hang = f"{cpu.name} reaches no visible operation any more"
                self._judge(Violation(FailureKind.HANG, hang, (), cpu.index))
                return

    # -- the door -------------------------------------------------------------------------------

    def point(self, code: int) -> None:
        """Stand before `code`: count it, and do what is due."""
        cpu: FreeCpu = self._tls.cpu
        cpu.pending = code
        nops = cpu.nops
        if nops >= cpu.fuse:
            self._due(cpu, code)
        cpu.nops = nops + 1
        cpu.ring[nops % RING] = code

    def _due(self, cpu: FreeCpu, code: int) -> None:
        if cpu is self.rendezvous.caller and not self.halting:
            judge(cpu, code)
            return
        cpu.fuse = self._next_stall(cpu)
        if self.halting:
            cpu.fuse = 0
            raise Halt
        if self._starting and cpu.index == 0:
            if code & ops.KIND_MASK == ops.SPAWN:
                cpu.fuse = 0
            else:
                self._release_start()
        if self.rendezvous.called:
            cpu.blocked = True
            self.resume(cpu)
            if self.halting:
                raise Halt
        elif self.engine.perturb:
            self._stall(cpu)

    def _next_stall(self, cpu: FreeCpu) -> int:
        perturb = self.engine.perturb
        if not perturb:
            return 1 << 62
        return cpu.nops + 1 + int(cpu.rng("perturb").expovariate(1.0 / perturb))

    @staticmethod
    def _stall(cpu: FreeCpu) -> None:
        """A short delay: mostly give the host a chance to switch, now and then much longer."""
        draw = cpu.rng("perturb").random()
        if draw < 0.7:
            time.sleep(0)
        elif draw < 0.98:
            time.sleep(draw * 1e-4)
        else:
            time.sleep(1e-3)

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

    # -- starting together ----------------------------------------------------------------------

    def _await_start(self, cpu: FreeCpu) -> None:
        cpu.blocked = True
        spins = 0
        while not cpu.started and not self.halting:
            spins += 1
            if GIL or spins > START_SPINS:
                time.sleep(0)
        cpu.blocked = False
        if self.halting:  # the halt may have come before this CPU was there to be told
            cpu.fuse = 0
        self.point(cpu.pending)

    def _release_start(self) -> None:
        """The boot CPU goes on after its spawns: once all have arrived, they start as one."""
        starting, self._starting = self._starting, []
        deadline = time.monotonic() + START_S
        while not all(cpu.blocked for cpu in starting) and time.monotonic() < deadline:
            time.sleep(0)
        for cpu in starting:
            cpu.started = True

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
            self._starting.append(cpu)
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
        cpu = self.current
        self.point(ops.JOIN_ALL)
        n = 1
        while n < len(self._cpus):  # a CPU may spawn more while we wait
            if self._cpus[n] is not cpu:
                self._see_end(cpu, self._cpus[n])
            n += 1

    def _see_end(self, cpu: FreeCpu, target: FreeCpu) -> None:
        cpu.wants = Wait(target, JOIN)
        cpu.blocked = True
        while not target.ended.wait(NAP_S):
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
        at = cpu.nops
        return [cpu.ring[n % RING] for n in range(max(0, at - RING), at)]

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
        self._cpus = []
        self._starting = []
        self._tls = threading.local()
