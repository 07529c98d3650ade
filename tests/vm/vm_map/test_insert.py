"""Mapping a range: where it may be, what it says, and when the entry before goes on."""

from __future__ import annotations

import pytest

from maps import ANON, at, entry_at, floored, layout, put
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    COWF_DISABLE_COREDUMP,
    COWF_DISABLE_SYNCER,
    COWF_IS_KSTACK,
    COWF_IS_STACK,
    COWF_NOFAULT,
    COWF_PREFAULT,
    COWF_PREFAULT_RELOCK,
    KERN_INVALID_ADDRESS,
    KERN_NO_SPACE,
    KERN_SUCCESS,
    MAP_ENTRY_COW,
    MAP_ENTRY_KSTACK,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_NOCOREDUMP,
    MAP_ENTRY_NOFAULT,
    MAP_ENTRY_NOSYNC,
    MAP_ENTRY_STACK,
    VM_INHERIT_SHARE,
    vm_map_entry_reserve,
    vm_map_inherit,
    vm_map_insert,
    vm_map_lock,
    vm_map_protect,
    vm_map_remove,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import OBJ_ONEMAPPING, vm_object_allocate
from vmsmp.vm.vm_page import PAGE_SIZE


def insert(vm, first, last, what=ANON):
    map = floored(vm, 8)
    reserved = vm_map_entry_reserve(vm, 4)
    vm_map_lock(map)
    return vm_map_insert(map, reserved, at(first), at(last), what)


@pytest.mark.parametrize(
    ("first", "last", "code"),
    [
        (2, 4, KERN_SUCCESS),
        (-1, 2, KERN_INVALID_ADDRESS),
        (7, 9, KERN_INVALID_ADDRESS),
        (3, 3, KERN_INVALID_ADDRESS),
        (4, 3, KERN_INVALID_ADDRESS),
        (0, 1, KERN_NO_SPACE),
    ],
)
def test_a_range_is_inside_the_map_and_free(alone, first, last, code):
    assert code == alone(lambda vm: insert(vm, first, last))


def test_a_range_may_not_reach_into_the_next(alone):
    def program(vm):
        map = floored(vm, 8)
        put(map, 4, 1)
        return put(map, 2, 3), put(map, 2, 2), map.peek("nentries")

    assert (KERN_NO_SPACE, KERN_SUCCESS, 3) == alone(program)


@pytest.mark.parametrize(
    ("cow", "eflags"),
    [
        (COWF_NOFAULT, MAP_ENTRY_NOFAULT),
        (COWF_DISABLE_SYNCER, MAP_ENTRY_NOSYNC),
        (COWF_DISABLE_COREDUMP, MAP_ENTRY_NOCOREDUMP),
        (COWF_IS_STACK, MAP_ENTRY_STACK),
        (COWF_IS_KSTACK, MAP_ENTRY_KSTACK),
        (COWF_PREFAULT, 0),
    ],
)
def test_what_is_asked_for_becomes_a_flag_of_the_entry(alone, cow, eflags):
    def program(vm):
        map = floored(vm)
        put(map, 2, 1, ANON._replace(cow=cow))
        return entry_at(map, 2).peek("eflags")

    assert eflags == alone(program)


def test_a_private_object_needs_a_copy_before_it_is_written(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 1, ANON._replace(object=vm_object_allocate(vm, 1), cow=COWF_COPY_ON_WRITE))
        return entry_at(map, 2).peek("eflags")

    assert MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY == alone(program)


def test_an_object_may_not_be_mapped_where_faults_are_forbidden(panic):
    def program(vm):
        put(floored(vm), 2, 1, ANON._replace(object=vm_object_allocate(vm, 1), cow=COWF_NOFAULT))

    assert "vm_map_insert: paradoxical MAP_NOFAULT request" == panic(program)


def test_the_caller_s_reference_to_the_object_becomes_the_entry_s(alone):
    def program(vm):
        map = floored(vm)
        obj = vm_object_allocate(vm, 2)
        put(map, 2, 2, ANON._replace(object=obj))
        refs = obj.peek("ref_count"), len(obj.peek("backing_list"))
        vm_map_remove(map, at(2), at(4))
        return refs, obj.freed

    assert ((1, 1), True) == alone(program)


def test_memory_without_an_object_extends_the_entry_before(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 2)
        put(map, 4, 3)
        return layout(map), map.peek("size") // PAGE_SIZE

    assert ([(2, 5, 3, False)], 6) == alone(program)


def test_memory_with_other_rights_has_the_object_of_the_entry_before(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 2, ANON._replace(object=vm_object_allocate(vm, 2)))
        put(map, 4, 1, ANON._replace(prot=1))
        one, other = entry_at(map, 2), entry_at(map, 4)
        obj = one.ba.peek("object")
        return (
            obj is other.ba.peek("object"),
            other.ba.peek("offset") // PAGE_SIZE,
            (obj.peek("ref_count"), obj.peek("size")),
            bool(obj.peek("flags") & OBJ_ONEMAPPING),
        )

    assert (True, 2, (2, 3), False) == alone(program)


@pytest.mark.parametrize(
    "change",
    [
        lambda map: vm_map_user_wiring(map, at(2), at(4), False),
        lambda map: vm_map_protect(map, at(3), at(4), 1, True),
        lambda map: vm_map_inherit(map, at(2), at(4), VM_INHERIT_SHARE),
    ],
    ids=["wired", "other rights", "inherited otherwise"],
)
def test_an_entry_that_is_different_is_not_extended(alone, change):
    def program(vm):
        map = floored(vm)
        put(map, 2, 2)
        change(map)
        put(map, 4, 1)
        return layout(map)[-1][:2]

    assert (4, 1) == alone(program)


def test_another_user_s_memory_is_not_extended(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 2)
        put(map, 4, 1, ANON._replace(id=2))
        return [entry[:2] for entry in layout(map)]

    assert [(2, 2), (4, 1)] == alone(program)


@pytest.mark.parametrize(("enabled", "times"), [(1, 1), (0, 0)])
def test_an_object_is_let_go_of_while_its_pages_are_entered(steps, enabled, times):
    def prepared(vm):
        map = floored(vm)
        obj = vm_object_allocate(vm, 1)
        vm.sysctl["vm.map_relock_enable"] = enabled
        return map, 2, 1, ANON._replace(object=obj, cow=COWF_PREFAULT | COWF_PREFAULT_RELOCK)

    taken = [text for text in steps(prepared, put) if text == "try obj[0].token"]
    assert times == len(taken)
