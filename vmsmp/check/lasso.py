"""Lassos: whether an endless run repeats a loop, how long the loop is, and where it starts.

Fair picks depend only on the state, so a run that returns to a state repeats from there on: a stem and
a loop.  A program's own variables cannot be fully observed from outside.  Therefore only runs that are
given up at the step limit anyway are examined, to describe them: their log is searched for a loop at
its end, and the objects used in the loop are compared from one iteration to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine import ops
from vmsmp.sync.lock import Lock

if TYPE_CHECKING:
    from vmsmp.engine.machine import Machine

#: The minimum number of iterations that make a loop.
ROUNDS: Final = 8


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop at the end of a log: the entry at which it starts, and the entries per iteration."""

    entered: int
    length: int


def loop_at_end(log: list[int], start: int) -> Loop | None:
    """Return the shortest loop that the log repeats `ROUNDS` times at its end, searching from `start` on.

    Reads backwards: the log has period p for as long as its end agrees with its end without the last p
    entries; the Z algorithm (Gusfield 1997) finds that length for all p in linear time.
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
    """Return the current state of the locks and words used in one iteration, by identity.

    Words with values that are not plain, and drawn data, never compare equal to a later state.
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
