"""What faults cost: how many visible operations one of a resident page takes, however fast they are.

The page is in memory, dirty and active, and the process has its page tables; it does not map the page.
What the hardware does, which walks before a fault and after it, is not counted.
"""

from __future__ import annotations

from functools import partial

from vmsmp.campaign.measure.figure import Figure
from vmsmp.campaign.measure.pages import run_once
from vmsmp.campaign.options import options_for
from vmsmp.campaign.runner import runner_for
from vmsmp.machine import Machine
from vmsmp.vm.pmap.remove import pmap_remove
from vmsmp.vm.pmap.replace import pmap_replacevm
from vmsmp.vm.vm_fault.fault import vm_fault
from vmsmp.vm.vm_map.find import vm_map_find
from vmsmp.vm.vm_map.flags import (
    KERN_SUCCESS,
    VM_FAULT_BURST,
    VM_FAULT_DIRTY,
    VM_FAULT_USERMODE,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_map.insert import Mapping
from vmsmp.vm.vm_map.vmspace import vmspace_alloc
from vmsmp.vm.vm_object.allocate import vm_object_allocate
from vmsmp.vm.vm_object.reference import vm_object_reference_quick
from vmsmp.vm.vm_page.flags import PAGE_SIZE

PAGES = 32
#: Where the page is mapped.
VA = 16 * PAGE_SIZE
#: How a process' own fault asks.
FLAGS = VM_FAULT_BURST | VM_FAULT_USERMODE
#: The most operations that a fault of a resident page is to take.
MOST = 60
#: How a fault finds the page: in its object, or in the page hash, where pages are that several processes map.
WAYS = {"found in its object": 1, "found in the page hash": 2}


def fault_steps(processes: int, locks: str) -> int:
    """The visible operations of a user's read fault of a page that so many processes have mapped."""
    counted: list[int] = []

    def program(m: Machine) -> None:
        vm = m.boot(pages=PAGES, l2_size=1)
        obj = vm_object_allocate(vm, 2)
        what = Mapping(object=obj, prot=VM_PROT_RW, max=VM_PROT_ALL)
        for _ in range(processes):
            vmspace = vmspace_alloc(vm, 0, VA + 2 * PAGE_SIZE)
            vm_object_reference_quick(obj)
            vm_map_find(vmspace.vm_map, VA, 2 * PAGE_SIZE, PAGE_SIZE, False, what)
            pmap_replacevm(vm.mycpu().proc, vmspace, adjrefs=False)
            for va in (VA, VA + PAGE_SIZE):
                vm_fault(vmspace.vm_map, va, VM_PROT_WRITE, FLAGS | VM_FAULT_DIRTY)
        for _ in range(2):  # the first one enters the page into the hash, if it belongs there
            pmap_remove(vmspace.vm_pmap, VA, VA + PAGE_SIZE)
            before = len(m.engine.log)
            if vm_fault(vmspace.vm_map, VA, VM_PROT_READ, FLAGS) != KERN_SUCCESS:
                m.panic("a page that is there cannot be mapped")
            counted.append(len(m.engine.log) - before)

    with runner_for(program, options_for(program, locks=locks), check=False, hang_s=0) as runner:
        runner.drive(partial(run_once, runner))
    return counted[-1]


def fault_figures() -> list[Figure]:
    """Count the operations of a fault of a resident page: both ways of finding it, both depths of locks."""
    figures = []
    for way, processes in WAYS.items():
        for locks in ("atomic", "exact"):
            steps = fault_steps(processes, locks)
            name = f"fault of a resident page {way}, {locks} locks"
            figures.append(Figure(name, steps, "steps", MOST / steps, 1.0, f"of {MOST} that it may take"))
    return figures
