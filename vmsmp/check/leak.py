"""Leaks: a CPU that ends its program still holding a lock."""

from __future__ import annotations

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer


class Leak(Observer):
    """Checks what every CPU still holds when it ends."""

    def exits(self, cpu: Cpu) -> None:
        if cpu.held:
            locks = ", ".join(sorted({str(hold.lock) for hold in cpu.held}))
            cpu.machine.fail(
                "leak",
                f"ended holding {locks}",
                [f"{cpu} holds {hold.mode} {hold.lock}" for hold in cpu.held],
            )
