"""The core of all faults: pages found, copied, read, made of zeros or refused, and what is held then."""

from __future__ import annotations

import pytest

from faults import filled, held, load, new_process, page_of, private, read, shared, store, write
from maps import ANON, at, entry_at
from vmsmp.scenarios.vm_fault._memory import object_at, page_out
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_fault import Faultstate, set_excl_heur, vm_fault_object
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    KERN_TRY_AGAIN,
    VM_MAP_BACK_EXCL_HEUR,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_meter.meter import P_LOWMEMKILL
from vmsmp.vm.vm_object import OBJ_DEAD, OBJPC_SYNC, OBJPC_TRY_TO_CACHE, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    PG_RAM,
    PG_SWAPPED,
    VM_PAGE_BITS_ALL,
    vm_page_busy_wait,
    vm_page_free,
    vm_page_protect,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pageout import vm_pageout_flush
from vmsmp.vm.vm_pager import device_attach, device_detach


def core(vm, map, page, fault_type, *, shared=0, prot=VM_PROT_RW):
    """The code of the core for a page of the map, and the fault's state; its page stays busied."""
    v.vm_map_lock_read(map)
    entry = entry_at(map, page)
    fs = Faultstate(vm, 0, shared)
    fs.map, fs.entry, fs.lookup_still_valid = map, entry, 1
    fs.first_ba = fs.ba = entry.ba
    fs.first_ba_held, fs.first_prot = 1, prot
    vm_object_hold(fs.first_ba.object)
    pindex = (entry.ba.offset + at(page) - entry.ba.start) >> 12
    return vm_fault_object(fs, pindex, fault_type, True), fs


def swapped(vm, obj, pindex):
    """Write a page to swap and free it."""
    m = obj.raw_rb_memq[pindex]
    vm_page_busy_wait(m, True)
    vm_page_protect(m, 0)
    vm_pageout_flush([m], OBJPC_SYNC | OBJPC_TRY_TO_CACHE)
    m = obj.raw_rb_memq.get(pindex)
    if m is not None:
        vm_page_busy_wait(m, True)
        vm_page_free(m)


def test_a_page_of_the_first_object_is_found_busied(alone):
    def program(vm):
        map = new_process(vm)
        shared(map, 0, filled(vm, 5))
        rv, fs = core(vm, map, 0, VM_PROT_WRITE)
        return rv, held(fs.m), fs.prot, fs.first_ba.object.paging_in_progress.value

    assert (KERN_SUCCESS, 5, VM_PROT_RW, 0) == alone(program)


def test_a_page_of_a_lower_object_is_read_only_and_keeps_its_object_active(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5)
        private(map, 0, obj)
        v.vm_map_lock(map)
        v.vm_map_entry_shadow(entry_at(map, 0))
        v.vm_map_unlock(map)
        rv, fs = core(vm, map, 0, VM_PROT_READ)
        return rv, held(fs.m), fs.prot & VM_PROT_WRITE, obj.paging_in_progress.value, fs.first_m is None

    assert (KERN_SUCCESS, 5, 0, 1, False) == alone(program)


def test_a_write_copies_a_lower_object_s_page(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5)
        private(map, 0, obj)
        v.vm_map_lock(map)
        v.vm_map_entry_shadow(entry_at(map, 0))
        v.vm_map_unlock(map)
        rv, fs = core(vm, map, 0, VM_PROT_WRITE)
        source = obj.raw_rb_memq[0]
        state = fs.m is not source, held(fs.m), source.busy_count.value, obj.paging_in_progress.value
        return rv, state, vm.mycpu().v_cow_faults

    assert (KERN_SUCCESS, (True, 5, 0, 0), 1) == alone(program)


def test_what_nobody_has_is_zeros(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm)
        private(map, 0, obj)
        v.vm_map_lock(map)
        v.vm_map_entry_shadow(entry_at(map, 0))
        v.vm_map_unlock(map)
        rv, fs = core(vm, map, 2, VM_PROT_READ)
        return rv, held(fs.m), fs.m.raw_valid, fs.m.raw_object is obj, fs.m.raw_dirty

    assert (KERN_SUCCESS, 0, VM_PAGE_BITS_ALL, False, 0) == alone(program)


def test_a_dead_object_has_no_pages(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5)
        shared(map, 0, obj)
        obj.flags.value |= OBJ_DEAD
        rv, fs = core(vm, map, 0, VM_PROT_READ)
        obj.flags.value &= ~OBJ_DEAD
        return rv, obj.paging_in_progress.value, map.lock.held(), fs.ba

    assert (KERN_PROTECTION_FAILURE, 0, False, None) == alone(program)


def test_a_busy_page_is_waited_for_with_nothing_held(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5)
        shared(map, 0, obj)
        m = obj.raw_rb_memq[0]
        vm_page_busy_wait(m, True)
        told = []
        vm.machine.spawn(lambda: told.append((core(vm, map, 0, VM_PROT_READ)[0], vm.mycpu().v_intrans)))
        vm.machine.yield_()
        held = map.lock.held(), obj.token.held()
        vm_page_wakeup(m)
        vm.machine.join()
        return told, held

    assert ([(KERN_TRY_AGAIN, 1)], (False, False)) == alone(program)


def test_an_absent_page_needs_the_token_exclusively(alone):
    def program(vm):
        map = new_process(vm)
        shared(map, 0, filled(vm))
        rv, fs = core(vm, map, 0, VM_PROT_READ, shared=1)
        return rv, fs.first_shared, entry_at(map, 0).ba.peek("flags")

    assert (KERN_TRY_AGAIN, 0, VM_MAP_BACK_EXCL_HEUR) == alone(program)


def test_the_hint_goes_where_a_page_is_there(alone):
    def program(vm):
        map = new_process(vm)
        shared(map, 0, filled(vm, 5))
        set_excl_heur(entry_at(map, 0).ba, VM_MAP_BACK_EXCL_HEUR)
        read(map, 0)
        return entry_at(map, 0).ba.peek("flags")

    assert 0 == alone(program)


def test_a_page_comes_back_from_swap(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5, 6)
        shared(map, 0, obj)
        store(map, 0, 7)
        swapped(vm, obj, 0)
        gone = 0 not in obj.raw_rb_memq
        return gone, load(map, 0), vm.mycpu().ru_majflt

    assert (True, 7, 1) == alone(program)


def test_a_write_gives_the_swap_of_its_page_back(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5, 6)
        shared(map, 0, obj)
        swapped(vm, obj, 0)
        load(map, 0)
        before = obj.raw_rb_memq[0].flags.value & PG_SWAPPED, len(obj.peek("swblock_root"))
        write(map, 0)
        return before, obj.raw_rb_memq[0].flags.value & PG_SWAPPED, len(obj.peek("swblock_root"))

    assert ((PG_SWAPPED, 1), 0, 0) == alone(program)


def test_a_page_that_cannot_be_read_is_a_failure(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5)
        shared(map, 0, obj)
        swapped(vm, obj, 0)
        vm.pager.device.failing = True
        rv = read(map, 0)
        vm.pager.device.failing = False
        return rv, obj.paging_in_progress.value, len(obj.raw_rb_memq), load(map, 0)

    assert (KERN_FAILURE, 0, 0, 5) == alone(program)


def test_two_threads_wait_for_one_slow_read(together):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5)
        shared(map, 0, obj)
        swapped(vm, obj, 0)
        m = vm.machine
        device_attach(vm)
        users = [m.spawn(read, map, 0) for _ in range(2)]
        for cpu in users:
            cpu.join()
        device_detach(vm)
        m.join()
        m.check(load(map, 0) == 5, "the page is there")

    together(program, schedules=15)


@pytest.mark.parametrize(("killed", "rv"), [(False, KERN_TRY_AGAIN), (True, KERN_PROTECTION_FAILURE)])
def test_a_process_that_is_killed_for_memory_does_not_wait_for_it_again(alone, killed, rv):
    def program(vm):
        map = new_process(vm)
        shared(map, 0, filled(vm))
        vm.meter.limits.v_free_severe = vm.meter.limits.v_free_min = 100
        vm.meter.limits.v_free_reserved = 1
        if killed:
            vm.mycpu().proc.p_flags.value |= P_LOWMEMKILL
        else:
            vm.meter.limits.v_free_min = 0
        return core(vm, map, 0, VM_PROT_READ)[0]

    assert rv == alone(program)


def test_a_page_that_is_partly_valid_is_read(alone):
    def program(vm):
        map, obj = new_process(vm, 0), filled(vm, 5)
        shared(map, 0, obj, 1)
        obj.raw_rb_memq[0].raw_valid = 1
        rv, fs = core(vm, map, 0, VM_PROT_READ)
        return rv, fs.m.raw_valid

    assert (KERN_SUCCESS, VM_PAGE_BITS_ALL) == alone(program)


def test_a_fault_begins_at_the_first_object(panic):
    def program(vm):
        map = new_process(vm)
        shared(map, 0, filled(vm, 5))
        fs = Faultstate(vm, 0, 0)
        fs.first_ba = entry_at(map, 0).ba
        vm_object_hold(fs.first_ba.object)
        vm_fault_object(fs, 0, VM_PROT_READ, True)

    assert "vm_fault_object: it does not begin at the first object" == panic(program)


def test_a_kernel_page_is_taken_as_it_is(alone):
    def program(vm):
        obj = vm.objects.kernel_object
        map = new_process(vm)
        vm_object_hold(obj)
        vm_object_drop(obj)
        shared(map, 0, obj, 1)
        read(map, 0)
        page_of(map, 0).raw_valid = 1
        rv, fs = core(vm, map, 0, VM_PROT_READ)
        return rv, fs.m.raw_valid, [line for line in vm.console if "not valid as a whole" in line] != []

    assert (KERN_SUCCESS, VM_PAGE_BITS_ALL, True) == alone(program)


def test_memory_of_all_kinds_has_one_page_at_an_index(together):
    def program(vm):
        map = new_process(vm, 2, ANON)
        m = vm.machine
        m.spawn(write, map, 0)
        m.spawn(read, map, 0)
        m.spawn(write, map, 1)
        m.join()

    together(program, pages=12, schedules=15)


@pytest.mark.parametrize("mode", [0, 1])
def test_where_reading_ahead_has_ended_it_goes_on_if_the_object_is_locked_exclusively(alone, mode):
    """A fault that has it shared begins anew, and by then the mark is gone: so the kernel has it."""

    def program(vm):
        vm.sysctl["vm.swap_burst_read"] = 1
        vm.sysctl["vm.shared_fault"] = mode
        vm.sysctl["vm.debug_cluster"] = 1
        vm.sysctl["vm.prefault_pages"] = 0
        map = new_process(vm, 3)
        for n in range(3):
            store(map, n, f"page {n}")
        obj = object_at(map, at(0))
        for n in range(3):
            page_out(obj, n)
        seen = []
        for n in range(2):
            value = load(map, n)
            pages = sorted(obj.peek("rb_memq").items())
            seen.append((value, {k: bool(page.peek("flags") & PG_RAM) for k, page in pages}))
        return seen, [*vm.console], load(map, 2)

    after = {0: False, 1: False, **({} if mode else {2: False})}
    expected = [("page 0", {0: False, 1: True}), ("page 1", after)]
    assert (expected, ["R"], "page 2") == alone(program, pages=32)
