"""What a controlled run leaves behind: its log, and the digest of it.

The log is one flat list of integers.  A number >= 0 is an operation performed (see `ops`); a
number < 0, `-1 - cpu`, says that this CPU performs what follows.  Nothing else is kept while a
search runs; the story with places and values is made by running the same schedule once more.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Iterator

from vmsmp.engine import ops

#: Steps between two rolling digests.
STRIDE = 64


def _bytes(log: list[int]) -> bytes:
    words = array("q", log)
    if sys.byteorder == "big":  # a digest is the same on every machine
        words.byteswap()
    return words.tobytes()


def digest(log: list[int]) -> str:
    """Name the whole run: equal logs, equal digests, on every interpreter and machine."""
    return hashlib.blake2b(_bytes(log), digest_size=8).hexdigest()


def rolling(log: list[int], stride: int = STRIDE) -> list[str]:
    """Digests after every `stride` entries: the first that differs brackets a divergence."""
    running = hashlib.blake2b(digest_size=8)
    marks = []
    for start in range(0, len(log), stride):
        running.update(_bytes(log[start : start + stride]))
        marks.append(running.hexdigest())
    return marks


def steps(log: list[int]) -> Iterator[tuple[int, int]]:
    """Yield (cpu, operation) for each step of the log."""
    cpu = 0
    for code in log:
        if code < 0:
            cpu = -1 - code
        else:
            yield cpu, code


def count_steps(log: list[int]) -> int:
    """How many operations a log holds."""
    return len([code for code in log if code >= 0])  # of the ways to count, the fastest


def divergence(recorded: list[int], seen: list[int]) -> str | None:
    """Say where two logs part, or None if they are the same."""
    if recorded == seen:
        return None
    pairs = zip(steps(recorded), steps(seen), strict=False)
    for n, (was, now) in enumerate(pairs):
        if was != now:
            return f"step {n}: recorded {_step(was)}, now {_step(now)}"
    short, long = sorted((recorded, seen), key=len)
    which = "recorded" if short is recorded else "new"
    return f"the {which} run ends after {count_steps(short)} of {count_steps(long)} steps"


def _step(step: tuple[int, int]) -> str:
    cpu, code = step
    ident = ops.object_of(code)
    return (
        f"cpu{cpu} {ops.NAMES[ops.kind_of(code)]} object {ident & (ops.MAX_CPUS - 1)}.{ident >> ops.CPU_BITS}"
    )
