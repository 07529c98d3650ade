"""The hooks by which checkers see records: accesses to their fields, and their shares."""

from __future__ import annotations

from typing import Any

from vmsmp.engine.cpu import Cpu
from vmsmp.engine.observer import Observer
from vmsmp.records.share import Share


class RecordObserver(Observer):
    """What can be seen of records.  Override what you need; the rest costs nothing."""

    interface = True

    def access(self, cpu: Cpu, record: Any, field: Any, write: bool) -> None:
        """`cpu` reads or writes a field that names its lock."""

    def watched(self, cpu: Cpu, record: Any, field: Any, write: bool) -> None:
        """As `access`, of the fields that are declared so, and of all fields of mortal records."""

    def took(self, cpu: Cpu, record: Any, share: Share) -> None:
        """`cpu` took a share with the operation just performed."""

    def gave(self, cpu: Cpu, record: Any, share: Share) -> None:
        """`cpu` is about to give a share back."""

    def allocated(self, cpu: Cpu, record: Any) -> None:
        """An allocator is about to return `record`."""

    def freed(self, cpu: Cpu, record: Any) -> None:
        """`record` is about to go back to its allocator."""
