"""lockmgr's recordings."""

from __future__ import annotations

from typing import Any

from follower import Family
from recording import Run
from vmsmp.machine import Machine
from vmsmp.sync import errno
from vmsmp.sync.thread import Thread


class Lockmgr(Family):
    """`lk LOCK REQUEST|FLAG... [SKIP]`: a request, and how many calls to leave out if it fails."""

    def __init__(self, machine: Machine, run: Run) -> None:
        super().__init__(machine, run)
        for n in range(run.number("locks")):
            lock = machine.lockmgr(f"lk{n}", timo=run.number("locks", 1))
            self.channels[f"lk{n}"] = lock
            self.words[f"lk{n}.count"] = (lock.lk_count, "{:x}".format)
            self.words[f"lk{n}.holder"] = (lock.lk_lockholder, _holder)

    def call(self, cpu: int, words: list[str]) -> tuple[int, int]:
        _, lock, flags, *skip = words
        bits = 0
        for flag in flags.split("|"):
            bits |= getattr(errno, f"LK_{flag}")
        error = self.channels[f"lk{lock}"].lock(bits)
        return error, int(skip[0]) if error and skip else 0


def _holder(td: Any) -> str:
    if td is None:
        return "-"
    return f"cpu{td.cpu.index}" if isinstance(td, Thread) else "KERN"
