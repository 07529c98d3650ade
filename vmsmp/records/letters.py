"""Letters: which lock protects a field, written as in the kernel's own legends.

`"S+Q"` requires both S and Q, `"S|Q"` either of them, `""` nothing.  A record's legend defines each
letter, as text and as a predicate over a CPU and a record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from vmsmp.engine.cpu import Cpu

#: Whether a CPU holds the locks that an access to the record requires.
Holds = Callable[[Cpu, Any], bool]


class Letter(NamedTuple):
    """The meaning of a letter: `text` for reports, `holds(cpu, record)` for checkers."""

    text: str
    holds: Holds


Legend = Mapping[str, Letter]


@lru_cache(256)
def alternatives(letters: str) -> tuple[str, ...]:
    """Split letters into alternatives, whose letters must all hold: `"S+Q|B"` is `("SQ", "B")`."""
    return tuple(alternative.replace("+", "") for alternative in letters.split("|"))


def requirement(legend: Legend, letters: str) -> Holds | None:
    """Return the letters as one predicate; None if they require nothing."""
    if not letters:
        return None
    return _either([_both([legend[name].holds for name in names]) for names in alternatives(letters)])


def _both(asked: list[Holds]) -> Holds:
    """Conjunction.  A single predicate is returned as it is: it is evaluated at every access."""
    first, *others = asked
    if not others:
        return first
    rest = _both(others)
    return lambda cpu, record: first(cpu, record) and rest(cpu, record)


def _either(asked: list[Holds]) -> Holds:
    """Disjunction."""
    first, *others = asked
    if not others:
        return first
    rest = _either(others)
    return lambda cpu, record: first(cpu, record) or rest(cpu, record)


def in_words(legend: Legend, letters: str) -> str:
    """Return the letters as text."""
    return ", or ".join(
        " and ".join(legend[letter].text for letter in alternative) for alternative in alternatives(letters)
    )
