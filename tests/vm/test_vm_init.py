"""Booting memory: queues, colours, counts, limits, and what belongs to which CPU."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.records.pool import record_of
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import PG_FICTITIOUS, PQ_NONE, VM_ALLOC_NORMAL, vm_page_alloc

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


def test_a_page_starts_idle_clean_invalid_and_in_no_object(alone):
    def program(vm):
        names = ("busy_count", "hold_count", "wire_count", "flags", "md", "valid", "dirty", "act_count")
        m = vm.page.vm_page_array[3]
        return m.peek("object"), [m.peek(name) for name in names]

    assert (None, [0] * 8) == alone(program)


def test_a_page_is_called_by_its_number_and_a_marker_is_called_one(alone):
    def program(vm):
        return (
            vm.page.vm_page_array[3].name,
            vm.page.vm_page_array[3].klass,
            vm.page.marker(PG_FICTITIOUS).klass,
        )

    assert ("pg[3]", "pg", "marker") == alone(program)


@pytest.mark.parametrize(
    ("index", "name"), [(0, "PQ_NONE"), (1, "pq.free[0]"), (4, "pq.free[3]"), (20, "pq.hold[3]")]
)
def test_a_queue_is_called_by_its_type_and_colour(alone, index, name):
    def program(vm):
        return vm.page.queue_name(index), vm.page.queue_type(index)

    kind = "none" if not index else name[3:-3]
    assert (name, kind) == alone(program, l2_size=4)


def test_identities_lead_back_to_pages_queues_counts_and_objects(alone):
    def program(vm):
        m, pq, obj = vm.page.vm_page_array[5], vm.page.vm_page_queues[3], vm_object_allocate(vm, 1)
        gd = vm.mycpu()
        for thing in (m, pq, obj, vm.meter.vmstats, gd.gd_vmstats, gd.gd_vmstats_adj):
            assert thing is record_of(vm.machine, thing.ident)
        assert m is record_of(vm.machine, m.busy_count.ident)
        assert m is record_of(vm.machine, m.spin.ident)
        assert obj is record_of(vm.machine, obj.ref_count.ident)
        return vm.machine.find(m.busy_count.ident) is m.busy_count

    assert True is alone(program, l2_size=4)


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


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"pages": 0}, "at least 1 page"),
        ({"l2_size": 0}, "power of two"),
        ({"l2_size": 6}, "power of two"),
        ({"l2_size": 2048}, "power of two"),
        ({"adj_limit": -1}, "adj_limit"),
        ({"topology": (1, 0, 1)}, "topology"),
        ({"hash_size": 6}, "page hash"),
        ({"hash_size": 2, "hash_set": 4}, "page hash"),
    ],
)
def test_sizes_that_cannot_be_are_refused(alone, sizes, words):
    with pytest.raises(vmsmp.UsageError, match=words):
        alone(lambda vm: vm, **sizes)


def test_a_machine_boots_once(alone):
    with pytest.raises(vmsmp.UsageError, match="booted already"):
        alone(lambda vm: vm.machine.boot())


# -- counts ---------------------------------------------------------------------------------------


def test_boot_counts_every_page_as_free(alone):
    def program(vm):
        return [vm.meter.count(name) for name in COUNTS]

    assert [8, 0, 0, 0, 0] == alone(program)


def test_a_cpu_s_first_view_is_what_boot_counted_and_its_deltas_are_zero(alone):
    def program(vm):
        gd = vm.mycpu()
        return gd.gd_vmstats.peek("v_free_count"), [gd.gd_vmstats_adj.peek(name) for name in COUNTS]

    assert (8, [0] * 5) == alone(program)


def test_the_true_count_is_the_global_one_and_every_cpu_s_delta(alone):
    def program(vm):
        m = vm.machine
        m.spawn(vm_page_alloc, vm, None, 0, VM_ALLOC_NORMAL).join()
        m.spawn(vm_page_alloc, vm, None, 1, VM_ALLOC_NORMAL).join()
        return vm.meter.vmstats.peek("v_free_count"), vm.meter.count("v_free_count")

    assert (8, 6) == alone(program)


def test_each_cpu_has_counts_of_its_own(alone):
    def program(vm):
        worker = vm.machine.spawn(vm.mycpu)
        worker.join()
        return vm.mycpu() is vm.mycpu(), vm.mycpu() is worker.result

    assert (True, False) == alone(program)


def test_parallel_cpus_take_and_give_pages_and_none_is_missing_afterwards(parallel):
    from vmsmp.vm.vm_page import vm_page_free

    def program(vm):
        def worker():
            for n in range(20):
                m = vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL)
                if m is not None:
                    vm_page_free(m)

        for _ in range(3):
            vm.machine.spawn(worker)
        vm.machine.join()
        return vm.meter.count("v_free_count"), sum(pq.peek("lcnt") for pq in vm.page.vm_page_queues[1:5])

    assert (16, 16) == parallel(program, pages=16, l2_size=4)
