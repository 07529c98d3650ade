"""vm_meter.c: page counts, thresholds, and the tests for memory shortage.

| module | contents |
|---|---|
| meter, startup | the types of the counts and thresholds; those of a machine and its CPUs |
| counts | counting and rolling up |
| paging | the tests of vm_page2.h that read the counts |
| sysctl | the thresholds by name |
"""

from __future__ import annotations

from vmsmp.vm.exports import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "meter": (
            "COUNTS",
            "Vmmeter",
            "P_LOWMEMKILL",
            "Proc",
            "Lwp",
            "Globaldata",
            "Thresholds",
        ),
        "startup": ("PageCounts", "startup"),
        "sysctl": ("SYSCTLS",),
        "counts": (
            "vmstats_add",
            "vmstats_rem",
            "vmstats_rollup",
            "vmstats_rollup_cpu",
            "hardclock",
        ),
        "paging": (
            "_below",
            "vm_paging_severe",
            "vm_paging_min",
            "vm_paging_min_dnc",
            "vm_paging_min_nice",
            "paging_extra",
            "vm_paging_wait",
            "vm_paging_start",
            "vm_paging_target1",
            "vm_paging_target2",
            "vm_paging_target1_count",
            "vm_paging_target2_count",
            "vm_paging_inactive",
            "vm_paging_inactive_count",
            "_available",
        ),
    },
)
