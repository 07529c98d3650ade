"""One thread touches its memory: each fault maps the page, and the neighbours that it may."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, enter_hash, file_object, give_back, queue_of
from vmsmp.scenarios.vm_fault._alone import (
    at,
    faults,
    forget,
    mapped,
    page_at,
    shadow,
    writeable,
)
from vmsmp.scenarios.vm_fault._memory import Process, alone, filled
from vmsmp.scenarios.vm_fault.sharing import map_shared
from vmsmp.scenarios.vm_map._spaces import map_anon, map_private
from vmsmp.vm.vm_fault import vm_fault
from vmsmp.vm.vm_map import (
    MAP_ENTRY_NOSYNC,
    VM_FAULT_BURST,
    VM_PROT_READ,
    VM_PROT_RW,
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
    vm_object_set_writeable_dirty,
)
from vmsmp.vm.vm_page import (
    PG_NOSYNC,
    PG_REFERENCED,
    PG_SWAPPED,
    VM_PAGE_BITS_ALL,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pager import swap_pager_unswapped, swp_pager_getswapspace, swp_pager_meta_build


@scenario(cpus=1, tags={"map", "fault", "prefault"}, pages=None)
def touches_alone(m):
    """A thread touches memory, loses the mappings, and touches it again: each burst maps all it may."""
    vm = m.boot(pages=24, l2_size=1)
    shared = vm.sysctl["vm.shared_fault"] = m.choose(2)
    fast = vm.sysctl["vm.fast_fault"] = m.choose(2)
    every = [0, 1, 2, 3, 4]

    def use(process):
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

    alone(m, use)


@scenario(cpus=1, tags={"map", "fault", "prefault", "vnode"}, pages=None)
def neighbours_alone(m):
    """A thread touches a page of a file: neighbours that are idle and valid are mapped."""
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    shared = vm.sysctl["vm.shared_fault"] = m.choose(2)
    vm.sysctl["vm.fault_bypass"] = m.choose(2)
    writes, may_write = m.choose(2), m.choose(2)
    vp, obj = file_object(vm, 7, range(7))
    pages = obj.raw_rb_memq
    bad = m.choose(2)  # whether page 0 is not valid, or busy
    quiet = m.choose(2)

    def use(process):
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

    alone(m, use)
    vm_object_deallocate(obj)
    end_of_file(vp)


#: The flags that the cleaning of an object clears.
OBJECT_CLEANED = {"not writeable": OBJ_WRITEABLE, "not dirty": OBJ_MIGHTBEDIRTY}


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
            obj = page.object
            vm_object_hold(obj)
            swp_pager_meta_build(obj, page.pindex, swp_pager_getswapspace(page.vm))
            vm_page_flag_set(page, PG_SWAPPED)
            vm_object_drop(obj)
    if how != "busy":
        vm_page_wakeup(page)


@scenario(cpus=1, tags={"map", "fault", "prefault", "cow"}, pages=None)
def neighbours_behind_alone(m):
    """A thread touches a page in front of a chain: neighbours from behind it are mapped read-only."""
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
        m.check(values == [21, 33 if writes else 13, 0], "a page is the one of the nearest layer")
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
    """A thread faults on pages with several users: usable ones are found without a lock of their object."""
    vm = m.boot(pages=24, l2_size=1)
    most = vm.sysctl["vm.fault_bypass"] = 1 + m.choose(3)
    may_write = m.choose(2)
    how = ("fit", "inactive", "clean", "swapped", "not valid", "busy", *OBJECT_CLEANED)[m.choose(8)]
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
        if how in OBJECT_CLEANED:
            vm_object_clear_flag(obj, OBJECT_CLEANED[how])
        else:
            spoil(pages[which], how)
        fit = how == "fit" or (how in ("clean", *OBJECT_CLEANED) and not may_write)
        had = [1] if fit or (which == 2 and how not in OBJECT_CLEANED) else []
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
            vm_page_busy_wait(page, True)
            swap_pager_unswapped(page)
            page.raw_valid = page.raw_dirty = VM_PAGE_BITS_ALL
            vm_page_wakeup(page)
        for one in (process, other):
            give_back(one.vmspace)

    m.spawn(thread)
    m.join()
    vm_object_deallocate(obj)
