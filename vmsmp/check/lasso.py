"""Lasso: whether a run that has no end goes round, in how many steps, and since when.

Fair picks depend on nothing but the state, so a run that comes back to a state goes round from there
on: a stem and a loop.  A program's own variables cannot be seen whole from outside.  So this is
asked only of runs that are given up at the step limit anyway, to say what they do: their log is
searched for a loop at its end, and what was used in the loop is compared from one turn to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine import ops
from vmsmp.sync.lock import Lock

if TYPE_CHECKING:
    from vmsmp.engine.machine import Machine

#: How often a loop is gone round at least.
ROUNDS: Final = 8


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop at the end of a log: the entry at which it was entered, and how many make one turn."""

    entered: int
    length: int


def loop_at_end(log: list[int], start: int) -> Loop | None:
    """The shortest loop that the log has gone round `ROUNDS` times at its end, looked for from `start` on.

    Reads backwards: the log has a period p for as long as its end and its end without the last p
    entries agree, which the Z algorithm (Gusfield 1997) finds for all p in linear time.
    """
    back = log[: start - 1 if start else None : -1]
    agree = [0] * len(back)
    left = right = 0
    for p in range(1, len(back)):
        same = min(right - p, agree[p - left]) if p < right else 0
        while p + same < len(back) and back[same] == back[p + same]:
            same += 1
        if p + same > right:
            left, right = p, p + same
        agree[p] = same
        if p + same >= ROUNDS * p:
            return Loop(len(log) - p - same, p)
        if p * ROUNDS > len(back):
            break
    return None


def used(machine: Machine, turn: list[int]) -> dict[int, Any]:
    """Locks and words that were used in a turn as they are now, by identity.

    Words of other than plain values, and data that were drawn, are not the same a second time.
    """
    now: dict[int, Any] = {}
    for code in sorted(set(turn)):
        thing = machine.find(code >> ops.KIND_BITS) if code >= 0 else None
        if code >= 0 and code & ops.KIND_MASK == ops.CHOOSE:
            now[0] = object()
        elif thing is not None and hasattr(thing, "value"):
            plain = thing.value is None or isinstance(thing.value, int | str)
            now[code >> ops.KIND_BITS] = thing.value if plain else object()
        elif isinstance(thing, Lock):
            now[code >> ops.KIND_BITS] = thing.state()
    return now
