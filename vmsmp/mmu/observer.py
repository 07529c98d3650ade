"""The hooks through which checkers see translations: filled, used, given up, and the frames behind them."""

from __future__ import annotations

from typing import Any

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer
from vmsmp.mmu.fault import Access
from vmsmp.mmu.walk import Translation


class MmuObserver(Observer):
    """Events of the memory-management units.  Override what you need; the rest costs nothing."""

    interface = True

    def walks(self, cpu: Cpu, root: int, va: int) -> None:
        """`cpu` is about to read the tables from the root on."""

    def walked(self, cpu: Cpu, found: Translation) -> None:
        """`cpu` has read, in the step under way, the last entry of a translation."""

    def filled(self, cpu: Cpu, entry: Translation) -> None:
        """`cpu` caches the translation from this step on."""

    def used(self, cpu: Cpu, entry: Translation, va: int, access: Access) -> None:
        """`cpu` accesses memory in this step, by that entry of its TLB."""

    def saw(self, cpu: Cpu, va: int, access: Access, value: Any) -> None:
        """`cpu` has read or stored the value at that address, in the step under way."""

    def wrote(self, cpu: Cpu, frame: int, offset: int, source: int | None) -> None:
        """`cpu` has stored to the piece of the frame at that byte, in the step under way.

        With `source` it has copied the piece from that frame.
        """

    def zeroed(self, cpu: Cpu, frame: int) -> None:
        """`cpu` has made all of the frame 0, in the step under way."""

    def settled(self, cpu: Cpu, root: int, va: int, npages: int) -> None:
        """`cpu` promises that no CPU uses more of these pages than the tables say by now."""

    def assigned(self, cpu: Cpu, frame: int, owner: str | None) -> None:
        """`cpu` gives the frame to somebody, or to nobody, in this step."""
