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
    Repair(
        "clearing-tells-all-cpus",
        "vmsmp.vm.pmap.reverse:pmap_clearbit",
        """
        if ipte & bit:
            iptep.clearbits(bit)
        """,
        """
        if ipte & bit and not pmap_inval_smp_cmpset(_ipmap, _iva, iptep, ipte, ipte & ~bit):
            return After.RETRY
        """,
        "no CPU has an entry that says that the page is modified already, once the page does not",
    ),
    Repair(
        "mincore-busies-the-page",
        "vmsmp.vm.pmap.query:pmap_mincore",
        "m = page_named(vm, pte) if pte & PG_MANAGED else None",
        """
        from vmsmp.vm.vm_page.busy import vm_page_busy_try, vm_page_wakeup

        m = page_named(vm, pte) if pte & PG_MANAGED else None
        if m is not None and vm_page_busy_try(m, True):
            m = None
        busied = m
        if m is not None and (ptep.load() ^ pte) & (PG_FRAME | PG_V):
            m = None
        """,
        "the page is asked only while it is busied, and only if it is still the one at the address",
        also=(
            Edit(
                "vmsmp.vm.pmap.query:pmap_mincore",
                "return found",
                """
                if busied is not None:
                    vm_page_wakeup(busied)
                return found
                """,
            ),
        ),
    ),
    Repair(
        "tables-wait-for-guesses",
        "vmsmp.vm.pmap.lifetime:pmap_release_pv",
        'vm_page_busy_wait(m, False, "pmaprl")',
        'vm_page_busy_wait(m, True, "pmaprl")',
        "a table page is freed only once no guess of the page hash has it soft-busied",
        also=(
            Edit(
                "vmsmp.vm.pmap.lifetime:pmap_puninit",
                'vm_page_busy_wait(m, False, "pgpun")',
                'vm_page_busy_wait(m, True, "pgpun")',
            ),
        ),
    ),
    Repair(
        "protection-forbids-execution",
        "vmsmp.vm.pmap.remove:pmap_protect",
        "if prot & VM_PROT_WRITE:",
        """
        from vmsmp.mmu.entry import PG_V
        from vmsmp.vm.pmap.bits import PG_NX, pte_prot

        def forbid(info, pmark, _pt_pv, va, ptep):
            while (pte := ptep.load()) & PG_V and not pte & PG_NX:
                pmap_inval_smp_cmpset(info.pmap, va, ptep, pte, pte | PG_NX)
            pv_placemarker_wakeup(pmark)

        if pte_prot(prot) & PG_NX:
            pmap_scan(PmapScanInfo(pmap, sva, eva, forbid), True)
        if prot & VM_PROT_WRITE:
        """,
        "an entry that may not be executed any more says so",
    ),
    Repair(
        "kernel-is-not-counted",
        "vmsmp.vm.pmap.remove:pmap_remove_callback",
        "pmap.resident_count.fetchadd(-1)",
        """
        if pt_pv is not None:
            pmap.resident_count.fetchadd(-1)
        """,
        "an entry is taken off the count if it is one of those that are counted",
    ),
    Repair(
        "extract-asks-the-entry",
        "vmsmp.vm.pmap.query:pmap_extract",
        "return pte & PG_FRAME | offset_of(va), None",
        "return _physical(pte, va), None",
        "an address of the kernel has memory behind it if its entry is valid",
    ),
)
