"""What a fault holds, and how it lets go of that."""

from __future__ import annotations

import pytest

from faults import filled, new_process, private
from maps import entry_at
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_fault import (
    TRYPAGER,
    Faultstate,
    cleanup_fault,
    count_fault,
    release_page,
    unlock_map,
    unlock_things,
    vm_set_nosync,
)
from vmsmp.vm.vm_map import FW_WIRED, MAP_ENTRY_NOSYNC, VM_FAULT_USER_WIRE
from vmsmp.vm.vm_object import OBJT_SWAP, vm_object_hold, vm_object_pip_add
from vmsmp.vm.vm_page import (
    PG_NOSYNC,
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    vm_page_alloc,
    vm_page_busy_wait,
    vm_page_dirty,
)


def deep(vm, flags=0):
    """A fault that has come to the second layer of a chain, with a page reserved in the first one."""
    map = new_process(vm)
    private(map, 0, filled(vm, 5, 6))
    v.vm_map_lock(map)
    entry = entry_at(map, 0)
    v.vm_map_entry_shadow(entry)
    v.vm_map_lock_downgrade(map)
    fs = Faultstate(vm, flags, 0)
    fs.map, fs.entry, fs.lookup_still_valid = map, entry, 1
    fs.first_ba, fs.first_ba_held = entry.ba, 1
    vm_object_hold(fs.first_ba.object)
    fs.first_m = vm_page_alloc(vm, fs.first_ba.object, 0, VM_ALLOC_NORMAL)
    fs.ba = entry.ba.backing_ba
    vm_object_hold(fs.ba.object)
    vm_object_pip_add(fs.ba.object, 1)
    return fs


def test_a_fault_that_ends_below_frees_what_it_has_reserved(alone):
    def program(vm):
        fs = deep(vm)
        upper, lower = fs.first_ba.object, fs.ba.object
        cleanup_fault(fs)
        state = fs.ba is fs.first_ba, len(upper.raw_rb_memq), lower.paging_in_progress.value
        unlock_map(fs)
        return state, upper.token.held(), lower.token.held()

    assert ((True, 0, 0), False, False) == alone(program)


def test_a_reserved_page_that_is_valid_stays(alone):
    def program(vm):
        fs = deep(vm)
        upper = fs.first_ba.object
        fs.first_m.valid = VM_PAGE_BITS_ALL
        unlock_things(fs)
        (m,) = upper.raw_rb_memq.values()
        return m.busy_count.value

    assert 0 == alone(program)


def test_nothing_is_reserved_under_a_shared_token(panic):
    def program(vm):
        fs = deep(vm)
        fs.first_shared = 1
        cleanup_fault(fs)

    assert "cleanup_fault: a page is reserved in an object that is locked shared" == panic(program)


def test_everything_is_let_go_but_what_is_the_caller_s(alone):
    def program(vm):
        fs = deep(vm)
        map, upper = fs.map, fs.first_ba.object
        fs.first_ba_held = fs.lookup_still_valid = -1
        unlock_things(fs)
        return fs.ba, upper.token.held(), map.lock.held(), fs.first_ba_held, fs.lookup_still_valid

    assert (None, True, True, -1, -1) == alone(program)


def test_a_page_that_is_released_is_inactive_and_idle(alone):
    def program(vm):
        fs = deep(vm)
        m = fs.ba.object.raw_rb_memq[0]
        vm_page_busy_wait(m, True)
        fs.mary = [m]
        release_page(fs)
        return vm.page.queue_type(m.raw_queue), m.busy_count.value, fs.mary

    assert ("inactive", 0, []) == alone(program)


@pytest.mark.parametrize(
    ("type_", "flags", "wflags", "tries"),
    [
        (0, 0, 0, False),
        (OBJT_SWAP, 0, 0, True),
        (OBJT_SWAP, VM_FAULT_USER_WIRE, 0, False),
        (OBJT_SWAP, VM_FAULT_USER_WIRE, FW_WIRED, True),
    ],
)
def test_a_pager_is_asked_unless_the_memory_has_none(alone, type_, flags, wflags, tries):
    def program(vm):
        fs = deep(vm, flags)
        fs.wflags = wflags
        fs.ba.object.type = type_
        return TRYPAGER(fs)

    assert tries == alone(program)


@pytest.mark.parametrize(
    ("asked", "dirty", "before", "after"),
    [(True, False, 0, PG_NOSYNC), (True, True, 0, 0), (False, False, PG_NOSYNC, 0)],
)
def test_the_syncer_passes_over_pages_that_were_clean(alone, asked, dirty, before, after):
    def program(vm):
        fs = deep(vm)
        m = fs.first_m
        m.flags.value |= before
        if dirty:
            vm_page_dirty(m)
        fs.entry.raw_eflags |= MAP_ENTRY_NOSYNC if asked else 0
        vm_set_nosync(m, fs.entry)
        return m.flags.value & PG_NOSYNC

    assert after == alone(program)


@pytest.mark.parametrize(("hard", "counts"), [(0, (0, 1)), (2, (1, 0))])
def test_a_fault_is_major_if_a_pager_has_read(alone, hard, counts):
    def program(vm):
        fs = Faultstate(vm, 0, 0)
        fs.hardfault = hard
        count_fault(fs)
        gd = vm.mycpu()
        return gd.ru_majflt, gd.ru_minflt

    assert counts == alone(program)
