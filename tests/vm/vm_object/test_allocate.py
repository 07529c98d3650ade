"""Making an object."""

from __future__ import annotations

import pytest

from vmsmp.vm import vm_object as o


def test_an_object_starts_with_one_reference_and_neither_held_nor_locked_nor_dead(alone):
    def program(vm):
        obj = o.vm_object_allocate(vm, 8)
        names = ("ref_count", "hold_count", "flags", "paging_in_progress", "resident_page_count", "rb_memq")
        return [obj.peek(name) for name in names], obj.token.holders, obj.size

    assert ([1, 0, o.OBJ_ONEMAPPING, 0, 0, {}], [], 8) == alone(program)


def test_objects_are_spread_over_the_colours(alone):
    def program(vm):
        return [o.vm_object_allocate(vm, 8).pg_color % 4 for _ in range(6)]

    assert [0, 3, 2, 1, 0, 3] == alone(program, l2_size=4)


@pytest.mark.parametrize(
    ("objt", "flags"),
    [
        (o.OBJT_DEFAULT, o.OBJ_ONEMAPPING),
        (o.OBJT_SWAP, o.OBJ_ONEMAPPING),
        (o.OBJT_VNODE, 0),
        (o.OBJT_PHYS, 0),
    ],
)
def test_only_anonymous_memory_may_be_mapped_once(alone, objt, flags):
    def program(vm):
        obj = o.vm_object_allocate(vm, 8, objt=objt)
        return obj.peek("type"), obj.peek("flags"), obj.peek("handle"), obj.memattr

    assert (objt, flags, None, o.VM_MEMATTR_DEFAULT) == alone(program)


def test_an_object_is_held_before_it_is_listed(steps):
    rows = steps(lambda vm: [vm, 8], o.vm_object_allocate_hold, object_hash=1)
    assert [
        "fetchadd obj[0].hold_count",
        "acquire obj[0].token",
        "try vmobjlst[0]",
        "release vmobjlst[0]",
    ] == rows


def test_an_object_that_is_part_of_something_else_is_listed_and_let_go_of(alone):
    def program(vm):
        obj = vm.objects.make(_name="part")
        o.vm_object_init(obj, 3)
        return obj.peek("size"), obj.peek("hold_count"), obj.peek("object_entry") is not None

    assert (3, 0, True) == alone(program)


def test_memory_for_an_object_may_have_to_be_waited_for(steps):
    def prepare(vm):
        token = vm.machine.token("mine")
        token.acquire()
        return [vm, 8]

    rows = steps(prepare, o.vm_object_allocate)
    assert "release mine" in rows[: rows.index("fetchadd obj[0].hold_count")]


def test_colours_begin_with_the_thread_and_step_by_a_prime(alone):
    def program(vm):
        cpu = vm.machine.spawn(lambda: [o.vm_quickcolor(vm) for _ in range(2)])
        mine = [o.vm_quickcolor(vm) for _ in range(3)]
        cpu.join()
        return mine, cpu.result

    assert ([0, 23, 46], [1, 24]) == alone(program)
