"""pmap_inval.c: the protocol by which no CPU keeps using a translation that the tables no longer give.

| module | contents |
|---|---|
| info | the slot that holds a CPU's command |
| intr | one pass over the commands, on a CPU that they name |
| smp | the IPI and its handler, and flushes of everything |
| command | changing an entry and invalidating it, unconditionally or by compare-and-set |
| bulk | changes of the kernel's pmap that are invalidated together |
| startup, sysctl, ddb | the globals and tunables; the debugger's command |
"""

from __future__ import annotations

from vmsmp.vm.exports import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "info": ("MAX_INVAL_PAGES", "VA_ALL", "InvalMode", "PmapInvalInfo"),
        "intr": ("cpu_invlpg", "cpu_invltlb", "invalidate", "pmap_inval_intr"),
        "smp": (
            "Xinvltlb",
            "smp_inval_intr",
            "smp_invlpg",
            "smp_invltlb",
            "smp_smurf_fetchset",
            "smp_smurf_idleinvlclr",
        ),
        "command": (
            "pmap_inval_done",
            "pmap_inval_init",
            "pmap_inval_smp",
            "pmap_inval_smp_cmpset",
        ),
        "bulk": (
            "PmapInvalBulk",
            "pmap_inval_bulk",
            "pmap_inval_bulk_flush",
            "pmap_inval_bulk_init",
        ),
        "startup": ("PmapInvals", "startup"),
        "ddb": ("pmap_inval_print",),
    },
)
