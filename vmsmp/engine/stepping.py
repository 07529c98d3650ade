"""Who can run and who does: the door through which every step of a controlled execution passes.

`point` is the door.  A CPU that arrives there has named its next operation; the scheduler picks a
runnable CPU; if it is the same one nothing is handed over, else the baton goes straight from thread
to thread and the arriving one sleeps until it is picked.  On return the caller performs its
operation, and everything up to its next arrival belongs to the same step.  So deciding, performing
and attributing an operation are one thing, and checkers that look at an arrival see all other CPUs
parked before theirs.
A CPU that is picked with an interrupt latched takes that instead, and then stands before its operation once
more; where it waits for something (`Cpu.wants`) it takes it there.

`run` holds the runnable CPUs in order of index.  A CPU that cannot go on leaves it before it arrives
and is put back by the CPU that wakes it.  The scheduler is asked only when there is a choice.

A CPU that spins (`pause`) leaves `run` too, until another CPU writes what it reads (`spin`).  In the
second half of the step limit no spinner is held back.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from vmsmp.engine import injection, ops, trace
from vmsmp.engine.clock import VirtualClock
from vmsmp.engine.controlled_cpu import ControlledCpu
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.gate import UNDIVIDED, Gate
from vmsmp.engine.indivisible import Indivisible, refuse
from vmsmp.engine.machine import Machine
from vmsmp.engine.scheduler import Scheduler
from vmsmp.engine.spin import Spinners, only_read
from vmsmp.engine.trouble import foreign_thread, internal_error, not_the_program_s
from vmsmp.engine.verdict import FailureKind
from vmsmp.engine.wait import GRANTED, WaitEnd
from vmsmp.engine.workers import give, take
from vmsmp.errors import Halt


def may_end(limit: int) -> str:
    """What is to be said of a run at its step limit that has not come back to a state."""
    return f"it may end all the same after more than {limit:,} steps and hand-offs (max_steps, --max-steps)"


class Stepping:
    """The steps of one execution, up to `max_steps` log entries."""

    __slots__ = (
        "_alarmed",
        "_base_pick",
        "_least",
        "_limit",
        "_patient",
        "_spinners",
        "_stopped",
        "_timers",
        "clock",
        "current",
        "draws",
        "forced",
        "halting",
        "inside",
        "log",
        "machine",
        "max_steps",
        "on_op",
        "pick",
        "run",
        "scheduler",
    )

    machine: Machine
    current: ControlledCpu

    def __init__(self, scheduler: Scheduler, max_steps: int) -> None:
        self.scheduler = scheduler
        self.max_steps = max_steps
        # schedulers know a `Cpu`; all CPUs here are ours
        self.pick: Callable[[Any, Any], Any] = scheduler.pick
        self._base_pick: Callable[[Any, Any], Any] = scheduler.pick
        self.run: list[ControlledCpu] = []
        self.log: list[int] = []
        self.draws: list[int] = []
        self.on_op: tuple[Callable[..., None], ...] = ()
        self.clock = VirtualClock()
        self.halting = False
        #: The CPU that failed and unwinds while the others go on.
        self._stopped: ControlledCpu | None = None
        self._timers: list[ControlledCpu] = []
        self._alarmed: list[ControlledCpu] = []
        self._spinners: Spinners | None = None  # made by the first one
        #: The scheduler is asked if more CPUs than that can run.
        self.forced = self._least = 0 if scheduler.sees_all else 1
        #: The step of several accesses under way, if there is one.
        self.inside: Indivisible | None = None
        self._limit = max_steps // 2
        #: Whether the first half of the step limit lasts.
        self._patient = True

    # -- the door -------------------------------------------------------------------------------

    def point(self, code: int) -> None:
        """Stand before `code`; return when it is to be performed, with all others parked."""
        cur = self.current
        cur.pending = code
        run = self.run
        log = self.log
        try:
            if len(run) > self.forced:
                nxt = self.pick(cur, run)
            elif run:
                nxt = run[0]
            else:
                nxt = self._idle(cur)
        except Exception as error:
            self._broken(error)
        if nxt is not cur:
            if get_ident() != cur.ident:
                self._foreign()
            self.current = nxt
            log.append(-1 - nxt.index)
            give(nxt.baton, 1)
            take(cur.baton)
            if self.halting:
                raise Halt
            if cur.latched and not cur.closed and cur.wants is None:
                self._interrupt(cur, code)
                return
        if self.on_op:
            try:
                for hook in self.on_op:
                    hook(cur, code)
            except Exception as error:
                self._broken(error)
        log.append(code)
        if len(log) > self._limit:
            self._too_long()

    def _broken(self, error: Exception) -> NoReturn:
        """A scheduler or an observer raised: the execution is over, and no program may catch why.

        A recursion without end is the program's own doing, wherever it comes to its limit.
        """
        if isinstance(error, RecursionError):
            raise error
        self._give_up(not_the_program_s(error) or internal_error(error))
        raise Halt from error

    def _give_up(self, error: BaseException) -> None:
        """End the execution without a verdict; it raises the first such error at its caller."""
        raise NotImplementedError

    def _foreign(self) -> NoReturn:
        """A thread that is no CPU's performs an operation."""
        error = foreign_thread()
        self._give_up(error)
        raise error

    def _next(self, cur: ControlledCpu) -> ControlledCpu:
        """Who goes on after `cur`, which has ended: as `point`, which has it inline for its speed."""
        run = self.run
        if len(run) > self.forced:
            nxt: ControlledCpu = self.pick(cur, run)
        elif run:
            nxt = run[0]
        else:
            nxt = self._idle(cur)
        self.log.append(-1 - nxt.index)
        return nxt

    def failed(self) -> None:
        """The try just performed changed nothing: write it down as its even kind."""
        self.log[-1] -= 1

    def attend(self, cpu: ControlledCpu) -> None:
        """The step just performed was an interrupt's, which ended the wait of `cpu`: take it."""
        cpu.roused = False
        self.log[-1] = cpu.resume_code
        self.machine.take_interrupts(cpu)

    def _interrupt(self, cpu: ControlledCpu, code: int) -> None:
        """Take the interrupt that is latched, which is a step of its own, and stand before `code` again."""
        resume = cpu.resume_code
        for hook in self.on_op:
            hook(cpu, resume)
        self.log.append(resume)
        self.machine.take_interrupts(cpu)
        self.point(code)

    def _too_long(self) -> None:
        """The second half of the step limit is for the slow and the unlucky: no spinner is held back."""
        if self._limit < 0:
            self.machine.fail(FailureKind.INTERRUPTED, "stopped from outside")
        if len(self.log) > self.max_steps:
            self._endless("no end in sight after the step limit", [may_end(self.max_steps)])
        if self._patient:
            self._patient = False
            self._base_pick = self._fair
            if not self._alarmed:
                self.pick = self._fair
            self._release_spinners()
        for hook in self.machine.hooks.late:
            hook(self.machine)

    def _endless(self, why: str, facts: Iterable[str] = ()) -> NoReturn:
        for hook in self.machine.hooks.endless:
            hook(self.machine, why)
        self.machine.fail(FailureKind.LIVELOCK, why, facts)

    @staticmethod
    def _fair(cur: Cpu, run: list[Cpu]) -> Cpu:
        for cpu in run:
            if cpu.index > cur.index:
                return cpu
        return run[0]

    # -- blocking -------------------------------------------------------------------------------

    def ready(self, cpu: Any) -> None:
        """`cpu` can go on: it is a candidate from the next arrival on."""
        if self.halting or cpu.done or cpu in self.run:
            return
        if self._spinners is not None:
            self._spinners.reads.pop(cpu, None)
        run = self.run
        at = len(run)  # by hand: for so few a key costs more than the search saves
        while at and run[at - 1].index > cpu.index:
            at -= 1
        run.insert(at, cpu)
        if cpu.deadline is not None:
            self._timers.remove(cpu)
            cpu.deadline = None
        if cpu.alarmed:
            self._disarm(cpu)

    def unready(self, cpu: ControlledCpu, due: int | None) -> None:
        """`cpu` was made ready too soon; its wait may end by a timeout at `due`."""
        self.run.remove(cpu)
        if due is not None:
            self._limit_wait(cpu, due - self.clock.ticks)

    def stop(self, cpu: ControlledCpu) -> None:
        """Take `cpu` out of the runnable ones; in an execution that is over, unwind it."""
        if self.halting or cpu is self._stopped:
            raise Halt
        if self.inside is not None:
            refuse(cpu, "a wait")
        self.run.remove(cpu)

    def sleep(self, code: int, timeout: int | None) -> WaitEnd:
        """Take the running CPU off until `ready`; say how the sleep ended."""
        cur = self.current
        self.park(cur, timeout)
        self.point(code)
        return cur.wait_end

    def park(self, cpu: ControlledCpu, timeout: int | None) -> None:
        """As `stop`, of a wait that may end by a timeout or by the scheduler's will.

        `timeout` is in ticks from now; 0 or less if it has run out already.
        """
        cpu.wait_end = GRANTED
        self.stop(cpu)
        self._limit_wait(cpu, timeout)

    def _limit_wait(self, cpu: ControlledCpu, timeout: int | None) -> None:
        if timeout is not None:
            cpu.deadline = self.clock.ticks + timeout
            self._timers.append(cpu)
        if injection.may_end(self.machine.options, cpu, timeout):
            injection.add(self._alarmed, cpu)
            self.forced = 0
            self.pick = self._pick_alarmed

    def _disarm(self, cpu: ControlledCpu) -> None:
        cpu.alarmed = False
        self._alarmed.remove(cpu)
        if not self._alarmed:
            self.forced = self._least
            self.pick = self._base_pick

    def _pick_alarmed(self, cur: ControlledCpu, run: list[ControlledCpu]) -> ControlledCpu:
        """A pick while some waits may be ended by the scheduler."""
        nxt: ControlledCpu = self._base_pick(cur, injection.candidates(self._alarmed, run))
        if nxt.alarmed:
            end = injection.inject(self.machine.options, nxt)
            if end is WaitEnd.TIMEOUT and nxt.deadline is not None:
                self.clock.advance(nxt.deadline)
            self.ready(nxt)
        return nxt

    def _idle(self, cur: ControlledCpu) -> ControlledCpu:
        """Nobody can run: unwind, let time pass, let spinners look again, or call it a deadlock."""
        if self.halting or cur is self._stopped:
            raise Halt
        for hook in self.machine.hooks.idle:
            hook(self.machine)
            if self.run:  # the hook woke a CPU, to see what that would have changed
                return self.run[0]
        if self._timers:
            return self._time_out()
        spinners = self._spinners
        if spinners is not None and spinners.reads:
            if spinners.may_look_again(self.log):
                self._release_spinners()
                return self.run[0]
            self._endless("every CPU that could run spins on what nobody will write")
        waits = [f"{c} waits: {c.wants.mode} {c.wants.what}" for c in self.machine.cpus if c.wants]
        self.machine.fail(FailureKind.DEADLOCK, "no CPU can run", waits)

    def _time_out(self) -> ControlledCpu:
        """Let time pass until the first wait times out."""
        first = min(self._timers, key=lambda c: (c.deadline, c.index))
        assert first.deadline is not None
        self.clock.advance(first.deadline)
        first.wait_end = WaitEnd.TIMEOUT
        self.ready(first)
        self._release_spinners()
        return first

    # -- giving way -----------------------------------------------------------------------------

    def yield_(self) -> None:
        self.scheduler.yielded(self.current)
        self.point(ops.YIELD)

    def pause(self) -> None:
        cur = self.current
        self.scheduler.yielded(cur)
        if cur.pause_mark >= 0 and self._patient:
            read = only_read(self.log, cur.pause_mark, cur.index)
            if read is not None:
                self.stop(cur)
                self._hold_back(cur, read)
        self.point(ops.PAUSE)
        cur.pause_mark = len(self.log)

    def _hold_back(self, cur: ControlledCpu, read: frozenset[int]) -> None:
        """`cur` runs again when another CPU writes what it reads."""
        if self._spinners is None:
            self._spinners = Spinners()
        self._spinners.reads[cur] = read
        self.show()

    def show(self) -> None:
        if self.inside is None:
            shown = self.machine.on_op
            spinning = self._spinners is not None and self._spinners.reads
            self.on_op = (*shown, self._wake_spinners) if spinning else shown

    def _wake_spinners(self, _cpu: Cpu, code: int) -> None:
        """Called for each operation while a CPU spins: a write wakes the CPUs that read that object."""
        spinners = self._spinners
        if code & 1 and spinners is not None:
            for cpu in spinners.written(code >> ops.KIND_BITS):
                self.ready(cpu)
            if not spinners.reads:
                self.show()

    def _release_spinners(self) -> None:
        if self._spinners is not None:
            for cpu in self._spinners.release():
                cpu.pause_mark = -1
                self.ready(cpu)
            self.show()

    def indivisible(self) -> Indivisible:
        return Indivisible(self)

    def written(self, codes: list[int]) -> None:
        """The running CPU performed these in one step: wake the CPUs that spin on what it wrote."""
        spinners = self._spinners
        for code in codes:
            if spinners is not None and spinners.reads:
                self._wake_spinners(self.current, code)

    def gate(self) -> Gate:
        return Gate(self)

    def host_lock(self) -> AbstractContextManager[None]:
        """A step is atomic by itself."""
        return UNDIVIDED

    # -- how it stands --------------------------------------------------------------------------

    @property
    def ticks(self) -> int:
        return self.clock.ticks

    def can_run(self, cpu: Cpu) -> bool:
        return cpu in self.run

    def spins(self, cpu: ControlledCpu) -> bool:
        """Whether `cpu` is held back because it spins."""
        return self._spinners is not None and cpu in self._spinners.reads

    def anyone_spins(self) -> bool:
        return self._spinners is not None and bool(self._spinners.reads)

    def recent(self, cpu: Cpu) -> list[int]:
        return [code for index, code in trace.steps(self.log) if index == cpu.index][-16:]

    def position(self, cpu: Cpu) -> int:
        """How many entries the log has."""
        return len(self.log)

    def step_at(self, position: int) -> int:
        return max(0, trace.count_steps(self.log[:position]) - 1)  # reports count from 0

    def progress(self) -> object:
        """What changes as long as a CPU gets on."""
        return id(self.log), len(self.log)
