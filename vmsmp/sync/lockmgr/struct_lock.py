"""struct lock: the words that the requests work on, and their invariants."""

from __future__ import annotations

from typing import Any, Final

from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.sync.lockmgr.lock import LockmgrLock
from vmsmp.sync.lockmgr.word import (
    LKC_CANCEL,
    LKC_EXREQ,
    LKC_EXREQ2,
    LKC_SHARED,
    LKC_SMASK,
    LKC_UPREQ,
    LKC_XMASK,
    word_text,
)
from vmsmp.sync.services import Services
from vmsmp.sync.thread import Thread

#: lk_lockholder of a lock that was granted to a waiter that gave up, until it is released again.
LK_KERNTHREAD: Final = "LK_KERNTHREAD"


class StructLock(LockmgrLock):
    """struct lock: `lk_count` and `lk_lockholder`, beside `lk_flags`, `lk_timo` and `lk_wmesg`."""

    def __init__(self, machine: Services, name: str | None = None, timo: int = 0, flags: int = 0) -> None:
        super().__init__(machine, name, timo, flags)
        self.lk_count = machine.atomic(0, f"{self.name}.lk_count", format=word_text)
        self.lk_lockholder = machine.atomic(None, f"{self.name}.lk_lockholder", format=_holder)
        # ghost: the CPUs that own EXREQ or UPREQ, or were granted the lock for it and have not run since
        self.asking: set[Thread] = set()
        machine.words[self.lk_count.ident] = machine.words[self.lk_lockholder.ident] = self

    def read_count(self) -> int:
        return int(self.lk_count.load())

    def read_holder(self) -> Any:
        return self.lk_lockholder.load()

    def check_word(self) -> str | None:
        """INV-LK1, INV-LK2, INV-LK4, INV-LK5."""
        word = self.lk_count.peek()
        holding = self.holders
        owners = {cpu.index for cpu, mode in holding if mode == EXCLUSIVE}
        readers = [cpu for cpu, mode in holding if mode == SHARED]
        if word & LKC_XMASK and (readers or (word & LKC_SHARED and word & LKC_SMASK)):
            return "granted exclusively while readers hold it"
        if word & LKC_XMASK and word & LKC_SHARED:
            return "XMASK and SHARED are both set"
        if len(owners) > 1:
            return f"{len(owners)} exclusive owners"
        if bool(word & LKC_EXREQ) + bool(word & LKC_UPREQ) > len(self.asking):
            return "EXREQ or UPREQ is set and nobody owns it"
        holder = self.lk_lockholder.peek()
        if isinstance(holder, Thread) and owners and holder.cpu.index not in owners:
            return f"lk_lockholder is cpu{holder.cpu.index}, which does not own it"
        if word & LKC_SHARED and owners:
            return "SHARED is set while it is owned exclusively"
        if word >> 32 < len(readers):
            return f"{len(readers)} readers but the word counts {word >> 32}"
        return None

    def check_rest(self) -> str | None:
        """INV-LK3."""
        word = self.lk_count.peek()
        stale = LKC_XMASK | LKC_SMASK | LKC_EXREQ | LKC_UPREQ | LKC_EXREQ2 | LKC_CANCEL
        if word & stale or self.lk_lockholder.peek() is not None:
            return f"nobody uses it but lk_count is {word_text(word)}"
        return None

    def state(self) -> str:
        return f"{word_text(self.lk_count.peek())} ({super().state()})"


def _holder(td: Any) -> str:
    return f"cpu{td.cpu.index}" if isinstance(td, Thread) else str(td)
