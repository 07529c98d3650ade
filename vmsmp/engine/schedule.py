"""A schedule as a value: which program, with which choices, and a short list of preemptions.

The base policy is deterministic: the running CPU goes on until it blocks, ends or gives way; then
the lowest-numbered runnable CPU runs (after giving way: the next one in turn).  A preemption
`1.7>2` says that when cpu1 stands before its operation number 7 (counted from 0, its start), cpu2
runs instead; `1.7=3` that the choice cpu1 makes there comes out as 3.  If cpu2 sleeps, the
preemption ends its sleep by timeout or spuriously.  A preemption that does not apply is ignored,
so every subset is a schedule too.

It prints to one line and parses back::

    v1:NAME[+OPTION...]:SEED:PREEMPTIONS        v1:lost_update:2a:1.2>2,2.3>1

`OPTION` is what else decides the run: `exact` (lock depth), `any` (timeouts are choices),
`spurious`, `cpus=N`, `rounds=N` (the most turns of a loop), `steps=N` (the step limit),
`repair=NAME`, `mutant=ID`.  SEED is hexadecimal;
data drawn by the program comes from named streams of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

from vmsmp.errors import UsageError

VERSION: Final = "v1"
_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]+")
_STEP: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,9})([>=])([0-9]{1,9})")
_MAX_LINE: Final = 4_000_000
#: Log entries after which an execution counts as endless, unless the options say otherwise.
MAX_STEPS: Final = 100_000


@dataclass(frozen=True, slots=True, order=True)
class Preemption:
    """At operation `nth` of `cpu`: run CPU `value` instead, or (`choice`) let a draw be `value`."""

    cpu: int
    nth: int
    value: int
    choice: bool = False

    def __str__(self) -> str:
        return f"{self.cpu}.{self.nth}{'=' if self.choice else '>'}{self.value}"


@dataclass(frozen=True, slots=True)
class Options:
    """What decides a run beside the schedule itself.

    `locks`: "atomic" or "exact".  `timeouts`: "idle" (a timeout fires when nothing else can run) or
    "any" (whenever the scheduler says).  `spurious`: sleeps may end for no reason.  `cpus`: how
    many CPUs a scenario asks for (None: its own number).  `rounds`: how many turns a loop over `m.rounds`
    takes at most (None: all).  `max_steps`: after how many log entries an
    execution counts as endless.  `repairs`: named repairs of findings of
    the kernel's own.  `mutants`: guard removals to run with.  `races`: data races over plain cells fail
    a run, too.
    """

    locks: str = "atomic"
    timeouts: str = "idle"
    spurious: bool = False
    cpus: int | None = None
    repairs: frozenset[str] = field(default_factory=frozenset)
    mutants: frozenset[str] = field(default_factory=frozenset)
    max_steps: int = MAX_STEPS
    races: bool = False
    rounds: int | None = None

    def __post_init__(self) -> None:
        if self.locks not in ("atomic", "exact"):
            raise UsageError(f"locks must be 'atomic' or 'exact', not {self.locks!r}")
        if self.timeouts not in ("idle", "any"):
            raise UsageError(f"timeouts must be 'idle' or 'any', not {self.timeouts!r}")
        if self.cpus is not None and not 1 <= self.cpus <= 63:
            raise UsageError(f"cpus must be from 1 to 63, not {self.cpus}")
        if self.rounds is not None and self.rounds < 1:
            raise UsageError(f"rounds must be at least 1, not {self.rounds}")
        if self.max_steps < 1:
            raise UsageError(f"max_steps must be at least 1, not {self.max_steps}")
        for name in (*self.repairs, *self.mutants):
            if not _NAME.fullmatch(name):
                raise UsageError(f"{name!r} is not a name of a repair or mutant")

    @property
    def fair_from(self) -> int:
        """The log entries after which picks are fair: half of the step limit."""
        return self.max_steps // 2

    def words(self) -> list[str]:
        """The options that are not the default, each as it stands in a schedule line."""
        words = ["exact"] if self.locks == "exact" else []
        if self.timeouts == "any":
            words.append("any")
        if self.spurious:
            words.append("spurious")
        if self.races:
            words.append("races")
        if self.cpus is not None:
            words.append(f"cpus={self.cpus}")
        if self.rounds is not None:
            words.append(f"rounds={self.rounds}")
        if self.max_steps != MAX_STEPS:
            words.append(f"steps={self.max_steps}")
        words += [f"repair={name}" for name in sorted(self.repairs)]
        words += [f"mutant={name}" for name in sorted(self.mutants)]
        return words

    @classmethod
    def parse(cls, words: list[str], line: str) -> Options:
        options = cls()
        for word in words:
            key, _, value = word.partition("=")
            if word == "exact":
                options = replace(options, locks="exact")
            elif word == "any":
                options = replace(options, timeouts="any")
            elif word == "spurious":
                options = replace(options, spurious=True)
            elif word == "races":
                options = replace(options, races=True)
            elif key == "cpus" and re.fullmatch("[0-9]{1,3}", value):
                options = replace(options, cpus=int(value))
            elif key == "rounds" and re.fullmatch("[0-9]{1,9}", value):
                options = replace(options, rounds=int(value))
            elif key == "steps" and re.fullmatch("[0-9]{1,12}", value):
                options = replace(options, max_steps=int(value))
            elif key == "repair" and value:
                options = replace(options, repairs=options.repairs | {value})
            elif key == "mutant" and value:
                options = replace(options, mutants=options.mutants | {value})
            else:
                raise UsageError(f"schedule {shorten(line)!r}: unknown option {shorten(word)!r}")
        return options


@dataclass(frozen=True, slots=True)
class Schedule:
    """One run of one program, written down.  `str()` and `parse` are inverse."""

    program: str
    seed: int = 0
    preemptions: tuple[Preemption, ...] = ()
    options: Options = field(default_factory=Options)

    def __str__(self) -> str:
        name = "+".join([self.program, *self.options.words()])
        return f"{VERSION}:{name}:{self.seed:x}:{','.join(map(str, self.preemptions))}"

    def __len__(self) -> int:
        return len(self.preemptions)

    @classmethod
    def parse(cls, line: str) -> Schedule:
        """Read a line back.

        Raises: UsageError (a ValueError) in one sentence that names what is wrong with it.
        """
        line = line.strip()
        if len(line) > _MAX_LINE:
            raise UsageError(f"a schedule of {len(line):,} characters: the limit is {_MAX_LINE:,}")
        parts = line.split(":")
        if len(parts) != 4:
            raise UsageError(
                f"schedule {shorten(line)!r}: expected v1:NAME:SEED:PREEMPTIONS, "
                f"found {len(parts)} part{'s' if len(parts) != 1 else ''} instead of 4"
            )
        version, head, seed, steps = parts
        if version != VERSION:
            raise UsageError(f"schedule {shorten(line)!r}: version {version!r} is not {VERSION!r}")
        name, *words = head.split("+")
        if not _NAME.fullmatch(name):
            raise UsageError(f"schedule {shorten(line)!r}: {name!r} is not a program's name")
        if not re.fullmatch(r"[0-9a-f]{1,16}", seed):
            raise UsageError(f"schedule {shorten(line)!r}: seed {seed!r} is not hexadecimal")
        return cls(name, int(seed, 16), cls.parse_steps(steps, line), Options.parse(words, line))

    @staticmethod
    def parse_steps(text: str, line: str = "") -> tuple[Preemption, ...]:
        """Read the list of preemptions alone."""
        steps = []
        for word in text.split(",") if text else []:
            match = _STEP.fullmatch(word)
            if match is None:
                raise UsageError(
                    f"schedule {shorten(line or text)!r}: {shorten(word)!r} is not a preemption "
                    "(CPU.OPERATION>CPU or CPU.OPERATION=VALUE)"
                )
            cpu, nth, sign, value = match.groups()
            if int(cpu) > 63 or (sign == ">" and int(value) > 63):
                raise UsageError(f"schedule {shorten(line or text)!r}: {word!r} names a CPU above 63")
            steps.append(Preemption(int(cpu), int(nth), int(value), sign == "="))
        return tuple(steps)

    def with_steps(self, steps: tuple[Preemption, ...]) -> Schedule:
        return replace(self, preemptions=steps)


def program_name(program: object) -> str:
    """The name under which a program's schedules are written."""
    while hasattr(program, "func"):  # functools.partial
        program = program.func
    name = getattr(program, "__name__", type(program).__name__)
    return re.sub(r"[^A-Za-z0-9_.\-]+", "_", name).strip("_") or "program"


def shorten(text: str, limit: int = 60) -> str:
    """Cut a long line for a message."""
    return text if len(text) <= limit else text[: limit - 3] + "..."
