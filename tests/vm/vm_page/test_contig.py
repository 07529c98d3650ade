"""Contiguous memory from low pages, and what the end of the boot returns of them."""

from __future__ import annotations

import pytest

from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_FICTITIOUS,
    PG_UNQUEUED,
    VM_ALLOC_NORMAL,
    VM_MEMATTR_DEFAULT,
    vm_contig_avail_pages,
    vm_page_alloc,
    vm_page_alloc_contig,
    vm_page_alloczwq,
    vm_page_free_contig,
    vm_page_startup_finish,
    vm_page_unwire,
    vm_page_wire,
)

LOW = {"pages": 16, "l2_size": 2, "low_pages": 8, "dma_pages": 2}


def take(vm, pages, high=0, memattr=VM_MEMATTR_DEFAULT):
    return vm_page_alloc_contig(vm, 0, high, 0, 0, pages * PAGE_SIZE, memattr)


def dma(vm):
    """What there is: free low pages, low pages, ordinary free ones, wired ones."""
    return (
        vm_contig_avail_pages(vm),
        vm.meter.vmstats.peek("v_dma_pages"),
        vm.meter.count("v_free_count"),
        vm.meter.count("v_wire_count"),
    )


# -- allocating -----------------------------------------------------------------------------------


def test_the_lowest_run_is_given_aligned_to_its_size(alone):
    def program(vm):
        return [take(vm, n).phys for n in (1, 2, 4)], vm_contig_avail_pages(vm)

    assert ([0, 2, 4], 1) == alone(program, check=True, **LOW)


def test_bytes_are_rounded_up_to_pages(alone):
    def program(vm):
        vm_page_alloc_contig(vm, 0, 0, 0, 0, PAGE_SIZE + 1)
        return vm_contig_avail_pages(vm)

    assert 6 == alone(program, **LOW)


def test_what_is_given_is_as_it_was_in_the_alist(alone):
    def program(vm):
        m = take(vm, 1)
        return m.peek("flags"), m.peek("wire_count"), m.peek("busy_count"), m.peek("object")

    assert (PG_FICTITIOUS | PG_UNQUEUED, 1, 0, None) == alone(program, check=True, **LOW)


def test_wiring_such_a_page_changes_nothing(alone):
    def program(vm):
        m = take(vm, 1)
        m.busy_count.value |= 0x80000000
        vm_page_wire(m)
        vm_page_unwire(m, False)
        vm_page_unwire(m, False)
        return m.peek("wire_count")

    assert 1 == alone(program, **LOW)


@pytest.mark.parametrize("pages", [9, 16])
def test_there_is_no_run_of_more_pages_than_there_are(alone, pages):
    assert (None, 8) == alone(lambda vm: (take(vm, pages), vm_contig_avail_pages(vm)), check=True, **LOW)


def test_a_machine_without_low_pages_has_no_run(alone):
    assert (None, 0) == alone(lambda vm: (take(vm, 1), vm_contig_avail_pages(vm)))


def test_a_run_that_ends_too_high_is_given_back_at_once(steps):
    def prepare(vm):
        take(vm, 4)
        return (vm,)

    def act(vm):
        assert None is take(vm, 4, high=8 * PAGE_SIZE - 1)
        assert 4 == vm.page.reserve.vm_contig_alist.peek("bl_free")

    told = steps(prepare, act, **LOW)
    assert ["acquire vm_contig_alist.spin", "release vm_contig_alist.spin"] == [
        " ".join(step.split()[:2]) for step in told
    ]


def test_a_run_that_ends_just_below_the_limit_is_given(alone):
    def program(vm):
        take(vm, 4)
        return take(vm, 4, high=8 * PAGE_SIZE).phys

    assert 4 == alone(program, **LOW)


def test_a_memory_attribute_asks_for_fictitious_pages(panic):
    def program(vm):
        vm.page.vm_page_array[1].flags.value = 0
        take(vm, 2, memattr=1)

    assert "vm_page_alloc_contig: page is not fictitious" == panic(program, **LOW)


# -- freeing --------------------------------------------------------------------------------------


def test_low_pages_go_back_to_the_alist_in_parts(alone):
    def program(vm):
        m = take(vm, 4)
        vm_page_free_contig(vm.page.vm_page_array[m.phys + 1], 2 * PAGE_SIZE)
        return [*vm.page.reserve.vm_contig_alist.free_runs()]

    assert [(1, 2), (4, 4)] == alone(program, check=True, **LOW)


def test_pages_that_are_not_low_are_unwired_and_freed(alone):
    def program(vm):
        wired = sorted((vm_page_alloczwq(vm, n, VM_ALLOC_NORMAL) for n in range(3)), key=lambda m: m.phys)
        before = dma(vm)
        for m in wired:
            vm_page_free_contig(m, PAGE_SIZE)
        return before, dma(vm), {vm.page.queue_type(m.peek("queue")) for m in wired}

    assert ((8, 8, 5, 11), (8, 8, 8, 8), {"free"}) == alone(program, check=True, **LOW)


def test_a_memory_attribute_stays_with_the_page(alone):
    def program(vm):
        first = take(vm, 1, memattr=1)
        before = first.pat_mode
        vm_page_free_contig(first, PAGE_SIZE)
        return before, take(vm, 1) is first, first.pat_mode, take(vm, 1).pat_mode

    assert (1, True, 1, VM_MEMATTR_DEFAULT) == alone(program, **LOW)


@pytest.mark.parametrize(("word", "value"), [("wire_count", 2), ("wire_count", 0), ("flags", PG_UNQUEUED)])
def test_the_first_low_page_must_be_wired_once_and_fictitious(panic, word, value):
    def program(vm):
        m = take(vm, 2)
        getattr(m, word).value = value
        vm_page_free_contig(m, 2 * PAGE_SIZE)

    assert "vm_page_free_contig: low page is not wired once or not fictitious" == panic(program, **LOW)


def test_only_the_first_low_page_is_looked_at(alone):
    def program(vm):
        m = take(vm, 2)
        vm.page.vm_page_array[m.phys + 1].flags.value = 0
        vm_page_free_contig(m, 2 * PAGE_SIZE)
        return vm_contig_avail_pages(vm)

    assert 8 == alone(program, **LOW)


def test_a_run_must_end_below_the_bound(panic):
    def program(vm):
        vm_page_free_contig(take(vm, 8), 9 * PAGE_SIZE)

    assert "vm_page_free_contig: run ends above the low pages" == panic(program, **LOW)


# -- the end of the boot --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "keep", "left"), [(8, 2, 2), (8, 8, 8), (8, 0, 0), (8, 3, 3), (7, 2, 2), (12, 5, 5), (40, 1, 1)]
)
def test_what_is_not_kept_becomes_ordinary_memory(alone, low, keep, left):
    def program(vm):
        vm_page_startup_finish(vm)
        return dma(vm), vm.page.reserve.vm_low_phys_reserved.peek()

    sizes = {"pages": 64, "l2_size": 2, "low_pages": low, "dma_pages": keep}
    assert ((left, left, 64 - left, left), left * PAGE_SIZE) == alone(program, check=True, **sizes)


def test_the_pages_are_taken_from_the_top(alone):
    def program(vm):
        vm_page_startup_finish(vm)
        return [m.phys for m in vm.page.vm_page_array if m.peek("flags") & PG_FICTITIOUS]

    assert [0, 1] == alone(program, **LOW)


def test_pages_that_were_returned_can_be_allocated(alone):
    def program(vm):
        vm_page_startup_finish(vm)
        return sum(vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL) is not None for n in range(16))

    assert 14 == alone(program, **LOW)


def test_the_console_says_what_drivers_have_and_what_is_left(alone):
    def program(vm):
        take(vm, 1)
        vm_page_startup_finish(vm)
        return vm.console

    assert ["DMA space used: 4k, remaining available: 8k"] == alone(program, **LOW)


def test_a_machine_without_low_pages_has_nothing_to_return(steps):
    assert [] == steps(lambda vm: (vm,), vm_page_startup_finish)


def test_the_flags_go_before_the_page_is_busied(steps):
    sizes = {"pages": 4, "l2_size": 1, "low_pages": 1, "dma_pages": 0}
    told = steps(lambda vm: (vm,), vm_page_startup_finish, **sizes)
    assert [
        "acquire vm_contig_alist.spin",
        "release vm_contig_alist.spin",
        "store vm_low_phys_reserved",
        "clearbits pg[0].flags",
        "load pg[0].busy_count",
        "cmpset pg[0].busy_count",
    ] == [" ".join(step.split()[:2]) for step in told[:6]]


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_drivers_may_come_and_go_meanwhile(together, locks):
    def driver(vm):
        for n in (1, 2):
            m = take(vm, n)
            if m is not None:
                vm_page_free_contig(m, n * PAGE_SIZE)

    def program(vm):
        vm.machine.spawn(driver, vm)
        vm.machine.spawn(driver, vm)
        vm.machine.join()
        vm_page_startup_finish(vm)

    together(program, locks=locks, **LOW)
