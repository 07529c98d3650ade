"""Memory pressure, whatever the program does: how few pages are free, and a CPU that competes for them.

Models: nothing of the kernel's; it stands for the rest of the system, which uses memory as well.
Locks: none held.
Deviations: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_page.alloc import vm_page_alloc
from vmsmp.vm.vm_page.busy import vm_page_wakeup
from vmsmp.vm.vm_page.flags import VM_ALLOC_INTERRUPT, VM_ALLOC_NORMAL
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vm_page.holding import vm_page_wire

if TYPE_CHECKING:
    from typing import Final

    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage

#: How often the CPU of `press` takes all pages.
TURNS: Final = 3


def leave_free(vm: VmSystem, pages: int) -> None:
    """Leave that many pages free, and wire the others for the rest of the run; only the boot CPU runs."""
    for n in range(vm.meter.count("v_free_count") - pages):
        m = vm_page_alloc(vm, None, n, VM_ALLOC_INTERRUPT)
        assert m is not None
        vm_page_wire(m)
        vm_page_wakeup(m)


def press(vm: VmSystem) -> None:
    """Allocate pages, cached ones included, until an ordinary request gets none; free them; do it again."""
    for _ in vm.machine.rounds(TURNS):
        for m in _all_there_are(vm):
            vm_page_free(m)


def _all_there_are(vm: VmSystem) -> list[VmPage]:
    pages: list[VmPage] = []
    while (m := vm_page_alloc(vm, None, len(pages), VM_ALLOC_NORMAL)) is not None:
        pages.append(m)
    return pages
