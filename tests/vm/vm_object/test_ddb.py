"""What the debugger shows of objects."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.vm.vm_object import (
    OBJT_VNODE,
    show_object,
    show_vmochk,
    show_vmopag,
    vm_object_allocate,
    vm_object_backing_insert,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
)


def test_a_machine_without_objects_says_so(alone):
    assert "no objects" == alone(show_object)


def test_an_object_shows_its_counts_its_token_and_its_pages_in_order(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8, "file")
        pages = [
            page_on(vm, kind, obj, pindex) for kind, pindex in (("active", 5), ("none", 0), ("cache", 3))
        ]
        return show_object(vm).splitlines(), [m.name for m in pages]

    lines, (five, zero, three) = alone(program)
    assert "Object file: type=0, size=0x8, res=3, ref=1, flags=0x2000" == lines[0]
    assert "  holds 0, token free, baclk free, pip 0, backings 0, swap 0" == lines[1]
    assert [f"     0: {zero}, PQ_NONE", f"     3: {three}, pq.cache[0]", f"     5: {five}, pq.active[0]"] == [
        line.split(", file:")[0] for line in lines[2:]
    ]
    assert "0, busy 0, hold 0, wire 0, valid 0xff, dirty 0x0, 0" == lines[2].partition(", file:")[2]


def test_an_object_in_use_shows_its_holds_and_who_has_its_token(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 8, "file")
        vm_object_hold(obj)
        text = show_object(vm, "file")
        vm_object_drop(obj)
        return text

    line = "  holds 1, token exclusive cpu0, baclk free, pip 0, backings 0, swap 0"
    assert line == alone(program).splitlines()[1]


def test_a_terminated_object_says_that_it_is_dead_and_gone(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8, "file")
        page_on(vm, "active", obj)
        vm_object_deallocate(obj)
        return show_object(vm, "file")

    first, second = alone(program).splitlines()
    assert "Object file: type=0, size=0x8, res=0, ref=0, flags=0x2008" == first
    assert "  holds 0, token free, baclk free, pip 0, backings 0, swap 0, freed" == second


def test_objects_are_shown_in_order_of_their_making_or_one_by_name(alone):
    def program(vm):
        for name in ("swap", "file", None):
            vm_object_allocate(vm, 1, name)
        return [
            [line.split(":")[0] for line in show_object(vm, name).splitlines()[::2]]
            for name in (None, "file", "obj[2]")
        ]

    assert [["Object swap", "Object file", "Object obj[2]"], ["Object file"], ["Object obj[2]"]] == alone(
        program
    )


@pytest.mark.parametrize(("names", "known"), [((), "none"), (("file", "swap"), "file, swap")])
def test_an_object_that_there_is_not_is_refused_with_those_there_are(alone, names, known):
    def program(vm):
        for name in names:
            vm_object_allocate(vm, 1, name)
        return show_object(vm, "fil")

    with pytest.raises(vmsmp.UsageError, match=f"^there is no object 'fil': there are {known}$"):
        alone(program)


# -- vmochk, vmopag -------------------------------------------------------------------------------


def test_anonymous_objects_without_references_or_backings_are_told(alone):
    def program(vm):
        mapped, lost = (vm_object_allocate(vm, 8, name) for name in ("mapped", "lost"))
        vm_object_backing_insert(mapped, object())
        lost.ref_count.value = 0
        vm_object_allocate(vm, 8, "file", OBJT_VNODE)
        return show_vmochk(vm).splitlines()

    told = ["zero ref count: 8", "not in a map: ref: 0, size: 8: 0x8"]
    assert [f"vmochk: internal obj {what}" for what in ("has " + told[0], "is " + told[1])] == alone(program)


def test_a_machine_whose_objects_are_all_mapped_has_nothing_to_tell(alone):
    assert "vmochk: nothing" == alone(show_vmochk)


def test_the_runs_of_an_object_s_pages_say_where_they_begin_and_how_far_off_the_next_one_is(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 8, "file")
        vm_object_hold(obj)
        pages = [vm.page.vm_page_array[n] for n in (1, 2, 5)]
        for pindex, m in zip((0, 1, 2), pages, strict=True):
            obj.peek("rb_memq")[pindex] = m
        obj.peek("rb_memq")[6] = vm.page.vm_page_array[7]
        text = show_vmopag(vm, "file")
        obj.peek("rb_memq").clear()
        vm_object_drop(obj)
        return text.splitlines()

    assert [
        "new object: file",
        " index(0)run(2)pa(0x1000)pd(2)",
        " index(2)run(1)pa(0x5000)",
        " index(6)run(1)pa(0x7000)",
    ] == alone(program, l2_size=4)
