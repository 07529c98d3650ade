"""The free engine: the same programs on the same real threads, with nobody deciding who runs.

On a free-threaded build CPUs are truly parallel; with the GIL they are preempted by the host.
`point` here only counts, remembers and, now and then, stalls: a seeded perturbation that shakes the
timing.  Everything rare hides behind one comparison, `nops >= fuse`: stalls, rendezvous, the end.

CPUs that are spawned together start together, from a spin, else the first would be done before the
second begins.  Meanwhile the host thread supervises: it bounds the run by time and operations,
calls all CPUs to a rendezvous every so often and runs the whole-machine checkers there, and tells a
standstill from slow work.
Locks: host locks protect one operation each and are never held across a `point`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from vmsmp.engine import ops
from vmsmp.engine.clock import HZ, HostClock
from vmsmp.engine.cpu import Cpu, Wait, WaitEnd, WaitMode
from vmsmp.engine.machine import Machine, violation_of
from vmsmp.engine.verdict import FailureKind, Violation
from vmsmp.engine.workers import WorkerPool, gil_enabled, give
from vmsmp.errors import Halt

#: Operations each CPU remembers for the report of a hang.
RING: Final = 32
#: Seconds between two looks of the supervisor, between two rendezvous, and until still CPUs hang.
LOOK_S: Final = 0.01
RENDEZVOUS_S: Final = 0.25
STILL_S: Final = 0.5
HANG_S: Final = 5.0
#: Seconds for which a waiting CPU sleeps in the host before it looks whether all is over.
NAP_S: Final = 0.02

#: Turns for which a CPU spins for its start before it gives its core to one that is still to come.
START_SPINS: Final = 300

GIL: Final = gil_enabled()


class FreeEngine:
    """Runs one execution at a time on a pool that is pinned nowhere.

    `seconds` and `max_ops` bound an execution, whichever comes first; a bounded execution is no
    failure.  `perturb` is the mean number of operations between two stalls (0: never).
    """

    controlled: Final = False
    log: Final[list[int]] = []  # there is no order to write down

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
        self.machine: Machine
        self.clock = HostClock()
        self.halting = False
        #: Why the execution was cut short without a failure: "", "time", "operations", "interrupted".
        self.bounded = ""
        #: CPUs that spin are not told apart here; the controlled engine keeps them.
        self.spinning: dict[Cpu, frozenset[int]] = {}
        self.rendezvous_held = 0
        self._tls = threading.local()
        self._verdict = threading.Lock()
        self._starting: list[Cpu] = []
        self._meeting = False
        self._met = threading.Event()

    # -- one execution --------------------------------------------------------------------------

    @property
    def current(self) -> Cpu:
        cpu: Cpu = self._tls.cpu
        return cpu

    @property
    def ticks(self) -> int:
        return self.clock.ticks

    def execute(self, machine: Machine, program: Callable[..., Any]) -> None:
        """Run `program(machine)` to its end or bound; runs on the caller's thread, as supervisor."""
        self.machine = machine
        self.clock = HostClock()
        self.halting = False
        self.bounded = ""
        self._starting = []
        self._meeting = False
        boot = self._new_cpu(program, (machine,), "cpu0")
        self._tls.cpu = boot  # the supervisor speaks for CPU 0 when it has a verdict
        for hook in machine.hooks.begin:
            hook(machine)
        try:
            self._launch(boot)
            self._supervise(boot)
            self._collect()
        except BaseException:
            self._halt()
            self._collect()
            raise

    def operations(self) -> int:
        """Visible operations performed so far."""
        return sum(cpu.nops for cpu in list(self.machine.cpus))

    def _new_cpu(self, fn: Callable[..., Any], args: tuple[Any, ...], name: str) -> Cpu:
        machine = self.machine
        cpu = Cpu(machine, len(machine.cpus), fn, args, name)
        cpu.worker = self.pool.worker(cpu.index)
        cpu.ring = [0] * RING
        cpu.blocked = False
        cpu.permit = threading.Lock()
        cpu.permit.acquire()
        cpu.ended = threading.Event()
        cpu.fuse = self._next_stall(cpu)
        machine.add_cpu(cpu)
        return cpu

    def _launch(self, cpu: Cpu) -> None:
        cpu.worker.job = lambda: self._body(cpu)
        give(cpu.worker.baton, 1)

    def _body(self, cpu: Cpu) -> None:
        machine = self.machine
        self._tls.cpu = cpu
        try:
            if cpu.index:
                self._await_start(cpu)
            machine.live(cpu)
        except Halt:
            pass
        except BaseException as error:
            self.abort(violation_of(cpu, error))
        cpu.done = True
        cpu.ended.set()

    def abort(self, violation: Violation, *, stop: bool = True) -> bool:
        """Keep the first verdict and make every CPU unwind at its next arrival or wake, `stop` or not."""
        with self._verdict:
            if self.machine.violation is None and not self.halting:
                self.machine.violation = violation
                self.machine.scene = self.machine.survey()
            self._halt()
        return True

    def interrupt(self) -> None:
        """End the execution under way, with no verdict on it; any thread may ask."""
        self.bounded = self.bounded or "interrupted"
        if hasattr(self, "machine"):
            self._halt()

    def _halt(self) -> None:
        self.halting = True
        self._met.set()
        for cpu in list(self.machine.cpus):
            cpu.fuse = 0
            cpu.started = True
            self.ready(cpu)

    def _collect(self) -> None:
        """Wait for every CPU; one that reaches no visible operation any more is a hang."""
        deadline = time.monotonic() + self.hang_s
        for cpu in self.machine.cpus:
            if not cpu.ended.wait(max(0.0, deadline - time.monotonic())):
                self.pool.abandoned = True
                if self.machine.violation is None:
                    self.machine.violation = Violation(
                        FailureKind.HANG, f"{cpu.name} reaches no visible operation any more", (), cpu.index
                    )
                    self.machine.scene = self.machine.survey()
                return

    # -- the supervisor -------------------------------------------------------------------------

    def _supervise(self, boot: Cpu) -> None:
        start = time.monotonic()
        last_meeting = still_since = start
        seen: list[Any] = []
        while not boot.ended.wait(LOOK_S):
            now = time.monotonic()
            if self.halting:
                return
            if now - start >= self.seconds or self.operations() >= self.max_ops:
                self.bounded = "time" if now - start >= self.seconds else "operations"
                self._halt()
                return
            signs = self._signs()
            if signs != seen:
                seen, still_since = signs, now
            elif now - still_since >= STILL_S:
                self._standstill(now - still_since)
            if now - last_meeting >= RENDEZVOUS_S:
                last_meeting = now
                self._rendezvous()

    def _signs(self) -> list[Any]:
        """What changes while a CPU gets on: its operations, or, while it waits, what for.

        A CPU that waits counts as still whether it sleeps in the host or spins.
        """
        return [
            (cpu.index, cpu.done, id(cpu.wants) if cpu.wants is not None else cpu.nops)
            for cpu in list(self.machine.cpus)
        ]

    def _standstill(self, seconds: float) -> None:
        """No CPU has got on for a while: ask the checkers, then call it a hang."""
        machine = self.machine
        live = [cpu for cpu in machine.cpus if not cpu.done]
        try:
            if all(cpu.wants is not None for cpu in live):
                for hook in machine.hooks.idle:
                    hook(machine)
            if seconds >= self.hang_s and all(cpu.deadline is None for cpu in live):
                stuck = ", ".join(sorted(str(cpu) for cpu in live))
                machine.fail(
                    FailureKind.HANG, f"no CPU has got on for {self.hang_s:g} s", [f"stuck: {stuck}"]
                )
        except Halt:
            pass

    def _rendezvous(self) -> None:
        """Have every CPU stand between two operations and let the whole-machine predicates speak."""
        machine = self.machine
        self._met.clear()
        self._meeting = True
        for cpu in list(machine.cpus):
            cpu.fuse = 0
        deadline = time.monotonic() + 0.2
        try:
            while not all(c.blocked or c.done for c in list(machine.cpus)):
                if self.halting or time.monotonic() > deadline:
                    return  # somebody computes for long; next time
                time.sleep(0.0002)
            self.rendezvous_held += 1
            try:
                machine.quiesce()
            except Halt:
                pass
        finally:
            self._meeting = False
            self._met.set()

    # -- the door -------------------------------------------------------------------------------

    def point(self, code: int) -> None:
        """Stand before `code`: count it, and do what is due."""
        cpu: Cpu = self._tls.cpu
        cpu.pending = code
        nops = cpu.nops
        if nops >= cpu.fuse:
            self._due(cpu, code)
        cpu.nops = nops + 1
        cpu.ring[nops % RING] = code

    def _due(self, cpu: Cpu, code: int) -> None:
        cpu.fuse = self._next_stall(cpu)
        if self.halting:
            cpu.fuse = 0
            raise Halt
        if self._starting and cpu.index == 0:
            if code & ops.KIND_MASK == ops.SPAWN:
                cpu.fuse = 0
            else:
                self._release_start()
        if self._meeting:
            cpu.blocked = True
            self._resume(cpu)
            if self.halting:
                raise Halt
        elif self.perturb:
            self._stall(cpu)

    def _next_stall(self, cpu: Cpu) -> int:
        if not self.perturb:
            return 1 << 62
        return cpu.nops + 1 + int(cpu.rng("perturb").expovariate(1.0 / self.perturb))

    def _stall(self, cpu: Cpu) -> None:
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

    # -- starting together ----------------------------------------------------------------------

    def _await_start(self, cpu: Cpu) -> None:
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
        deadline = time.monotonic() + 0.005
        while not all(cpu.blocked for cpu in starting) and time.monotonic() < deadline:
            time.sleep(0)
        for cpu in starting:
            cpu.started = True

    def spawn(self, fn: Callable[..., Any], args: tuple[Any, ...], name: str | None) -> Cpu:
        parent = self.current
        ident = self.machine.identities.next(parent.index)
        self.point(ident << ops.KIND_BITS | ops.SPAWN)
        with self._verdict:
            self.machine.room_for_one_more()
            cpu = self._new_cpu(fn, args, name or f"cpu{len(self.machine.cpus)}")
        self.machine.identities.enroll(parent.index, cpu)
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
            cpu.done = True  # it never begins
            cpu.ended.set()
            raise
        self._launch(cpu)
        return cpu

    # -- blocking -------------------------------------------------------------------------------

    def join(self, target: Cpu) -> None:
        self.point(target.ops_join)
        self._see_end(self.current, target)

    def join_all(self) -> None:
        cpu = self.current
        self.point(ops.JOIN_ALL)
        n = 1
        while n < len(self.machine.cpus):  # a CPU may spawn more while we wait
            if self.machine.cpus[n] is not cpu:
                self._see_end(cpu, self.machine.cpus[n])
            n += 1

    def _see_end(self, cpu: Cpu, target: Cpu) -> None:
        cpu.wants = Wait(target, WaitMode.JOIN)
        cpu.blocked = True
        while not target.ended.wait(NAP_S):
            if self.halting:
                raise Halt
        self._resume(cpu)
        cpu.wants = None
        for hook in self.machine.hooks.joined:
            hook(cpu, target)

    def ready(self, cpu: Cpu) -> None:
        """Give `cpu` its permit to go on; one is kept if it does not sleep yet."""
        try:
            cpu.permit.release()
        except RuntimeError:
            pass  # it has one already

    def sleep(self, code: int, timeout: int | None) -> WaitEnd:
        """Sleep in the host until `ready`; as in the controlled engine."""
        cpu = self.current
        self.point(code)
        options = self.machine.options
        if options.spurious and cpu.rng("spurious").random() < 0.05:
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
            self._resume(cpu)
        if self.halting:
            raise Halt
        return WaitEnd.GRANTED

    def _resume(self, cpu: Cpu) -> None:
        """A wait in the host is over; during a rendezvous it lasts until that ends."""
        while self._meeting and not self.halting:
            self._met.wait()
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
        """A place where CPUs wait for a condition and take it in one step."""
        return FreeGate(self)

    def recent(self, cpu: Cpu) -> list[int]:
        """The last operations of `cpu`, oldest first."""
        at = cpu.nops
        return [cpu.ring[n % RING] for n in range(max(0, at - RING), at)]


class FreeGate:
    """A gate where CPUs are parallel: its conditions are looked at under one host lock."""

    __slots__ = ("_condition", "_engine", "_modes", "_waiting", "host")

    def __init__(self, engine: FreeEngine) -> None:
        self._engine = engine
        self.host = threading.RLock()
        self._condition = threading.Condition(self.host)
        self._waiting = 0
        self._modes: dict[WaitMode, int] = {}

    def enter(
        self,
        code: int,
        ready: Callable[[Cpu], bool],
        take_it: Callable[[Cpu], Any],
        wait: Wait,
        timeout: int | None = None,
    ) -> Any:
        """As the controlled engine's gate."""
        engine = self._engine
        engine.point(code)
        cpu = engine.current
        cpu.wait_end = WaitEnd.GRANTED
        with self.host:
            if not ready(cpu) and not self._wait(cpu, ready, wait, timeout):
                return None
            result = take_it(cpu)
            if self._waiting:
                self._condition.notify_all()
        return result

    def _wait(self, cpu: Cpu, ready: Callable[[Cpu], bool], wait: Wait, timeout: int | None) -> bool:
        """Wait in the host until `ready`; False if the time was up first."""
        engine = self._engine
        deadline = None if timeout is None else time.monotonic() + max(1, timeout) / HZ
        cpu.wants = wait
        cpu.deadline = None if timeout is None else engine.ticks + timeout
        cpu.blocked = True
        self._waiting += 1
        self._modes[wait.mode] = self._modes.get(wait.mode, 0) + 1
        try:
            while not ready(cpu):
                if engine.halting:
                    raise Halt
                if deadline is not None and time.monotonic() >= deadline:
                    cpu.wait_end = WaitEnd.TIMEOUT
                    return False
                self._condition.wait(NAP_S)
        finally:
            self._waiting -= 1
            self._modes[wait.mode] -= 1
            cpu.deadline = None
            engine._resume(cpu)
        cpu.wants = None
        return True

    def waits(self, mode: WaitMode) -> bool:
        """As the controlled engine's gate."""
        return self._modes.get(mode, 0) > 0

    def changed(self) -> None:
        """As the controlled engine's gate."""
        with self.host:
            self._condition.notify_all()

    def alter(self, code: int, change: Callable[[Cpu], Any]) -> Any:
        """As the controlled engine's gate."""
        engine = self._engine
        engine.point(code)
        with self.host:
            result = change(engine.current)
            if self._waiting:
                self._condition.notify_all()
        return result
