"""The kernel's own memory: allocated, freed and waited for by several CPUs at once, contiguous or not."""

from vmsmp import scenario
from vmsmp.vm.kern_slaballoc import kmem_slab_alloc, kmem_slab_free
from vmsmp.vm.pmap import pmap_kextract
from vmsmp.vm.vm_contig import M_NOWAIT, M_WAITOK, contigfree, contigmalloc
from vmsmp.vm.vm_kern import (
    kmem_alloc,
    kmem_alloc_nofault,
    kmem_alloc_pageable,
    kmem_alloc_stack,
    kmem_alloc_swapbacked,
    kmem_alloc_wait,
    kmem_free,
    kmem_free_swapbacked,
    kmem_free_wakeup,
    kmem_suballoc,
)
from vmsmp.vm.vm_map import M_USE_RESERVE, VM_SUBSYS_KMALLOC, VM_SUBSYS_SYSMAP
from vmsmp.vm.vm_page import PAGE_SIZE


@scenario(cpus=3, tags={"map", "kmem", "storm"}, pages=6)
def kernel_memory_storm(m):
    """CPUs allocate and free kernel memory of all kinds: no two have the same addresses."""
    vm = m.boot(pages=16, l2_size=1)
    kernel_map = vm.map.kernel_map
    owner = {}

    def taken(addr, pages):
        m.check(addr, "the kernel has addresses")
        for page in range(addr, addr + pages * PAGE_SIZE, PAGE_SIZE):
            m.check(page not in owner, "an address is one owner's")
            owner[page] = m.curcpu

    def given(addr, pages):
        for page in range(addr, addr + pages * PAGE_SIZE, PAGE_SIZE):
            del owner[page]
        kmem_free(kernel_map, addr, pages * PAGE_SIZE)

    def worker():
        for _ in m.rounds(2):
            pages = 1 + m.choose(2)
            size = pages * PAGE_SIZE
            deed = m.choose(5)
            if deed == 4:
                kp = kmem_alloc_swapbacked(vm, size, VM_SUBSYS_SYSMAP)
                kmem_free_swapbacked(kp)
                continue
            if deed == 0:
                addr = kmem_alloc(kernel_map, size, VM_SUBSYS_KMALLOC)
            elif deed == 1:
                addr = kmem_alloc_pageable(kernel_map, size, VM_SUBSYS_SYSMAP)
            elif deed == 2:
                addr = kmem_alloc_nofault(kernel_map, size, VM_SUBSYS_SYSMAP, PAGE_SIZE)
            else:
                pages += 1
                addr = kmem_alloc_stack(kernel_map, pages * PAGE_SIZE, 0)
            taken(addr, pages)
            given(addr, pages)

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()
    m.check(not kernel_map.peek("nentries"), "what was freed is gone from the map")
    m.check(not vm.objects.kernel_object.peek("resident_page_count"), "and its pages")


@scenario(cpus=3, tags={"map", "kmem", "wait"})
def waiting_for_addresses(m):
    """CPUs share a submap that has room for one of them only: each waits for the others and gets a turn."""
    vm = m.boot(pages=4, l2_size=1)
    submap = kmem_suballoc(vm.map.kernel_map, 2 * PAGE_SIZE)

    def worker():
        for _ in m.rounds(2):
            addr = kmem_alloc_wait(submap, (1 + m.choose(2)) * PAGE_SIZE, VM_SUBSYS_SYSMAP)
            m.check(addr, "a submap that is large enough gives what it has")
            kmem_free_wakeup(submap, addr, 2 * PAGE_SIZE if addr == submap.min_addr else PAGE_SIZE)

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()
    m.check(not submap.peek("nentries"), "what was freed is gone from the map")


@scenario(cpus=3, tags={"map", "kmem", "contig"})
def contiguous_kernel_memory(m):
    """Drivers get contiguous memory and give it back: no page and no address is two drivers' at once."""
    vm = m.boot(pages=6, l2_size=1)
    kernel_map = vm.map.kernel_map
    owners = {}

    def driver():
        for _ in m.rounds(2):
            pages = 1 + m.choose(2)
            flags = (M_NOWAIT, M_WAITOK)[m.choose(2)]
            addr = contigmalloc(vm, pages * PAGE_SIZE, flags, 0, 6 * PAGE_SIZE, PAGE_SIZE, 0)
            if not addr:
                continue
            run = [pmap_kextract(vm, addr + n * PAGE_SIZE) // PAGE_SIZE for n in range(pages)]
            m.check(run == list(range(run[0], run[0] + pages)), "contiguous memory is contiguous")
            for thing in (*run, *range(addr, addr + pages * PAGE_SIZE, PAGE_SIZE)):
                m.check(owners.setdefault(thing, m.curcpu) is m.curcpu, "what is allocated is one driver's")
            for thing in (*run, *range(addr, addr + pages * PAGE_SIZE, PAGE_SIZE)):
                del owners[thing]
            contigfree(vm, addr, pages * PAGE_SIZE)

    for _ in range(m.ncpus):
        m.spawn(driver)
    m.join()
    m.check(not kernel_map.peek("nentries"), "what was freed is gone from the map")


@scenario(cpus=2, tags={"map", "kmem"})
def slabs_that_run_out(m):
    """CPUs get memory for small things and give it back; who may not wait for it gets all of it or none."""
    vm = m.boot(pages=4 * m.ncpus, l2_size=1)
    kernel_object = vm.objects.kernel_object

    def worker():
        for _ in m.rounds(2):
            size = (1 + m.choose(3)) * PAGE_SIZE
            addr = kmem_slab_alloc(vm, size, PAGE_SIZE, M_NOWAIT | M_USE_RESERVE)
            if addr:
                pages = [
                    kernel_object.peek("rb_memq")[at // PAGE_SIZE]
                    for at in range(addr, addr + size, PAGE_SIZE)
                ]
                m.check(all(page.peek("wire_count") == 1 for page in pages), "memory of a slab is wired")
                kmem_slab_free(vm, addr, size)

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()
    m.check(not vm.map.kernel_map.peek("nentries"), "what was freed is gone from the map")
    m.check(not kernel_object.peek("resident_page_count"), "and its pages")
