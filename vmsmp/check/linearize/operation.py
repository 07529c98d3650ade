"""One operation of a history, and values as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from vmsmp.errors import UsageError, in_words

#: The longest text of a value.
_SHOWN_TEXT: Final = 80


class _AnyResult(Enum):
    """The type of `ANY`."""

    ANY = "?"


#: The result of an operation that has not returned: whatever the specification allows.  It is not None,
#: which is a result like any other.
ANY: Final = _AnyResult.ANY


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a history, from its call to its return.

    An operation that returned at 3 precedes one called at 4; at equal stamps they overlap.
    `ret` is None while it is pending: it may have taken effect or not.  `commit` is the moment at which
    it did, if known.

    Raises: UsageError for an operation that returns before it is called.
    """

    cpu: int
    name: str
    args: tuple[Any, ...] = ()
    result: Any = None
    call: int = 0
    ret: int | None = None
    commit: int | None = None

    def __post_init__(self) -> None:
        if self.ret is not None and self.ret < self.call:
            raise UsageError(f"{self} returns before it is called")

    def __str__(self) -> str:
        result = "?" if self.ret is None else show(self.result)
        return f"cpu{self.cpu} {self.name}({', '.join(show(a) for a in self.args)}) -> {result}"

    def when(self) -> str:
        """The stamps of its call and its return."""
        return f"{self.call}..{self.ret if self.ret is not None else ''}"


def show(value: Any) -> str:
    """Return a value as text that is the same in every process: no addresses, no hash order."""
    text = _text(value)
    return text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 3]}..."


def _text(value: Any) -> str:
    if isinstance(value, frozenset | set):
        return "{" + ", ".join(sorted(_text(one) for one in value)) + "}"
    if type(value) is tuple:
        inside = ", ".join(_text(one) for one in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", in_words(value, repr))
