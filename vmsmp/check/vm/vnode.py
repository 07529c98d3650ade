"""Vnodes: INV-VN1, a vnode's count says how many references are out; INV-VN7, who writes pages to a file has
its vnode locked exclusively, and the pages soft-busied.
"""

from __future__ import annotations

from typing import Final

from vmsmp.check.rules import Books, Broken, Rules, SystemRules
from vmsmp.engine.cpu import Cpu
from vmsmp.records.record import Record, has
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.vm.observer import FileWritten
from vmsmp.vm.vm_page.flags import PBUSY_MASK
from vmsmp.vm.vnode import VREF, Vnode


def broken_count(vp: Vnode, books: Books) -> Broken | None:
    """Whether the count is another than the number of references that are out."""
    out = books.counts(vp).get(VREF, 0)
    if vp.v_refcnt.value != out:
        return Broken("INV-VN1", f"its word counts {vp.v_refcnt.value} references, and {out} are out")
    return None


def broken_write(cpu: Cpu, event: FileWritten) -> tuple[Record, Broken] | None:
    """Whether a CPU writes to a file that it has not locked exclusively, or a page that it has not busied."""
    if not has(cpu, event.vp.v_lock, EXCLUSIVE):
        return event.vp, Broken("INV-VN7", "it is written to by who has it not locked exclusively")
    for page in event.pages:
        if not page.busy_count.value & PBUSY_MASK:
            return page, Broken("INV-VN7", "it is written to a file, and nobody has it soft-busied")
    return None


RULES: Final = (Rules(Vnode, written={"v_refcnt": (broken_count,)}, at_rest=(broken_count,), stored=False),)
SYSTEM: Final = SystemRules(events={FileWritten: broken_write})
