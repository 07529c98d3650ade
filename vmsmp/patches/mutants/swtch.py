"""Mutants of how CPUs switch between address spaces (sys/platform/pc64/x86_64/swtch.s, pmap.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_SWITCH = "vmsmp.vm.swtch"

MUTANTS = (
    Mutant(
        "TLB-04",
        "vmsmp.vm.pmap.replace:pmap_setlwpvm",
        """
        pmap.pm_active.setbits(bit)
        if pmap.pm_active_lock.load() & CPULOCK_EXCL:
            pmap_interlock_wait(pmap)
        td.cpu.mmu.load_cr3(pmap.cr3)
        """,
        """
        td.cpu.mmu.load_cr3(pmap.cr3)
        pmap.pm_active.setbits(bit)
        if pmap.pm_active_lock.load() & CPULOCK_EXCL:
            pmap_interlock_wait(pmap)
        """,
        "INV-T1",
        "a CPU walks the tables, of its own accord, before invalidations know of it",
        "switch_in_with_guesses",
    ),
    Mutant(
        "TLB-04B",
        "vmsmp.vm.pmap.replace:pmap_setlwpvm",
        """
        if pmap.pm_active_lock.load() & CPULOCK_EXCL:
            pmap_interlock_wait(pmap)
        """,
        "",
        "INV-T1",
        "a CPU that comes too late to be asked does not wait for the end of the invalidation",
        "removal_against_switch_in",
    ),
    Mutant(
        "TLB-04C",
        "vmsmp.vm.swtch:cpu_heavy_restore",
        """
        if pmap.pm_active_lock.load() & CPULOCK_EXCL:
            pmap_interlock_wait(pmap)
        """,
        "",
        "INV-T1",
        "a CPU comes back to an address space, too late to be asked, and does not wait for the invalidation",
        "removal_against_a_sleeper",
    ),
    Mutant(
        "TLB-10",
        f"{_SWITCH}:Switch.wake",
        """
        if inval.smp_idleinvl_reqs.clearbits(bit) & bit:
            cpu_invltlb(td)
        """,
        "inval.smp_idleinvl_reqs.clearbits(bit)",
        "INV-T1",
        "a CPU idles no more, and does not flush what it was not told of meanwhile",
        "command_against_an_idle_cpu",
    ),
    Mutant(
        "TLB-05",
        f"{_SWITCH}:cpu_lwkt_restore",
        "if unit.cr3 != switch.kernel_cr3:",
        "if False:",
        "INV-T1",
        "an idle CPU keeps tables that it has said it does not use, and comes back to them without a load",
        "removal_against_a_sleeper",
        also=(
            Edit(
                f"{_SWITCH}:cpu_heavy_restore",
                "td.cpu.mmu.load_cr3(pmap.cr3)",
                """
                if td.cpu.mmu.cr3 != pmap.cr3:
                    td.cpu.mmu.load_cr3(pmap.cr3)
                """,
            ),
        ),
    ),
)
