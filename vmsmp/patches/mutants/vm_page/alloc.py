"""Mutants of page allocation."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_MODULE = "vmsmp.vm.vm_page"

MUTANTS = (
    Mutant(
        "BZ-10",
        f"{_MODULE}:_grab",
        """
        vm_page_sleep_busy(m, True, "pgrbwt")
        if not retry:
            vm.panic("vm_page_grab: page fault, m is NULL")  # it is asked whether it is valid
        continue
        """,
        """
        vm_page_busy_wait(m, True, "pgrbwt")
        return m
        """,
        "INV-H1",
        "the page was freed and reused while its finder slept on it",
        "object_comes_and_goes",
    ),
    Mutant(
        "AL-03",
        f"{_MODULE}:vm_page_select_free_or_cache",
        "if _cache_usable(m):",
        "if True:",
        "INV-D2",
        "a cached page that was looked up, wired or written to meanwhile is reused",
        "cache_against_hold",
        also=(Edit(f"{_MODULE}:vm_page_select_cache", "if _cache_usable(m):", "if True:"),),
    ),
    Mutant(
        "AL-05",
        f"{_MODULE}:vm_page_alloc",
        """
        if base != vm.page.PQ_CACHE:
            break
        """,
        """
        if base != vm.page.PQ_CACHE or m.object is None:
            break
        if vm_object_hold_try(m.object):
            from vmsmp.vm.vm_page.residency import vm_page_remove

            was = m.object
            vm_page_remove(m)
            vm_object_drop(was)
            break
        """,
        "INV-V3",
        "a cached page serves the request at once, and the gate is not asked again",
        "cache_against_hold",
    ),
    Mutant(
        "AL-06",
        f"{_MODULE}:vm_page_alloc",
        "vmstats_rollup(vm)  # the view said there were pages",
        "pass",
        "INV-PG1",
        "the CPU's view says there are pages, others have taken them, and it looks for ever",
        "alloc_storm_many_colours",
    ),
    Mutant(
        "AL-09",
        f"{_MODULE}:_grab",
        "vm_object_upgrade(obj)",
        "pass",
        "INV-O3",
        "two CPUs that hold the object shared put a page at one index",
        "grab_the_same_page",
        also=(Edit(f"{_MODULE}:vm_page_insert", "ASSERT_OBJECT_HELD_EXCL(obj)", "pass"),),
    ),
    Mutant(
        "AL-21",
        f"{_MODULE}:_grab",
        "request |= VM_ALLOC_NULL_OK",
        "request |= 0",
        "INV-PG1",
        "another CPU made the page during the upgrade, and the kernel stops",
        "grab_the_same_page",
    ),
    Mutant(
        "AL-23",
        f"{_MODULE}:vm_page_alloczwq",
        """
        vm_page_wire(m)
        vm_page_wakeup(m)
        """,
        """
        vm_page_wakeup(m)
        vm_page_busy_wait(m, False)
        vm_page_wire(m)
        vm_page_wakeup(m)
        """,
        "INV-AL1",
        "a page on no queue, in no object and not yet wired is freed by a CPU that comes across it",
        "kernel_pages",
    ),
    Mutant(
        "AL-26",
        f"{_MODULE}:_gate_open",
        "if free >= vm.meter.limits.v_free_reserved:",
        "if free > 0:",
        "INV-V3",
        "ordinary requests drain the reserve",
        "alloc_into_the_reserve",
    ),
)
