"""Pages sorted by socket, and free ones lent to sockets that have few."""

from __future__ import annotations

import pytest

from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    VM_ALLOC_NORMAL,
    vm_numa_add_topology_mem,
    vm_numa_organize,
    vm_numa_organize_finalize,
    vm_page_alloc,
)

TWO = {"pages": 16, "l2_size": 8, "topology": (2, 1, 1)}


def lists(vm):
    """The pages of each free queue, from the head on."""
    return [
        [m.phys for m in vm.page.vm_page_queues[vm.page.PQ_FREE + pc].pages()]
        for pc in range(vm.page.l2_size)
    ]


def lengths(vm):
    return [vm.page.vm_page_queues[vm.page.PQ_FREE + pc].peek("lcnt") for pc in range(vm.page.l2_size)]


def organize(vm, first, pages, physid):
    vm_numa_organize(vm, first * PAGE_SIZE, pages * PAGE_SIZE, physid)


# -- sorting --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("physid", "base"), [(0, 0), (1, 4), (2, 0), (3, 4)])
def test_pages_get_the_colours_of_their_socket(alone, physid, base):
    def program(vm):
        before = [m.pc for m in vm.page.vm_page_array[3:9]]
        organize(vm, 3, 6, physid)
        return before, [m.pc for m in vm.page.vm_page_array[3:9]]

    before, after = alone(program, check=True, **TWO)
    assert [pc % 4 + base for pc in before] == after


def test_pages_out_of_the_range_keep_theirs(alone):
    def program(vm):
        before = [m.pc for m in vm.page.vm_page_array]
        organize(vm, 3, 6, 1)
        after = [m.pc for m in vm.page.vm_page_array]
        return before[:3] + before[9:] == after[:3] + after[9:]

    assert alone(program, **TWO)


def test_a_page_moves_to_the_head_of_its_new_queue(alone):
    def program(vm):
        organize(vm, 0, 16, 1)
        return lists(vm), lengths(vm)

    told, counted = alone(program, check=True, **TWO)
    assert [[]] * 4 == told[:4]
    assert [sorted(pages, reverse=True) for pages in told] == told
    assert [len(pages) for pages in told] == counted


def test_the_counts_of_pages_stay(alone):
    def program(vm):
        before = vm.meter.count("v_free_count")
        organize(vm, 0, 16, 1)
        return before, vm.meter.count("v_free_count")

    assert (16, 16) == alone(program, check=True, **TWO)


def test_the_type_of_a_queue_stays(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        organize(vm, 0, 16, 1 - m.pc // 4)
        return vm.page.queue_type(m.peek("queue"))

    assert "inactive" == alone(program, check=True, **TWO)


def test_a_page_on_no_queue_only_changes_its_colour(alone):
    def program(vm):
        m = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        organize(vm, 0, 16, 1 - m.pc // 4)
        return m.peek("queue"), sum(lengths(vm))

    assert (0, 15) == alone(program, **TWO)


@pytest.mark.parametrize("topology", [None, (1, 2, 1), (1, 1, 1)])
def test_without_several_sockets_nothing_is_sorted(alone, topology):
    def program(vm):
        before = lists(vm)
        organize(vm, 0, 16, 1)
        return before == lists(vm), vm.page.phys_mem

    assert (True, [0]) == alone(program, **{**TWO, "topology": topology})


def test_the_memory_of_each_socket_is_counted(alone):
    def program(vm):
        organize(vm, 0, 3, 0)
        organize(vm, 3, 5, 1)
        vm_numa_add_topology_mem(vm, 1, 10)
        return vm.page.phys_mem

    assert [3 * PAGE_SIZE, 5 * PAGE_SIZE + 10] == alone(program, **TWO)


def test_a_cpu_finds_memory_of_its_own_socket_first(alone):
    def program(vm):
        organize(vm, 0, 8, 0)
        organize(vm, 8, 8, 1)
        found = {}

        def user(socket):
            found[socket] = {vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL).phys // 8 for n in range(8)}

        for socket in range(2):
            vm.machine.spawn(user, socket)
        vm.machine.join()
        return found

    assert {0: {0}, 1: {1}} == alone(program, set_assoc_mask=3, **TWO)


# -- lending --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pages", "first", "left"),
    [
        (64, 32, [8] * 8),  # nobody needs any
        (64, 64, [9, 8, 9, 9, 7, 7, 7, 8]),
        (16, 16, [3, 2, 2, 3, 1, 1, 2, 2]),  # what was lent is lent on
        (64, 0, [5, 5, 5, 6, 10, 11, 11, 11]),
    ],
)
def test_colours_that_have_few_pages_get_some_of_those_that_have_many(alone, pages, first, left):
    def program(vm):
        organize(vm, 0, first, 0)
        organize(vm, first, pages - first, 1)
        vm_numa_organize_finalize(vm)
        return lengths(vm)

    told = alone(program, check=True, **{**TWO, "pages": pages})
    assert (left, pages) == (told, sum(told))


def test_a_page_that_is_lent_has_its_new_colour_and_is_first(alone):
    def program(vm):
        organize(vm, 0, 16, 0)
        vm_numa_organize_finalize(vm)
        return all(m.pc == pc for pc in range(8) for m in vm.page.vm_page_queues[1 + pc].pages())

    assert alone(program, check=True, **TWO)


def test_only_colours_that_cpus_have_are_filled(alone):
    """Three sockets of eight colours: the last two are nobody's."""

    def program(vm):
        organize(vm, 0, 32, 0)
        vm_numa_organize_finalize(vm)
        return lengths(vm)[6:]

    assert [0, 0] == alone(program, check=True, **{**TWO, "pages": 32, "topology": (3, 1, 1)})


def test_without_a_topology_all_colours_are_filled(alone):
    def program(vm):
        vm_numa_organize_finalize(vm)
        return lengths(vm)

    assert [2] * 8 == alone(program, **{**TWO, "topology": None})
