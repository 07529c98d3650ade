"""Entries in a map's tree."""

from __future__ import annotations

import pytest

from maps import at, entry_at, floored, put
from vmsmp.vm.vm_map import (
    MAP_ENTRY_IN_TRANSITION,
    vm_map_entry_after,
    vm_map_entry_link,
    vm_map_entry_unlink,
    vm_map_lock,
    vm_map_lock_read,
    vm_map_lookup_entry,
)


def locked(vm, lock=vm_map_lock):
    map = floored(vm)
    put(map, 2, 2)
    put(map, 6, 1)
    lock(map)
    return map


@pytest.mark.parametrize(
    ("page", "hit", "start"), [(2, True, 2), (3, True, 2), (4, False, 2), (6, True, 6), (9, False, 6)]
)
def test_an_address_is_in_an_entry_or_behind_one(alone, page, hit, start):
    def program(vm):
        map = locked(vm, vm_map_lock_read)
        found, entry = vm_map_lookup_entry(map, at(page))
        return found, entry.ba.start

    assert (hit, at(start)) == alone(program)


def test_before_the_first_entry_there_is_none(alone):
    def program(vm):
        return vm_map_lookup_entry(locked(vm), at(-1))

    assert (False, None) == alone(program)


def test_after_none_comes_the_first(alone):
    def program(vm):
        map = locked(vm)
        first = vm_map_entry_after(map, None)
        return first.ba.start, vm_map_entry_after(map, first).ba.start

    assert (at(0), at(2)) == alone(program)


def test_unlinking_and_linking_counts(alone):
    def program(vm):
        map = locked(vm)
        entry = entry_at(map, 2)
        vm_map_entry_unlink(map, entry)
        gone = map.nentries, len(map.rb_root), entry.linked
        vm_map_entry_link(map, entry)
        return gone, (map.nentries, len(map.rb_root), entry.linked)

    assert ((2, 2, False), (3, 3, True)) == alone(program)


def test_an_entry_in_transition_is_not_unlinked(panic):
    def program(vm):
        map = locked(vm)
        entry_at(map, 2).eflags |= MAP_ENTRY_IN_TRANSITION
        vm_map_entry_unlink(map, entry_at(map, 2))

    assert "vm_map_entry_unlink: attempt to mess with locked entry!" == panic(program)


def test_two_entries_with_one_start_are_a_panic(panic):
    def program(vm):
        map = locked(vm)
        vm_map_entry_link(map, entry_at(map, 2))

    assert "vm_map_entry_link: dup addr" == panic(program)


def test_who_walks_with_the_token_alone_can_miss_a_link(steps):
    def prepared(vm):
        map = locked(vm)
        entry = entry_at(map, 2)
        vm_map_entry_unlink(map, entry)
        return map, entry

    assert ["store map.rb_root"] == steps(prepared, vm_map_entry_link)
