"""Checks of arguments that programs pass to primitives, made at the call."""

from __future__ import annotations

import operator
from typing import Any


def ticks(timo: int) -> int:
    """A timeout in ticks.

    Raises: ValueError for a negative one.
    """
    if timo < 0:
        raise ValueError(f"timo {timo}: a timeout is a number of ticks, or 0 for none")
    return timo


def whole(what: str, n: Any) -> int:
    """Return the number that was passed for `what`.

    Raises: TypeError if it is not a whole number.
    """
    try:
        return operator.index(n)
    except TypeError:
        raise TypeError(f"{what}({n!r}): a whole number is needed") from None
