"""Making an object."""

from __future__ import annotations

from vmsmp.vm import vm_object as o


def test_an_object_starts_with_one_reference_and_neither_held_nor_locked_nor_dead(alone):
    def program(vm):
        obj = o.vm_object_allocate(vm, 8)
        names = ("ref_count", "hold_count", "flags", "paging_in_progress", "resident_page_count", "rb_memq")
        return [obj.peek(name) for name in names], obj.token.holders, obj.size

    assert ([1, 0, 0, 0, 0, {}], [], 8) == alone(program)


def test_objects_are_spread_over_the_colours(alone):
    def program(vm):
        return [o.vm_object_allocate(vm, 8).pg_color for _ in range(6)]

    assert [0, 1, 2, 3, 0, 1] == alone(program, l2_size=4)
