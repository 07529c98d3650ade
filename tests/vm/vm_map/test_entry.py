"""Entries and the elements of their chains: what they say of themselves, and what guards them."""

from __future__ import annotations

from maps import at, entry_at, floored, put
from vmsmp.vm.vm_map import Mapping, vm_map_lock, vm_map_remove, vm_map_unlock
from vmsmp.vm.vm_object import vm_object_allocate


def mapped(vm):
    map = floored(vm)
    put(map, 2, 2, Mapping(vm_object_allocate(vm, 4), prot=3, max=7))
    return map, entry_at(map, 2)


def test_an_entry_shows_its_range_its_object_and_its_rights(alone):
    def program(vm):
        return mapped(vm)[1].dump()

    assert f"{at(2):#x}-{at(4):#x}, object obj[0], offset 0x0, prot 3/7/1, wired 0, 0" == alone(program)


def test_a_chain_is_listed_from_its_head_on(alone):
    def program(vm):
        _, entry = mapped(vm)
        return [ba is entry.ba for ba in entry.chain()]

    assert [True] == alone(program)


def test_a_listed_backing_needs_the_list_s_lock_to_change(found):
    def program(vm):
        map, entry = mapped(vm)

        def mover():
            vm_map_lock(map)
            entry.ba.end = at(3)
            vm_map_unlock(map)

        vm.machine.spawn(mover)
        vm.machine.join()

    assert "the lock of its object's backing list, exclusively" in found(program, schedules=1)[1]


def test_a_scan_of_the_list_may_read_the_bounds(alone):
    def program(vm):
        _, entry = mapped(vm)
        obj = entry.ba.object

        def scanner():
            obj.backing_lk.acquire_shared()
            assert (at(2), at(4), 0) == (entry.ba.start, entry.ba.end, entry.ba.offset)
            obj.backing_lk.release()

        vm.machine.spawn(scanner)
        vm.machine.join()

    alone(program, check=True)


def test_an_entry_is_not_used_after_its_end(found):
    def program(vm):
        map, entry = mapped(vm)
        vm_map_remove(map, at(2), at(4))

        def late():
            vm_map_lock(map)
            _ = entry.eflags
            vm_map_unlock(map)

        vm.machine.spawn(late)
        vm.machine.join()

    assert ("use-after-free", "INV-UAF: entry used after it was freed") == found(program, schedules=1)
