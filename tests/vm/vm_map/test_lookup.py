"""From an address to an object: what a lookup finds, prepares and refuses."""

from __future__ import annotations

import pytest

from maps import at, entry_at, floored, over, put
from vmsmp.sync.thread import curthread
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_kern import kmem_suballoc
from vmsmp.vm.vm_map import (
    FW_DIDCOW,
    FW_WIRED,
    KERN_FAILURE_NOFAULT,
    KERN_INVALID_ADDRESS,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    MAP_ENTRY_PARTITION_SIZE,
    TDF_NOFAULT,
    VM_PROT_OVERRIDE_WRITE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_reference_quick

OVERRIDE = VM_PROT_RW | VM_PROT_OVERRIDE_WRITE


def private(vm, prot=VM_PROT_RW):
    """A map with a private mapping of four pages of an object that others have, too."""
    obj = vm_object_allocate(vm, 8)
    vm_object_reference_quick(obj)
    map = floored(vm)
    put(map, 2, 4, v.Mapping(object=obj, offset=0x1000, prot=prot, max=7, cow=v.COWF_COPY_ON_WRITE))
    return map, obj


def look(map, page, how):
    """The result of a lookup whose lock is given back."""
    found = v.vm_map_lookup(map, at(page), how)
    if found.rv == KERN_SUCCESS:
        assert found.map.lock.held()
        v.vm_map_lookup_done(found.map, found.entry, None)
    assert not found.map.lock.held()
    return found


@pytest.mark.parametrize(
    ("page", "how", "rv"),
    [
        (1, VM_PROT_READ, KERN_INVALID_ADDRESS),
        (6, VM_PROT_READ, KERN_INVALID_ADDRESS),
        (2, VM_PROT_READ, KERN_SUCCESS),
        (2, VM_PROT_WRITE, KERN_PROTECTION_FAILURE),
        (2, OVERRIDE, KERN_SUCCESS),
    ],
)
def test_what_is_mapped_with_the_right_is_found(alone, page, how, rv):
    def program(vm):
        return look(private(vm, VM_PROT_READ)[0], page, how).rv

    assert rv == alone(program)


def test_a_read_finds_the_shared_object_and_may_not_write_to_it(alone):
    def program(vm):
        map, obj = private(vm)
        found = look(map, 3, VM_PROT_READ)
        return found.ba.peek("object") is obj, found.pindex, found.pcount, found.prot, found.wflags

    assert (True, 2, 3, VM_PROT_READ, 0) == alone(program)


def test_a_write_gets_an_object_of_its_own_first(alone):
    def program(vm):
        map, obj = private(vm)
        found = look(map, 3, VM_PROT_WRITE)
        head, behind = found.entry.chain()
        return head is found.ba, behind.peek("object") is obj, found.pindex, found.prot, found.wflags

    assert (True, True, 1, VM_PROT_RW, FW_DIDCOW) == alone(program)


def test_anonymous_memory_gets_its_object_when_it_is_touched(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 3)
        found = look(map, 3, VM_PROT_READ)
        obj = found.ba.peek("object")
        return obj.peek("size"), obj.peek("backing_list") == [found.ba], found.pindex, found.pcount

    assert (3, True, 1, 2) == alone(program)


def test_a_wired_entry_is_faulted_for_all_that_it_allows(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 1)
        over(v.vm_map_user_wiring, map, 2, 1, False)
        found = look(map, 2, VM_PROT_READ)
        return found.prot, found.wflags

    assert (VM_PROT_RW, FW_WIRED) == alone(program)


def test_a_user_s_wired_copy_is_not_written_to_unless_that_is_overridden(alone):
    def program(vm):
        map, _ = private(vm)
        over(v.vm_map_user_wiring, map, 2, 4, False)
        return look(map, 2, VM_PROT_WRITE).rv, look(map, 2, OVERRIDE).rv

    assert (KERN_PROTECTION_FAILURE, KERN_SUCCESS) == alone(program)


def test_a_fault_that_must_not_change_the_map_fails_where_it_would(alone):
    def program(vm):
        map, _ = private(vm)
        curthread(vm.machine).td_flags |= TDF_NOFAULT
        return look(map, 2, VM_PROT_WRITE).rv, look(map, 2, VM_PROT_READ).rv

    assert (KERN_FAILURE_NOFAULT, KERN_SUCCESS) == alone(program)


def test_a_lookup_goes_on_in_a_submap(alone):
    def program(vm):
        submap = kmem_suballoc(vm.map.kernel_map, 0x4000)
        put_at = submap.min_addr + 0x1000
        v.vm_map_find(submap, put_at, 0x1000, 4096, False, v.Mapping(prot=3, max=7))
        found = v.vm_map_lookup(vm.map.kernel_map, put_at, VM_PROT_READ)
        v.vm_map_lookup_done(found.map, found.entry, None)
        missing = v.vm_map_lookup(vm.map.kernel_map, submap.min_addr, VM_PROT_READ)
        return found.rv, found.map is submap, missing.rv, vm.map.kernel_map.lock.held(), submap.lock.held()

    assert (KERN_SUCCESS, True, KERN_INVALID_ADDRESS, False, False) == alone(program)


def test_a_device_has_no_backing_to_look_into(alone):
    def program(vm):
        map = floored(vm)
        put(
            map,
            2,
            1,
            v.Mapping(object=lambda *_: 0, aux=Device(), maptype=v.VM_MAPTYPE_UKSMAP, prot=3, max=7),
        )
        found = look(map, 2, VM_PROT_WRITE)
        return found.rv, found.ba

    assert (KERN_SUCCESS, None) == alone(program)


class Device:
    """A device whose mapping is nobody's."""

    minor = 6


@pytest.mark.parametrize(("enabled", "parts"), [(1, 3), (0, 1)])
def test_a_large_entry_is_cut_to_the_partition_that_is_touched(alone, enabled, parts):
    def program(vm):
        vm.map.map_partition_enable = enabled
        map = v.vmspace_alloc(vm, 0, 1 << 40).vm_map
        size = MAP_ENTRY_PARTITION_SIZE
        v.vm_map_find(map, size - 4096, 2 * size, 4096, False, v.Mapping(prot=3, max=7))
        found = v.vm_map_lookup(map, size + 4096, VM_PROT_READ)
        v.vm_map_lookup_done(found.map, found.entry, None)
        cut = found.entry.ba.peek("start"), found.entry.ba.peek("end")
        return map.peek("nentries"), cut == (size, 2 * size), found.ba.peek("object") is not None

    assert (parts, bool(enabled), True) == alone(program)


def test_a_lookup_inside_another_one_brings_no_entries(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 1)
        vm.mycpu().td_nest_count = 1
        look(map, 2, VM_PROT_READ)
        nested = vm.mycpu().td_nest_count
        return nested, vm.map.supply().reserved()

    assert (1, 0) == alone(program)


def test_a_lookup_that_only_reads_keeps_the_lock_shared(steps):
    def prepare(vm):
        map, _ = private(vm)
        return (map,)

    rows = steps(prepare, lambda map: look(map, 2, VM_PROT_READ))
    assert not [row for row in rows if "upgrade" in row or "downgrade" in row]


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_two_writers_shadow_once(together, locks):
    def program(vm):
        map, obj = private(vm)

        def writer():
            found = v.vm_map_lookup(map, at(2), VM_PROT_WRITE)
            vm.machine.check(found.ba.object is not obj, "nobody writes to what is shared")
            v.vm_map_lookup_done(found.map, found.entry, None)

        for _ in range(2):
            vm.machine.spawn(writer)
        vm.machine.join()
        vm.machine.check(len(entry_at(map, 2).chain()) == 2, "there is one copy")

    together(program, locks=locks, pages=16)
