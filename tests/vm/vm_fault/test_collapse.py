"""All pages of an entry in its first object, from wherever in the chain they were."""

from __future__ import annotations

from faults import REPAIRS, filled, held, load, mapped, new_process, private, store
from maps import entry_at
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_fault import vm_fault_collapse
from vmsmp.vm.vm_map import KERN_FAILURE, KERN_SUCCESS
from vmsmp.vm.vm_page import PG_REFERENCED, vm_page_busy_wait, vm_page_free, vm_page_protect, vm_page_wakeup


def chain(vm, *values):
    """A map whose pages are in an object behind its first one, which has only a new page 1."""
    map, obj = new_process(vm), filled(vm, *values)
    private(map, 0, obj)
    store(map, 1, 60)
    return map, obj


def collapse(map):
    v.vm_map_lock(map)
    rv = vm_fault_collapse(map, entry_at(map, 0))
    v.vm_map_unlock(map)
    return rv


def test_every_page_comes_to_the_first_object(alone):
    def program(vm):
        map, obj = chain(vm, 5, 6, 7)
        load(map, 2)
        rv = collapse(map)
        first = entry_at(map, 0).ba.raw_object
        found = {pindex: held(m) for pindex, m in first.raw_rb_memq.items()}
        marked = all(m.flags.value & PG_REFERENCED for m in first.raw_rb_memq.values())
        return rv, found, marked, mapped(map), obj.paging_in_progress.value

    found = alone(program)
    assert (KERN_SUCCESS, {0: 5, 1: 60, 2: 7, 3: 0}, True, [], 0) == found


def test_what_is_mapped_stays_if_all_pages_were_there(alone):
    def program(vm):
        map, _ = chain(vm, 5, 6)
        collapse(map)
        store(map, 0, 50)
        return collapse(map), mapped(map)

    assert (KERN_SUCCESS, [0]) == alone(program)


def test_a_page_that_cannot_be_read_ends_it(alone):
    def program(vm):
        map, _ = chain(vm, 5, 6)
        first = entry_at(map, 0).ba.raw_object
        m = first.raw_rb_memq[1]
        vm_page_busy_wait(m, True)
        vm_page_protect(m, 0)
        first.raw_type = 1
        first.raw_swblock_root[1] = 0
        vm.pager.contents[0] = {0: 9}
        vm_page_free(m)
        vm.pager.device.failing = True
        rv = collapse(map)
        vm.pager.device.failing = False
        return rv, map.lock.held(), first.token.held(), collapse(map), held(first.raw_rb_memq[1])

    found = alone(program)
    assert (KERN_FAILURE, False, False, KERN_SUCCESS, 9) == found


def test_a_page_that_is_busy_is_waited_for(together):
    def program(vm):
        map, obj = chain(vm, 5, 6)
        m = vm.machine
        page = obj.raw_rb_memq[0]

        def user():
            vm_page_busy_wait(page, True)
            m.yield_()
            vm_page_wakeup(page)

        m.spawn(user)
        m.spawn(collapse, map)
        m.join()
        first = entry_at(map, 0).ba.raw_object
        m.check(held(first.raw_rb_memq[0]) == 5, "the page has been copied")

    together(program, schedules=15, repairs=REPAIRS)
