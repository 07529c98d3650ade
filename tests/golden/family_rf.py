"""The recordings of reference counts with waiters."""

from __future__ import annotations

from follower import Family
from recording import Run
from vmsmp.machine import Machine


class Refcount(Family):
    """`ra` acquires, `rr` releases with a wakeup, `rw` waits for zero."""

    def __init__(self, machine: Machine, run: Run) -> None:
        super().__init__(machine, run)
        for n in range(run.number("refs")):
            ref = machine.refcount(run.number("refs", 1), f"rf{n}")
            self.channels[f"rf{n}"] = ref
            self.words[f"rf{n}.count"] = (ref.count, "{:x}".format)

    def call(self, cpu: int, words: list[str]) -> tuple[int, int]:
        name, ref, *_ = words
        count = self.channels[f"rf{ref}"]
        if name == "rr":
            return int(count.release_wakeup()), 0
        (count.acquire if name == "ra" else count.wait)()
        return 0, 0
