"""The page behind an address, or of an object, held or busied."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from faults import filled, held, load, mapped, new_process, private, shared, store
from maps import ANON, at, over, put
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_fault import vm_fault_object_page, vm_fault_page, vm_fault_page_quick
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_INVALID_ADDRESS,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    VM_FAULT_NORMAL,
    VM_FAULT_UNSWAP,
    VM_FAULT_USER_WIRE,
    VM_PROT_OVERRIDE_WRITE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_object import vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_page import (
    PBUSY_LOCKED,
    VM_ALLOC_NORMAL,
    vm_page_alloczwq,
    vm_page_unhold,
    vm_page_wakeup,
)


def test_a_page_comes_held_and_is_not_mapped_any_more(alone):
    def program(vm):
        map = new_process(vm, 1)
        store(map, 0, 5)
        found = vm_fault_page(map, at(0) + 9, VM_PROT_READ, VM_FAULT_NORMAL, False)
        state = held(found.page), found.page.hold_count.value, found.error, found.busy, mapped(map)
        vm_page_unhold(found.page)
        return state, load(map, 0)

    assert ((5, 1, KERN_SUCCESS, False, []), 5) == alone(program)


def test_a_page_to_be_written_to_may_come_busied(alone):
    def program(vm):
        map = new_process(vm, 1)
        found = vm_fault_page(map, at(0), VM_PROT_WRITE, VM_FAULT_NORMAL, True)
        state = found.busy, found.page.busy_count.value & PBUSY_LOCKED, found.page.raw_dirty
        vm_page_wakeup(found.page)
        return state

    assert (True, PBUSY_LOCKED, 0xFF) == alone(program)


def test_a_debugger_writes_to_a_copy(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5)
        private(map, 0, obj)
        over(v.vm_map_protect, map, 0, 4, VM_PROT_READ, False)
        load(map, 0)
        found = vm_fault_page_quick(vm, at(0), VM_PROT_RW | VM_PROT_OVERRIDE_WRITE, False)
        vm.memory.store(found.page.phys, 0, 6)
        vm_page_unhold(found.page)
        return load(map, 0), held(obj.raw_rb_memq[0]), store(map, 0, 7)

    assert (6, 5, False) == alone(program)


@pytest.mark.parametrize(
    ("page", "prot", "error"),
    [(9, VM_PROT_READ, KERN_INVALID_ADDRESS), (0, VM_PROT_WRITE, KERN_PROTECTION_FAILURE)],
)
def test_what_cannot_be_had_is_said(alone, page, prot, error):
    def program(vm):
        map = new_process(vm, 1, ANON._replace(prot=VM_PROT_READ))
        return vm_fault_page(map, at(page), prot, VM_FAULT_NORMAL, False)

    assert (None, error, False) == alone(program)


@pytest.mark.parametrize(("answer", "error"), [(0, KERN_SUCCESS), (22, KERN_FAILURE)])
def test_what_a_device_shows_is_a_page_of_memory(alone, answer, error):
    def program(vm):
        m = vm_page_alloczwq(vm, 0, VM_ALLOC_NORMAL)

        def device(_ba, _op, _dev, fake):
            if fake is not None:
                fake.phys = m.phys
            return answer

        map = new_process(vm)
        what = ANON._replace(object=device, aux=SimpleNamespace(minor=0), maptype=v.VM_MAPTYPE_UKSMAP)
        put(map, 0, 1, what)
        found = vm_fault_page(map, at(0), VM_PROT_READ, VM_FAULT_NORMAL, False)
        held = m.peek("hold_count")
        return found.error, found.page is m, held, map.lock.held(), vm.page.markers

    ours = error == KERN_SUCCESS
    assert (error, ours, ours, False, []) == alone(program)


def test_pages_are_not_wired_here(panic):
    def program(vm):
        vm_fault_page(new_process(vm, 1), at(0), VM_PROT_READ, VM_FAULT_USER_WIRE, False)

    assert "vm_fault_page: no pages are wired here" == panic(program)


@pytest.mark.parametrize("hold", [vm_object_hold, vm_object_hold_shared])
def test_an_object_s_page_comes_held_and_the_object_stays_locked(alone, hold):
    def program(vm):
        obj = filled(vm, 5)
        hold(obj)
        shared = hold is vm_object_hold_shared
        found, still = vm_fault_object_page(obj, 0, VM_PROT_READ, VM_FAULT_NORMAL, shared)
        state = held(found.page), found.page.hold_count.value, still, bool(obj.token.holders)
        vm_page_unhold(found.page)
        new, still = vm_fault_object_page(obj, 2 * 4096, VM_PROT_WRITE, VM_FAULT_NORMAL, shared)
        vm_page_unhold(new.page)
        vm_object_drop(obj)
        return state, held(new.page), still, new.page.raw_dirty

    shared = hold is vm_object_hold_shared
    assert ((5, 1, shared, True), 0, False, 0xFF) == alone(program)


def test_an_object_has_no_page_behind_its_end(alone):
    def program(vm):
        obj = filled(vm, 5, size=1)
        vm_object_hold(obj)
        found, _ = vm_fault_object_page(obj, 4096, VM_PROT_READ, VM_FAULT_NORMAL, False)
        vm_object_drop(obj)
        return found

    assert (None, KERN_PROTECTION_FAILURE, False) == alone(program)


def test_a_page_comes_without_its_swap_where_swap_is_to_go(alone):
    def program(vm):
        obj = filled(vm, 5)
        vm_object_hold_shared(obj)
        found, still = vm_fault_object_page(obj, 0, VM_PROT_RW, VM_FAULT_UNSWAP, True)
        vm_page_unhold(found.page)
        vm_object_drop(obj)
        return still, held(found.page)

    assert (False, 5) == alone(program)


def test_peeks_and_stores_go_together(together):
    def program(vm):
        map = new_process(vm)
        shared(map, 0, filled(vm, 5))
        m = vm.machine

        def user():
            store(map, 0, 6)

        def peek():
            found = vm_fault_page(map, at(0), VM_PROT_READ, VM_FAULT_NORMAL, False)
            vm_page_unhold(found.page)

        m.spawn(user)
        m.spawn(peek)
        m.join()
        m.check(load(map, 0) == 6, "what was stored is there")

    together(program, schedules=15)
