"""The recordings of spinlocks."""

from __future__ import annotations

from follower import Family
from recording import Line, Run
from vmsmp.machine import Machine

CALLS = {
    "sx": "acquire",
    "ss": "acquire_shared",
    "st": "try_acquire",
    "sup": "try_upgrade",
    "su": "release",
    "sr": "release_shared",
}


class Spinlocks(Family):
    """`sx ss` take a lock, `st LOCK SKIP` tries, `sup` upgrades, `su sr` release."""

    def __init__(self, machine: Machine, run: Run) -> None:
        super().__init__(machine, run)
        for n in range(run.number("spins")):
            lock = machine.spinlock(f"sp{n}")
            self.channels[f"sp{n}"] = lock
            self.words[f"sp{n}.lock"] = (lock.lock, "{:x}".format)

    def call(self, cpu: int, words: list[str]) -> tuple[int, int]:
        name, lock, *skip = words
        got = getattr(self.channels[f"sp{lock}"], CALLS[name])()
        return int(bool(got)), int(skip[0]) if skip and not got else 0

    def drawn(self, cpu: int, at: int) -> int | None:
        """The reader's window: the draw of this turn, or where it was drawn once a get that of this get."""
        lines = self.run.lines
        if self.run.number("window") == 1:
            found: Line | None = None
            for line in lines[:at]:
                if line.cpu == cpu and line.kind in ("choose", "ret"):
                    found = line
            if found is not None and found.kind == "choose":
                return 1 - int(found.new)
        for line in lines[at:]:
            if line.cpu == cpu and line.kind == "choose":
                return 1 - int(line.new)
        return 1
