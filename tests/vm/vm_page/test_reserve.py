"""The low pages of a machine just booted."""

from __future__ import annotations

import pytest

from vmsmp.vm.vm_page import DMA_PAGES_MAX, LOW_PAGES_MAX, PAGE_SIZE, PG_FICTITIOUS, PG_UNQUEUED, PQ_NONE

LOW = {"pages": 16, "l2_size": 2, "low_pages": 6}


def test_a_machine_has_no_low_pages_unless_it_is_asked_for_some(alone):
    assert None is alone(lambda vm: vm.page.reserve)


def test_a_low_page_is_wired_fictitious_and_on_no_queue(alone):
    def program(vm):
        return {
            (m.peek("flags"), m.peek("wire_count"), m.peek("queue"), m.peek("busy_count"), m.peek("object"))
            for m in vm.page.vm_page_array[:6]
        }

    assert {(PG_FICTITIOUS | PG_UNQUEUED, 1, PQ_NONE, 0, None)} == alone(program, check=True, **LOW)


def test_the_other_pages_are_free(alone):
    def program(vm):
        return [m.phys for m in vm.page.vm_page_array if vm.page.queue_type(m.peek("queue")) == "free"]

    assert [*range(6, 16)] == alone(program, **LOW)


@pytest.mark.parametrize(
    ("count", "pages"), [("v_free_count", 10), ("v_wire_count", 6), ("v_dma_pages", 6), ("v_active_count", 0)]
)
def test_the_counts_say_so(alone, count, pages):
    assert pages == alone(lambda vm: vm.meter.vmstats.peek(count), **LOW)


def test_a_cpu_s_view_begins_with_the_global_counts(alone):
    assert (10, 6) == alone(
        lambda vm: tuple(vm.mycpu().gd_vmstats.peek(c) for c in ("v_free_count", "v_wire_count")), **LOW
    )


def test_the_alist_has_the_low_pages_and_room_for_the_kernel_s_most(alone):
    def program(vm):
        bl = vm.page.reserve.vm_contig_alist
        return [*bl.free_runs()], bl.peek("bl_free"), bl.bl_blocks

    assert ([(0, 6)], 6, LOW_PAGES_MAX) == alone(program, **LOW)


@pytest.mark.parametrize(
    ("pages", "low", "keep"), [(64, 16, 4), (1000, 250, 62), (300_000, 65536, 18750), (16, 4, 1)]
)
def test_the_kernel_keeps_a_quarter_low_and_a_sixteenth_for_drivers(alone, pages, low, keep):
    def program(vm):
        reserve = vm.page.reserve
        return reserve.vm_low_phys_reserved.peek(), reserve.booted, reserve.vm_dma_reserved

    told = alone(program, pages=pages, l2_size=64, low_pages=None)
    assert (low * PAGE_SIZE, low, keep * PAGE_SIZE) == told


def test_drivers_have_no_more_than_128_megabytes(alone):
    assert 128 << 20 == DMA_PAGES_MAX * PAGE_SIZE


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_nothing_is_wrong_with_a_machine_that_has_low_pages(together, locks):
    together(lambda vm: None, schedules=1, locks=locks, **LOW)
