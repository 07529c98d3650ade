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
from vmsmp.engine.hang import Hang, Hangs
from vmsmp.engine.machine import Machine
from vmsmp.engine.protocol import Engine
from vmsmp.engine.scheduler import Scheduler
from vmsmp.engine.stepping import Stepping
from vmsmp.engine.trouble import internal_error, not_the_program_s, verdict_on
from vmsmp.engine.verdict import Violation
from vmsmp.engine.wait import JOIN, Wait
from vmsmp.engine.workers import WorkerPool, give, take
from vmsmp.errors import Halt, HostHang


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
        self._hangs = Hangs()
        #: The hang that ended its last execution.
        self.hung: Hang | None = None

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
        cpu = getattr(self.execution, "current", None)  # it forgets it when it is over
        return [cpu.thread] if cpu is not None and not cpu.done else []

    def give_up(self) -> None:
        """Nobody but CPU 0's thread is waited for."""

    def refuse(self, error: BaseException) -> None:
        """End the execution under way with an error; the running CPU asks."""
        self.execution._give_up(error)

    def hangs(self, bound: float) -> Hang | None:
        """What hangs if a step may take `bound` seconds; its execution is over then."""
        if self.machine is None:
            return None
        found = self._hangs.look(self.execution, bound)
        if found is not None:
            self.hung = found
            self.execution.halt()
        return found


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
        self.on_op = machine.on_op
        boot = self._new_cpu(program, (machine,), None)
        self.current = boot
        self.run = [boot]
        try:
            self.scheduler.spawned(boot)
            for hook in machine.hooks.begin:
                hook(machine)
        except Exception as error:
            raise not_the_program_s(error) or internal_error(error) from error
        self._body(boot)
        if self.engine.hung is not None:
            raise HostHang(self.engine.hung.violation.message, self.engine.hung)
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

    def _body(self, cpu: ControlledCpu, life: Callable[[Cpu], None] | None = None) -> None:
        """All that a CPU does, on its own thread; whatever is raised, the baton goes on.

        That is its `life`, or an interrupt after it.
        """
        try:
            self._live(cpu, life or self.machine.live)
        except Halt:
            pass
        except BaseException as error:  # as it was judged
            self._give_up(not_the_program_s(error) or internal_error(error))
        cpu.done = True
        nxt: ControlledCpu | None = None
        try:
            nxt = self._after(cpu)
        except Halt:
            pass
        except BaseException as error:
            self._give_up(not_the_program_s(error) or internal_error(error))
        if nxt is not None:
            self._pass_to(nxt)
        elif self.halting:
            self._unwind(cpu)

    def _live(self, cpu: ControlledCpu, life: Callable[[Cpu], None]) -> None:
        """Run `life`, and judge what leaves it."""
        try:
            cpu.started = True
            if cpu.index:
                if self.halting:
                    raise Halt
                self._perform(cpu, cpu.pending)
                if cpu.latched:
                    self.machine.take_interrupts(cpu)
            life(cpu)
        except Halt:
            pass
        except BaseException as error:
            verdict = verdict_on(cpu, error)
            if isinstance(verdict, Violation):
                self.abort(verdict)
            else:
                self._give_up(verdict)

    def _after(self, cpu: ControlledCpu) -> ControlledCpu | None:
        """Who goes on when the CPU has ended; None if it is CPU 0, or the execution is over."""
        if cpu is self._stopped:
            self._stopped = None
            self.run = [cpu, *self._others]
            if not cpu.index:
                self._outlast(cpu)
        return None if self.halting or not cpu.index else self._retire(cpu)

    def _retire(self, cpu: ControlledCpu) -> ControlledCpu:
        """The running CPU ended well: who goes on."""
        self.run.remove(cpu)
        joiners, cpu.joiners = cpu.joiners, []
        for joiner in joiners:
            alive = self._alive(joiner) if joiner.everybody else None
            if alive is None:
                self.ready(joiner)
            else:
                self._await_end(joiner, alive)
        return self._next(cpu)

    def _outlast(self, boot: ControlledCpu) -> None:
        """The boot CPU failed alone: the execution lasts until the others have done what they can."""
        self.run.remove(boot)
        self._pass_to(self._next(boot))
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
        self._ended()
        self.halting = True

    def _ended(self) -> None:
        """Tell the scheduler."""
        try:
            self.scheduler.ended(self.machine)
        except Exception as error:
            self._give_up(not_the_program_s(error) or internal_error(error))

    def interrupt(self) -> None:
        """End the execution at its next step; any thread may ask."""
        self._limit = -1

    def halt(self) -> None:
        """Make every CPU unwind at its next arrival, with no verdict; any thread may ask."""
        self.halting = True
        self.run = []

    def whole_log(self) -> list[int]:
        """The log so far, without what is done inside a step of several accesses."""
        return list(self.log if self.inside is None else self.inside.outer_log)

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
        while True:
            if not target.done:
                self._await_end(cur, target, stop=True)
            self.point(target.ops_join)
            cur.wants = None
            if not cur.roused and not (cur.latched and not cur.closed):
                break
            self._leave_joiners(cur)
            self.attend(cur)
        for hook in self.machine.hooks.joined:
            hook(cur, target)

    def join_all(self) -> None:
        """See all others end, in one step: seeing them one by one would be choices that change nothing."""
        cur = self.current
        cur.everybody = True
        while True:
            alive = self._alive(cur)
            if alive is not None:
                self._await_end(cur, alive, stop=True)
            self.point(ops.JOIN_ALL)
            cur.wants = None
            if not cur.roused and not (cur.latched and not cur.closed):
                break
            self._leave_joiners(cur)
            self.attend(cur)
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

    def _leave_joiners(self, cur: ControlledCpu) -> None:
        for cpu in self._cpus():
            if cur in cpu.joiners:
                cpu.joiners.remove(cur)

    def rouse(self, cpu: ControlledCpu) -> None:  # type: ignore[override]  # its CPUs are ours
        if cpu.done:
            cpu.done = False
            cpu.pending = cpu.ops_join - ops.JOIN + ops.RESUME
            cpu.worker.job = partial(self._body, cpu, self.machine.live_on)
            self.ready(cpu)
        elif self.spins(cpu):
            self.ready(cpu)
        elif cpu not in self.run and self.machine.interrupts(cpu):
            cpu.roused = True
            self.ready(cpu)
        if cpu.latched and not cpu.closed and cpu.wants is None and cpu.started and not cpu.done:
            cpu.pending = cpu.resume_code

    def _await_end(self, cur: ControlledCpu, cpu: ControlledCpu, stop: bool = False) -> None:
        """Let `cur`, which may have to `stop` for that, wait until `cpu` has ended."""
        if stop and self.machine.interrupts(cur):
            cur.roused = True
        elif stop:
            self.stop(cur)
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
