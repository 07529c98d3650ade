"""Copies of wired pages for a child."""

from __future__ import annotations

from faults import REPAIRS, load, new_process, page_of, store
from maps import entry_at, over, put
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_fault import vm_fault_copy_entry
from vmsmp.vm.vm_page import vm_page_alloc, vm_page_free


def parent_and_child(vm, pages=2):
    """The maps of a process with wired memory, and of another that is to have copies of it."""
    parent = new_process(vm, pages)
    for page in range(pages):
        store(parent, page, 5 + page)
    over(v.vm_map_user_wiring, parent, 0, pages, False)
    child = new_process(vm)
    put(child, 0, pages)
    return parent, child


def copy(parent, child):
    v.vm_map_lock(parent)
    v.vm_map_lock(child)
    vm_fault_copy_entry(child, parent, entry_at(child, 0), entry_at(parent, 0))
    v.vm_map_unlock(child)
    v.vm_map_unlock(parent)


def test_a_child_has_pages_of_its_own_with_what_the_parent_s_had(alone):
    def program(vm):
        parent, child = parent_and_child(vm)
        copy(parent, child)
        faults = vm.mycpu().v_vm_faults
        found = [load(child, page) for page in range(2)]
        copies = [page_of(child, page) for page in range(2)]
        pages = [m.raw_object is entry_at(parent, 0).ba.raw_object for m in copies]
        dirty = [(m.raw_dirty, m.wire_count.value) for m in copies]
        return found, vm.mycpu().v_vm_faults - faults, pages, dirty, child.pmap.peek("wired_count")

    assert ([5, 6], 0, [False, False], [(0xFF, 0)] * 2, 0) == alone(program)


def test_memory_is_waited_for_with_both_maps_locked(together):
    def program(vm):
        parent, child = parent_and_child(vm)
        m = vm.machine
        taken = []
        while (page := vm_page_alloc(vm, None, 0, 1)) is not None:
            taken.append(page)

        m.spawn(copy, parent, child)
        m.yield_()
        for page in taken:
            vm_page_free(page)
        m.join()
        m.check(load(child, 1) == 6, "the copies are made")

    together(program, schedules=10, repairs=REPAIRS)


def test_a_page_that_the_first_object_lacks_is_a_panic(panic):
    def program(vm):
        parent, child = new_process(vm, 1), new_process(vm, 1)
        v.vm_map_lock(parent)
        v.vm_map_entry_allocate_object(entry_at(parent, 0))
        v.vm_map_unlock(parent)
        copy(parent, child)

    assert "vm_fault_copy_wired: page missing" == panic(program)
