"""What decides a run beside its schedule: one frozen value, the same at every door.

Each field of `Options` declares its word on a schedule line, its limits and its help.  The words of a line,
their parser, the checks and the command line's arguments all come from these declarations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from vmsmp.engine.limits import LONGEST_NAME, MOST_CPUS, MOST_FREE, MOST_ROUNDS, MOST_STEPS
from vmsmp.errors import UsageError, in_words, quoted, shorten

#: A name that a schedule line can hold.
NAME: Final = re.compile(rf"[A-Za-z0-9_.\-]{{1,{LONGEST_NAME}}}")
#: Digits of a number on a line: enough to say what is wrong with one that is too large.
_DIGITS: Final = 20
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
            raise UsageError(f"{name} must be {self.usual!r} or {self.other!r}, not {quoted(value)}")

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
    """An integer from `low` to `high`; on a line `word=N`."""

    word: str
    low: int
    high: int
    help: str
    usual: int | None = None

    def check(self, name: str, value: int | None) -> None:
        """Raises: UsageError for a number out of range, and for what is no integer."""
        if value is None and self.usual is None:
            return
        if type(value) is not int or not self.low <= value <= self.high:
            found = shorten(in_words(value, repr))
            raise UsageError(f"{name} must be a number from {self.low} to {self.high:,}, not {found}")

    def words(self, value: int | None) -> list[str]:
        """The value as it stands on a line."""
        return [f"{self.word}={value}"] if value != self.usual else []

    def read(self, word: str, before: int | None) -> int | None:
        """The value after a word of a line; None if the word is not of this field."""
        found = re.fullmatch(f"{self.word}=([0-9]{{1,{_DIGITS}}})", word)
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
                raise UsageError(f"{quoted(one)} is not a name of a repair or mutant")

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
        Number("cpus", 1, MOST_CPUS, "CPUs that work (default: the scenario's own number)"), None
    )
    rounds: int | None = _option(
        Number("rounds", 1, MOST_ROUNDS, "most turns of the scenario's loops (default: its own number)"), None
    )
    pages: int | None = _option(
        Number(
            "pages",
            0,
            MOST_FREE,
            "pages that are free as the CPUs start (default: what the scenario has left)",
        ),
        None,
    )
    pressure: bool = _option(
        Flag("pressure", "another CPU allocates pages to the last, frees them, and begins anew"), False
    )
    max_steps: int = _option(
        Number(
            "steps",
            1,
            MOST_STEPS,
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
                try:
                    return replace(self, **{name: value})
                except UsageError as error:
                    raise UsageError(f"schedule {quoted(line)}: {error}") from None
        raise UsageError(f"schedule {quoted(line)}: unknown option {quoted(word)}")


#: How each field of `Options` is written, checked and asked for, by its name.
OPTION_KINDS: Final[dict[str, Any]] = {one.name: one.metadata["kind"] for one in fields(Options)}
