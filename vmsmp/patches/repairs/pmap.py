"""Repairs of page tables (sys/platform/pc64/x86_64/pmap.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_PROTECT = "vmsmp.vm.pmap.remove:pmap_protect_callback"

REPAIRS = (
    Repair(
        "protection-counts-itself",
        _PROTECT,
        "del pt_pv",
        """
        pte = ptep.load()
        counted = page_named(info.pmap.vm, pte) if pte & PG_MANAGED else None
        if counted is not None:
            interlock_bump(counted)
        """,
        "a CPU that takes M out of an entry counts itself until the page knows",
        also=(
            Edit(
                _PROTECT,
                "pv_placemarker_wakeup(pmark)",
                """
                pv_placemarker_wakeup(pmark)
                if counted is not None:
                    interlock_drop(counted)
                """,
            ),
        ),
    ),
    Repair(
        "unwiring-is-one-step",
        "vmsmp.vm.pmap.pgscan:_unwire",
        """
        pte = ptep.load()
        if not pte & PG_V:
            return None
        if pte & PG_W:
            pmap.wired_count.fetchadd(-1)
        ptep.clearbits(PG_W)
        return page_named(pmap.vm, ptep.load())
        """,
        """
        pte = ptep.clearbits(PG_W)
        if not pte & PG_V:
            return None
        if pte & PG_W:
            pmap.wired_count.fetchadd(-1)
        return page_named(pmap.vm, pte)
        """,
        "an entry is unwired as it is, and the page that is told is the one that was unwired",
    ),
    Repair(
        "enter-counts-wirings-down",
        "vmsmp.vm.pmap.enter:_replace",
        """
        if newpte & PG_W and not origpte & PG_W:
            pmap.wired_count.fetchadd(1)
        """,
        """
        if newpte & PG_W and not origpte & PG_W:
            pmap.wired_count.fetchadd(1)
        if origpte & PG_W and not newpte & PG_W:
            pmap.wired_count.fetchadd(-1)
        """,
        "a wired entry that an unwired one replaces is counted no more",
    ),
)
