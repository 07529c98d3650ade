"""Putting an object of its own in front of what an entry shares."""

from __future__ import annotations

import pytest

from maps import at, entry_at, floored, put
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_map import MAP_ENTRY_COW, MAP_ENTRY_NEEDS_COPY
from vmsmp.vm.vm_object import (
    OBJ_ONEMAPPING,
    OBJT_VNODE,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_reference_quick,
)


def copied(vm, refs=2, **how):
    """A map with a private mapping of an object that has that many references; its entry, and the object."""
    obj = vm_object_allocate(vm, 8, **how)
    for _ in range(refs - 1):
        vm_object_reference_quick(obj)
    map = floored(vm)
    what = v.Mapping(object=obj, offset=0x2000, prot=3, max=7, cow=v.COWF_COPY_ON_WRITE)
    put(map, 2, 3, what)
    return map, entry_at(map, 2), obj


def shadowed(map, entry):
    v.vm_map_lock(map)
    v.vm_map_entry_shadow(entry)
    v.vm_map_unlock(map)


def test_a_shared_object_moves_behind_a_new_one(alone):
    def program(vm):
        map, entry, obj = copied(vm)
        shadowed(map, entry)
        head, *rest = entry.chain()
        return (
            head.object is not obj and (head.object.peek("size"), head.peek("offset")),
            [(ba.object is obj, ba.peek("offset"), ba.peek("start"), ba.peek("end")) for ba in rest],
            (head.peek("backing_count"), obj.peek("ref_count"), head.object.peek("ref_count")),
            entry.peek("eflags"),
        )

    head, rest, counts, eflags = alone(program)
    assert (3, 0) == head
    assert [(True, 0x2000, at(2), at(5))] == rest
    assert (1, 2, 1) == counts
    assert MAP_ENTRY_COW == eflags


def test_both_objects_list_the_element_that_names_them(alone):
    def program(vm):
        map, entry, obj = copied(vm)
        shadowed(map, entry)
        head, behind = entry.chain()
        return [head.object.peek("backing_list") == [head], obj.peek("backing_list") == [behind]]

    assert [True, True] == alone(program)


def test_what_was_mapped_once_may_be_so_no_longer(alone):
    def program(vm):
        map, entry, obj = copied(vm)
        before = bool(obj.peek("flags") & OBJ_ONEMAPPING)
        shadowed(map, entry)
        return before, bool(obj.peek("flags") & OBJ_ONEMAPPING)

    assert False is alone(program)[1]


@pytest.mark.parametrize(("refs", "type", "copies"), [(1, 0, False), (2, 0, True), (1, OBJT_VNODE, True)])
def test_an_object_that_nobody_else_can_see_is_kept(alone, refs, type, copies):
    def program(vm):
        map, entry, obj = copied(vm, refs, objt=type)
        shadowed(map, entry)
        return entry.ba.peek("object") is not obj, bool(entry.peek("eflags") & MAP_ENTRY_NEEDS_COPY)

    assert (copies, False) == alone(program)


def test_an_entry_without_an_object_cannot_be_shadowed(panic):
    def program(vm):
        map = floored(vm)
        put(map, 2, 1)
        shadowed(map, entry_at(map, 2))

    assert "vm_map_entry_shadow: no object" == panic(program)


def test_the_head_leaves_its_list_before_its_contents_move(steps):
    def prepare(vm):
        map, entry, _ = copied(vm)
        return map, entry

    asked = [row.split()[1] for row in steps(prepare, shadowed) if row.startswith("request obj")]
    assert ["obj[0].baclk", "obj[1].baclk", "obj[0].baclk"] == asked


def test_two_entries_of_one_object_each_get_their_own(together):
    def program(vm):
        map, entry, obj = copied(vm, 3)
        other, second, _ = copied(vm)
        for lock, one in ((map, entry), (other, second)):
            vm.machine.spawn(shadowed, lock, one)
        vm.machine.join()
        heads = {entry.ba.peek("object").name, second.ba.peek("object").name}
        vm.machine.check(len(heads) == 2 and obj.name not in heads, "nobody writes to what is shared")
        for lock in (map, other):
            v.vm_map_remove(lock, at(0), at(32))
        vm_object_deallocate(obj)

    together(program, pages=16)
