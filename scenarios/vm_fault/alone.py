"""A thread alone with its memory: each of its faults has one right outcome."""

from vmsmp import scenario
from vmsmp.scenarios._kit import contents, end_of_file, enter_hash, file_object, give_back
from vmsmp.scenarios.vm_fault._memory import Process, filled, object_at, page_out
from vmsmp.scenarios.vm_fault.sharing import map_shared
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_private
from vmsmp.vm.pmap import pmap_remove
from vmsmp.vm.vm_fault import vm_fault, vm_fault_object_page, vm_fault_page
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    KERN_FAILURE,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    KM_PAGEABLE,
    MAP_ENTRY_NOSYNC,
    VM_FAULT_BURST,
    VM_FAULT_DIRTY,
    VM_FAULT_UNSWAP,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_entry_shadow,
    vm_map_find,
    vm_map_kernel_wiring,
    vm_map_lock,
    vm_map_protect,
    vm_map_unlock,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import (
    OBJ_MIGHTBEDIRTY,
    OBJ_WRITEABLE,
    vm_object_allocate,
    vm_object_clear_flag,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
    vm_object_reference_quick,
    vm_object_set_writeable_dirty,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PBUSY_LOCKED,
    PG_NOSYNC,
    PG_REFERENCED,
    PG_SWAPPED,
    VM_PAGE_BITS_ALL,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_unhold,
    vm_page_wakeup,
)


def at(page):
    """The address of a page."""
    return BASE + page * PAGE_SIZE


def seen(process, page):
    """What the page tables say of a page of the process, None if nothing; looks invisibly."""
    return process.vm.mmu.peek(process.map.pmap.root, at(page))


def mapped(process):
    """Which of the first eight pages are mapped."""
    return [page for page in range(8) if seen(process, page)]


def writeable(process):
    """Which of them may be written to."""
    return [page for page in mapped(process) if seen(process, page).writeable]


def page_at(process, page):
    """The page that is mapped there."""
    return process.vm.page.vm_page_array[seen(process, page).frame]


def queue_of(page):
    """The kind of queue that a page is on."""
    return page.vm.page.queue_type(page.raw_queue)


def forget(process):
    """Take all that is mapped away; what the entries said of the pages is told to them."""
    pmap_remove(process.map.pmap, at(0), at(8))


def shadow(process):
    """Put a new object in front of the process' own, as if somebody shared that; return the two."""
    hidden = object_at(process.map, at(0))
    vm_object_reference_quick(hidden)
    vm_map_lock(process.map)
    vm_map_entry_shadow(process.map.raw_rb_root.at_or_before(at(0)))
    vm_map_unlock(process.map)
    return object_at(process.map, at(0)), hidden


def faults(vm, step, *args):
    """Take a step, and return how many faults it took."""
    before = vm.mycpu().v_vm_faults
    step(*args)
    return vm.mycpu().v_vm_faults - before


@scenario(cpus=1, tags={"map", "fault", "prefault"}, pages=None)
def touches_alone(m):
    """A thread touches memory, loses the mappings, and touches it again: each burst maps what it may."""
    vm = m.boot(pages=24, l2_size=1)
    shared = vm.sysctl["vm.shared_fault"] = m.choose(2)
    fast = vm.sysctl["vm.fast_fault"] = m.choose(2)
    every = [0, 1, 2, 3, 4]

    def thread():
        process = Process(vm).enter()
        map_anon(m, process.map, at(0), 5)
        gd = vm.mycpu()
        m.check(process.load(at(2)) == 0, "memory is zeros at first")
        new = every if fast and not shared else [2]
        m.check(mapped(process) == new, "a burst makes new pages if the objects are locked exclusively")
        m.check(gd.v_zfod == len(new), "pages of zeros are counted")
        first = page_at(process, 2)
        m.check(
            (queue_of(first), first.raw_dirty) == ("active", 0), "a page that is used is active, and clean"
        )
        m.check(first.flags.load() & PG_REFERENCED, "a page that is used is referenced")
        around = {queue_of(page_at(process, page)) for page in new if page != 2}
        m.check(around <= {"inactive"}, "pages that nobody has asked for are inactive")
        both = OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY
        m.check(first.raw_object.flags.load() & both == both, "what is mapped writeable may become dirty")
        m.check(faults(vm, process.store, at(2), 1) == 0, "a page that is mapped writeable needs no fault")
        for page in every:
            process.store(at(page), 10 + page)
        forget(process)
        m.check(mapped(process) == [], "what was unmapped is gone")
        m.check(first.raw_dirty == VM_PAGE_BITS_ALL, "an entry that goes tells that its page was written to")
        vm_page_flag_clear(first, PG_REFERENCED)
        m.check(faults(vm, process.load, at(2)) == 1, "a page that is there is found by one fault")
        m.check(mapped(process) == every, "a burst maps what is there")
        m.check(first.flags.load() & PG_REFERENCED, "a page that is used is referenced")
        m.check([process.load(at(page)) for page in every] == [10, 11, 12, 13, 14], "nothing is lost")
        m.check((gd.v_zfod, gd.ru_majflt, gd.v_cow_faults) == (5, 0, 0), "nothing is read or copied")
        m.check(gd.ru_minflt == gd.v_vm_faults, "a fault without a pager is a minor one")
        m.check(process.load(at(5)) is None, "what is not mapped cannot be loaded")
        m.check(gd.ru_minflt == gd.v_vm_faults, "a fault that fails is not counted")
        give_back(process.vmspace)

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "fault", "prefault", "vnode"}, pages=None)
def neighbours_alone(m):
    """A thread touches a page of a file: neighbours are mapped as far as they are at rest and valid."""
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    shared = vm.sysctl["vm.shared_fault"] = m.choose(2)
    vm.sysctl["vm.fault_bypass"] = m.choose(2)
    writes, may_write = m.choose(2), m.choose(2)
    vp, obj = file_object(vm, 7, range(7))
    pages = obj.raw_rb_memq
    bad = m.choose(2)  # whether page 0 is not valid, or busy
    quiet = m.choose(2)

    def thread():
        process = Process(vm).enter()
        map_shared(m, process, obj, 7, VM_PROT_RW if writes or may_write else VM_PROT_READ)
        if quiet:
            process.map.raw_rb_root.at_or_before(at(0)).raw_eflags |= MAP_ENTRY_NOSYNC
        for page in pages.values():
            vm_page_flag_set(page, PG_NOSYNC)
        vm_page_flag_clear(pages[1], PG_NOSYNC)
        vm_page_busy_wait(pages[3], True)
        vm_page_deactivate(pages[3])
        vm_page_cache(pages[3])
        vm_page_busy_wait(pages[0], True)
        if bad:
            pages[0].raw_valid = 1
            vm_page_wakeup(pages[0])
        m.check(process.store(at(2), 1) is None if writes else process.load(at(2)) == 0, "a file can be used")
        if not bad:
            vm_page_wakeup(pages[0])
        found = [1, 2, 3, 4] if shared else [1, 2, 3, 4, 5, 6]
        m.check(mapped(process) == found, "a burst goes on until a page cannot be had, or passes it over")
        m.check(queue_of(pages[3]) == "inactive", "a page that is mapped is not cached")
        m.check(writeable(process) == (found if writes or may_write else []), "rights are the entry's")
        dirty = [n for n in range(7) if pages[n].raw_dirty]
        m.check(dirty == (found if writes else []), "a burst that writes says of all that they are dirty")
        kept = [n for n in found if pages[n].flags.load() & PG_NOSYNC]
        asked = found if quiet else []
        m.check(
            kept == (asked if writes or may_write else found[1:]), "pages are synced unless their entry says"
        )
        both = OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY
        said = obj.flags.load() & both
        m.check(said == (both if writes or may_write else 0), "a file that is mapped writeable is said to be")
        m.check(not any(page.busy_count.load() for page in pages.values()), "no page stays busy")
        pages[0].raw_valid = VM_PAGE_BITS_ALL
        give_back(process.vmspace)

    m.spawn(thread)
    m.join()
    vm_object_deallocate(obj)
    end_of_file(vp)


def spoil(page, how):
    """Make a page unfit to be mapped without a lock of its object."""
    vm_page_busy_wait(page, True)
    match how:
        case "inactive":
            vm_page_deactivate(page)
        case "clean":
            page.raw_dirty = 0
        case "not valid":
            page.raw_valid = 1
        case "swapped":
            vm_page_flag_set(page, PG_SWAPPED)
    if how != "busy":
        vm_page_wakeup(page)


@scenario(cpus=1, tags={"map", "fault", "prefault", "cow"}, pages=None)
def neighbours_behind_alone(m):
    """A thread touches a page in front of a chain: neighbours that are behind it are mapped to be read."""
    vm = m.boot(pages=30, l2_size=1)
    vm.sysctl["vm.shared_fault"] = 0
    vm.sysctl["vm.prefault_pages"] = 0
    fast = vm.sysctl["vm.fast_fault"] = m.choose(2)
    writes = m.choose(2)
    origin = vm_object_allocate(vm, 7)
    filled(vm, origin, range(10, 15))

    def thread():
        process, other = (Process(vm) for _ in range(2))
        for one in (other, process):
            map_private(m, one.map, origin, at(0), 7)
        process.enter().store(at(1), 21)
        first, second = shadow(process)
        forget(process)
        vm_object_clear_flag(origin, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
        vm.sysctl["vm.prefault_pages"] = 8
        before = vm.mycpu().v_zfod
        process.store(at(3), 33) if writes else process.load(at(3))
        new = [5, 6] if writes and fast else []
        m.check(
            mapped(process) == ([0, 1, 2, 3, 4, 5, 6] if new else [2, 3, 4]), "a burst goes through the chain"
        )
        m.check(
            writeable(process) == ([3, *new] if writes else []), "only the first object's may be written to"
        )
        own = first.raw_rb_memq
        m.check(sorted(own) == ([3, *new] if writes else []), "only the first object gets pages")
        m.check(all(own[page].raw_dirty for page in own), "which are dirty, since the fault writes")
        m.check(
            {queue_of(own[page]) for page in new} <= {"inactive"}, "what nobody has asked for is inactive"
        )
        m.check(vm.mycpu().v_zfod == before + len(new), "pages of zeros are counted")
        said = origin.flags.load() & (OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
        m.check(not said, "who only reads says of no object that it is written to")
        values = [process.load(at(page)) for page in (1, 3, 5)]
        m.check(
            seen_there == [10, 21, 12, 33 if writes else 13, 14, 0, 0],
            "a page is the one of the nearest layer",
        )
        vm_fault(other.map, at(2), VM_PROT_READ, VM_FAULT_BURST)
        m.check(mapped(other) == [2], "in somebody else's tables no neighbour is mapped")
        for one in (process, other):
            give_back(one.vmspace)
        vm_object_deallocate(second)

    m.spawn(thread)
    m.join()
    vm_object_deallocate(origin)


@scenario(cpus=1, tags={"map", "fault", "bypass"}, pages=None)
def known_pages_alone(m):
    """A thread faults pages that are known to have several users: those that are fit are had at once."""
    vm = m.boot(pages=24, l2_size=1)
    most = vm.sysctl["vm.fault_bypass"] = 1 + m.choose(3)
    may_write = m.choose(2)
    how = ("fit", "inactive", "clean", "swapped", "not valid", "busy")[m.choose(6)]
    which = 1 + m.choose(2) if how in ("inactive", "clean", "swapped") else 2
    obj = vm_object_allocate(vm, 5)
    filled(vm, obj, range(5))
    pages = obj.raw_rb_memq

    def thread():
        process, other = (Process(vm) for _ in range(2))
        for one in (other, process):
            map_shared(m, one, obj, 5, VM_PROT_RW if may_write else VM_PROT_READ)
            one.enter().load(at(2))
        forget(process)
        for page in pages.values():
            vm_object_set_writeable_dirty(obj)
            enter_hash(page)
            page.raw_act_count = 0
        vm_page_flag_set(pages[1], PG_NOSYNC)
        spoil(pages[which], how)
        fit = how == "fit" or (how == "clean" and not may_write)
        had = [1] if fit or which == 2 else []
        if had and fit:
            had = list(range(1, 1 + most))
        m.check(faults(vm, process.load, at(1)) == 1, "a page that is there is found by one fault")
        m.check(mapped(process) == (had or [0, 1, 2, 3, 4]), "pages that are fit are had at once")
        used = [n for n, page in pages.items() if page.raw_act_count]
        m.check(used == (had or [1]), "pages that are had so are as good as used")
        m.check(pages[1].flags.load() & PG_REFERENCED, "a page that is used is referenced")
        quiet = bool(pages[1].flags.load() & PG_NOSYNC)
        m.check(quiet != bool(may_write), "a page that may be written to is synced")
        if how != "not valid":
            vm_map_user_wiring(process.map, at(1), at(2), False)
            m.check(pages[1].wire_count.load() == 1, "a page that is wired is had alone")
            vm_map_user_wiring(process.map, at(1), at(2), True)
        if how == "busy":
            vm_page_wakeup(pages[which])
        m.check(not any(page.busy_count.load() for page in pages.values()), "no page stays busy")
        for page in pages.values():
            vm_page_flag_clear(page, PG_SWAPPED)
            page.raw_valid = page.raw_dirty = VM_PAGE_BITS_ALL
        for one in (process, other):
            give_back(one.vmspace)

    m.spawn(thread)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=1, tags={"map", "fault", "cow"}, pages=None)
def chains_alone(m):
    """A thread uses memory that is in the third layer, the first or nowhere: it writes to its own copies."""
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
        forget(process)
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
    """A thread uses pages that went to swap: each is read once, and is newer than its swap once written."""
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
        m.check(page.flags.load() & PG_SWAPPED, "a page that is only read keeps its swap")
        forget(process)
        m.check(process.load(at(0)) == 10, "a page that is there is found")
        m.check(gd.ru_majflt == 1, "a page that is there is not read")
        m.check(page.flags.load() & PG_SWAPPED, "a page that is only read keeps its swap")
        forget(process)
        m.check(process.store(at(0), 20) is None, "memory can be written")
        if not behind:
            m.check(not page.flags.load() & PG_SWAPPED, "a page that is written to is newer than its swap")
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

    def thread():
        process = Process(vm).enter()
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
        give_back(process.vmspace)

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "fault", "peek"}, pages=None)
def peeks_alone(m):
    """Somebody looks at the pages behind addresses, or of an object: each comes held or busied, and used."""
    vm = m.boot(pages=24, l2_size=1)
    vm.sysctl["vm.shared_fault"] = m.choose(2)
    writes, may_busy = m.choose(2), m.choose(2)
    prot = VM_PROT_WRITE if writes else VM_PROT_READ
    unswap = (VM_FAULT_UNSWAP | VM_FAULT_DIRTY) * m.choose(2)  # as swapoff does

    def look(found, busy, dirty):
        """Check a page that was found, and let it go."""
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
        vm_page_flag_clear(page_at(process, 0), PG_REFERENCED)
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
        kept = found.page.flags.load() & PG_SWAPPED
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
