"""Mutants of the invalidation of translations (sys/platform/pc64/x86_64/pmap_inval.c, mp_machdep.c).

One site has none.  TLB-06: what holds off a second thread of a process, whose first one changes an entry on
its own, does not in the kernel (`lone_cpu_misses_who_switches_in`); where that is repaired, nobody with a
second thread does so.
"""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_COMMAND = "vmsmp.vm.pmap_inval.command"
_INTR = "vmsmp.vm.pmap_inval.intr"
_SMP = "vmsmp.vm.pmap_inval.smp"

MUTANTS = (
    Mutant(
        "TLB-01",
        f"{_INTR}:_own",
        "if info.mask.load() == bit:",
        "if True:",
        "INV-T3",
        "the entry changes before the others have come, and one of them stores by its old entry meanwhile",
        "removal_against_switch_in",
    ),
    Mutant(
        "TLB-02",
        f"{_INTR}:_other",
        "invalidate(td, info.va, info.npgs)",
        "",
        "INV-T1",
        "a CPU quiesces, answers, and goes on with what it has cached",
        "removal_against_switch_in",
    ),
    Mutant(
        "TLB-02B",
        f"{_INTR}:_other",
        "if info.ptep is not None and info.mask.load() >> n & 1:",
        "if False:",
        "INV-T1",
        "a CPU invalidates before the entry has changed, and caches the old one once more",
        "removal_against_switch_in",
    ),
    Mutant(
        "TLB-02C",
        f"{_INTR}:_own",
        "invalidate(td, info.va, info.npgs)",
        "",
        "INV-T1",
        "whoever changes the entry has all others invalidate, and goes on with what it has cached itself",
        "removals_cross",
    ),
    Mutant(
        "TLB-03",
        f"{_COMMAND}:_inval_smp",
        "info = _claim(pmap, td)",
        """
        early = _sample(pmap)
        info = _claim(pmap, td)
        """,
        "INV-T1",
        "the CPUs that have to answer are sampled before pm_active_lock is taken: one comes in between",
        "removal_against_switch_in",
        also=(Edit(f"{_COMMAND}:_inval_smp", "tmp = _sample(pmap)", "tmp = early"),),
    ),
    Mutant(
        "TLB-07",
        f"{_COMMAND}:_claim",
        """
        while info.done.load():
            vm.engine.pause()
        """,
        "",
        "INV-PG1",
        "a slot is filled in anew while a CPU has still to finish with the last command, and answers neither",
        "kernel_commands_overlap",
    ),
    Mutant(
        "TLB-08",
        f"{_COMMAND}:_inval_smp",
        """
        info.publish("va", va)
        """,
        """
        early = _sample(pmap) | 1 << td.cpu.index
        info.mask.store(early)
        info.done.store(early)
        info.publish("va", va)
        """,
        "INV-T6",
        "a command is live before it is filled in, and a CPU in the handler carries out what the slot had",
        "kernel_commands_overlap",
        also=(
            Edit(f"{_COMMAND}:_have_carried_out", "info.mask.store(tmp)", ""),
            Edit(f"{_COMMAND}:_have_carried_out", "info.done.store(tmp)", ""),
        ),
    ),
    Mutant(
        "TLB-09",
        f"{_INTR}:invalidate",
        """
        if va == VA_ALL or npgs > MAX_INVAL_PAGES:
            cpu_invltlb(td)
            return
        for page in pages_from(va, npgs):
        """,
        """
        if va == VA_ALL:
            cpu_invltlb(td)
            return
        for page in pages_from(va, min(npgs, MAX_INVAL_PAGES)):
        """,
        "INV-T1",
        "of too many pages the first are flushed one by one, and the others not at all",
        "many_kernel_pages_go",
    ),
    Mutant(
        "TLB-10B",
        f"{_SMP}:smp_smurf_idleinvlclr",
        """
        inval.smp_idleinvl_reqs.setbits(mask)
        mask &= ~inval.smp_idleinvl_mask.load()
        """,
        """
        idle = inval.smp_idleinvl_mask.load()
        inval.smp_idleinvl_reqs.setbits(mask)
        mask &= ~idle
        """,
        "INV-T1",
        "a CPU that idled when it was looked at wakes up, finds no request, and is not told",
        "command_against_an_idle_cpu",
    ),
    Mutant(
        "TLB-12",
        "vmsmp.vm.pmap_inval.bulk:pmap_inval_bulk",
        """
        else:
            bulk.va_beg = VA_ALL
            bulk.va_end = 0
        """,
        """
        else:
            bulk.va_beg = va
            bulk.va_end = va + PAGE_SIZE
        """,
        "INV-T1",
        "of pages that are no neighbours only the last are flushed",
        "kernel_pages_go_in_bulk",
    ),
    Mutant(
        "TLB-14",
        f"{_COMMAND}:_have_carried_out",
        "info.done.store(tmp)",
        """
        pmap.pm_active_lock.clearbits(1)
        info.done.store(tmp)
        """,
        "INV-T1",
        "CPUs may switch to the pmap again before the entry has changed, and cache the old one",
        "removal_against_switch_in",
    ),
    Mutant(
        "TLB-15",
        f"{_SMP}:smp_inval_intr",
        "if inval.gd_xinvaltlb[cpu] != 2:",
        "if True:",
        "INV-T6",
        "a CPU that is asked once more in the handler leaves it, though not even its own command is done",
        "kernel_commands_overlap",
    ),
    Mutant(
        "TLB-16",
        f"{_SMP}:smp_inval_intr",
        """
        cpu_enable_intr(td)
        inval.smp_smurf_mask.clearbits(bit)
        """,
        """
        cpu_enable_intr(td)
        """,
        "INV-PG1",
        "an IPI counts as under way until a CPU leaves the handler, and none is sent that it would need",
        "kernel_commands_overlap",
        also=(
            Edit(
                f"{_SMP}:smp_inval_intr",
                "inval.gd_xinvaltlb[cpu] = 0",
                """
                inval.gd_xinvaltlb[cpu] = 0
                inval.smp_smurf_mask.clearbits(bit)
                """,
            ),
        ),
    ),
    Mutant(
        "TLB-17",
        f"{_SMP}:smp_invltlb",
        """
        while inval.smp_invltlb_mask.load():
            smp_inval_intr(vm, td)
            vm.engine.pause()
        """,
        "",
        "INV-P2",
        "a CPU does not wait until all others have flushed, and frees what they still use",
        "all_translations_go",
    ),
)
