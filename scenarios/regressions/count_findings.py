"""Findings in counts that are kept of memory: the model does what vm_map.c, vm_kern.c and pmap.c do."""

from vmsmp import scenario
from vmsmp.scenarios.fork._processes import at, exits, fork, new_process, write
from vmsmp.scenarios.vm_fault._memory import page_out
from vmsmp.vm.vm_kern import kmem_alloc, kmem_free
from vmsmp.vm.vm_map import (
    VM_PROT_READ,
    VM_SUBSYS_KMALLOC,
    vm_map_protect,
    vmspace_anonymous_count,
    vmspace_swap_count,
)
from vmsmp.vm.vm_page import PAGE_SIZE


@scenario(cpus=1, tags={"map", "finding"}, fixed=True, schedule="v1:count_doubles_what_is_cut:0:")
def count_doubles_what_is_cut(m):
    """A process protects a part of its memory, and has twice as much by the kernel's count.

    When memory has run out, the process that has most of it by `vmspace_anonymous_count` is killed.  That
    adds all resident pages of an object for each entry that maps a part of it; entries are cut by whatever
    makes two parts differ.
    Repair `count-counts-an-object-once`: add an object's pages at its first entry.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 2)

    def user():
        for page in range(2):
            write(process, page, 1)
        vm_map_protect(process.map, at(0), at(1), VM_PROT_READ, False)
        m.check(vmspace_anonymous_count(process.vmspace) == 2, "a page counts once")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(cpus=1, tags={"map", "fork", "finding"}, fixed=True, schedule="v1:count_misses_what_is_behind:0:")
def count_misses_what_is_behind(m):
    """A child writes to one of its parent's pages, and has but that one by the kernel's count.

    `vmspace_anonymous_count`, which says who is killed when memory has run out, adds the pages of the first
    object of each chain.  Once a process writes to what it shares, most of its pages are behind that.
    Repair `count-looks-behind`: add the pages of all objects of the chain.
    """
    vm = m.boot(pages=40, l2_size=1)
    parent = new_process(m, vm, 2)
    for page in range(2):
        write(parent, page, 1)
    child = fork(parent)

    def user():
        before = vmspace_anonymous_count(child.vmspace)
        write(child, 0, 2)
        m.check(vmspace_anonymous_count(child.vmspace) >= before, "who writes has no less memory afterwards")

    m.spawn(user)
    m.join()
    exits(child)
    exits(parent)


@scenario(
    cpus=1, tags={"pmap", "kernel", "finding"}, fixed=True, schedule="v1:kernel_counts_only_what_goes:0:"
)
def kernel_counts_only_what_goes(m):
    """Kernel memory is allocated and freed, and the kernel has fewer pages mapped than none.

    `pmap_enter` counts an entry as resident where it has the table's page at hand, which it has for users'
    tables.  The callback of `pmap_remove` takes one off for every valid entry, the kernel's, too.
    Repair `kernel-is-not-counted`: take off what was counted.
    """
    vm = m.boot(pages=16, l2_size=1)
    pmap = vm.pmap.kernel_pmap
    before = pmap.resident_count.peek()

    def user():
        address = kmem_alloc(vm.map.kernel_map, PAGE_SIZE, VM_SUBSYS_KMALLOC)
        kmem_free(vm.map.kernel_map, address, PAGE_SIZE)
        m.check(pmap.resident_count.peek() == before, "what was mapped and unmapped counts for nothing")

    m.spawn(user)
    m.join()


@scenario(
    cpus=1, tags={"map", "kernel", "finding"}, fixed=True, schedule="v1:empty_allocation_keeps_a_reference:0:"
)
def empty_allocation_keeps_a_reference(m):
    """Somebody allocates no bytes of kernel memory, and the kernel's object is referenced for ever.

    `kmem_alloc3` references the object and inserts an entry, and does not ask whether that was possible.  An
    empty range is refused; the address that is returned is nobody's, and the reference is dropped by nobody.
    Repair `nothing-is-not-allocated`: return that there is none.
    """
    vm = m.boot(pages=16, l2_size=1)
    before = vm.objects.kernel_object.ref_count.peek()

    def user():
        kmem_alloc(vm.map.kernel_map, 0, VM_SUBSYS_KMALLOC)
        m.check(vm.objects.kernel_object.ref_count.peek() == before, "a reference belongs to an entry")

    m.spawn(user)
    m.join()


@scenario(cpus=1, tags={"map", "swap", "finding"}, fixed=True, schedule="v1:page_of_swap_counts_for_many:0:")
def page_of_swap_counts_for_many(m):
    """A process has one page, which is in swap, and has more pages of swap than pages by the kernel's count.

    `vmspace_swap_count`, which says who is killed when memory has run out, takes each node of an object's
    tree of swap for full, whatever the size of the object is.  Who has many small objects, each with a page
    in swap, has many times what it has.
    Repair `count-has-no-more-than-is-mapped`: count no more pages than the entry has.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1)

    def user():
        write(process, 0, 1)
        page_out(process.map.raw_rb_root.at_or_before(at(0)).ba.raw_object, 0)
        m.check(
            vmspace_swap_count(process.vmspace) <= 2,
            "a page of swap counts for one, and one for what is lost",
        )

    m.spawn(user)
    m.join()
    exits(process)
