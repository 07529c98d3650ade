"""Leaks: a CPU that ends its program still holding a lock, and memory that is never freed."""

from __future__ import annotations

from typing import Any

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer


class Leak(Observer):
    """Checks what every CPU still holds when it ends, and what is still allocated when all have ended."""

    def exits(self, cpu: Cpu) -> None:
        if cpu.held:
            locks = ", ".join(sorted({str(hold.lock) for hold in cpu.held}))
            cpu.machine.fail(
                "leak",
                f"ended holding {locks}",
                [f"{cpu} holds {hold.mode} {hold.lock}" for hold in cpu.held],
            )

    def end(self, machine: Any) -> None:
        for _, things in sorted(machine.allocations.items()):
            for thing in things:
                if not thing.freed:
                    machine.fail("leak", f"{thing} never freed", thing.history())
