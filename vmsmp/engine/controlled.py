"""The controlled engine: real threads, one at a time, a scheduler's pick before every step.

`ControlledEngine` makes executions on one pool of threads.  All state of one is in its
`ControlledExecution`: this module has the lives of its CPUs and how an execution ends, `stepping` who
runs when.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from vmsmp.engine import ops
from vmsmp.engine.controlled_cpu import ControlledCpu
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.host_wait import HostWaits
from vmsmp.engine.machine import Machine, violation_of
from vmsmp.engine.protocol import Engine
from vmsmp.engine.scheduler import Scheduler
from vmsmp.engine.stepping import Stepping
from vmsmp.engine.verdict import Violation
from vmsmp.engine.wait import JOIN, Wait
from vmsmp.engine.workers import WorkerPool, give, take
from vmsmp.errors import Halt, VmsmpError


class ControlledEngine:
    """Makes executions one after another on one pool, each under its scheduler's picks.

    `max_steps` ends an execution as a livelock; from half of it on the picks are a fair round
    robin, in a replay as in a search, so that a scheduler's own unfairness is not reported.
    """

    def __init__(self, pool: WorkerPool, *, max_steps: int = 100_000) -> None:
        self.pool = pool
        pool.engine = self
        self.max_steps = max_steps
        #: Somebody wants no more steps.
        self.interrupted = False
        #: The execution prepared last; before the first, one that nobody runs.
        self.execution = ControlledExecution(self, Scheduler())
        #: The machine that ran last.
        self.machine: Machine | None = None
        self._host_waits = HostWaits()

    def prepare(self, scheduler: Scheduler) -> ControlledExecution:
        """Make the next execution: its machine is made on it, then it is executed."""
        self.execution = execution = ControlledExecution(self, scheduler)
        if self.interrupted:  # it may have come before this execution was there to be told
            execution.interrupt()
        return execution

    def interrupt(self) -> None:
        """End the execution under way at its next step; any thread may ask."""
        self.interrupted = True
        self.execution.interrupt()

    def computing(self) -> list[threading.Thread]:
        """The thread that runs; the others stand still, and unwind when their turn comes."""
        cpu = self.execution.current if self.machine is not None else None
        return [cpu.thread] if cpu is not None and not cpu.done else []

    def give_up(self) -> None:
        """Nobody but CPU 0's thread is waited for."""

    def hangs(self) -> str:
        """Say what CPU waits in the host, and why that never ends."""
        execution = self.execution
        current = getattr(execution, "current", None)  # it forgets it when it is over
        return self._host_waits.look(current, execution.progress())


class ControlledExecution(Stepping, Engine[Cpu]):
    """One run of one program under its scheduler's picks."""

    __slots__ = ("_error", "_others", "engine", "violation_at")

    name: Final = "controlled"
    parallel: Final = False

    def __init__(self, engine: ControlledEngine, scheduler: Scheduler) -> None:
        Stepping.__init__(self, scheduler, engine.max_steps)
        self.engine = engine
        #: How long the log was when the execution failed.
        self.violation_at = 0
        self._error: BaseException | None = None
        #: Who could run when a CPU failed alone.
        self._others: list[ControlledCpu] = []

    # -- one execution --------------------------------------------------------------------------

    def execute(self, machine: Machine, program: Callable[..., Any]) -> list[int]:
        """Run `program(machine)` to its end and return the log.

        Runs on the thread of CPU 0 (`WorkerPool.drive`).  What went wrong is in `machine.violation`.
        """
        self.machine = self.engine.machine = machine
        self.on_op = machine.hooks.op
        boot = self._new_cpu(program, (machine,), None)
        self.current = boot
        self.run = [boot]
        self.scheduler.spawned(boot)
        for hook in machine.hooks.begin:
            hook(machine)
        self._body(boot)
        if self._error is not None:
            raise self._error
        if not self.halting:
            self.scheduler.ended(machine)
        return self.log

    def _new_cpu(self, fn: Callable[..., Any], args: tuple[Any, ...], name: str | None) -> ControlledCpu:
        machine = self.machine
        index = len(machine.cpus)
        cpu = ControlledCpu(machine, index, fn, args, name, self.engine.pool.worker(index))
        machine.add_cpu(cpu)
        return cpu

    def _body(self, cpu: ControlledCpu) -> None:
        """All that a CPU does, on its own thread."""
        machine = self.machine
        try:
            cpu.started = True
            if cpu.index:
                if self.halting:
                    raise Halt
                self._perform(cpu, cpu.pending)
            machine.live(cpu)
        except Halt:
            pass
        except VmsmpError as error:  # ours or the caller's: no verdict on the program
            self._give_up(error)
        except BaseException as error:
            self.abort(violation_of(cpu, error))
        cpu.done = True
        if cpu is self._stopped:
            self._stopped = None
            self.run = [cpu, *self._others]
            if not cpu.index:
                self._outlast(cpu)
        if self.halting:
            self._unwind(cpu)
        elif cpu.index:
            self._retire(cpu)

    def _retire(self, cpu: ControlledCpu) -> None:
        """The running CPU ended well: let another one go on."""
        self.run.remove(cpu)
        for joiner in cpu.joiners:
            alive = self._alive(joiner) if joiner.everybody else None
            if alive is None:
                self.ready(joiner)
            else:
                self._await_end(joiner, alive)
        try:
            nxt = self._next(cpu)
        except Halt:
            self._unwind(cpu)
            return
        except VmsmpError as error:
            self._give_up(error)
            self._unwind(cpu)
            return
        self._pass_to(nxt)

    def _outlast(self, boot: ControlledCpu) -> None:
        """The boot CPU failed alone: the execution lasts until the others have done what they can."""
        self.run.remove(boot)
        try:
            nxt = self._next(boot)
        except Halt:
            return
        self._pass_to(nxt)
        take(boot.baton)

    def _unwind(self, cpu: ControlledCpu) -> None:
        """The execution failed: the baton visits every CPU so that each unwinds, CPU 0 last."""
        while True:
            nxt = next((c for c in self._cpus()[1:] if c.started and not c.done), None)
            if cpu.index:
                self._pass_to(nxt or self._cpus()[0])
                return
            if nxt is None:
                return
            self._pass_to(nxt)
            take(cpu.baton)

    def _pass_to(self, cpu: ControlledCpu) -> None:
        self.current = cpu
        give(cpu.baton, 1)

    def _give_up(self, error: BaseException) -> None:
        """End the execution without a verdict; `execute` raises the first such error."""
        self._error = self._error or error
        self.halting = True
        self.run = []

    def abort(self, violation: Violation, *, stop: bool = True) -> bool:
        """Keep the first verdict and make every CPU unwind at its next arrival.

        For a scheduler that wants to see all of a run only the failing CPU stops, and not even that
        one unless `stop`.  Whether the caller has to unwind.
        """
        if self.halting:
            return True
        if self.inside is not None:
            self.inside.leave()
        if self.machine.violation is None:
            self.machine.violation = violation
            self.machine.scene = self.machine.survey()
            self.violation_at = len(self.log)
        if self.scheduler.finishes and not violation.kind.final:
            if not stop:
                return False
            cur = self.current
            if cur is not self._stopped:
                self._stopped = cur
                self._others = [cpu for cpu in self.run if cpu is not cur]
        else:
            self._halt()
        self.run = []  # an arrival finds nobody to run, looks closer and unwinds
        return True

    def _halt(self) -> None:
        self.scheduler.ended(self.machine)
        self.halting = True

    def interrupt(self) -> None:
        """End the execution at its next step; any thread may ask."""
        self._limit = -1

    def _perform(self, cpu: ControlledCpu, code: int) -> None:
        """What `point` does on return, for a CPU's very first step."""
        for hook in self.on_op:
            hook(cpu, code)
        self.log.append(code)

    # -- what a machine asks for ----------------------------------------------------------------

    def spawn(self, fn: Callable[..., Any], args: tuple[Any, ...], name: str | None) -> Cpu:
        parent = self.current
        machine = self.machine
        made = machine.identities.made[parent.index]
        ident = len(made) << ops.CPU_BITS | parent.index
        self.point(ident << ops.KIND_BITS | ops.SPAWN)
        machine.room_for_one_more()
        cpu = self._new_cpu(fn, args, name)
        made.append(cpu)
        cpu.pending = ident << ops.KIND_BITS | ops.START
        cpu.ops_join = ident << ops.KIND_BITS | ops.JOIN
        cpu.worker.job = partial(self._body, cpu)
        self.run.append(cpu)  # the highest index so far
        self.scheduler.spawned(cpu)
        for hook in machine.hooks.spawned:
            hook(parent, cpu)
        return cpu

    def join(self, target: ControlledCpu) -> None:  # type: ignore[override]  # its CPUs are ours
        cur = self.current
        cur.everybody = False
        if not target.done:
            self.stop(cur)
            self._await_end(cur, target)
        self.point(target.ops_join)
        cur.wants = None
        for hook in self.machine.hooks.joined:
            hook(cur, target)

    def join_all(self) -> None:
        """See all others end, in one step: seeing them one by one would be choices that change nothing."""
        cur = self.current
        cur.everybody = True
        alive = self._alive(cur)
        if alive is not None:
            self.stop(cur)
            self._await_end(cur, alive)
        self.point(ops.JOIN_ALL)
        cur.wants = None
        for hook in self.machine.hooks.joined:
            for cpu in self.machine.cpus[1:]:
                if cpu is not cur:
                    hook(cur, cpu)

    def _cpus(self) -> list[Any]:
        """The CPUs of the machine, which are all ours."""
        return self.machine.cpus

    def _alive(self, cur: ControlledCpu) -> Any:
        """The first CPU beside the boot CPU and `cur` that has not ended, or None."""
        for cpu in self.machine.cpus[1:]:
            if not cpu.done and cpu is not cur:
                return cpu
        return None

    @staticmethod
    def _await_end(cur: ControlledCpu, cpu: ControlledCpu) -> None:
        cpu.joiners.append(cur)
        cur.wants = Wait(cpu, JOIN)

    def choose(self, n: int) -> int:
        self.point(ops.CHOOSE)
        cur = self.current
        drawn = self.scheduler.choose(cur, n, int(cur.rng("choose").random() * n))
        self.draws.append(drawn)
        return drawn

    def close(self) -> None:
        """Keep what is written down, and let go of what leads back here."""
        del self.machine, self.current
        self.pick = self._base_pick
        self.on_op = ()
        self.run = self._others = []
        self._timers.clear()
        self._alarmed.clear()
        self._stopped = self._spinners = None
