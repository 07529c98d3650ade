"""Helpers for scenarios of processes: making, forking and ending them, and access to their memory."""

from copy import copy

from vmsmp.scenarios._kit import give_back
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_map._spaces import BASE, at, map_anon, new_space
from vmsmp.vm.vm_map import VM_PROT_READ, VM_PROT_RW, vmspace_fork
from vmsmp.vm.vm_page import PAGE_SIZE


def new_process(m, vm, pages, top=None):
    """Return a process with that many pages of anonymous memory, with another mapping below them."""
    process = Process(vm)
    if top is not None:
        give_back(process.vmspace)
        _run_in(process, new_space(vm, top))
    map_anon(m, process.map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_anon(m, process.map, BASE, pages, VM_PROT_RW, VM_PROT_RW)
    return process


def _run_in(process, vmspace):
    process.vmspace, process.map = vmspace, vmspace.vm_map


def fork(parent):
    """Return a process with a copy of the parent's address space."""
    child = copy(parent)
    _run_in(child, vmspace_fork(parent.vmspace, None, None))
    return child


def exits(process):
    """Let a process drop its address space."""
    give_back(process.vmspace)


def read(process, page):
    """Return what a thread of the process reads from a page, or None if it may not."""
    return process.enter().load(at(page))


def write(process, page, value):
    """Write to a page as a thread of the process; return whether it may."""
    return process.enter().store(at(page), value) is None
