"""The kernel debugger's commands, collected from all kernel files, and those that show the hardware."""

from __future__ import annotations

from typing import Final

from vmsmp.mmu import ddb as mmu
from vmsmp.vm.command import ShowCommand
from vmsmp.vm.pmap import ddb as pmap
from vmsmp.vm.pmap_inval import ddb as pmap_inval
from vmsmp.vm.vm_map import ddb as vm_map
from vmsmp.vm.vm_object import ddb as vm_object
from vmsmp.vm.vm_page import ddb as vm_page

COMMANDS: Final = (
    *vm_page.COMMANDS,
    *vm_object.COMMANDS,
    *vm_map.COMMANDS,
    *pmap_inval.COMMANDS,
    *pmap.COMMANDS,
)

#: Commands about a machine's MMU, which it may have without a booted VM.
HARDWARE: Final = (
    ShowCommand(
        "tlb",
        (("show tlb [CPU]", "registers and TLB of every CPU, or of one; entries that are stale"),),
        mmu.show_tlb,
    ),
    ShowCommand(
        "pte",
        (("show pte ADDRESS", "the page-table entries of an address, in all address spaces in use"),),
        mmu.show_pte,
    ),
)
