"""A command of the kernel debugger, declared beside the code whose state it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vmsmp.errors import UsageError, quoted


@dataclass(frozen=True, slots=True)
class ShowCommand:
    """`show NAME [ARGUMENT]`.

    `help` has one entry for each form of the command: the form and what it shows.  `show(vm, argument)`
    returns the text; `argument` is None if none was given.
    """

    name: str
    help: tuple[tuple[str, str], ...]
    show: Callable[[Any, str | None], str]


def whole_number(text: str) -> int:
    """Parse a number typed at the prompt.

    Raises: UsageError for anything else.
    """
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"ddb: {quoted(text)} is not a number")
    return int(text)
