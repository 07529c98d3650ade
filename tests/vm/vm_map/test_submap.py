"""Maps inside other maps."""

from __future__ import annotations

import pytest

from maps import at, entry_at, floored, layout, over, put
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_map import KERN_INVALID_ARGUMENT, KERN_SUCCESS, VM_MAPTYPE_SUBMAP
from vmsmp.vm.vm_object import vm_object_allocate


@pytest.mark.parametrize(
    ("page", "pages", "answer"),
    [
        (2, 4, KERN_SUCCESS),
        (3, 2, KERN_SUCCESS),
        (2, 5, KERN_INVALID_ARGUMENT),
        (1, 2, KERN_INVALID_ARGUMENT),
        (20, 2, KERN_INVALID_ARGUMENT),
    ],
)
def test_a_submap_covers_exactly_one_entry(alone, page, pages, answer):
    def program(vm):
        vm.map.kernel_map.system_map = 1
        map = floored(vm)
        map.system_map = 1
        put(map, 2, 4)
        submap = floored(vm)
        rv = over(v.vm_map_submap, map, page, pages, submap)
        entry = entry_at(map, page)
        return rv, entry is not None and entry.peek("maptype") == VM_MAPTYPE_SUBMAP

    assert (answer, answer == KERN_SUCCESS) == alone(program)


def test_the_entry_is_cut_before_it_is_looked_at(alone):
    def program(vm):
        map = floored(vm)
        map.system_map = 1
        put(map, 2, 4)
        over(v.vm_map_submap, map, 3, 2, floored(vm))
        return [page for page, *_ in layout(map)]

    assert [2, 3, 5] == alone(program)


@pytest.mark.parametrize("cow", [0, v.COWF_COPY_ON_WRITE])
def test_an_entry_of_an_object_cannot_become_one(alone, cow):
    def program(vm):
        map = floored(vm)
        put(map, 2, 4, v.Mapping(object=vm_object_allocate(vm, 4), prot=3, max=7, cow=cow))
        return over(v.vm_map_submap, map, 2, 4, floored(vm))

    assert KERN_INVALID_ARGUMENT == alone(program)


def test_the_lock_is_given_back_whatever_comes_out(alone):
    def program(vm):
        map = floored(vm)
        answers = [over(v.vm_map_submap, map, page, 1, floored(vm)) for page in (0, 5)]
        return answers, map.lock.held(), vm.map.supply().reserved(), at(0) == map.min_addr

    _answers, *rest = alone(program)
    assert [False, 0, True] == rest
