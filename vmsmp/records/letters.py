"""Letters: which lock protects a field, as the kernel's own legends write it.

`"S+Q"` asks for what S and Q stand for, `"S|Q"` for either, `""` for nothing.  A record's legend gives
each letter its meaning, in words and as a predicate over a CPU and a record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from vmsmp.engine.cpu import Cpu


class Letter(NamedTuple):
    """What a letter stands for: `text` for reports, `holds(cpu, record)` for checkers."""

    text: str
    holds: Callable[[Cpu, Any], bool]


Legend = Mapping[str, Letter]


@lru_cache(256)
def alternatives(letters: str) -> tuple[str, ...]:
    """The alternatives, each a string of letters that must all hold: `"S+Q|B"` is `("SQ", "B")`."""
    return tuple(alternative.replace("+", "") for alternative in letters.split("|"))


def in_words(legend: Legend, letters: str) -> str:
    """The letters in words."""
    return ", or ".join(
        " and ".join(legend[letter].text for letter in alternative) for alternative in alternatives(letters)
    )
