"""Lassos: whether an endless run repeats a loop, how long the loop is, and where it starts.

Fair picks depend only on the state, so a run that returns to a state repeats from there on: a stem and
a loop.  Runs that near the step limit are examined: their log is searched for a loop at its end, and then
the whole state (`check.whole_state`) is compared from one iteration to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
