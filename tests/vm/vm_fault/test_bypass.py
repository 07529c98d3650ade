"""Pages that are mapped without a lock of their object, and those that are not."""

from __future__ import annotations

import pytest

from faults import filled, new_process, read, shared, store
from maps import entry_at
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_fault import Faultstate, vm_fault_bypass
from vmsmp.vm.vm_map import KERN_FAILURE, KERN_SUCCESS, VM_FAULT_USER_WIRE, VM_PROT_READ, VM_PROT_RW
from vmsmp.vm.vm_object import OBJ_DEAD, OBJ_MIGHTBEDIRTY
from vmsmp.vm.vm_page import (
    PG_MAPPEDMULTI,
    PG_SWAPPED,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_hash_enter,
    vm_page_wakeup,
)


def known(vm, values=(5, 6, 7)):
    """A map of an object whose pages are dirty, active and in the hash; the map is locked."""
    map, obj = new_process(vm), filled(vm, *values)
    shared(map, 0, obj)
    for m in obj.raw_rb_memq.values():
        m.flags.value |= PG_MAPPEDMULTI
        vm_page_busy_wait(m, True)
        vm_page_hash_enter(m)
        vm_page_wakeup(m)
    store(map, 0, 5)
    v.vm_map_lock_read(map)
    return map, obj


def bypass(vm, map, prot=VM_PROT_RW, flags=0, count=3):
    """The code of a bypass, and its state."""
    fs = Faultstate(vm, flags, 1)
    fs.map, fs.entry, fs.prot = map, entry_at(map, 0), prot
    fs.first_ba = fs.entry.ba
    return vm_fault_bypass(fs, 0, count), fs


@pytest.mark.parametrize(("asked", "pages"), [(1, 1), (2, 2), (16, 3)])
def test_active_pages_are_had_as_many_as_asked_for(alone, asked, pages):
    def program(vm):
        vm.sysctl["vm.fault_bypass"] = asked
        map, _ = known(vm)
        rv, fs = bypass(vm, map)
        return rv, len(fs.mary), [m.busy_count.value for m in fs.mary], fs.msoftonly

    assert (KERN_SUCCESS, pages, [1] * pages, True) == alone(program)


def hide(m, obj):
    del m
    obj.flags.value |= OBJ_DEAD


def invalidate(m, _obj):
    m.raw_valid = 1


def deactivate(m, _obj):
    vm_page_deactivate(m)


def swap(m, _obj):
    m.flags.value |= PG_SWAPPED


def clean(m, _obj):
    m.raw_dirty = 0


def clean_object(_m, obj):
    obj.flags.value &= ~OBJ_MIGHTBEDIRTY


@pytest.mark.parametrize("change", [hide, invalidate, deactivate, swap, clean, clean_object])
def test_a_page_that_is_not_just_right_is_left_alone(alone, change):
    def program(vm):
        map, obj = known(vm)
        m = obj.raw_rb_memq[0]
        change(m, obj)
        return bypass(vm, map)[0], m.busy_count.value

    assert (KERN_FAILURE, 0) == alone(program)


@pytest.mark.parametrize("change", [clean, clean_object])
def test_a_clean_page_may_be_mapped_read_only(alone, change):
    def program(vm):
        map, obj = known(vm)
        change(obj.raw_rb_memq[0], obj)
        return bypass(vm, map, VM_PROT_READ)[0]

    assert KERN_SUCCESS == alone(program)


def test_a_burst_ends_with_the_first_page_that_is_not_right(alone):
    def program(vm):
        vm.sysctl["vm.fault_bypass"] = 16
        map, obj = known(vm)
        clean(obj.raw_rb_memq[1], obj)
        rv, fs = bypass(vm, map)
        return rv, len(fs.mary), obj.raw_rb_memq[1].busy_count.value

    assert (KERN_SUCCESS, 1, 0) == alone(program)


def test_wirings_and_unknown_pages_take_the_long_way(alone):
    def program(vm):
        map, obj = known(vm)
        wired = bypass(vm, map, flags=VM_FAULT_USER_WIRE)[0]
        fs = bypass(vm, map)[1]
        return wired, vm_fault_bypass(fs, 7, 1), len(obj.raw_rb_memq)

    assert (KERN_FAILURE, KERN_FAILURE, 3) == alone(program)


def test_a_fault_that_bypasses_takes_no_token(steps):
    def prepare(vm):
        map, _ = known(vm)
        v.vm_map_unlock(map)
        return map, 0

    assert [] == [step for step in steps(prepare, read) if "token" in step]


def test_a_fault_of_a_resident_page_is_short(steps):
    def prepare(vm):
        map, _ = known(vm)
        v.vm_map_unlock(map)
        return map, 1

    assert 60 >= len(steps(prepare, read))
