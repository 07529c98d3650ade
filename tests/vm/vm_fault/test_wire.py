"""Pages that are wired by faults, unwired by what is mapped, and let go where one cannot be had."""

from __future__ import annotations

import pytest

from faults import entries, filled, held, mapped, new_process, page_of, private, shared, store, write
from maps import at, entry_at, over
from vmsmp.mmu.entry import frame_of
from vmsmp.vm import vm_map as v
from vmsmp.vm.pmap import PG_W
from vmsmp.vm.vm_fault import vm_fault, vm_fault_unwire, vm_fault_wire
from vmsmp.vm.vm_map import KERN_FAILURE, KERN_SUCCESS, KM_NOTLBSYNC, KM_PAGEABLE, VM_PROT_NOSYNC


def wirings(map, pages=4):
    """(wirings of the page, whether its mapping is wired) of each page that is mapped."""
    found = [(map.vm.page.vm_page_array[frame_of(pte)], pte) for _, pte in entries(map)]
    return [(m.wire_count.value, bool(pte & PG_W)) for m, pte in found][:pages]


@pytest.mark.parametrize("wire", ["user", "kernel"])
def test_the_pages_of_a_wiring_are_wired_until_it_ends(alone, wire):
    def program(vm):
        map = new_process(vm, 2)
        call = v.vm_map_user_wiring if wire == "user" else v.vm_map_kernel_wiring
        on, off = (False, True) if wire == "user" else (0, KM_PAGEABLE)
        rv = over(call, map, 0, 2, on)
        wired = wirings(map), map.pmap.peek("wired_count")
        return rv, wired, over(call, map, 0, 2, off), wirings(map), map.pmap.peek("wired_count")

    assert (
        KERN_SUCCESS,
        ([(1, True)] * 2, 2),
        KERN_SUCCESS,
        [(0, False)] * 2,
        0,
    ) == alone(program)


def test_a_wiring_that_fails_unwires_what_it_has(alone):
    def program(vm):
        map = new_process(vm, 4)
        vm.map.fault = lambda map, va, *how: KERN_FAILURE if va == at(2) else vm_fault(map, va, *how)
        rv = over(v.vm_map_user_wiring, map, 0, 4, False)
        return rv, wirings(map), map.pmap.peek("wired_count")

    assert (KERN_FAILURE, [(0, False)] * 2, 0) == alone(program)


def test_a_guard_page_is_left_out(alone):
    def program(vm):
        map = new_process(vm, 3)
        v.vm_map_lock(map)
        entry = entry_at(map, 0)
        entry.eflags |= v.MAP_ENTRY_KSTACK | v.MAP_ENTRY_IN_TRANSITION
        entry.wired_count = 1
        rv = vm_fault_wire(map, entry, False, 0)
        found = mapped(map)
        vm_fault_unwire(map, entry)
        return rv, found, wirings(map), map.lock.held()

    assert (KERN_SUCCESS, [1, 2], [(0, False)] * 2, True) == alone(program)


def test_a_wiring_may_leave_other_cpus_translations_alone(alone):
    def program(vm):
        told = []
        map = new_process(vm, 1)
        vm.map.fault = lambda _map, _va, prot, _flags: told.append(prot) or KERN_SUCCESS
        over(v.vm_map_kernel_wiring, map, 0, 1, KM_NOTLBSYNC)
        return [bool(prot & VM_PROT_NOSYNC) for prot in told]

    assert [True] == alone(program)


def test_a_fault_in_a_wired_range_wires_nothing(alone):
    def program(vm):
        map = new_process(vm, 1)
        over(v.vm_map_user_wiring, map, 0, 1, False)
        write(map, 0)
        return wirings(map), map.pmap.peek("wired_count")

    assert ([(1, True)], 1) == alone(program)


def test_a_page_is_wired_once_for_each_who_wires_it(alone):
    def program(vm):
        one = new_process(vm)
        obj = filled(vm, 5)
        shared(one, 0, obj, 1)
        over(v.vm_map_user_wiring, one, 0, 1, False)
        other = new_process(vm)
        shared(other, 0, obj, 1)
        over(v.vm_map_user_wiring, other, 0, 1, False)
        both = obj.raw_rb_memq[0].wire_count.value
        over(v.vm_map_user_wiring, one, 0, 1, True)
        return both, obj.raw_rb_memq[0].wire_count.value

    assert (2, 1) == alone(program)


def test_a_private_page_is_copied_as_it_is_wired(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5)
        private(map, 0, obj, 1)
        over(v.vm_map_user_wiring, map, 0, 1, False)
        m = page_of(map, 0)
        return held(m), m.raw_object is obj, m.wire_count.value

    assert (5, False, 1) == alone(program)


def test_wirings_and_stores_of_one_range(together):
    def program(vm):
        map = new_process(vm, 2)
        m = vm.machine

        def user():
            m.check(store(map, 1, 5), "memory that is being wired can be written")

        def wirer():
            over(v.vm_map_user_wiring, map, 0, 2, False)
            over(v.vm_map_user_wiring, map, 0, 2, True)

        m.spawn(user)
        m.spawn(wirer)
        m.join()
        m.check(all(count == 0 for count, _ in wirings(map)), "nothing stays wired")

    together(program, schedules=15)
