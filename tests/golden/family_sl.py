"""The recordings of sleeps and wakeups."""

from __future__ import annotations

from typing import Any

from follower import Family
from recording import Run
from vmsmp.machine import Machine
from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.sync.sleepq import bucket_of


class Sleeping(Family):
    """`il CH`, `sl CH TICKS` after it, `sl0 CH TICKS` without it, `wk CH`, `wk1 CH`; flags.

    `set FLAG` sets a flag, and `wf CH FLAG TICKS` sleeps until it is set.  Channels are in a bucket each or
    all in one, as the run says.
    """

    strict_queues = True

    def __init__(self, machine: Machine, run: Run) -> None:
        super().__init__(machine, run)
        self._one_bucket = bool(run.number("same"))
        idents = _idents(run.number("channels"), self._one_bucket)
        self.channels = {f"ch{n}": ident for n, ident in enumerate(idents)}
        self._flags = [machine.atomic(0, f"fl{n}") for n in range(run.number("flags"))]
        for n, flag in enumerate(self._flags):
            self.words[f"fl{n}"] = (flag, str)

    def channel(self, bucket: int) -> str:
        return "all" if self._one_bucket else super().channel(bucket)

    def call(self, cpu: int, words: list[str]) -> tuple[int, int]:
        name, channel, *rest = words
        if name == "set":
            self._flags[int(channel)].store(1)
            return 0, 0
        return self._sleeps(name, self.channels[f"ch{channel}"], [int(number) for number in rest]), 0

    def _sleeps(self, name: str, ident: Any, rest: list[int]) -> int:
        machine = self.machine
        if name in ("sl", "sl0"):
            return machine.tsleep(ident, PINTERLOCKED if name == "sl" else 0, "", rest[0])
        if name == "wf":
            return self._wait_for(ident, *rest)
        {"il": machine.tsleep_interlock, "wk": machine.wakeup, "wk1": machine.wakeup_one}[name](ident)
        return 0

    def _wait_for(self, ident: Any, flag: int, timo: int) -> int:
        while True:
            self.machine.tsleep_interlock(ident)
            if self._flags[flag].load():
                return 0
            self.machine.tsleep(ident, PINTERLOCKED, "", timo)


def _idents(count: int, same: bool) -> list[str]:
    """Channels of one bucket, or of as many."""
    found: list[str] = []
    for n in range(1000):
        ident = f"ch{n}"
        taken = [bucket_of(other) for other in found]
        if len(found) < count and (not found or (bucket_of(ident) in taken) == same):
            found.append(ident)
    return found
