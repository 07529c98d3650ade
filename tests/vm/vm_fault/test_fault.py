"""Resolving a fault: what is mapped by it, what is refused, and what it counts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from faults import (
    entries,
    filled,
    held,
    load,
    mapped,
    new_process,
    page_of,
    private,
    read,
    shared,
    store,
    write,
)
from maps import ANON, at, entry_at, over, put
from vmsmp.mmu.entry import frame_of
from vmsmp.sync.thread import curthread
from vmsmp.vm import vm_map as v
from vmsmp.vm.pmap import PG_MANAGED
from vmsmp.vm.vm_fault import LWP_PAGING, vm_fault
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_INVALID_ADDRESS,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    TDF_NOFAULT,
    VM_FAULT_BURST,
    VM_FAULT_DIRTY,
    VM_FAULT_NORMAL,
    VM_FAULT_USER_WIRE,
    VM_FAULT_USERMODE,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_object import OBJ_MIGHTBEDIRTY, OBJ_WRITEABLE
from vmsmp.vm.vm_page import PAGE_SIZE, PG_REFERENCED, vm_page_flag_clear

DEVICE = SimpleNamespace(minor=0)


def test_the_first_touch_of_memory_makes_a_page_of_zeros(alone):
    def program(vm):
        map = new_process(vm, 2)
        m = (read(map, 0), page_of(map, 0))[1]
        return held(m), m.raw_dirty, bool(m.flags.value & PG_REFERENCED), vm.mycpu().v_zfod

    assert (0, 0, True, 1) == alone(program)


def test_a_write_fault_says_that_the_page_and_its_object_are_dirty(alone):
    def program(vm):
        map = new_process(vm, 2)
        write(map, 0)
        m = page_of(map, 0)
        both = OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY
        return m.raw_dirty, m.raw_object.flags.value & both == both

    assert (0xFF, True) == alone(program)


def test_what_is_not_mapped_cannot_be_had(alone):
    assert KERN_INVALID_ADDRESS == alone(lambda vm: read(new_process(vm, 2), 9))


@pytest.mark.parametrize(
    ("prot", "fault", "rv"),
    [
        (VM_PROT_READ, read, KERN_SUCCESS),
        (VM_PROT_READ, write, KERN_PROTECTION_FAILURE),
        (VM_PROT_NONE, read, KERN_PROTECTION_FAILURE),
    ],
)
def test_only_what_the_entry_allows_is_given(alone, prot, fault, rv):
    assert rv == alone(lambda vm: fault(new_process(vm, 2, ANON._replace(prot=prot)), 0))


def test_beyond_the_end_of_an_object_there_is_nothing(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 1, size=1)
        shared(map, 0, obj, 2)
        return read(map, 0), read(map, 1)

    assert (KERN_SUCCESS, KERN_PROTECTION_FAILURE) == alone(program)


def test_a_private_page_is_mapped_read_only_until_it_is_written_to(alone):
    def program(vm):
        map, obj = new_process(vm), filled(vm, 5, 6)
        private(map, 0, obj)
        before = load(map, 0), page_of(map, 0).raw_object is obj
        store(map, 0, 9)
        copied = page_of(map, 0)
        return before, load(map, 0), copied.raw_object is obj, held(obj.peek("rb_memq")[0])

    assert ((5, True), 9, False, 5) == alone(program)


def test_a_stack_grows_where_it_is_touched(alone):
    def program(vm):
        map = new_process(vm)
        v.vm_map_stack(map, at(0), 8 * PAGE_SIZE, v.MAP_FIXED, VM_PROT_RW, VM_PROT_RW, 0)
        map.vm.mycpu().proc.p_vmspace.vm_maxsaddr = at(0)
        return write(map, 7), write(map, 3), read(map, 9)

    found = alone(program, sgrowsiz=2 * PAGE_SIZE)
    assert (KERN_SUCCESS, KERN_SUCCESS, KERN_INVALID_ADDRESS) == found


def test_a_stack_that_may_not_grow_fails(alone):
    def program(vm):
        map = new_process(vm)
        v.vm_map_stack(map, at(0), 8 * PAGE_SIZE, v.MAP_FIXED, VM_PROT_RW, VM_PROT_RW, 0)
        p = vm.mycpu().proc
        p.p_vmspace.vm_maxsaddr = at(0)
        p.rlim_stack = 0
        return write(map, 3)

    assert KERN_FAILURE == alone(program, sgrowsiz=2 * PAGE_SIZE)


def test_a_thread_that_must_not_wait_gets_what_is_there_only(alone):
    def program(vm):
        map, obj = new_process(vm, 1), filled(vm, 1)
        private(map, 2, obj)
        curthread(vm.machine).td_flags |= TDF_NOFAULT
        return read(map, 2), write(map, 2)

    assert (KERN_SUCCESS, KERN_FAILURE) == alone(program)


@pytest.mark.parametrize(
    ("eflag", "text"),
    [(v.MAP_ENTRY_NOFAULT, "nofault entry"), (v.MAP_ENTRY_KSTACK, "stack guard")],
)
def test_some_entries_are_never_faulted_in(panic, eflag, text):
    def program(vm):
        map = new_process(vm, 2)
        entry_at(map, 0).eflags |= eflag
        read(map, 0)

    assert f"vm_fault: fault on {text}, addr: {at(0):#x}" == panic(program)


def test_an_entry_without_an_object_cannot_be_faulted_in(panic):
    def program(vm):
        map = new_process(vm, 2)
        entry_at(map, 0).maptype = v.VM_MAPTYPE_UNSPECIFIED
        read(map, 0)

    assert "vm_fault: unrecoverable fault in a map entry without an object" == panic(program)


@pytest.mark.parametrize(("answer", "rv"), [(0, KERN_SUCCESS), (22, KERN_FAILURE)])
def test_a_device_is_asked_what_it_shows(alone, answer, rv):
    asked = []

    def device(_ba, op, dev, fake):
        asked.append((op, dev))
        if fake is not None:
            fake.phys = 2
        return answer

    def program(vm):
        map = new_process(vm)
        put(map, 0, 1, ANON._replace(object=device, aux=DEVICE, maptype=v.VM_MAPTYPE_UKSMAP))
        rv = read(map, 0)
        frames = [frame_of(pte) for _, pte in entries(map) if not pte & PG_MANAGED]
        return rv, map.lock.held(), frames, vm.page.markers

    assert (rv, False, [2] * (rv == KERN_SUCCESS), []) == alone(program)
    assert (v.UKSMAPOP_FAULT, DEVICE) == asked[-1]


@pytest.mark.parametrize(
    ("flags", "mode", "limit", "left"),
    [
        (VM_FAULT_USERMODE, 1, 6, [1, 2]),
        (VM_FAULT_USERMODE, 1, 7, [0, 1, 2]),
        (VM_FAULT_USERMODE, 0, 6, [0, 1, 2]),
        (VM_FAULT_NORMAL, 1, 6, [0, 1, 2]),
    ],
)
def test_a_user_s_fault_takes_mappings_from_a_process_with_too_many(alone, flags, mode, limit, left):
    def program(vm):
        vm.pageout.memuse_spared, vm.pageout.memuse_mode = 0, mode
        map = new_process(vm, 4)
        for page in range(2):
            write(map, page)
        for m in (page_of(map, 0), page_of(map, 1)):
            vm_page_flag_clear(m, PG_REFERENCED)
        vm.mycpu().proc.rlim_rss = limit * PAGE_SIZE  # of which four are tables
        read(map, 2, flags)
        return mapped(map)

    assert left == alone(program, pages=16)


def test_a_user_s_wiring_of_what_has_no_rights_takes_the_right_to_write(alone):
    def program(vm):
        map = new_process(vm, 1, ANON._replace(prot=VM_PROT_NONE))
        entry_at(map, 0).wired_count = 1
        rv = vm_fault(map, at(0), VM_PROT_READ, VM_FAULT_USER_WIRE)
        return rv, entry_at(map, 0).peek("max_protection") & VM_PROT_WRITE

    assert (KERN_SUCCESS, 0) == alone(program)


def test_a_burst_maps_neighbours_and_a_wired_entry_has_none(alone):
    def program(vm):
        vm.fault.vm_shared_fault = 0
        map = new_process(vm, 4)
        write(map, 1, VM_FAULT_BURST | VM_FAULT_DIRTY)
        wired = new_process(vm, 4)
        entry_at(wired, 0).wired_count = 1
        write(wired, 1, VM_FAULT_BURST | VM_FAULT_DIRTY)
        return mapped(map), mapped(wired)

    assert ([0, 1, 2, 3], [1]) == alone(program)


def test_faults_are_counted(alone):
    def program(vm):
        map = new_process(vm, 4)
        gd = vm.mycpu()
        read(map, 0)
        read(map, 9)
        return gd.v_vm_faults, gd.ru_minflt, gd.ru_majflt, gd.lwp_flags & LWP_PAGING

    assert (1, 1, 0, 0) == alone(program)


def test_a_fault_that_fails_is_told_if_that_is_asked_for(alone):
    def program(vm):
        vm.sysctl["vm.debug_fault"] = -2
        read(new_process(vm), 0)
        return vm.console

    (line,) = alone(program)
    assert f"at {at(0):#x} for 1: {KERN_INVALID_ADDRESS}" in line


def test_as_many_faults_are_told_as_asked_for(alone):
    def program(vm):
        vm.sysctl["vm.debug_fault"] = 1
        map = new_process(vm, 4)
        read(map, 0)
        read(map, 1)
        read(map, 9)
        return len(vm.console), vm.sysctl["vm.debug_fault"]

    assert (1, 0) == alone(program)


def test_what_was_written_is_found_again(alone):
    def program(vm):
        map = new_process(vm, 4)
        assert store(map, 2, 7)
        over(v.vm_map_protect, map, 2, 1, VM_PROT_READ, False)
        return load(map, 2), store(map, 2, 8), load(map, 2)

    assert (7, False, 7) == alone(program)


def test_two_threads_that_fault_one_page_get_the_same(together):
    def program(vm):
        map = new_process(vm, 1)
        m = vm.machine
        m.spawn(write, map, 0)
        m.spawn(write, map, 0)
        m.join()
        m.check(vm.mycpu().v_zfod == 0 and len(mapped(map)) == 1, "one page is mapped")

    together(program, schedules=15)
