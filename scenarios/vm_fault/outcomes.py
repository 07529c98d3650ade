"""One thread with memory that is shared, paged out, locked or peeked at: the result of each fault."""

from vmsmp import scenario
from vmsmp.scenarios._kit import contents, give_back, queue_of
from vmsmp.scenarios.vm_fault._alone import (
    at,
    faults,
    forget,
    mapped,
    page_at,
    shadow,
    writeable,
)
from vmsmp.scenarios.vm_fault._memory import Process, alone, filled, object_at, page_out
from vmsmp.scenarios.vm_map._spaces import map_anon, map_private
from vmsmp.sync.thread import curthread
from vmsmp.vm.vm_fault import vm_fault, vm_fault_object_page, vm_fault_page
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    KERN_FAILURE,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    KM_PAGEABLE,
    TDF_NOFAULT,
    VM_FAULT_DIRTY,
    VM_FAULT_UNSWAP,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_find,
    vm_map_kernel_wiring,
    vm_map_protect,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import (
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PBUSY_LOCKED,
    PG_REFERENCED,
    PG_SWAPPED,
    VM_PAGE_BITS_ALL,
    vm_page_flag_clear,
    vm_page_unhold,
    vm_page_wakeup,
)


@scenario(cpus=1, tags={"map", "fault", "cow"}, pages=None)
def chains_alone(m):
    """A thread uses memory that is in the third layer, the first or in none: it writes to its own copies."""
    vm = m.boot(pages=28, l2_size=1)
    vm.sysctl["vm.shared_fault"] = m.choose(2)
    vm.sysctl["vm.prefault_pages"] = 0
    origin = vm_object_allocate(vm, 5)
    filled(vm, origin, range(10, 14))
    lower = origin.raw_rb_memq

    def thread():
        gd = vm.mycpu()
        process = Process(vm).enter()
        vm_object_reference_quick(origin)
        what = Mapping(
            object=origin,
            offset=PAGE_SIZE,
            prot=VM_PROT_RW,
            max=VM_PROT_RW,
            id=VM_SUBSYS_MMAP,
            cow=COWF_COPY_ON_WRITE,
        )
        vm_map_find(process.map, at(0), 4 * PAGE_SIZE, PAGE_SIZE, False, what)
        m.check(process.load(at(0)) == 11, "a page of another object is seen")
        process.store(at(1), 21)
        m.check(writeable(process) == [1], "only a copy may be written to")
        first, second = shadow(process)
        m.check([process.load(at(page)) for page in (0, 1, 2)] == [11, 21, 13], "a chain is gone through")
        m.check(writeable(process) == [], "pages behind the first object are mapped read-only")
        m.check(not first.raw_rb_memq, "a page that was reserved and is not needed is free")
        queues = {queue_of(page) for page in (lower[1], lower[3], second.raw_rb_memq[1])}
        m.check(queues == {"active"}, "a page that is used is active")
        for page in (0, 1):
            m.check(faults(vm, process.store, at(page), 30 + page) > 0, "a page of others is not written to")
            m.check(faults(vm, process.store, at(page), 40 + page) == 0, "a copy is mapped writeable")
        m.check(
            [contents(lower[1]), contents(second.raw_rb_memq[1])] == [11, 21],
            "others' pages are as they were",
        )
        m.check(
            {queue_of(page) for page in (lower[1], second.raw_rb_memq[1])} == {"inactive"}, "and not needed"
        )
        own = first.raw_rb_memq
        m.check({own[page].raw_dirty for page in (0, 1)} == {VM_PAGE_BITS_ALL}, "a copy is dirty")
        m.check(process.load(at(3)) == 0, "what no object has is zeros")
        m.check((sorted(own), own[3].raw_dirty) == ([0, 1, 3], 0), "which are the first object's, and clean")
        m.check((gd.v_zfod, gd.v_cow_faults, gd.ru_majflt) == (1, 3, 0), "pages that are made are counted")
        m.check(
            not any(layer.paging_in_progress.load() for layer in (first, second, origin)), "nobody is at work"
        )
        give_back(process.vmspace)
        vm_object_deallocate(second)

    m.spawn(thread)
    m.join()
    vm_object_deallocate(origin)


@scenario(cpus=1, tags={"map", "fault", "swap"}, pages=None)
def swapped_pages_alone(m):
    """A thread uses pages that are in swap: each is read once, and loses its swap when it is written."""
    vm = m.boot(pages=20, l2_size=1)
    vm.sysctl["vm.shared_fault"] = m.choose(2)
    vm.sysctl["vm.prefault_pages"] = 0
    behind = m.choose(2)

    def thread():
        gd = vm.mycpu()
        process = Process(vm).enter()
        map_anon(m, process.map, at(0), 2)
        for page in (0, 1):
            process.store(at(page), 10 + page)
        obj = object_at(process.map, at(0))
        if behind:
            shadow(process)
            for page in (0, 1):
                process.load(at(page))
        before = gd.v_vm_faults
        page_out(obj, 0)
        m.check(mapped(process) == [1], "a page that is taken away is not mapped")
        vm.pager.device.failing = True
        m.check(process.load(at(0)) is None, "what cannot be read is not there")
        m.check((gd.ru_majflt, gd.v_vm_faults) == (0, before), "a fault that fails is not counted")
        vm.pager.device.failing = False
        m.check(process.load(at(0)) == 10, "what comes from swap is what went there")
        m.check((gd.ru_majflt, gd.v_vm_faults) == (1, before + 1), "a fault that asks a pager is a major one")
        page = obj.raw_rb_memq[0]
        m.check(
            (queue_of(page), page.raw_dirty) == ("active", 0), "a page that was read is active, and clean"
        )
        m.check(page.flags.bits(PG_SWAPPED), "a page that is only read keeps its swap")
        forget(process)
        m.check(process.load(at(0)) == 10, "a page that is there is found")
        m.check(gd.ru_majflt == 1, "a page that is there is not read")
        m.check(page.flags.bits(PG_SWAPPED), "a page that is only read keeps its swap")
        forget(process)
        m.check(process.store(at(0), 20) is None, "memory can be written")
        if not behind:
            m.check(not page.flags.bits(PG_SWAPPED), "a page that is written to is newer than its swap")
            m.check(not obj.raw_swblock_root, "whose block is free")
            m.check(page.raw_dirty == VM_PAGE_BITS_ALL, "and is dirty")
        m.check(process.load(at(0)) == 20, "what was stored is loaded")
        give_back(process.vmspace)
        if behind:
            vm_object_deallocate(obj)

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "fault", "wire"}, pages=None)
def wirings_alone(m):
    """A thread locks its memory and unlocks it: pages and entries are wired meanwhile, all or none."""
    vm = m.boot(pages=24, l2_size=1)
    vm.sysctl["vm.shared_fault"] = m.choose(2)
    vm.sysctl["vm.prefault_pages"] = 0
    fails = m.choose(2)
    by_kernel, closed = m.choose(2), m.choose(2)

    def wire(process, on):
        if by_kernel:
            return vm_map_kernel_wiring(process.map, at(0), at(3), 0 if on else KM_PAGEABLE)
        return vm_map_user_wiring(process.map, at(0), at(3), not on)

    def use(process):
        map_anon(m, process.map, at(0), 3)
        process.store(at(1), 1)
        pmap = process.map.pmap
        if closed and not by_kernel:
            vm_map_protect(process.map, at(0), at(3), VM_PROT_READ, False)
        if fails:
            vm.map.fault = lambda map, va, *how: KERN_FAILURE if va == at(2) else vm_fault(map, va, *how)
        rv = wire(process, True)
        m.check((rv == KERN_SUCCESS) != fails, "a wiring is made, or is refused")
        pages = object_at(process.map, at(0)).raw_rb_memq
        wired = [page.wire_count.load() for page in pages.values()]
        m.check(wired == ([0, 0] if fails else [1, 1, 1]), "the pages of a range are wired, all or none")
        m.check(pmap.wired_count.load() == (0 if fails else 3), "so are the entries")
        m.check(mapped(process) == ([0, 1] if fails else [0, 1, 2]), "what is wired is mapped")
        if not fails:
            m.check(faults(vm, process.load, at(2)) == 0, "what is wired needs no fault")
            wire(process, False)
        m.check(not any(page.wire_count.load() for page in pages.values()), "what is unlocked is not wired")
        m.check(pmap.wired_count.load() == 0, "nor are its entries")
        m.check({queue_of(page) for page in pages.values()} == {"active"}, "and may be paged out")
        m.check(process.load(at(1)) == 1, "what was stored is loaded")
        vm.map.fault = vm_fault

    alone(m, use)


@scenario(cpus=1, tags={"map", "fault", "peek"}, pages=None)
def peeks_alone(m):
    """A CPU looks at pages behind addresses, or of an object: each is returned held or busied, and used."""
    vm = m.boot(pages=24, l2_size=1)
    vm.sysctl["vm.shared_fault"] = m.choose(2)
    writes, may_busy = m.choose(2), m.choose(2)
    prot = VM_PROT_WRITE if writes else VM_PROT_READ
    unswap = (VM_FAULT_UNSWAP | VM_FAULT_DIRTY) * m.choose(2)  # as swapoff does

    def look(found, busy, dirty):
        """Check a page that was found, and release it."""
        page = found.page
        busied = bool(page.busy_count.load() & PBUSY_LOCKED)
        m.check(
            (found.busy, busied, page.hold_count.load()) == (busy, busy, not busy), "a page is held or busied"
        )
        m.check(
            queue_of(page) == "active" and page.flags.load() & PG_REFERENCED, "a page that is used is active"
        )
        m.check(bool(page.raw_dirty) == dirty, "a page is dirty if it is to be written to")
        value = contents(page)
        vm_page_wakeup(page) if busy else vm_page_unhold(page)
        m.check(not page.busy_count.load() and not page.hold_count.load(), "no page stays held or busied")
        return value

    def thread():
        gd = vm.mycpu()
        process = Process(vm).enter()
        map_anon(m, process.map, at(0), 3)
        process.load(at(0))
        page = page_at(process, 0)
        forget(process)
        vm_page_flag_clear(page, PG_REFERENCED)
        found = vm_fault_page(process.map, at(0) + 9, prot, 0, may_busy)
        m.check(look(found, bool(may_busy and writes), bool(writes)) == 0, "an address has its page")
        m.check(0 not in mapped(process), "what was looked at may have changed, so it is not mapped any more")
        m.check(gd.ru_minflt == gd.v_vm_faults + 1, "a look is counted as a fault")
        vm_map_protect(process.map, at(1), at(2), VM_PROT_READ, False)
        found = vm_fault_page(process.map, at(1), VM_PROT_WRITE, 0, may_busy)
        m.check(found == (None, KERN_PROTECTION_FAILURE, False), "what is read-only is not written to")
        m.check(vm_fault_page(process.map, at(5), prot, 0, may_busy).page is None, "nothing is not found")
        obj = object_at(process.map, at(0))
        process.store(at(0), 7)
        page_out(obj, 0)
        shared = m.choose(2)
        (vm_object_hold_shared if shared else vm_object_hold)(obj)
        found, still = vm_fault_object_page(obj, 0, prot, unswap, bool(shared))
        m.check(
            look(found, False, bool(writes or unswap)) == 7,
            "a page of an object is the one that was paged out",
        )
        m.check(not still and obj.token.held_excl(), "an object that was read from is locked exclusively")
        kept = found.page.flags.bits(PG_SWAPPED)
        m.check(bool(kept) != bool(unswap), "a page gives its swap up where that is to go")
        m.check(gd.ru_majflt == 1, "a page that was read makes a fault a major one")
        vm_object_drop(obj)
        page_out(obj, 0)
        process.load(at(0))
        vm_page_flag_clear(found.page, PG_REFERENCED)
        (vm_object_hold_shared if shared else vm_object_hold)(obj)
        found, still = vm_fault_object_page(obj, 0, VM_PROT_READ, unswap, bool(shared))
        look(found, False, bool(unswap))
        m.check(still == bool(shared and not unswap), "an object stays locked as it was if that will do")
        m.check(obj.token.held_excl() != still, "and is as it is said to be")
        found, _ = vm_fault_object_page(obj, 9 * PAGE_SIZE, prot, 0, still)
        m.check(found.page is None, "an object has no page behind its end")
        vm_object_drop(obj)
        m.check(process.load(at(0)) == 7, "what was stored is loaded")
        give_back(process.vmspace)

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "fault"}, pages=None)
def impatient_alone(m):
    """A thread that must not wait touches memory: it gets resident pages, and is refused all others."""
    vm = m.boot(pages=24, l2_size=1)
    vm.sysctl["vm.prefault_pages"] = 0
    peeks = m.choose(2)

    def thread():
        process = Process(vm).enter()
        map_anon(m, process.map, at(0), 3)
        process.store(at(0), 1)
        obj = object_at(process.map, at(0))
        td = curthread(m)

        def had(page):
            """Whether a thread that must not wait gets a page."""
            td.td_flags |= TDF_NOFAULT
            if peeks:
                found = vm_fault_page(process.map, at(page), VM_PROT_READ, 0, False).page
                if found is not None:
                    vm_page_unhold(found)
            else:
                found = vm_fault(process.map, at(page), VM_PROT_READ, 0) == KERN_SUCCESS
            td.td_flags &= ~TDF_NOFAULT
            return bool(found)

        vm.sysctl["vm.shared_fault"] = 1
        m.check(had(0), "a page that is there is had at once")
        m.check(not had(1), "a page that is not needs another try, which is a wait")
        vm.sysctl["vm.shared_fault"] = 0
        m.check(had(1), "a page of zeros needs no wait")
        page_out(obj, 0)
        m.check(not had(2), "memory that has been to swap may have to be waited for")
        m.check(process.load(at(0)) == 1, "who may wait gets it all")
        map_private(m, process.map, origin, at(8), 1)
        process.store(at(8), 2)
        m.check(not had(8), "so may what is behind a chain")
        give_back(process.vmspace)

    origin = vm_object_allocate(vm, 1)
    filled(vm, origin, [7])
    m.spawn(thread)
    m.join()
    vm_object_deallocate(origin)
