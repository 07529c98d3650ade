"""What decides a run beside its schedule: one frozen value, the same at every door.

Each field of `Options` declares its word on a schedule line, its limits and its help.  The words of a line,
their parser, the checks and the command line's arguments all come from these declarations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from vmsmp.errors import UsageError, shorten

#: A name that a schedule line can hold.
NAME: Final = re.compile(r"[A-Za-z0-9_.\-]+")
#: Log entries after which an execution counts as endless, unless somebody says otherwise.
MAX_STEPS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Choice:
    """One of two values.  The usual one is not written on a line, the other one as itself."""

    usual: str
    other: str
    help: str

    def check(self, name: str, value: str) -> None:
        """Raises: UsageError for a third value."""
        if value not in (self.usual, self.other):
            raise UsageError(f"{name} must be {self.usual!r} or {self.other!r}, not {value!r}")

    def words(self, value: str) -> list[str]:
        """The value as it stands on a line."""
        return [self.other] if value == self.other else []

    def read(self, word: str, before: str) -> str | None:
        """The value after a word of a line; None if the word is not of this field."""
        return self.other if word == self.other else None


@dataclass(frozen=True, slots=True)
class Flag:
    """On or off; a line that has its word switches it on."""

    word: str
    help: str

    def check(self, name: str, value: bool) -> None:
        """Anything is true or false."""

    def words(self, value: bool) -> list[str]:
        """The value as it stands on a line."""
        return [self.word] if value else []

    def read(self, word: str, before: bool) -> bool | None:
        """The value after a word of a line; None if the word is not of this field."""
        return True if word == self.word else None


@dataclass(frozen=True, slots=True)
class Number:
    """An integer from `low` to `high` (None: no limit); on a line `word=N`, of so many digits at most."""

    word: str
    low: int
    high: int | None
    digits: int
    help: str
    usual: int | None = None

    def check(self, name: str, value: int | None) -> None:
        """Raises: UsageError for a number out of range."""
        if value is None or (self.low <= value and (self.high is None or value <= self.high)):
            return
        limits = f"at least {self.low}" if self.high is None else f"from {self.low} to {self.high}"
        raise UsageError(f"{name} must be {limits}, not {value}")

    def words(self, value: int | None) -> list[str]:
        """The value as it stands on a line."""
        return [f"{self.word}={value}"] if value != self.usual else []

    def read(self, word: str, before: int | None) -> int | None:
        """The value after a word of a line; None if the word is not of this field."""
        found = re.fullmatch(f"{self.word}=([0-9]{{1,{self.digits}}})", word)
        return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Names:
    """A set of names; on a line `word=NAME` for each, in order."""

    word: str
    help: str
    metavar: str = "NAME"

    def check(self, name: str, value: Iterable[str]) -> None:
        """Raises: UsageError for a name that a line cannot hold."""
        for one in value:
            if not NAME.fullmatch(one):
                raise UsageError(f"{one!r} is not a name of a repair or mutant")

    def words(self, value: Iterable[str]) -> list[str]:
        """The value as it stands on a line."""
        return [f"{self.word}={one}" for one in sorted(value)]

    def read(self, word: str, before: frozenset[str]) -> frozenset[str] | None:
        """The value after a word of a line; None if the word is not of this field."""
        key, _, name = word.partition("=")
        return before | {name} if key == self.word and name else None


OptionKind = Choice | Flag | Number | Names


def _option(kind: OptionKind, default: Any) -> Any:
    return field(default=default, metadata={"kind": kind})


@dataclass(frozen=True, slots=True)
class Options:
    """What decides a run beside the schedule itself.  The order of the fields is that of their words.

    Raises: UsageError for a value out of its limits.
    """

    locks: str = _option(
        Choice("atomic", "exact", "depth of the locks (default: the scenario's own)"), "atomic"
    )
    timeouts: str = _option(
        Choice(
            "idle",
            "any",
            "when a timeout may fire: when nothing else can run, or whenever the scheduler says",
        ),
        "idle",
    )
    spurious: bool = _option(Flag("spurious", "sleeps may end for no reason"), False)
    races: bool = _option(Flag("races", "data races over plain cells are failures, too"), False)
    cpus: int | None = _option(
        Number("cpus", 1, 63, 3, "CPUs that work (default: the scenario's own number)"), None
    )
    rounds: int | None = _option(
        Number("rounds", 1, None, 9, "most turns of the scenario's loops (default: its own number)"), None
    )
    max_steps: int = _option(
        Number(
            "steps",
            1,
            None,
            12,
            f"steps and hand-offs after which a run counts as endless (default: {MAX_STEPS})",
            MAX_STEPS,
        ),
        MAX_STEPS,
    )
    repairs: frozenset[str] = _option(Names("repair", "repair a known finding; repeatable"), frozenset())
    mutants: frozenset[str] = _option(
        Names("mutant", "plant a catalogued bug; repeatable", "ID"), frozenset()
    )

    def __post_init__(self) -> None:
        for name, kind in OPTION_KINDS.items():
            kind.check(name, getattr(self, name))

    @property
    def fair_from(self) -> int:
        """The log entries after which picks are fair: half of the step limit."""
        return self.max_steps // 2

    def words(self) -> list[str]:
        """The options that are not the default, each as it stands on a schedule line."""
        return [word for name, kind in OPTION_KINDS.items() for word in kind.words(getattr(self, name))]

    @classmethod
    def parse(cls, words: Iterable[str], line: str) -> Options:
        """Read the words of `line` back.

        Raises: UsageError for an unknown word or a value out of its limits.
        """
        options = cls()
        for word in words:
            options = options._after(word, line)
        return options

    def _after(self, word: str, line: str) -> Options:
        """These options with what one word says."""
        for name, kind in OPTION_KINDS.items():
            value = kind.read(word, getattr(self, name))
            if value is not None:
                return replace(self, **{name: value})
        raise UsageError(f"schedule {shorten(line)!r}: unknown option {shorten(word)!r}")


#: How each field of `Options` is written, checked and asked for, by its name.
OPTION_KINDS: Final[dict[str, Any]] = {one.name: one.metadata["kind"] for one in fields(Options)}
