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


def test_a_set_is_an_aligned_group_of_the_table(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 64)
        return [[mp.slot for mp in vm.page.vm_page_hash.set_of(obj, n)] for n in range(64)]

    groups = alone(program, hash_size=16, hash_set=4)
    assert {(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11), (12, 13, 14, 15)} == {*map(tuple, groups)}
