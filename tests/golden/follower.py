"""Follows a recording: the exact depth of the model does the same, with the same CPU at every step.

The follower is a scheduler.  It goes through the lines of a recording and runs, at each line, the CPU of that
line until it has done what the line says.  What must be the same are the *strong* lines: a strict word
(a lock's) that changes, an IPI to a sleeper, the end of a sleep, a return.  All others only pace the model: a
line that it has no operation for is left out, and an operation that has no line is done on the way.
`Family` says for each family of recordings which words there are and what the calls mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recording import Line, Run
from vmsmp.engine import ops
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.observer import Observer
from vmsmp.engine.options import Options
from vmsmp.engine.scheduler import Scheduler
from vmsmp.engine.wait import WaitEnd
from vmsmp.engine.workers import WorkerPool
from vmsmp.errors import VmsmpError
from vmsmp.machine import Machine

LOADS = (ops.LOAD, ops.ATOMIC_LOAD)
#: Lines with no counterpart among the operations.
UNSEEN = ("start", "end", "pause")
QUEUE_WORD = re.compile(r"cpu(\d+)\.slpque\[(\d+)\]\.ident(\d)")
MASK_WORD = re.compile(r"slpque_cpumasks\[(\d+)\]")


class Difference(VmsmpError):
    """The model does something else than the recording says."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        #: What is alike in all differences of the same cause.
        self.kind = kind


class Over(VmsmpError):
    """The recording ends before the program does."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a CPU is about to do, in the words of a recording."""

    kind: str
    word: str = ""


class Family:
    """How the programs of one family of recordings run on the model.  Subclasses say what a call does."""

    #: Whether the words of the sleep queues are strict, too.
    strict_queues = False

    def __init__(self, machine: Machine, run: Run) -> None:
        self.machine = machine
        self.run = run
        #: The words of locks: by the recording's name, the model's word and how its value is written.
        self.words: dict[str, tuple[Any, Callable[[Any], str]]] = {}
        #: The idents of sleeps, by the recording's name.
        self.channels: dict[str, Any] = {}

    def call(self, cpu: int, words: list[str]) -> tuple[int, int]:
        """Make one call of a program; what it returned, and how many calls to leave out after it."""
        raise NotImplementedError

    def drawn(self, cpu: int, at: int) -> int | None:
        """What a draw of that CPU gives at that line, or None if the line itself must say it."""
        return None

    def channel(self, bucket: int) -> str:
        """The recording's name of the channels of a bucket."""
        from vmsmp.sync.sleepq.exact import bucket_of

        names = [name for name, ident in self.channels.items() if bucket_of(ident) == bucket]
        return names[0] if names else "?"


class Watch(Observer):
    """Tells a follower of every operation."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def op(self, cpu: Any, code: int) -> None:
        self._follower.performs(cpu, code)


class Follower(Scheduler):
    """Runs the model along one recording."""

    sees_all = True

    def __init__(self, run: Run) -> None:
        self.run = run
        self.lines = run.lines
        self.at = 0
        self.family: Family = None  # type: ignore[assignment]  # made with the machine
        self._names: dict[int, str] = {}
        self._values: dict[str, str] = {}
        self._returns: dict[int, tuple[int, int]] = {}
        #: The CPU that was picked, and the line that its operation is held against.
        self._picked: Any = None
        self._expected: Line | None = None
        self._did = ""
        self._marker: Any = None

    # -- the program ----------------------------------------------------------------------------

    def program(self, machine: Machine, family: type[Family]) -> None:
        """What the boot CPU runs: the recording's programs, each on its CPU."""
        self.family = family(machine, self.run)
        self._marker = machine.cell(0, "return")
        self._names = {word.ident: name for name, (word, _) in self.family.words.items()}
        self._values = self._look()
        for index in range(1, len(self.run.programs) + 1):
            machine.spawn(self._body, index)
        machine.join()

    def _body(self, index: int) -> None:
        left_out = 0
        for n, text in enumerate(self.run.programs[index - 1]):
            if left_out:
                left_out -= 1
                continue
            value, left_out = self.family.call(index, text.split(" "))
            self._returns[index] = (n, value)
            self._marker.load()

    # -- the scheduler --------------------------------------------------------------------------

    def pick(self, current: Any, run: list[Any]) -> Any:
        self._settle()
        self._picked = self._decide(run)
        return self._picked

    def choose(self, cpu: Any, n: int, drawn: int) -> int:
        line, self._expected = self._expected, None
        told = self.family.drawn(cpu.index, self.at)
        if told is not None:
            if line is not None:
                self.at += 1
            return told
        if line is None or line.kind != "choose":
            raise Difference("draw", f"the model draws a number and the recording has {self._here()}")
        self.at += 1
        return int(line.new)

    def performs(self, cpu: Any, code: int) -> None:
        """A CPU performs an operation next, picked or as the only one that can."""
        if cpu is not self._picked:
            self._settle()
            if self._decide([cpu]) is not cpu:
                raise Difference("order", f"only {cpu} can run, and the recording has {self._here()}")
        self._picked = None
        self._did = f"cpu{cpu.index} {self.family.machine.describe(code)}" if self.family else ""

    def _decide(self, run: list[Any]) -> Any:
        if run and not run[0].index:  # the boot CPU starts the others and waits for them
            return run[0]
        for cpu in run:
            if ops.kind_of(cpu.pending) == ops.INTERLOCK and not self._queues_next(cpu.index):
                return cpu
        while self.at < len(self.lines):
            line = self.lines[self.at]
            cpu = next((one for one in run if one.index == line.cpu and not self._asleep(one, line)), None)
            if line.kind not in UNSEEN and cpu is not None:
                subject = self._subject(cpu)
                if self._matches(subject, line):
                    self._check(cpu, line)
                    self._expected = line
                    return cpu
                if not self._comes(subject, line.cpu):
                    self._refuse(cpu, subject)
                    return cpu
            if self._strong(line):
                who = f"cpu{line.cpu}"
                raise Difference(f"{who} cannot run"[5:], f"{who} cannot run, and the recording has {line}")
            self.at += 1
        if self.run.outcome == "endless":
            raise Over
        return run[0]

    def _queues_next(self, cpu: int) -> bool:
        """Whether the CPU's next line is about its sleep queue: then an interlock comes just before it.

        One that moves the CPU to another queue was in its critical section before: it takes no IPI any more.
        """
        for line in self.lines[self.at :]:
            if line.cpu == cpu:
                moves = line.kind == "store" and line.where.startswith("_tsleep_interlock")
                return line.word.startswith(("q", "mask.")) and not moves
        return False

    def _asleep(self, cpu: Any, line: Line) -> bool:
        """Whether the CPU sleeps and only a timeout could end that, which the line is not."""
        return cpu.alarmed and not (line.kind == "resume" and line.new == "timeout")

    def _subject(self, cpu: Any) -> Subject:
        """What the CPU stands before."""
        kind, ident = ops.kind_of(cpu.pending), ops.object_of(cpu.pending)
        if ident == self._marker.ident:
            return Subject("ret")
        if kind in ops.WORDS:
            word = self._names.get(ident) or self._queue_word(ident)
            return Subject("load" if kind in LOADS else "store", word)
        if kind == ops.IPI:
            return Subject("ipi", f"cpu{self.family.machine.find(ident).cpu.index}")
        return Subject({ops.SLEEP: "sleep", ops.RESUME: "resume", ops.CHOOSE: "choose"}.get(kind, ""))

    def _queue_word(self, ident: int) -> str:
        name = getattr(self.family.machine.find(ident), "name", "")
        if found := QUEUE_WORD.fullmatch(name):
            return f"q{found[1]}.{self.family.channel(int(found[2]))}.{found[3]}"
        if found := MASK_WORD.fullmatch(name):
            return f"mask.{self.family.channel(int(found[1]))}"
        return ""

    @staticmethod
    def _matches(subject: Subject, line: Line) -> bool:
        if subject.kind == "load":
            return line.kind == "load" and line.word == subject.word
        if subject.kind == "store":
            return line.kind in (
                "cmpfail",
                "cmpset",
                "add",
                "store",
                "setbits",
                "clearbits",
                "swap",
                "sub",
            ) and (line.word == subject.word)
        return bool(subject.kind) and line.kind == subject.kind and subject.word in ("", line.word)

    def _comes(self, subject: Subject, cpu: int) -> bool:
        """Whether what the CPU stands before is among its lines up to the next strong one."""
        for line in self.lines[self.at :]:
            if line.cpu == cpu:
                if self._matches(subject, line):
                    return True
                if self._strong(line):
                    return False
        return False

    def _strong(self, line: Line) -> bool:
        if line.kind == "ipi":
            return line.new == "asleep"
        if line.kind in ("ret", "resume"):
            return True
        strict = self.family.strict_queues or not line.word.startswith(("q", "mask."))
        return line.changes and strict

    def _check(self, cpu: Any, line: Line) -> None:
        """What can be held against the line before the operation is done."""
        if line.kind == "ret" and self._returns[cpu.index] != (int(line.word), int(line.new)):
            n, value = self._returns[cpu.index]
            raise Difference(
                f"returns {value} for {line.new}", f"cpu{cpu.index}'s call {n} returned {value}: {line}"
            )
        if line.kind == "resume":
            late = cpu.alarmed or cpu.wait_end is WaitEnd.TIMEOUT
            if late != (line.new == "timeout"):
                how = "a timeout" if late else "a wakeup"
                raise Difference(f"{how} ends the sleep", f"{how} ends the sleep of cpu{cpu.index}: {line}")
        if line.kind == "ipi":
            asleep = self.family.machine.cpus[int(line.word[3:])].td.idle
            if asleep != (line.new == "asleep"):
                state = "asleep" if asleep else "awake"
                raise Difference(f"the target of an IPI is {state}", f"{line.word} is {state}: {line}")

    def _refuse(self, cpu: Any, subject: Subject) -> None:
        """Raises: Difference if the operation without a line is one that needs one."""
        self._expected = None
        if subject.kind == "ret":
            n, value = self._returns[cpu.index]
            raise Difference(
                f"a return of {value} for {self._next(cpu.index)}",
                f"cpu{cpu.index}'s call {n} returned {value}, and the recording has {self._next(cpu.index)}",
            )
        if subject.kind == "ipi" and self.family.machine.cpus[int(subject.word[3:])].td.idle:
            raise Difference(
                "an IPI more", f"cpu{cpu.index} sends an IPI to {subject.word}: {self._next(cpu.index)}"
            )

    def _next(self, cpu: int) -> str:
        """The next strong line of a CPU, without its number."""
        for line in self.lines[self.at :]:
            if line.cpu == cpu and self._strong(line):
                return f"{line.kind} {line.word} {line.old} {line.new} {line.where}"
        return f"the end ({self.run.outcome})"

    def _here(self) -> str:
        return str(self.lines[self.at]) if self.at < len(self.lines) else f"the end ({self.run.outcome})"

    # -- what was done --------------------------------------------------------------------------

    def _look(self) -> dict[str, str]:
        return {name: text(word.peek()) for name, (word, text) in self.family.words.items()}

    def _settle(self) -> None:
        """Hold what the last operation changed against its line."""
        if self._marker is None:
            return
        before, self._values = self._values, self._look()
        line, self._expected = self._expected, None
        changed = [
            (name, old, self._values[name]) for name, old in before.items() if old != self._values[name]
        ]
        wanted = [(line.word, line.old, line.new)] if line is not None and line.changes else []
        if wanted and wanted[0][0] not in self._values:
            wanted = []
        if changed != wanted:
            raise Difference(
                f"{_change(changed)} for {_change(wanted)}" + (f" {line.where}" if line else ""),
                f"{self._did} changes {_change(changed)}, and the recording has {line or self._here()}",
            )
        if line is not None:
            self.at += 1

    def finish(self) -> None:
        """Hold the end against the recording's."""
        self._settle()
        machine = self.family.machine
        found = machine.violation
        outcome = "ok" if found is None else "panic" if "panic" in found.message else str(found.kind)
        if self.at < len(self.lines) and any(self._strong(line) for line in self.lines[self.at :]):
            raise Difference(f"{outcome} too soon", f"{found.message if found else outcome}: {self._here()}")
        if outcome != self.run.outcome and self.run.outcome != "endless":
            raise Difference(
                f"{outcome} for {self.run.outcome}", f"{found.message if found else ''}: {self.run.message}"
            )
        for name, value in self._values.items():
            wanted = self.run.left.get(name, value if value == "-" else "0")
            if self.run.outcome == "ok" and value != wanted:
                raise Difference(f"{name} is left", f"{name} is left {value}, not {wanted}")


def _change(changes: list[tuple[str, str, str]]) -> str:
    return ", ".join(f"{word} {old} -> {new}" for word, old, new in changes) or "nothing"


def follow(run: Run, family: type[Family], pool: WorkerPool) -> None:
    """Follow one recording.

    Raises: Difference where the model does something else.
    """
    follower = Follower(run)
    execution = ControlledEngine(pool, max_steps=10_000_000).prepare(follower)
    options = Options(locks="exact", timeouts="any")
    machine = Machine(execution, options=options, hooks=Hooks([Watch(follower)]))
    try:
        pool.drive(lambda: execution.execute(machine, lambda m: follower.program(m, family)))
        follower.finish()
    except Over:
        pass
    finally:
        machine.close()
