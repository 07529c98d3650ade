"""The sysctls of the invalidation protocol.

Models: the SYSCTLs of sys/platform/pc64/x86_64/pmap_inval.c and mp_machdep.c.
Locks: none; set them before CPUs are spawned.
Deviations:
  * machdep.pmap_inval_watchdog_print, report_invlpg_src and report_invltlb_src are left out: they print.
"""

from __future__ import annotations

from typing import Final

from vmsmp.vm.sysctl import tunable

SYSCTLS: Final = (
    tunable(
        "machdep.pmap_inval_force_allcpus",
        "inval.pmap_inval_force_allcpus",
        "whether all CPUs have to answer an invalidation",
    ),
    tunable(
        "machdep.pmap_inval_force_nonopt",
        "inval.pmap_inval_force_nonopt",
        "whether a CPU that is alone with a pmap tells all the same",
    ),
    tunable(
        "machdep.optimized_invltlb",
        "inval.optimized_invltlb",
        "whether idle CPUs flush when they wake up instead of at once",
    ),
    tunable(
        "machdep.all_but_self_ipi_enable",
        "inval.all_but_self_ipi_enable",
        "whether an IPI to all is one: 0 never, 1 if it is to all, 2 always",
    ),
)
