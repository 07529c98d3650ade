"""Mutants of looking up an object's page by its index."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_page"

MUTANTS = (
    Mutant(
        "BZ-16",
        f"{_MODULE}:vm_page_lookup_busy_wait",
        "(also_m_busy and busy_count)",
        "(also_m_busy and busy_count & 0x1FFFFFFF)",
        "INV-PB6",
        "a page comes back hard-busied while its content is still on its way from swap",
        "lookup_during_swapin",
    ),
    Mutant(
        "HL-06",
        f"{_MODULE}:vm_page_lookup_busy_wait",
        """
        machine.tsleep(m, PINTERLOCKED, wmesg, overdue=partial(_busy_overdue, m, also_m_busy))
        m = obj.rb_memq.get(pindex)
        """,
        "machine.tsleep(m, PINTERLOCKED, wmesg, overdue=partial(_busy_overdue, m, also_m_busy))",
        "INV-H1",
        "the page became another object's while its finder slept on it",
        "lookup_against_rename",
    ),
    Mutant(
        "HL-07",
        f"{_MODULE}:vm_page_lookup_sbusy_try",
        """
        if not vm_page_is_valid(m, pgoff, pgbytes) or m.flags.bits(PG_FICTITIOUS):
            vm_page_sbusy_drop(m)
            return None
        """,
        "pass",
        "INV-PB6",
        "the page is invalidated between the test and the soft busy",
        "lookup_against_invalidate",
    ),
)
