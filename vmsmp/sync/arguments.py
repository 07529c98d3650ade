"""What programs hand to primitives, refused at once where it cannot be meant."""

from __future__ import annotations

import operator
from typing import Any


def ticks(timo: int) -> int:
    """A timeout in ticks.

    Raises: ValueError for a negative one.
    """
    if timo < 0:
        raise ValueError(f"timo {timo}: a wait lasts some ticks, or with 0 for ever")
    return timo


def whole(what: str, n: Any) -> int:
    """A number of something.

    Raises: TypeError if it is no whole number.
    """
    try:
        return operator.index(n)
    except TypeError:
        raise TypeError(f"{what}({n!r}): a whole number is needed") from None
