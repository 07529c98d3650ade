"""Sorting pages by the socket that their memory belongs to, and lending between sockets.

Models: vm_numa_organize, vm_numa_organize_finalize and vm_numa_add_topology_mem of sys/vm/vm_page.c.
The colours of a page queue are divided among the sockets.  So an allocation, which begins with the colours
of its CPU, finds memory of its own socket first, and that of other sockets when it widens the search.
Locks: none; only the boot CPU runs.
Deviations:
  * sockets are numbers, and their memory is a list; the kernel walks a tree of CPUs.
  * the program that boots the machine calls them; in the kernel the tables of memory do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.vm.vm_page.flags import PAGE_SIZE, PQ_NONE
from vmsmp.vm.vm_page.tailq import TAILQ_INSERT_HEAD, TAILQ_REMOVE

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage


def vm_numa_organize(vm: VmSystem, ran_beg: int, bytes_: int, physid: int) -> None:
    """Give the pages of a range of memory, by address and length, the colours of socket `physid`.

    Nothing is done without a topology of several sockets.  The type of a page's queue stays.
    """
    topology = vm.page.topology
    if topology is None or topology[0] <= 1:
        return
    socket_mod = vm.page.l2_size // topology[0]
    socket_value = physid % topology[0] * socket_mod
    vm_numa_add_topology_mem(vm, physid, bytes_)
    for m in vm.page.vm_page_array[ran_beg // PAGE_SIZE : (ran_beg + bytes_) // PAGE_SIZE]:
        _recolour(m, m.pc % socket_mod + socket_value & vm.page.l2_mask)


def vm_numa_add_topology_mem(vm: VmSystem, physid: int, bytes_: int) -> None:
    """Count memory of a socket."""
    memory = vm.page.phys_mem
    memory[physid % len(memory)] += bytes_


def vm_numa_organize_finalize(vm: VmSystem) -> None:
    """Lend free pages of colours that have many to those that have few.

    As in the kernel, the mean is taken from index 0 on, which is no queue, so the last colour does not count.
    """
    size = vm.page.l2_size
    phys_ids, core_ids, ht_ids = vm.page.topology or (1, 1, 1)
    scale_lim = size // (phys_ids * core_ids * ht_ids) * (phys_ids * core_ids * ht_ids)
    if not scale_lim:
        return
    queues = vm.page.vm_page_queues
    hi = sum(pq.lcnt for pq in queues[:scale_lim]) // scale_lim
    lo = hi - hi // 10
    iter_ = 0
    for colour in range(scale_lim):
        while queues[vm.page.PQ_FREE + colour].lcnt < lo:
            iter_ = iter_ + 1 & vm.page.l2_mask
            donor = queues[vm.page.PQ_FREE + iter_]
            if donor.lcnt < hi:
                continue
            m: VmPage | None = donor.tqh_first
            if m is None or m.queue != donor.index:
                vm.panic("vm_numa_organize_finalize: page is on another queue")
            _recolour(m, colour)


def _recolour(m: VmPage, pc: int) -> None:
    """Give the page a colour; if it is on a queue, move it to the head of that type's queue of the colour."""
    queues = m.vm.page.vm_page_queues
    old, m.pc = queues[m.queue], pc
    if m.queue == PQ_NONE:
        return
    new = queues[old.base + pc]
    TAILQ_REMOVE(old, m)
    old.lcnt -= 1
    m.queue = new.index
    TAILQ_INSERT_HEAD(new, m)
    new.lcnt += 1
