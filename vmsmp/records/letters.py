"""Letters: which lock protects a field, as the kernel's own legends write it.

`"S+Q"` asks for what S and Q stand for, `"S|Q"` for either, `""` for nothing.  A record's legend gives
each letter its meaning, in words and as a predicate over a CPU and a record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from vmsmp.engine.cpu import Cpu


#: Whether a CPU holds what is asked of whoever touches that record.
Holds = Callable[[Cpu, Any], bool]


class Letter(NamedTuple):
    """What a letter stands for: `text` for reports, `holds(cpu, record)` for checkers."""

    text: str
    holds: Holds


Legend = Mapping[str, Letter]


@lru_cache(256)
def alternatives(letters: str) -> tuple[str, ...]:
    """The alternatives, each a string of letters that must all hold: `"S+Q|B"` is `("SQ", "B")`."""
    return tuple(alternative.replace("+", "") for alternative in letters.split("|"))


def requirement(legend: Legend, letters: str) -> Holds | None:
    """The letters as one predicate; None if they ask for nothing."""
    if not letters:
        return None
    return _either([_both([legend[name].holds for name in names]) for names in alternatives(letters)])


def _both(asked: list[Holds]) -> Holds:
    """All of them.  A lone predicate stays as it is: it is asked at every access."""
    first, *others = asked
    if not others:
        return first
    rest = _both(others)
    return lambda cpu, record: first(cpu, record) and rest(cpu, record)


def _either(asked: list[Holds]) -> Holds:
    """At least one of them."""
    first, *others = asked
    if not others:
        return first
    rest = _either(others)
    return lambda cpu, record: first(cpu, record) or rest(cpu, record)


def in_words(legend: Legend, letters: str) -> str:
    """The letters in words."""
    return ", or ".join(
        " and ".join(legend[letter].text for letter in alternative) for alternative in alternatives(letters)
    )
