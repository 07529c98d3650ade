"""Repairs of the pageout daemon's scans (sys/vm/vm_pageout.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Repair

REPAIRS = (
    Repair(
        "pageout-frees-orphans",
        "vmsmp.vm.vm_pageout:_launder",
        "if m.object is None or m.object.flags.bits(OBJ_DEAD):",
        """
        if m.object is None:
            vm_page_protect(m, VM_PROT_NONE)
            vm_page_free(m)
            return 1
        if m.object.flags.bits(OBJ_DEAD):
        """,
        "a dirty page that nobody can ever want again is freed",
    ),
)
