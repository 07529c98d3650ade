"""The table behind the page hash: its size and its sets."""

from __future__ import annotations

import pytest

from vmsmp.vm.vm_object import vm_object_allocate


@pytest.mark.parametrize(("pages", "size"), [(1, 4096), (65_536, 4096), (65_552, 8192), (1 << 20, 65_536)])
def test_the_hash_has_a_power_of_two_of_elements_one_for_sixteen_pages_and_no_less_than_4096(pages, size):
    from types import SimpleNamespace

    from vmsmp.vm.config import BootConfig
    from vmsmp.vm.vm_page import VmPageHash

    vm = SimpleNamespace(pool=lambda _type, _size: None)
    assert size == VmPageHash(vm, BootConfig(pages=pages)).size


def places(vm, pindexes=1, objects=20):
    """Where the sets of that many objects' pages begin, object by object."""
    return [
        [[mp.slot for mp in vm.page.vm_page_hash.set_of(obj, n)] for n in range(pindexes)]
        for obj in (vm_object_allocate(vm, 64) for _ in range(objects))
    ]


def test_a_set_is_four_elements_in_a_row(alone):
    for ((first, *rest),) in alone(places, hash_size=16):
        assert [first + 1, first + 2, first + 3] == rest
        assert 0 <= first < 16


def test_a_set_may_begin_anywhere_so_sets_overlap_and_the_last_ones_use_the_spare_elements(alone):
    firsts = {slots[0] for (slots,) in alone(lambda vm: places(vm, objects=60))}
    assert {0, 1, 2, 3} == {first % 4 for first in firsts}
    slots = alone(lambda vm: places(vm, objects=60), hash_size=4)
    assert {4, 5, 6} == {slot for (row,) in slots for slot in row if slot >= 4}


def test_pages_that_follow_one_another_have_sets_that_do(alone):
    for sets in alone(lambda vm: places(vm, pindexes=5), hash_size=16):
        firsts = [slots[0] for slots in sets]
        assert [(firsts[0] + 4 * n) % 16 for n in range(5)] == firsts


def test_sets_of_one_element_do_not_overlap(alone):
    (sets,) = alone(lambda vm: places(vm, pindexes=8, objects=1), hash_size=8, hash_set=1)
    assert 8 == len({slot for slots in sets for slot in slots})
