"""The page array and the queues of a machine just booted."""

from __future__ import annotations

import pytest

from vmsmp.vm.vm_page import PQ_NONE

COUNTS = ("v_free_count", "v_cache_count", "v_inactive_count", "v_active_count", "v_wire_count")


# -- queues and pages -----------------------------------------------------------------------------


def test_queue_types_begin_where_the_kernel_s_do(alone):
    def program(vm):
        return (
            PQ_NONE,
            vm.page.PQ_FREE,
            vm.page.PQ_INACTIVE,
            vm.page.PQ_ACTIVE,
            vm.page.PQ_CACHE,
            vm.page.PQ_HOLD,
        )

    assert (0, 1, 1025, 2049, 3073, 4097) == alone(program, l2_size=1024)


def test_there_is_a_queue_for_each_colour_of_each_type_and_one_for_none(alone):
    assert 1 + 5 * 1024 == alone(lambda vm: len(vm.page.vm_page_queues), l2_size=1024)


def test_a_queue_s_base_is_the_index_of_its_type_s_first_queue(alone):
    def program(vm):
        return [(pq.index, pq.base) for pq in vm.page.vm_page_queues[1:]]

    bases = [1, 1, 3, 3, 5, 5, 7, 7, 9, 9]
    assert [*enumerate(bases, 1)] == alone(program, l2_size=2)


def test_held_pages_are_counted_as_active_ones(alone):
    def program(vm):
        return [pq.cnt_offset for pq in vm.page.vm_page_queues[1:]]

    free, cache, inactive, active = COUNTS[:4]
    assert [free, inactive, active, cache, active] == alone(program)


def test_no_search_has_remembered_a_queue_at_boot(alone):
    assert {-1} == alone(lambda vm: {pq.peek("lastq") for pq in vm.page.vm_page_queues}, l2_size=8)


def test_every_page_starts_on_the_free_queue_of_its_colour(alone):
    def program(vm):
        for m in vm.page.vm_page_array:
            assert vm.page.PQ_FREE + m.pc == m.peek("queue")
            assert m in vm.page.vm_page_queues[m.peek("queue")].pages()
        return [m.phys for m in vm.page.vm_page_array]

    assert [*range(40)] == alone(program, pages=40, l2_size=8)


@pytest.mark.parametrize(("pages", "l2_size"), [(64, 4), (64, 16), (16, 16), (8, 1)])
def test_colours_share_the_pages_evenly(alone, pages, l2_size):
    def program(vm):
        return [vm.page.vm_page_queues[vm.page.PQ_FREE + pc].peek("lcnt") for pc in range(l2_size)]

    assert [pages // l2_size] * l2_size == alone(program, pages=pages, l2_size=l2_size)


@pytest.mark.parametrize(
    ("index", "name"), [(0, "PQ_NONE"), (1, "pq.free[0]"), (4, "pq.free[3]"), (20, "pq.hold[3]")]
)
def test_a_queue_is_called_by_its_type_and_colour(alone, index, name):
    def program(vm):
        return vm.page.queue_name(index), vm.page.queue_type(index)

    kind = "none" if not index else name[3:-3]
    assert (name, kind) == alone(program, l2_size=4)


# -- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("l2_size", "cpus", "mask"),
    [
        (1024, 1, 1023),
        (1024, 2, 511),
        (1024, 3, 255),  # CPUs count as the next power of two
        (1024, 16, 63),
        (1024, 33, 15),
        (256, 60, 15),  # no less than 15
        (8, 1, 7),  # no more than there is
    ],
)
def test_the_first_group_of_a_search_is_a_cpu_s_share_of_the_colours_and_no_less_than_sixteen(
    alone, l2_size, cpus, mask
):
    assert mask == alone(lambda vm: vm.page.set_assoc_mask, l2_size=l2_size, cpus=cpus)


def test_the_set_mask_of_a_machine_whose_cpus_are_not_declared_is_that_of_the_cpus_there_are(alone):
    def program(vm):
        masks = [vm.page.set_assoc_mask]
        for _ in range(3):
            vm.machine.spawn(lambda: None)
            masks.append(vm.page.set_assoc_mask)
        return masks

    assert [1023, 1023, 511, 255] == alone(program, l2_size=1024)
