"""Findings in what is mapped, counted and left behind: the model does what vm_map.c and vm_kern.c do."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back, run_in
from vmsmp.scenarios.regressions.space_findings import TOP, stack_of
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_map._ranges import ANON, map_somewhere, new_map, unmap_all
from vmsmp.scenarios.vm_map._ranges import at as page_at
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon
from vmsmp.vm.vm_kern import kmem_alloc_attr, kmem_alloc_stack, kmem_free
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_SUBSYS_SYSMAP,
    vm_map_find,
    vm_map_growstack,
    vm_map_remove,
)
from vmsmp.vm.vm_page import PAGE_SIZE


@scenario(
    cpus=1, tags={"map", "find", "finding"}, fixed=True, schedule="v1:searches_begin_where_another_ended:0:"
)
def searches_begin_where_another_ended(m):
    """A process maps something at the end of its addresses, and then finds no room, though most are free.

    A search for room notes where it has ended, and the next one for the same length begins there: the hint is
    to mean that there is no room below.  But a search that began at a high address has not seen the room
    below, and notes where it ended all the same.  No search starts again from the beginning.
    Repair `hints-of-whole-searches`: note only the end of a search that has left nothing out.
    """
    vm = m.boot(pages=8, l2_size=1)
    map = new_map(vm, 8)

    def process():
        rv, high = vm_map_find(map, page_at(6), 2 * PAGE_SIZE, PAGE_SIZE, True, ANON)
        m.check(rv == KERN_SUCCESS and high == page_at(6), "what is free can be mapped where it is wanted")
        m.check(map_somewhere(map, 2)[0] == KERN_SUCCESS, "room is found while there is some")

    m.spawn(process)
    m.join()
    unmap_all(m, map)


@scenario(
    cpus=1, tags={"map", "kmem", "contig", "finding"}, fixed=True, schedule="v1:low_pages_are_not_busied:0:"
)
def low_pages_are_not_busied(m):
    """The kernel inserts low pages into its object without busying them.

    A page that is in an object can be found there by any CPU.  `kmem_alloc_attr` inserts pages, and then
    zeroes them and marks them valid; meanwhile other CPUs may busy and use them.
    Repair `low-pages-are-busied`: busy each page from before its insertion until it is valid.
    """
    vm = m.boot(pages=8, l2_size=1, low_pages=4)
    map = vm.map.kernel_map

    def driver():
        kmem_free(map, kmem_alloc_attr(map, PAGE_SIZE, VM_SUBSYS_SYSMAP, 0, 0, 0, 0), PAGE_SIZE)

    m.spawn(driver)
    m.join()


@scenario(
    cpus=1,
    tags={"map", "kmem", "contig", "finding"},
    fixed=True,
    schedule="v1:low_memory_runs_out_half_way+repair=low-pages-are-busied:0:",
)
def low_memory_runs_out_half_way(m):
    """A driver asks for more low memory than there is, and the pages that were left are lost.

    `kmem_alloc_attr` maps the range and allocates low pages one by one.  If there are none left it returns,
    and leaves the range mapped with the pages in it.  The caller does not get the address, so cannot free
    them.
    Repair `kmem-alloc-attr-gives-back`: free the range, and the pages in it.
    """
    vm = m.boot(pages=8, l2_size=1, low_pages=4)
    map = vm.map.kernel_map

    def driver():
        m.check(kmem_alloc_attr(map, 5 * PAGE_SIZE, VM_SUBSYS_SYSMAP, 0, 0, 0, 0) == 0, "it fails")
        m.check(not map.peek("size"), "what could not be allocated is not mapped")

    m.spawn(driver)
    m.join()


@scenario(
    cpus=1,
    tags={"map", "kmem", "contig", "finding"},
    fixed=True,
    schedule="v1:freed_low_memory_stays+repair=low-pages-are-busied:0:",
)
def freed_low_memory_stays(m):
    """A driver frees low memory that it has allocated, and its pages stay for ever.

    `kmem_free` unwires and unmaps the range, and removes the pages from the kernel's object.  Low pages have
    had another wiring since their allocation.  Wired pages stay in the object, and are never freed.
    Repair `kmem-free-frees-low-pages`: free pages that were allocated as low ones.
    """
    vm = m.boot(pages=8, l2_size=1, low_pages=4)
    map = vm.map.kernel_map

    def driver():
        address = kmem_alloc_attr(map, 2 * PAGE_SIZE, VM_SUBSYS_SYSMAP, 0, 0, 0, 0)
        kmem_free(map, address, 2 * PAGE_SIZE)
        m.check(not map.peek("size"), "what was freed is not mapped")
        m.check(_low_pages(vm) == 4, "what was freed is free")

    m.spawn(driver)
    m.join()


def _low_pages(vm):
    """How many low pages are free, read invisibly."""
    return vm.page.reserve.vm_contig_alist.peek("bl_free")


@scenario(cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:stack_counts_what_is_gone:0:")
def stack_counts_what_is_gone(m):
    """A process unmaps grown parts of its stack, and after a while its stack cannot grow any more.

    The limit of the stack is compared with its size (vm_ssize), which counts all growth and is never reduced.
    Repair `stack-counts-what-is-there`: count the mapped pages of the stack.
    """
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=2 * PAGE_SIZE)
    vmspace = stack_of(m, vm)

    def process():
        run_in(vm, vmspace)
        vm.mycpu().proc.rlim_stack = 4 * PAGE_SIZE
        for _ in range(2):
            rv = vm_map_growstack(vmspace.vm_map, TOP - 4 * PAGE_SIZE)
            m.check(rv == KERN_SUCCESS, "a stack may be as large as its limit")
            vm_map_remove(vmspace.vm_map, TOP - 4 * PAGE_SIZE, TOP - 2 * PAGE_SIZE)

    m.spawn(process)
    m.join()
    give_back(vmspace)


@scenario(cpus=1, tags={"map", "fault", "finding"}, fixed=True, schedule="v1:unmapped_pages_stay:0:")
def unmapped_pages_stay(m):
    """A process unmaps memory that it has written to, and its pages stay in memory, or go to swap.

    Memory that is mapped behind other memory with other rights shares its object.  `vm_map_insert` clears
    OBJ_ONEMAPPING then, since the object has two references, and `vm_map_delete` leaves pages of such objects
    alone.  They are freed with the object, when all of it is unmapped.
    Repair `neighbours-share-nothing`: two entries of one map that share an object share no page of it.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_anon(m, process.map, BASE, 1)

    def user():
        process.enter().store(BASE, 1)
        map_anon(m, process.map, BASE + PAGE_SIZE, 1, VM_PROT_ALL)
        process.store(BASE + PAGE_SIZE, 2)
        obj = process.map.raw_rb_root.at_or_before(BASE).ba.raw_object
        vm_map_remove(process.map, BASE + PAGE_SIZE, BASE + 2 * PAGE_SIZE)
        m.check(len(obj.raw_rb_memq) == 1, "pages of memory that is unmapped are free")

    m.spawn(user)
    m.join()
    give_back(process.vmspace)


@scenario(cpus=1, tags={"map", "kmem", "finding"}, fixed=True, schedule="v1:kernel_stack_loses_its_guard:0:")
def kernel_stack_loses_its_guard(m):
    """A thread of the kernel overruns its stack, and writes to memory that is allocated for it, unnoticed.

    The lowest page of a kernel stack is a guard without memory, and a fault in the first page of such an
    entry panics.  Two stacks side by side are alike in all that `vm_map_simplify_entry` compares, so it joins
    them, and the guard of the upper one is in the middle of an entry.  A fault there gets a page.
    Repair `kernel-stacks-stay-apart`: do not join entries of kernel stacks.
    """
    vm = m.boot(pages=16, l2_size=1)
    map = vm.map.kernel_map

    def kernel():
        stacks = [kmem_alloc_stack(map, 2 * PAGE_SIZE, 0) for _ in range(2)]
        entry = map.raw_rb_root.at_or_before(stacks[1])
        m.check(entry.ba.raw_start == stacks[1], "a fault in the lowest page of a kernel stack is noticed")
        for stack in stacks:
            kmem_free(map, stack, 2 * PAGE_SIZE)

    m.spawn(kernel)
    m.join()
