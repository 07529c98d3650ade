"""The hooks through which checkers see records: accesses to their fields, and their shares."""

from __future__ import annotations

from typing import Any

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer
from vmsmp.records.share import Share


class RecordObserver(Observer):
    """What observers can see of records.  Override what you need; the rest costs nothing."""

    interface = True

    def unlocked(self, cpu: Cpu, record: Any, field: Any, write: bool) -> None:
        """`cpu` reads or writes a field, or writes bits of a word, without what their letters require."""

    def watched(self, cpu: Cpu, record: Any, field: Any, write: bool) -> None:
        """`cpu` writes a field declared with `watch`, or one of a mortal record; or reads a freed one's."""

    def took(self, cpu: Cpu, record: Any, share: Share) -> None:
        """`cpu` took a share with the operation just performed."""

    def gave(self, cpu: Cpu, record: Any, share: Share) -> None:
        """`cpu` is about to return a share."""

    def handed(self, cpu: Cpu, record: Any, share: Share) -> None:
        """`cpu` is about to leave a share of its own to whoever finishes what it began."""

    def taken_over(self, cpu: Cpu, record: Any, share: Share) -> None:
        """`cpu` took over a share that was handed on."""

    def allocated(self, cpu: Cpu, record: Any) -> None:
        """An allocator is about to return `record`."""

    def freed(self, cpu: Cpu, record: Any) -> None:
        """`record` is about to be returned to its allocator."""
