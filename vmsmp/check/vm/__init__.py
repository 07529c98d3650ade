"""Rules of the kernel's structures, one module per kernel file: `RULES` by record type, and `SYSTEM`."""

from __future__ import annotations

from typing import Final

from vmsmp.check.vm import (
    pmap,
    pmap_inval,
    subr_alist,
    vm_fault,
    vm_map,
    vm_meter,
    vm_object,
    vm_page,
    vm_pageout,
    vm_pager,
    vmspace,
    vnode,
)

RULES: Final = (
    *vm_page.RULES,
    *vm_object.RULES,
    *vm_meter.RULES,
    *vm_pageout.RULES,
    *vm_pager.RULES,
    *subr_alist.RULES,
    *vnode.RULES,
    *vm_map.RULES,
    *vm_fault.RULES,
    *vmspace.RULES,
    *pmap.RULES,
    *pmap_inval.RULES,
)
SYSTEM: Final = (
    vm_page.SYSTEM,
    vm_object.SYSTEM,
    vm_meter.SYSTEM,
    vm_pageout.SYSTEM,
    vm_pager.SYSTEM,
    subr_alist.SYSTEM,
    vnode.SYSTEM,
    vm_map.SYSTEM,
    vm_fault.SYSTEM,
    vmspace.SYSTEM,
    pmap.SYSTEM,
    pmap_inval.SYSTEM,
)
