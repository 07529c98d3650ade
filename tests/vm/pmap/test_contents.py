"""What a page holds: zeroed and copied in one step."""

from __future__ import annotations

from vmsmp.vm.pmap import pmap_copy_page, pmap_page_set_memattr, pmap_zero_page
from vmsmp.vm.pmap.contents import pmap_zero_page_area
from vmsmp.vm.vm_page import PAGE_SIZE

MEMORY = {"pages": 8, "l2_size": 1}


def filled(vm):
    """Two pages, of which the first holds something."""
    vm.memory.store(1, 0, "one")
    vm.memory.store(1, 512, "two")
    vm.memory.store(2, 1024, "old")
    return vm


def test_a_page_is_zeroed_in_one_step(steps):
    assert ["store frame[1]"] == steps(lambda vm: [filled(vm), 1], pmap_zero_page, **MEMORY)


def test_a_page_is_copied_in_one_step(steps):
    (row,) = steps(lambda vm: [filled(vm), 1, 2], pmap_copy_page, **MEMORY)
    assert row.startswith("step: load frame[1]")
    assert "store frame[2]" in row


def test_a_copy_has_all_of_the_page_and_nothing_else(alone):
    def program(vm):
        pmap_copy_page(filled(vm), 1, 2)
        vm.memory.store(1, 0, "new")
        pmap_zero_page(vm, 1)
        return [vm.memory.peek(2, offset) for offset in (0, 512, 1024)], vm.memory.peek(1, 0)

    assert (["one", "two", 0], 0) == alone(program, **MEMORY)


def test_a_memory_attribute_is_the_page_s(steps):
    def page(vm):
        return [vm.page.vm_page_array[0], 5]

    assert [] == steps(page, pmap_page_set_memattr, **MEMORY)


def test_what_is_behind_a_page_is_not_made_zero_with_it(panic):
    said = panic(lambda vm: pmap_zero_page_area(filled(vm), 1, PAGE_SIZE - 512, 1024), **MEMORY)
    assert "pmap_zero_page_area: behind the page" == said
