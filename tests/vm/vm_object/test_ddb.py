"""What the debugger shows of objects."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.vm.vm_object import (
    show_object,
    vm_object_allocate,
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
    assert "file: 3 pages, refs 1, holds 0, token free" == lines[0]
    assert [f"     0: {zero}, PQ_NONE", f"     3: {three}, pq.cache[0]", f"     5: {five}, pq.active[0]"] == [
        line.split(", file:")[0] for line in lines[1:]
    ]
    assert "0, busy 0, hold 0, wire 0, valid 0xff, dirty 0x0, 0" == lines[1].partition(", file:")[2]


def test_an_object_in_use_shows_its_holds_and_who_has_its_token(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 8, "file")
        vm_object_hold(obj)
        text = show_object(vm, "file")
        vm_object_drop(obj)
        return text

    assert "file: 0 pages, refs 1, holds 1, token exclusive cpu0" == alone(program)


def test_a_terminated_object_says_that_it_is_dead_and_gone(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8, "file")
        page_on(vm, "active", obj)
        vm_object_deallocate(obj)
        return show_object(vm, "file")

    assert "file: 0 pages, refs 0, holds 0, DEAD, freed, token free" == alone(program)


def test_objects_are_shown_in_order_of_their_making_or_one_by_name(alone):
    def program(vm):
        for name in ("swap", "file", None):
            vm_object_allocate(vm, 1, name)
        return [
            [line.split(":")[0] for line in show_object(vm, name).splitlines()]
            for name in (None, "file", "obj[2]")
        ]

    assert [["swap", "file", "obj[2]"], ["file"], ["obj[2]"]] == alone(program)


@pytest.mark.parametrize(("names", "known"), [((), "none"), (("file", "swap"), "file, swap")])
def test_an_object_that_there_is_not_is_refused_with_those_there_are(alone, names, known):
    def program(vm):
        for name in names:
            vm_object_allocate(vm, 1, name)
        return show_object(vm, "fil")

    with pytest.raises(vmsmp.UsageError, match=f"^there is no object 'fil': there are {known}$"):
        alone(program)
