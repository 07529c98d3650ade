"""The kernel's own memory: allocated, freed and waited for by several CPUs at once, contiguous or not."""

from vmsmp import scenario
from vmsmp.scenarios._kit import contents
from vmsmp.vm.kern_slaballoc import kmem_slab_alloc, kmem_slab_free
from vmsmp.vm.pmap import pmap_kextract
from vmsmp.vm.vm_contig import M_NOWAIT, M_WAITOK, contigfree, contigmalloc
from vmsmp.vm.vm_kern import (
    kmem_alloc,
    kmem_alloc3,
    kmem_alloc_attr,
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
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    KM_CPU_SHIFT,
    KM_CPU_SPEC,
    KM_KRESERVE,
    M_USE_RESERVE,
    M_ZERO,
    MAP_ENTRY_KSTACK,
    MAP_ENTRY_NOFAULT,
    VM_SUBSYS_KMALLOC,
    VM_SUBSYS_STACK,
    VM_SUBSYS_SYSMAP,
    Mapping,
    vm_map_entry_release,
    vm_map_entry_reserve,
    vm_map_find,
    vm_map_remove,
)
from vmsmp.vm.vm_map.mapentzone import ENTRY_SIZE
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
    """CPUs share a submap with room for only one of them: each waits for the others and gets a turn."""
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
    """CPUs allocate and free slabs; a CPU that may not wait gets all of its memory or none."""
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


@scenario(cpus=1, tags={"map", "kmem"}, pages=None)
def kernel_memory_alone(m):
    """The kernel allocates memory in all ways, also too much of it: each gets its own, and all is freed."""
    vm = m.boot(pages=12, l2_size=1, object_hash=1, low_pages=2)
    kernel_map, kernel_object = vm.map.kernel_map, vm.objects.kernel_object
    pages = kernel_object.raw_rb_memq

    def entry_at(addr, map=kernel_map):
        return map.raw_rb_root.at_or_before(addr)

    def there(addr, count):
        """For each page of a range: its wirings, valid bits and contents; None if there is no page."""
        found = [pages.get(addr // PAGE_SIZE + n) for n in range(count)]
        return [page and (page.peek("wire_count"), page.peek("valid"), contents(page)) for page in found]

    def gone(addr, count, map=kernel_map):
        kmem_free(map, addr + 7, count * PAGE_SIZE - 7)
        m.check(not map.peek("nentries"), "what was freed is gone from the map")
        m.check(not pages and kernel_object.peek("ref_count") == 1, "and from its object")
        m.check(not vm.map.supply().reserved(), "no entry is kept for later")

    def pages_of_its_own():
        for page in vm.page.vm_page_array:
            vm.memory.poke(page.phys, 0, "left")
        for kmflags in (0, KM_KRESERVE, KM_CPU_SPEC | 1 << KM_CPU_SHIFT):
            addr = kmem_alloc3(kernel_map, PAGE_SIZE + 1, VM_SUBSYS_KMALLOC, kmflags)
            entry = entry_at(addr)
            m.check(
                (entry.ba.raw_end - addr, entry.ba.raw_object) == (2 * PAGE_SIZE, kernel_object),
                "it has pages",
            )
            m.check(
                (entry.peek("wired_count"), entry.peek("id")) == (1, VM_SUBSYS_KMALLOC), "which are wired"
            )
            m.check(
                (entry.ba.raw_offset, entry.peek("eflags") & MAP_ENTRY_KSTACK) == (addr, 0),
                "at its addresses",
            )
            m.check(there(addr, 2) == [(1, 0xFF, 0)] * 2, "and zero")
            m.check(not any(page.peek("busy_count") for page in pages.values()), "and nobody's else")
            gone(addr, 2)
        addr = kmem_alloc_stack(kernel_map, 3 * PAGE_SIZE, 0)
        entry = entry_at(addr)
        m.check(
            entry.peek("eflags") & MAP_ENTRY_KSTACK and entry.peek("id") == VM_SUBSYS_STACK,
            "a stack is known",
        )
        m.check(there(addr, 3) == [None, (1, 0xFF, 0), (1, 0xFF, 0)], "its lowest page is not there")
        gone(addr, 3)

    def low_pages():
        """Low pages, at offsets that count from the lowest address; they keep the wiring of the alist."""
        first = kernel_map.min_addr
        for n, (flags, zero) in enumerate(((0, "left"), (M_ZERO, 0))):
            addr = kmem_alloc_attr(kernel_map, PAGE_SIZE - 9, VM_SUBSYS_SYSMAP, flags, 0, 0, 0)
            entry, page = entry_at(addr), pages[n]
            offset = entry.ba.raw_offset + addr - entry.ba.raw_start
            m.check(
                (addr - first, offset, entry.peek("wired_count")) == (n * PAGE_SIZE, n * PAGE_SIZE, 1),
                "it is wired",
            )
            m.check((page.peek("valid"), contents(page)) == (0xFF, zero), "it is zero if that was asked for")
            m.check(not page.peek("busy_count") and not kernel_object.peek("hold_count"), "all is let go")
        m.check(
            kmem_alloc_attr(kernel_map, PAGE_SIZE, VM_SUBSYS_SYSMAP, 0, 0, 0, 0) == 0, "there are only two"
        )
        m.check(not vm.map.supply().reserved(), "no entry is kept for later")
        kmem_free(kernel_map, first, 3 * PAGE_SIZE)
        m.check(not kernel_map.peek("nentries") and kernel_object.peek("ref_count") == 1, "nor its addresses")

    def addresses_alone():
        plain = kmem_alloc_pageable(kernel_map, PAGE_SIZE - 1, VM_SUBSYS_SYSMAP)
        strict = kmem_alloc_nofault(kernel_map, PAGE_SIZE, VM_SUBSYS_SYSMAP, 1 << 16)
        m.check(entry_at(plain).ba.raw_object is None and not pages, "addresses alone have no pages")
        m.check(
            entry_at(strict).peek("eflags") & MAP_ENTRY_NOFAULT and not strict % (1 << 16),
            "as they were asked for",
        )
        kmem_free(kernel_map, plain, PAGE_SIZE)
        gone(strict, 1)
        kp = kmem_alloc_swapbacked(vm, PAGE_SIZE + 1, VM_SUBSYS_SYSMAP)
        obj = kp.object
        m.check((kp.size, obj.peek("size")) == (2 * PAGE_SIZE, 2), "an object of its own")
        m.check(entry_at(kp.data).ba.raw_object is obj, "is what is mapped")
        kmem_free_swapbacked(kp)
        m.check((kp.data, kp.object, obj.freed) == (0, None, True), "and gone with it")

    def too_large():
        submap = kmem_suballoc(kernel_map, PAGE_SIZE + 1)
        entry = entry_at(submap.min_addr)
        m.check(
            entry.ba.raw_object is submap and submap.max_addr - submap.min_addr == 2 * PAGE_SIZE,
            "a map in another",
        )
        for call in (kmem_alloc, kmem_alloc_pageable, kmem_alloc_wait):
            m.check(call(submap, 3 * PAGE_SIZE, 1) == 0, "what does not fit is refused")
        m.check(kmem_alloc_attr(submap, 3 * PAGE_SIZE, 1, 0, 0, 0, 0) == 0, "however it is asked for")
        m.check(kmem_alloc_swapbacked(vm, 3 * PAGE_SIZE, 1, submap) is None, "nor is there an object left")
        m.check(not submap.peek("nentries") and not vm.map.supply().reserved(), "nothing of it is left")
        m.check(all(obj.freed or obj is kernel_object for obj in vm.objects), "no object")
        addr = kmem_alloc_wait(submap, PAGE_SIZE + 5, 1)
        m.check(addr == submap.min_addr and submap.peek("nentries") == 1, "what fits need not wait")
        kmem_free_wakeup(submap, addr + 7, PAGE_SIZE)
        m.check(not submap.peek("nentries"), "it is given back in whole pages")

    def kernel():
        pages_of_its_own()
        addresses_alone()
        low_pages()
        too_large()

    m.spawn(kernel)
    m.join()


@scenario(cpus=2, tags={"map", "kmem", "entries"}, fixed=True, pages=None)
def kernel_has_no_addresses(m):
    """No entry can be made while the kernel has no addresses: who needs one tries until there are some."""
    vm = m.boot(pages=8, l2_size=1, map_entry_cache=(24, 8), map_entries=16)
    kernel_map, zone = vm.map.kernel_map, vm.map.mapentzone
    first, length = kernel_map.min_addr, kernel_map.max_addr - kernel_map.min_addr
    full = m.atomic(0, name="full")

    def entries():
        """How many entries there are, of the CPUs and the zone, and in the map."""
        lists = sum(gd.gd_vme_base for gd in vm.map.supplies.records.values())
        return lists + zone.zfreecnt + sum(zone.zpcpu.values()) + kernel_map.peek("nentries")

    def owner():
        vm_map_entry_release(vm, vm_map_entry_reserve(vm, 4))  # so that it needs no more of them
        rv, _ = vm_map_find(kernel_map, first, length, PAGE_SIZE, False, Mapping(id=VM_SUBSYS_KMALLOC))
        m.check(rv == KERN_SUCCESS, "the kernel may use all of them at once")
        full.store(1)
        vm_map_remove(kernel_map, first, first + length)

    def user():
        while not full.load():
            m.yield_()
        vm_map_entry_release(vm, vm_map_entry_reserve(vm, 1))

    m.spawn(owner)
    m.spawn(user)
    m.join()
    pages = [entry.ba for entry in kernel_map.raw_rb_root]
    made = sum(ba.raw_end - ba.raw_start for ba in pages) // PAGE_SIZE * (PAGE_SIZE // ENTRY_SIZE)
    booted = 16 + 8 * m.ncpus
    m.check(entries() == booted + made, "each page that entries are made of has as many as fit")
    vm_map_remove(kernel_map, first, first + length)
