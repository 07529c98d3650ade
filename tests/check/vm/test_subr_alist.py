"""Contiguous memory: an alist that does not add up, a page in it that somebody has, a page that is lost."""

import pytest

import verdicts
from vmsmp.vm.subr_alist import alist_alloc
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    vm_page_alloc_contig,
    vm_page_free_contig,
    vm_page_startup_finish,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
LOW = {"pages": 40, "l2_size": 1, "low_pages": 36, "dma_pages": 4}


def doing(deed):
    """Another CPU does `deed(vm, alist)` under the alist's lock, on a machine with low pages."""

    def other(vm):
        bl = vm.page.reserve.vm_contig_alist
        with bl.spin:
            deed(vm, bl)

    def program(m):
        m.spawn(other, m.boot(**LOW))
        m.join()

    return program


def found(deed, kind, message, **options):
    return verdicts.found(doing(deed), kind, message, **{"schedules": 5, **options})


@DEPTHS
def test_a_count_that_is_not_the_tree_s_is_found(locks):
    def deed(vm, bl):
        bl.bl_free += 1

    message = "INV-CG1: vm_contig_alist: it counts 37 free blocks, and its tree has 36"
    found(deed, "accounting", message, locks=locks)


@pytest.mark.parametrize(
    ("bits", "what"),
    [
        (2, "the state of a child is reserved"),
        (1, "a child is said to be partly free, and it is not"),
    ],
)
def test_a_state_that_does_not_agree_with_the_child_is_found(bits, what):
    def deed(vm, bl):
        node = bl.bl_root
        while node.unit > 32:
            node = node.child(0)
        free = bl.bl_root.free_blocks()
        node.bm_bitmap = node.bm_bitmap & ~3 | bits
        bl.bl_free += bl.bl_root.free_blocks() - free

    def empty(vm, bl):
        alist_alloc(bl, 0, 32)
        for m in vm.page.vm_page_array[:32]:
            for hook in vm.hooks.allocated:
                hook(vm.engine.current, m)
        deed(vm, bl)

    found(empty, "accounting", f"INV-CG1: vm_contig_alist: {what}")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda m: setattr(m.wire_count, "value", 2), "not wired once, or not fictitious and unqueued"),
        (lambda m: setattr(m.flags, "value", 0), "not wired once, or not fictitious and unqueued"),
        (lambda m: m.fields["queue"].poke(m, 1), "on a queue or in an object"),
    ],
    ids=["wired twice", "ordinary", "queued"],
)
def test_a_page_that_the_alist_should_not_have_is_found(change, what):
    def deed(vm, bl):
        change(vm.page.vm_page_array[5])

    found(deed, "accounting", f"INV-CG2: vm_contig_alist: it has a page that is {what}")


def test_a_page_that_was_given_out_and_is_still_there_is_found():
    def deed(vm, bl):
        for hook in vm.hooks.allocated:
            hook(vm.engine.current, vm.page.vm_page_array[7])

    found(deed, "accounting", "INV-CG2: vm_contig_alist: it has a page that is allocated")


def test_a_page_that_is_nobody_s_and_not_there_is_found():
    def deed(vm, bl):
        alist_alloc(bl, 0, 1)

    message = "INV-CG3: vm_contig_alist: a low page was given back, and it does not have it: lost"
    found(deed, "accounting", message)


def test_a_count_of_low_pages_that_is_wrong_is_found():
    def deed(vm, bl):
        vm.meter.vmstats.v_dma_pages += 1

    found(deed, "accounting", "INV-CG3: vmstats: v_dma_pages is 37, and there are 36 low pages")


@DEPTHS
def test_the_end_of_the_boot_and_its_drivers_break_no_rule(locks):
    def driver(vm):
        m = vm_page_alloc_contig(vm, 0, 0, 0, 0, 2 * PAGE_SIZE)
        if m is not None:
            vm_page_free_contig(m, 2 * PAGE_SIZE)

    def program(m):
        vm = m.boot(**{**LOW, "low_pages": 8})
        vm_page_startup_finish(vm)
        for _ in range(2):
            m.spawn(driver, vm)
        m.join()

    verdicts.silent(program, locks=locks, schedules=30)
