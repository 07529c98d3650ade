"""Mutants of page tables and of what locks them (sys/platform/pc64/x86_64/pmap.c).

Guards whose removal changes nothing:
  * PMP-17: who removes or protects an entry asks it once more, and an empty one is nothing to it.
  * PMP-18: table pages go with their pmap only, so none is gone after a callback.
"""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_PMAP = "vmsmp.vm.pmap"

MUTANTS = (
    Mutant(
        "PMP-01",
        f"{_PMAP}.interlock:interlock_wait",
        "while icount & INTERLOCK_COUNT:",
        "while False:",
        "INV-D2",
        "a page is protected while another CPU has taken its entry away and not yet told what was written",
        "free_against_map",
    ),
    Mutant(
        "PMP-03",
        f"{_PMAP}.enter:_replace",
        "_flag(m, bool(newpte & PG_RW))",
        "",
        "INV-P1",
        "an entry is there before the page's flags are, which another process' unmapping clears",
        "page_goes_from_space_to_space",
        also=(
            Edit(
                f"{_PMAP}.enter:_replace",
                "if newpte & PG_W and not origpte & PG_W:",
                """
                _flag(m, bool(newpte & PG_RW))
                if newpte & PG_W and not origpte & PG_W:
                """,
            ),
        ),
    ),
    Mutant(
        "PMP-04",
        f"{_PMAP}.interlock:pmap_removed_pte",
        "while not flags & PG_MAPPEDMULTI:",
        "while True:",
        "INV-P1",
        "a process unmaps a page that another one maps, and the page counts as unmapped",
        "page_of_two_spaces",
    ),
    Mutant(
        "PMP-05t",
        f"{_PMAP}.remove:pmap_remove_callback",
        """
        transfer(m, pte)
        pmap_removed_pte(m)
        """,
        """
        pmap_removed_pte(m)
        transfer(m, pte)
        """,
        "INV-P5",
        "the flags say that nobody maps the page before it is known what was written to it",
        "store_against_reclaim",
    ),
    Mutant(
        "PMP-07",
        f"{_PMAP}.reverse:_entry_of",
        "named = ipte & PG_V and frame_of(ipte) == m.phys",
        "named = ipte & PG_V",
        "INV-P5",
        "a scan for a page that another one hides takes that one's entry away",
        "shadowed_page",
    ),
    Mutant(
        "PMP-10",
        f"{_PMAP}.reverse:pmap_ts_referenced",
        "if not iptep.cmpset(ipte, ipte & ~PG_A):",
        "if iptep.store(ipte & ~PG_A):",
        "INV-P5",
        "M is set by the hardware while A is cleared, and lost",
        "store_against_aging",
    ),
    Mutant(
        "PMP-12",
        f"{_PMAP}.pgscan:_unwire",
        "ptep.clearbits(PG_W)",
        "ptep.swap(ptep.load() & ~PG_W)",
        "INV-P5",
        "M is set by the hardware while an entry is unwired, and lost",
        "store_against_aging",
    ),
    Mutant(
        "PMP-13a",
        f"{_PMAP}.enter:_replace",
        "origpte = pmap_inval_smp(pmap, va, 1, ptep, newpte)",
        "pmap_inval_smp(pmap, va, 1, ptep, newpte)",
        "INV-R1",
        "the entry that is replaced has been taken away meanwhile, and counts as there",
        "shadowed_page",
    ),
    Mutant(
        "PMP-13b",
        f"{_PMAP}.remove:pmap_remove_callback",
        "pte = pmap_inval_bulk(info.bulk, va, ptep, 0)",
        "pmap_inval_bulk(info.bulk, va, ptep, 0)",
        "INV-R1",
        "the entry that is removed has been taken away meanwhile, and is taken away again",
        "enter_against_reclaim",
    ),
    Mutant(
        "PMP-14",
        f"{_PMAP}.pv:_Look.sleep",
        "if _owned(pmark, pindex):",
        "if True:",
        "INV-K2",
        "the placemark's owner lets go before the wakeup bit is set, and nobody wakes who sleeps then",
        "pages_of_one_placemark",
    ),
    Mutant(
        "PMP-15",
        f"{_PMAP}.placemark:pv_placemarker_wait",
        "told, mark = pmark.mark.fcmpset(mark, mark | PM_PLACEMARK_WAKEUP)",
        "told = bool(pmark.mark.setbits(PM_PLACEMARK_WAKEUP))",
        "INV-K2",
        "the placemark's owner lets go before the wakeup bit is set, which an empty slot has anyway",
        "enter_against_range",
    ),
    Mutant(
        "PMP-16",
        f"{_PMAP}.scan:_Walk._scan_table",
        """
        self._put_both()
        pv_placemarker_wait(pmark)
        """,
        "pv_placemarker_wait(pmark)",
        "INV-K1",
        "a scan waits for the placemark of one that wants the table which the scan has locked",
        "enter_against_range",
    ),
    Mutant(
        "PMP-22",
        f"{_PMAP}.enter:_replace",
        "if nosync or (not origpte & PG_V and pt_pv is not None):",
        "if True:",
        "INV-T1",
        "a page is replaced, and another thread goes on with the old one, which its TLB has",
        "replaced_page",
    ),
    Mutant(
        "PMP-02",
        f"{_PMAP}.interlock:interlock_drop",
        "if m.interlock_count.fetchadd(-1) == INTERLOCK_WAITING | 1:",
        "if m.interlock_count.fetchadd(-1) == 1:",
        "INV-K2",
        "who waits until nobody takes an entry of a page away is woken by the clock only",
        "enter_against_reclaim",
    ),
    Mutant(
        "COW-01b",
        "vmsmp.vm.pmap.remove:pmap_protect_callback",
        "pmap_inval_smp_cmpset(info.pmap, va, ptep, pbits, pbits & ~taken)",
        "ptep.cmpset(pbits, pbits & ~taken)",
        "INV-C1",
        "a thread of the parent writes on to the pages that the child sees, by what its TLB still has",
        "stores_behind_a_fork",
        mended_by=("protection-forbids-execution",),
    ),
)
