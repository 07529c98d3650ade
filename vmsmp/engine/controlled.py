"""The controlled engine: real threads, one at a time, a scheduler's pick before every step.

`point` is the door.  A CPU that arrives there has named its next operation; the scheduler picks a
runnable CPU; if it is the same one nothing is handed over, else the baton goes straight from thread
to thread and the arriving one sleeps until it is picked.  On return the caller performs its
operation, and everything up to its next arrival belongs to the same step.  So deciding, performing
and attributing an operation are one thing, and checkers that look at an arrival see all other CPUs
parked before theirs.

`run` holds the runnable CPUs in order of index.  A CPU that cannot go on takes itself out of it
before it arrives, and whoever makes it able to puts it back.  Picks are asked for only when there
is a choice.

A CPU that spins (`pause`) leaves `run` if it has only read since its last turn and nobody has
written what it read: its next turn would be the same.  It comes back with the first such write, or
when nobody else can run, or at half of the step limit: its loop may count its turns.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NoReturn

from vmsmp.engine import ops, trace
from vmsmp.engine.clock import VirtualClock
from vmsmp.engine.cpu import Cpu, Wait, WaitEnd, WaitMode
from vmsmp.engine.gate import Gate
from vmsmp.engine.machine import Machine, violation_of
from vmsmp.engine.verdict import FailureKind, Violation
from vmsmp.engine.workers import WorkerPool, give, take
from vmsmp.errors import Halt, VmsmpError

if TYPE_CHECKING:
    from vmsmp.engine.scheduler import Scheduler

#: How often in a row every CPU may spin with nothing written before that is called a livelock.
SPIN_ROUNDS: Final = 100
#: Timeouts and spurious wakeups that the search may inject into one CPU in one execution.
INJECTIONS: Final = 4

_by_index = attrgetter("index")


class ControlledEngine:
    """Runs executions one after another on one pool, each under its scheduler's picks.

    `max_steps` ends an execution as a livelock; from half of it on the picks are a fair round
    robin, in a replay as in a search, so that a scheduler's own unfairness is not reported.
    """

    controlled: Final = True

    def __init__(self, pool: WorkerPool, *, max_steps: int = 100_000) -> None:
        self.pool = pool
        pool.engine = self
        self.max_steps = max_steps
        self.machine: Machine
        self.scheduler: Scheduler
        self.pick: Callable[[Cpu, list[Cpu]], Cpu]
        self._base_pick: Callable[[Cpu, list[Cpu]], Cpu]
        self.current: Cpu
        self.run: list[Cpu] = []
        self.log: list[int] = []
        self.draws: list[int] = []
        self.on_op: tuple[Callable[[Cpu, int], None], ...] = ()
        self.clock = VirtualClock()
        self.timers: list[Cpu] = []
        self.alarmed: list[Cpu] = []
        self.spinning: dict[Cpu, frozenset[int]] = {}
        self.halting = False
        self.violation_inside: BaseException | None = None
        self._forced = self._least = 1
        self._stopped: Cpu | None = None
        self._others: list[Cpu] = []
        #: How long the log was when the execution failed.
        self.violation_at = 0
        self._limit = max_steps // 2
        self._futile = 0
        self._futile_mark = 0
        self._patient = True
        self.interrupted = False

    # -- one execution --------------------------------------------------------------------------

    def execute(self, machine: Machine, program: Callable[..., Any], scheduler: Scheduler) -> list[int]:
        """Run `program(machine)` to its end and return the log.

        Runs on the thread of CPU 0 (`WorkerPool.drive`).  What went wrong is in `machine.violation`.
        """
        self.machine = machine
        self.scheduler = scheduler
        self.pick = self._base_pick = scheduler.pick
        self.log = []
        self.draws = []
        self.on_op = machine.hooks.op
        self.clock = VirtualClock()
        self.timers.clear()
        self.alarmed.clear()
        self.spinning.clear()
        self.halting = False
        self.violation_inside = None
        self._forced = self._least = 0 if scheduler.sees_all else 1
        self._stopped = None
        self._others = []
        self.violation_at = 0
        self._limit = self.max_steps // 2
        self._futile = 0
        self._patient = True
        boot = self._new_cpu(program, (machine,), "cpu0")
        self.current = boot
        self.run = [boot]
        scheduler.spawned(boot)
        for hook in machine.hooks.begin:
            hook(machine)
        self._body(boot)
        if self.violation_inside is not None:
            raise self.violation_inside
        if not self.halting:
            scheduler.ended(machine)
        return self.log

    def _new_cpu(self, fn: Callable[..., Any], args: tuple[Any, ...], name: str | None) -> Cpu:
        index = len(self.machine.cpus)
        cpu = Cpu(self.machine, index, fn, args, name or f"cpu{index}")
        cpu.worker = self.pool.worker(index)
        cpu.baton = cpu.worker.baton
        self.machine.add_cpu(cpu)
        return cpu

    def _body(self, cpu: Cpu) -> None:
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

    def _retire(self, cpu: Cpu) -> None:
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

    def _outlast(self, boot: Cpu) -> None:
        """The boot CPU failed alone: the execution lasts until the others have done what they can."""
        self.run.remove(boot)
        try:
            nxt = self._next(boot)
        except Halt:
            return
        self._pass_to(nxt)
        take(boot.baton)

    def _unwind(self, cpu: Cpu) -> None:
        """The execution failed: the baton visits every CPU so that each unwinds, CPU 0 last."""
        while True:
            nxt = next((c for c in self.machine.cpus[1:] if c.started and not c.done), None)
            if cpu.index:
                self._pass_to(nxt or self.machine.cpus[0])
                return
            if nxt is None:
                return
            self._pass_to(nxt)
            take(cpu.baton)

    def _pass_to(self, cpu: Cpu) -> None:
        self.current = cpu
        give(cpu.baton, 1)

    def _give_up(self, error: BaseException) -> None:
        """End the execution without a verdict; `execute` raises the first such error."""
        self.violation_inside = self.violation_inside or error
        self.halting = True
        self.run = []

    def abort(self, violation: Violation, *, stop: bool = True) -> bool:
        """Keep the first verdict and make every CPU unwind at its next arrival.

        For a scheduler that wants to see all of a run only the failing CPU stops, and not even that
        one unless `stop`.  Whether the caller has to unwind.
        """
        if self.halting:
            return True
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

    # -- the door -------------------------------------------------------------------------------

    def point(self, code: int) -> None:
        """Stand before `code`; return when it is to be performed, with all others parked."""
        cur = self.current
        cur.pending = code
        run = self.run
        log = self.log
        if len(run) > self._forced:
            nxt = self.pick(cur, run)
        elif run:
            nxt = run[0]
        else:
            nxt = self._idle(cur)
        if nxt is not cur:
            self.current = nxt
            log.append(-1 - nxt.index)
            give(nxt.baton, 1)
            take(cur.baton)
            if self.halting:
                raise Halt
        if self.on_op:
            for hook in self.on_op:
                hook(cur, code)
        log.append(code)
        if len(log) > self._limit:
            self._too_long()

    def _perform(self, cpu: Cpu, code: int) -> None:
        """What `point` does on return, for a CPU's very first step."""
        for hook in self.on_op:
            hook(cpu, code)
        self.log.append(code)

    def _next(self, cur: Cpu) -> Cpu:
        """Who goes on after `cur`, which has ended: as `point`, which has it inline for its speed."""
        run = self.run
        if len(run) > self._forced:
            nxt = self.pick(cur, run)
        elif run:
            nxt = run[0]
        else:
            nxt = self._idle(cur)
        self.log.append(-1 - nxt.index)
        return nxt

    def failed(self) -> None:
        """The try just performed changed nothing: write it down as its even kind."""
        self.log[-1] -= 1

    def interrupt(self) -> None:
        """End the execution under way at its next step; any thread may ask."""
        self.interrupted = True
        self._limit = -1

    def _too_long(self) -> None:
        """The second half of the step limit is for the slow and the unlucky: no spinner is held back."""
        if self.interrupted:
            self.machine.fail(FailureKind.INTERRUPTED, "stopped from outside")
        if len(self.log) > self.max_steps:
            self._endless("no end in sight after the step limit")
        if self._patient:
            self._patient = False
            self._base_pick = self._fair
            if not self.alarmed:
                self.pick = self._fair
            self._release_spinners()
        for hook in self.machine.hooks.late:
            hook(self.machine)

    def _endless(self, why: str) -> NoReturn:
        for hook in self.machine.hooks.endless:
            hook(self.machine, why)
        self.machine.fail(FailureKind.LIVELOCK, why)

    def _fair(self, cur: Cpu, run: list[Cpu]) -> Cpu:
        for cpu in run:
            if cpu.index > cur.index:
                return cpu
        return run[0]

    # -- blocking -------------------------------------------------------------------------------

    def ready(self, cpu: Cpu) -> None:
        """`cpu` can go on: it is a candidate from the next arrival on."""
        if self.halting or cpu.done or cpu in self.run:
            return
        run = self.run
        at = len(run)  # by hand: for so few a key costs more than the search saves
        while at and run[at - 1].index > cpu.index:
            at -= 1
        run.insert(at, cpu)
        if cpu.deadline is not None:
            self.timers.remove(cpu)
            cpu.deadline = None
        if cpu.alarmed:
            self._disarm(cpu)

    def _stop(self, cur: Cpu) -> None:
        """Take `cur` out of the runnable ones; in an execution that is over, unwind it."""
        if self.halting or cur is self._stopped:
            raise Halt
        self.run.remove(cur)

    def sleep(self, code: int, timeout: int | None) -> WaitEnd:
        """Take the running CPU off until `ready`; say how the sleep ended.

        `timeout` is in ticks, None for never.
        """
        cur = self.current
        self._park(cur, timeout)
        self.point(code)
        return cur.wait_end

    def _park(self, cur: Cpu, timeout: int | None) -> None:
        """Take `cur` out of the runnable ones, with the ways in which its wait may be cut short."""
        cur.wait_end = WaitEnd.GRANTED
        self._stop(cur)
        options = self.machine.options
        if timeout is not None:
            cur.deadline = self.clock.ticks + max(1, timeout)
            self.timers.append(cur)
        if cur.injections < INJECTIONS and (
            options.spurious or (timeout is not None and options.timeouts == "any")
        ):
            cur.alarmed = True
            insort(self.alarmed, cur, key=_by_index)
            self._forced = 0
            self.pick = self._pick_alarmed

    def _disarm(self, cpu: Cpu) -> None:
        cpu.alarmed = False
        self.alarmed.remove(cpu)
        if not self.alarmed:
            self._forced = self._least
            self.pick = self._base_pick

    def _pick_alarmed(self, cur: Cpu, run: list[Cpu]) -> Cpu:
        """A pick while some sleeps may be ended by the scheduler."""
        nxt = self._base_pick(cur, sorted([*run, *self.alarmed], key=_by_index))
        if nxt.alarmed:
            options = self.machine.options
            timed = nxt.deadline is not None and options.timeouts == "any"
            ways = [WaitEnd.TIMEOUT] if timed else []
            if options.spurious:
                ways.append(WaitEnd.SPURIOUS)
            nxt.wait_end = ways[nxt.injections % len(ways)]
            nxt.injections += 1
            if nxt.wait_end is WaitEnd.TIMEOUT and nxt.deadline is not None:
                self.clock.advance(nxt.deadline)
            self.ready(nxt)
        return nxt

    def _idle(self, cur: Cpu) -> Cpu:
        """Nobody can run: unwind, let time pass, let spinners look again, or call it a deadlock."""
        if self.halting or cur is self._stopped:
            raise Halt
        for hook in self.machine.hooks.idle:
            hook(self.machine)
            if self.run:  # this one tries what would have been if somebody had been woken
                return self.run[0]
        if self.timers:
            first = min(self.timers, key=lambda c: (c.deadline, c.index))
            assert first.deadline is not None
            self.clock.advance(first.deadline)
            first.wait_end = WaitEnd.TIMEOUT
            self.ready(first)
            self._release_spinners()
            return first
        if self.spinning:
            if any(code >= 0 and code & 1 for code in self.log[self._futile_mark :]):
                self._futile = 0
            self._futile += 1
            self._futile_mark = len(self.log)
            if self._futile <= SPIN_ROUNDS:
                self._release_spinners()
                return self.run[0]
        waits = [f"{c} waits: {c.wants.mode} {c.wants.what}" for c in self.machine.cpus if c.wants]
        if self.spinning:
            self._endless("every CPU that could run spins on what nobody will write")
        self.machine.fail(FailureKind.DEADLOCK, "no CPU can run", waits)

    def yield_(self) -> None:
        cur = self.current
        self.scheduler.yielded(cur)
        self.point(ops.YIELD)

    def pause(self) -> None:
        cur = self.current
        self.scheduler.yielded(cur)
        if cur.pause_mark >= 0 and self._patient:
            read = self._only_read(cur)
            if read is not None:
                self._stop(cur)
                self.spinning[cur] = read
                self.on_op = (*self.machine.hooks.op, self._wake_spinners)
        self.point(ops.PAUSE)
        cur.pause_mark = len(self.log)

    def _only_read(self, cur: Cpu) -> frozenset[int] | None:
        """What `cur` read since its last turn, or None if it or, after it, anybody wrote that."""
        read: set[int] = set()
        mine = True  # the turn began right after our own PAUSE
        for code in self.log[cur.pause_mark :]:
            if code < 0:
                mine = -1 - code == cur.index
            elif mine:
                if code & 1:
                    return None
                read.add(code >> ops.KIND_BITS)
            elif code & 1 and code >> ops.KIND_BITS in read:
                return None
        return frozenset(read)

    def _wake_spinners(self, _cpu: Cpu, code: int) -> None:
        """While somebody spins, every operation is looked at: a write wakes those who read that object."""
        if code & 1:
            ident = code >> ops.KIND_BITS
            for cpu in [c for c, read in self.spinning.items() if ident in read]:
                del self.spinning[cpu]
                self.ready(cpu)
            if not self.spinning:
                self.on_op = self.machine.hooks.op

    def _release_spinners(self) -> None:
        for cpu in list(self.spinning):
            cpu.pause_mark = -1
            self.ready(cpu)
        self.spinning.clear()
        self.on_op = self.machine.hooks.op

    # -- what a machine asks for ----------------------------------------------------------------

    @property
    def ticks(self) -> int:
        return self.clock.ticks

    def spawn(self, fn: Callable[..., Any], args: tuple[Any, ...], name: str | None) -> Cpu:
        parent = self.current
        ident = self.machine.identities.next(parent.index)
        self.point(ident << ops.KIND_BITS | ops.SPAWN)
        self.machine.room_for_one_more()
        cpu = self._new_cpu(fn, args, name)
        self.machine.identities.enroll(parent.index, cpu)
        cpu.pending = ident << ops.KIND_BITS | ops.START
        cpu.ops_join = ident << ops.KIND_BITS | ops.JOIN
        cpu.worker.job = partial(self._body, cpu)
        self.run.append(cpu)  # the highest index so far
        self.scheduler.spawned(cpu)
        for hook in self.machine.hooks.spawned:
            hook(parent, cpu)
        return cpu

    def join(self, target: Cpu) -> None:
        cur = self.current
        cur.everybody = False
        if not target.done:
            self._stop(cur)
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
            self._stop(cur)
            self._await_end(cur, alive)
        self.point(ops.JOIN_ALL)
        cur.wants = None
        for hook in self.machine.hooks.joined:
            for cpu in self.machine.cpus[1:]:
                if cpu is not cur:
                    hook(cur, cpu)

    def _alive(self, cur: Cpu) -> Cpu | None:
        """The first CPU beside the boot CPU and `cur` that has not ended, if there is one."""
        for cpu in self.machine.cpus[1:]:
            if not cpu.done and cpu is not cur:
                return cpu
        return None

    @staticmethod
    def _await_end(cur: Cpu, cpu: Cpu) -> None:
        cpu.joiners.append(cur)
        cur.wants = Wait(cpu, WaitMode.JOIN)

    def choose(self, n: int) -> int:
        self.point(ops.CHOOSE)
        cur = self.current
        drawn = self.scheduler.choose(cur, n, int(cur.rng("choose").random() * n))
        self.draws.append(drawn)
        return drawn

    def gate(self) -> Gate:
        """A place where CPUs wait for a condition and take it in one step."""
        return Gate(self)

    def recent(self, cpu: Cpu) -> list[int]:
        """The last operations of `cpu`, oldest first."""
        return [code for index, code in trace.steps(self.log) if index == cpu.index][-16:]
