"""Letters: which lock protects a field, written as in the kernel's own legends.

`"S+Q"` requires both S and Q, `"S|Q"` either of them, `""` nothing.  A record's legend defines each
letter, as text and as a predicate over a CPU and a record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from vmsmp.engine.cpu import Cpu


class Letter(NamedTuple):
    """The meaning of a letter: `text` for reports, `holds(cpu, record)` for checkers."""

    text: str
    holds: Callable[[Cpu, Any], bool]


Legend = Mapping[str, Letter]
#: Alternatives, each a group of predicates that must all hold.
Alternatives = tuple[tuple[Callable[[Cpu, Any], bool], ...], ...]


@lru_cache(256)
def alternatives(letters: str) -> tuple[str, ...]:
    """Split letters into alternatives, whose letters must all hold: `"S+Q|B"` is `("SQ", "B")`."""
    return tuple(alternative.replace("+", "") for alternative in letters.split("|"))


def predicates(legend: Legend, letters: str) -> Alternatives:
    """Return the letters as predicates; an empty tuple for no letters."""
    if not letters:
        return ()
    return tuple(
        tuple(legend[letter].holds for letter in alternative) for alternative in alternatives(letters)
    )


def in_words(legend: Legend, letters: str) -> str:
    """Return the letters as text."""
    return ", or ".join(
        " and ".join(legend[letter].text for letter in alternative) for alternative in alternatives(letters)
    )
