"""vm_fault.c: resolving an access that the page tables refuse by mapping a page.

| module | contents |
|---|---|
| fault | the fault itself, from the lookup to the mapping |
| bypass | mapping a page that is active, without a lock of its object |
| object_fault | finding or making the page in the objects behind an address |
| faultstate | what a fault has found and holds, and how it releases that |
| prefault, prefault_quick | mapping the neighbours of a page |
| page | the page behind an address, without mapping it |
| wire | wiring and unwiring the pages of an entry |
| collapse, copy_entry | what a fork needs: one object instead of a chain; copies of wired pages |
| startup, sysctl | the numbers of the fault layer |
"""

from __future__ import annotations

from vmsmp.vm.exports import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "startup": ("Faults", "startup"),
        "fault": ("vm_fault", "find_entry", "may_grow", "refuses_to_wait", "hold_first"),
        "bypass": ("vm_fault_bypass",),
        "object_fault": ("vm_fault_object",),
        "faultstate": (
            "VM_FAULT_MAX_QUICK",
            "LWP_PAGING",
            "Faultstate",
            "release_page",
            "cleanup_fault",
            "unlock_map",
            "unlock_things",
            "TRYPAGER",
            "set_excl_heur",
            "vm_set_nosync",
            "count_fault",
        ),
        "prefault": ("PREFAULT_MAX", "Neighbours", "prefault_pages", "vm_prefault"),
        "prefault_quick": ("vm_prefault_quick",),
        "page": ("FaultPage", "vm_fault_page", "vm_fault_page_quick", "vm_fault_object_page"),
        "wire": ("vm_fault_wire", "vm_fault_unwire"),
        "collapse": ("vm_fault_collapse",),
        "copy_entry": ("vm_fault_copy_entry",),
    },
)
