"""Helpers for scenarios of invalidation: page tables that the boot CPU fills in, and their use."""

from vmsmp.mmu.entry import PAGE_SIZE, PG_A, PG_M, PG_RW, PG_U, PG_V, frame_of, index_of, make_entry
from vmsmp.mmu.fault import Access, PageFault
from vmsmp.vm.pmap import pmap_setlwpvm
from vmsmp.vm.vm_map import (
    VM_MAX_USER_ADDRESS,
    VM_MIN_KERNEL_ADDRESS,
    VM_MIN_USER_ADDRESS,
    vmspace_alloc,
)
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    VM_ALLOC_RETRY,
    VM_ALLOC_SYSTEM,
    vm_page_alloczwq,
    vm_page_freezwq,
)

#: The user's and the kernel's addresses that are mapped, by number.
PAGES = [0x40_0000 + n * PAGE_SIZE for n in range(4)]
KERNEL_PAGES = [VM_MIN_KERNEL_ADDRESS + n * PAGE_SIZE for n in range(512)]
KERNEL_LOAD = Access(user=False)
OTHERS = "somebody else's"


def boot(m, pages=24, **sizes):
    """Boot a machine without a fault handler."""
    vm = m.boot(pages=pages, l2_size=1, **sizes)
    vm.mmu.trap = None
    return vm


def new_page(vm):
    """Return a wired page that is in no object."""
    return vm_page_alloczwq(vm, 0, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM | VM_ALLOC_RETRY)


def new_space(vm, name, pages=2):
    """Return an address space with `pages` pages mapped."""
    vmspace = vmspace_alloc(vm, VM_MIN_USER_ADDRESS, VM_MAX_USER_ADDRESS)
    vmspace.vm_pmap = pmap = vm.pmap.make(name)
    tables = [new_page(vm).phys for _ in range(4)]
    pmap.root = tables[0]
    for table, below, level in zip(tables, tables[1:], (4, 3, 2), strict=False):
        vm.memory.word(table, index_of(PAGES[0], level)).value = make_entry(below, PG_V | PG_RW | PG_U | PG_A)
    for n in range(pages):
        vm.memory.word(tables[-1], index_of(PAGES[n], 1)).value = make_entry(new_page(vm).phys)
    return vmspace


def user_entry(vmspace, n):
    """Return the word that maps a page of an address space."""
    memory = vmspace.vm.memory
    table = vmspace.vm_pmap.root
    for level in (4, 3, 2):
        table = frame_of(memory.peek_entry(table, index_of(PAGES[n], level)))
    return memory.word(table, index_of(PAGES[n], 1))


def kernel_entry(vm, n):
    """Return the word that maps a page of the kernel."""
    return vm.memory.word(vm.config.pages + 3, index_of(KERNEL_PAGES[n], 1))


def map_kernel(vm, *numbers):
    """Map pages of the kernel, each to a page of its own."""
    for n in numbers:
        kernel_entry(vm, n).value = make_entry(new_page(vm).phys, PG_V | PG_RW | PG_A | PG_M)


def run_in(m, vmspace):
    """Make the running CPU run in the address space."""
    pmap_setlwpvm(m.vm.mycpu().lwp, vmspace)


def touch(access, *args):
    """Access memory as a thread that a fault stops; return the value, or None after a fault."""
    try:
        return access(*args)
    except PageFault:
        return None


def read_all(m, addresses):
    """Read pages as a process, each twice: the second read uses the cached entry, which may be stale."""
    for va in addresses:
        for _ in range(2):
            m.check(touch(m.curcpu.load, va) in (0, None), "a process reads its own page or none")


def kernel_load(m, n):
    """Read a page of the kernel; None if it is not mapped."""
    return touch(m.curcpu.mmu.access, KERNEL_PAGES[n], KERNEL_LOAD)


def reuse(vm, pte):
    """Free the page that an entry named, and let another owner allocate it and write to it."""
    m = vm.page.vm_page_array[frame_of(pte)]
    vm_page_freezwq(m)
    new = new_page(vm)
    vm.memory.store(new.phys, 0, OTHERS)
