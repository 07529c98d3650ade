"""Changes of the kernel's pmap that are invalidated together."""

from __future__ import annotations

import pytest

from vmsmp.vm.pmap_inval import VA_ALL, pmap_inval_bulk, pmap_inval_bulk_flush, pmap_inval_bulk_init

PAGE = 4096


def removing(vm, kit, numbers):
    """A bulk in which these pages of the kernel were removed, and what their entries were."""
    bulk = pmap_inval_bulk_init(vm.pmap.kernel_pmap)
    kit.map_kernel(vm, *numbers)
    before = [kit.kernel_entry(vm, n).peek() for n in numbers]
    old = [pmap_inval_bulk(bulk, kit.KERNEL_PAGES[n], kit.kernel_entry(vm, n), 0) for n in numbers]
    assert before == old
    return bulk


@pytest.mark.parametrize(
    ("numbers", "pages"), [((0,), (0, 1)), ((0, 1, 2), (0, 3)), ((3, 4), (3, 5))], ids=["one", "three", "two"]
)
def test_neighbours_become_one_range(alone, kit, memory, numbers, pages):
    def program(vm):
        bulk = removing(vm, kit, numbers)
        return bulk.va_beg - kit.KERNEL_PAGES[0], bulk.va_end - kit.KERNEL_PAGES[0], bulk.count

    assert (pages[0] * PAGE, pages[1] * PAGE, len(numbers)) == alone(program, **memory)


@pytest.mark.parametrize("numbers", [(0, 2), (1, 0), (0, 1, 3)])
def test_pages_that_are_no_neighbours_are_flushed_with_everything(alone, kit, memory, numbers):
    def program(vm):
        bulk = removing(vm, kit, numbers)
        return bulk.va_beg, bulk.va_end

    assert (VA_ALL, 0) == alone(program, **memory)


def test_a_flush_begins_anew_and_an_empty_one_does_nothing(steps, kit, memory):
    def act(vm, bulk):
        pmap_inval_bulk_flush(bulk)
        vm.machine.yield_()
        pmap_inval_bulk_flush(bulk)
        pmap_inval_bulk_flush(None)

    rows = steps(lambda vm: [vm, removing(vm, kit, (0, 1))], act, **memory)
    assert "settled all TLBs" in rows
    assert "yield" == rows[-1]


def test_the_entry_changes_at_once_and_nobody_flushes_before_the_end(steps, kit, memory):
    def prepare(vm):
        kit.map_kernel(vm, 0)
        return [pmap_inval_bulk_init(vm.pmap.kernel_pmap), kit.KERNEL_PAGES[0], kit.kernel_entry(vm, 0), 0]

    assert ["swap table[27][0]"] == steps(prepare, pmap_inval_bulk, **memory)


def test_without_a_bulk_an_entry_only_changes(steps, kit, memory):
    rows = steps(
        lambda vm: [None, kit.KERNEL_PAGES[0], kit.kernel_entry(vm, 0), 0], pmap_inval_bulk, **memory
    )
    assert ["swap table[27][0]"] == rows


def test_entries_of_a_user_are_invalidated_one_by_one(steps, kit, memory):
    def prepare(vm):
        space = kit.new_space(vm, "P")
        kit.run_in(vm.machine, space)
        return [pmap_inval_bulk_init(space.vm_pmap), kit.PAGES[0], kit.user_entry(space, 0), 0]

    assert "flush cpu0.tlb" in steps(prepare, pmap_inval_bulk, **memory)
