"""A new map, and what checkers say about accesses to it."""

from __future__ import annotations

from maps import BASE, at, floored, new_map, put
from vmsmp.vm.vm_map import vm_map_init, vm_map_lock_read, vm_map_unlock


def test_a_new_map_is_empty(alone):
    def program(vm):
        map = new_map(vm)
        return [map.peek(name) for name in ("nentries", "size", "timestamp", "flags")], map.min_addr

    assert ([0, 0, 0, 0], BASE) == alone(program)


def test_each_map_has_its_own_name_whoever_makes_it(alone):
    def program(vm):
        return [vm_map_init(vm, 0, 4096, vm.pmap.make("pmap")).name for _ in range(2)]

    assert ["map[0]", "map[64]"] == alone(program)


def test_a_map_shows_its_entries_and_its_lock(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 1)
        return map.state()

    assert alone(program).startswith("2 entries, version 2, ")


def test_an_entry_is_not_changed_under_a_shared_lock(found):
    def program(vm):
        map = floored(vm)

        def changer():
            vm_map_lock_read(map)
            map.rb_root.at_or_before(at(0)).protection = 0
            vm_map_unlock(map)

        vm.machine.spawn(changer)
        vm.machine.join()

    kind, message = found(program, schedules=1)
    assert ("field-lock", "entry.protection written without the map's lock, exclusively") == (kind, message)


def test_a_map_s_tree_is_not_looked_at_without_a_lock(found):
    def program(vm):
        map = floored(vm)
        vm.machine.spawn(lambda: map.rb_root)
        vm.machine.join()

    assert "field-lock" == found(program, schedules=1)[0]
