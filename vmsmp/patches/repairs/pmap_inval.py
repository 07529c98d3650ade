"""Repairs of invalidation (sys/platform/pc64/x86_64/pmap_inval.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_COMMAND = "vmsmp.vm.pmap_inval.command"
_LOOK = "if _alone(pmap, td):"
_LOOK_AT_ALL = "if _alone(pmap, td) and not pmap.pm_flags.load() & PMAP_MULTI:"

REPAIRS = (
    Repair(
        "several-threads-tell-each-other",
        f"{_COMMAND}:pmap_inval_smp",
        _LOOK,
        _LOOK_AT_ALL,
        "who may be joined by another thread samples pm_active under the lock, and takes no shortcut",
        also=(Edit(f"{_COMMAND}:pmap_inval_smp_cmpset", _LOOK, _LOOK_AT_ALL),),
    ),
)
