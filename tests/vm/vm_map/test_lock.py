"""Locking a map: the timestamp, upgrades, and what is asserted."""

from __future__ import annotations

import pytest

from maps import at, floored, new_map
from vmsmp.sync.errno import EBUSY
from vmsmp.vm.vm_map import (
    VM_MAP_RANGE_CHECK,
    vm_map_lock,
    vm_map_lock_downgrade,
    vm_map_lock_read,
    vm_map_lock_read_to,
    vm_map_lock_read_try,
    vm_map_lock_upgrade,
    vm_map_lookup_entry,
    vm_map_unlock,
    vm_map_unlock_read,
)


def test_each_exclusive_section_has_its_own_timestamp(alone):
    def program(vm):
        map, seen = new_map(vm), []
        for lock in (vm_map_lock, vm_map_lock_read, vm_map_lock):
            lock(map)
            seen.append(map.timestamp)
            vm_map_unlock(map)
        vm_map_lock_read(map)
        assert 0 == vm_map_lock_upgrade(map)
        seen.append(map.timestamp)
        vm_map_lock_downgrade(map)
        seen.append(map.timestamp)
        vm_map_unlock_read(map)
        return seen

    assert [1, 1, 2, 3, 3] == alone(program)


def test_the_timestamp_is_a_word_of_32_bits(alone):
    def program(vm):
        map = new_map(vm)
        map.timestamp = 0xFFFFFFFF
        vm_map_lock(map)
        vm_map_unlock(map)
        return map.timestamp

    assert 0 == alone(program)


def test_locking_a_map_twice_is_a_panic(panic):
    def program(vm):
        map = new_map(vm)
        vm_map_lock(map)
        vm_map_lock(map)

    assert "locking against myself" in panic(program)


def test_readers_share_a_map_and_a_try_fails_while_it_is_changed(alone):
    def program(vm):
        map, errors = new_map(vm), []
        vm_map_lock_read(map)
        errors.append(vm_map_lock_read_try(map))
        vm_map_unlock(map)
        vm_map_unlock(map)
        vm_map_lock(map)
        vm.machine.spawn(lambda: errors.append(vm_map_lock_read_try(map)))
        vm.machine.spawn(lambda: errors.append(vm_map_lock_read_to(map)))
        for _ in range(2):
            vm.machine.tsleep("nobody", 0, "pause", 20)
        vm_map_unlock(map)
        vm.machine.join()
        return [bool(error) for error in errors]

    assert [False, True, True] == alone(program)


def test_the_second_of_two_upgrades_loses_its_lock(alone):
    def program(vm):
        map, errors = new_map(vm), []
        started = vm.machine.atomic(0)

        def upgrader():
            vm_map_lock_read(map)
            started.fetchadd(1)
            while started.load() < 2:
                vm.machine.pause()
            errors.append(vm_map_lock_upgrade(map))
            if not errors[-1]:
                vm_map_unlock(map)

        for _ in range(2):
            vm.machine.spawn(upgrader)
        vm.machine.join()
        return sorted(errors), map.peek("timestamp")

    assert ([0, EBUSY], 1) == alone(program)


def test_a_lookup_in_an_unlocked_map_is_a_panic(panic):
    assert "it is not locked" in panic(lambda vm: vm_map_lookup_entry(floored(vm), at(0)))


@pytest.mark.parametrize(
    ("pages", "clamped"),
    [((-1, 3), (0, 3)), ((2, 99), (2, 8)), ((5, 2), (2, 2)), ((20, 30), (8, 8))],
)
def test_a_range_is_clamped_to_the_map(alone, pages, clamped):
    first, last = pages

    def program(vm):
        return VM_MAP_RANGE_CHECK(new_map(vm, 8), at(first), at(last))

    assert tuple(at(page) for page in clamped) == alone(program)
