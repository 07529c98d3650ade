"""A schedule as a value: which program, with which choices, and a short list of preemptions.

The base policy is deterministic: the running CPU goes on until it blocks, ends or gives way; then
the lowest-numbered runnable CPU runs (after giving way: the next one in turn).  A preemption
`1.7>2` says that when cpu1 stands before its operation number 7 (counted from 0, its start), cpu2
runs instead; `1.7=3` that the choice cpu1 makes there comes out as 3.  If cpu2 sleeps, the
preemption ends its sleep by timeout or spuriously.  A preemption that does not apply is ignored,
so every subset is a schedule too.

It prints to one line and parses back::

    v1:NAME[+OPTION...]:SEED:PREEMPTIONS[:DIGEST]        v1:lost_update:2a:1.2>2,2.3>1

`OPTION` is what else decides the run: `exact` (lock depth), `any` (timeouts are choices), `spurious`,
`cpus=N`, `rounds=N` (the most turns of a loop), `pages=N` (free pages), `pressure`, `steps=N` (the step
limit), as large as `engine.limits` says, `repair=NAME`, `mutant=ID`.  SEED is hexadecimal; data drawn by the
program comes from named streams of it.  DIGEST is that of the run which the line was made of: whoever replays
it can tell whether it is the same run again, or one of another program of that name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

from vmsmp.engine.limits import LONGEST_LINE, LONGEST_NAME, MOST_CPUS, NTH_DIGITS, SEED_DIGITS
from vmsmp.engine.options import NAME, Options
from vmsmp.errors import UsageError, quoted

VERSION: Final = "v1"
#: What some editors put before a text.
BYTE_ORDER_MARK: Final = "\ufeff"
_STEP: Final = re.compile(rf"([0-9]{{1,2}})\.([0-9]{{1,{NTH_DIGITS}}})([>=])([0-9]{{1,{NTH_DIGITS}}})")
_DIGEST: Final = re.compile(r"[0-9a-f]{16}")
_SEED: Final = re.compile(rf"[0-9a-f]{{1,{SEED_DIGITS}}}")


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
class Schedule:
    """One run of one program, written down.  `str()` and `parse` are inverse."""

    program: str
    seed: int = 0
    preemptions: tuple[Preemption, ...] = ()
    options: Options = field(default_factory=Options)
    digest: str = ""

    def __str__(self) -> str:
        name = "+".join([self.program, *self.options.words()])
        line = f"{VERSION}:{name}:{self.seed:x}:{','.join(map(str, self.preemptions))}"
        return f"{line}:{self.digest}" if self.digest else line

    def __len__(self) -> int:
        return len(self.preemptions)

    @classmethod
    def parse(cls, line: str) -> Schedule:
        """Read a line back.

        Raises: UsageError (a ValueError) in one sentence that names what is wrong with it.
        """
        line = line.strip().removeprefix(BYTE_ORDER_MARK)
        if len(line) > LONGEST_LINE:
            raise UsageError(f"a schedule of {len(line):,} characters: the limit is {LONGEST_LINE:,}")
        parts = line.split(":")
        if len(parts) not in (4, 5):
            raise UsageError(
                f"schedule {quoted(line)}: expected v1:NAME:SEED:PREEMPTIONS, "
                f"found {len(parts)} part{'s' if len(parts) != 1 else ''} instead of 4"
            )
        version, head, seed, steps, *digest = parts
        if version != VERSION:
            raise UsageError(f"schedule {quoted(line)}: version {quoted(version)} is not {VERSION!r}")
        name, *words = head.split("+")
        if not NAME.fullmatch(name):
            raise UsageError(f"schedule {quoted(line)}: {quoted(name)} is not a program's name")
        if not _SEED.fullmatch(seed):
            raise UsageError(f"schedule {quoted(line)}: seed {quoted(seed)} is not hexadecimal")
        if digest and not _DIGEST.fullmatch(digest[0]):
            raise UsageError(f"schedule {quoted(line)}: {quoted(digest[0])} is not a digest of 16 digits")
        preemptions, options = cls.parse_steps(steps, line), Options.parse(words, line)
        return cls(name, int(seed, 16), preemptions, options, *digest)

    @staticmethod
    def parse_steps(text: str, line: str = "") -> tuple[Preemption, ...]:
        """Read the list of preemptions alone."""
        steps = []
        for word in text.split(",") if text else []:
            match = _STEP.fullmatch(word)
            if match is None:
                raise UsageError(
                    f"schedule {quoted(line or text)}: {quoted(word)} is not a preemption "
                    "(CPU.OPERATION>CPU or CPU.OPERATION=VALUE)"
                )
            cpu, nth, sign, value = match.groups()
            if int(cpu) > MOST_CPUS or (sign == ">" and int(value) > MOST_CPUS):
                raise UsageError(
                    f"schedule {quoted(line or text)}: {quoted(word)} names a CPU above {MOST_CPUS}"
                )
            steps.append(Preemption(int(cpu), int(nth), int(value), sign == "="))
        return tuple(steps)

    def with_steps(self, steps: tuple[Preemption, ...]) -> Schedule:
        """The same program with other preemptions, which make another run."""
        return replace(self, preemptions=steps, digest="")


def program_name(program: object) -> str:
    """The name under which a program's schedules are written."""
    while hasattr(program, "func"):  # functools.partial
        program = program.func
    name = getattr(program, "__name__", type(program).__name__)
    return re.sub(r"[^A-Za-z0-9_.\-]+", "_", name).strip("_")[:LONGEST_NAME] or "program"
