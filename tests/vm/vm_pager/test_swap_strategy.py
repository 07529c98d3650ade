"""Reading from the swap of an object, and giving it up."""

from __future__ import annotations

from vmsmp.scenarios._kit import busied, file_object
from vmsmp.sync.errno import EINVAL
from vmsmp.vm import vm_pager as p
from vmsmp.vm.vm_object import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import PAGE_SIZE, vm_page_dirty, vm_page_wire
from vmsmp.vm.vnode import VRECLAIMED, vsetflags


def file_in_swap(vm, *pindexes, resident=()):
    """A vnode and its object, held; pages at these indexes are in swap, and some are resident."""
    vp, obj = file_object(vm, 100, resident)
    vm_object_hold(obj)
    for pindex in pindexes:
        blk = p.swp_pager_getswapspace(vm)
        vm.pager.contents[blk] = {0: pindex}
        p.swp_pager_meta_build(obj, pindex, blk)
    return vp, obj


def in_swap(obj):
    return sorted(obj.peek("swblock_root"))


def test_a_page_is_read_from_its_block_and_what_has_none_is_zero(alone):
    def program(vm):
        _, obj = file_in_swap(vm, 3, 5)
        return [p.swap_pager_strategy(obj, pindex) for pindex in (3, 4, 5)]

    assert [{0: 3}, {}, {0: 5}] == alone(program)


def test_a_request_has_ended_with_its_last_part(alone):
    def program(vm):
        _, obj = file_in_swap(vm, 3, 5)
        whole = p.swap_pager_read(obj, 3, 3)
        vm.pager.device.bad_blocks.add(obj.peek("swblock_root")[5])
        failed = p.swap_pager_read(obj, 3, 3)
        ends = [(one.parts, one.b_resid // PAGE_SIZE, one.failed) for one in (whole, failed)]
        return ends, whole.b_error, failed.b_error

    assert ([(0, 0, False), (0, 1, True)], 0, EINVAL) == alone(program)


def test_a_part_that_ends_early_has_failed():
    cluster = p.Cluster(2, 2 * PAGE_SIZE)
    p.swap_chain_iodone(cluster, 0, 512)
    assert (1, EINVAL, False) == (cluster.parts, cluster.b_error, cluster.failed)
    p.swap_chain_iodone(cluster, 0)
    assert (0, EINVAL, True) == (cluster.parts, cluster.b_error, cluster.failed)


def test_pages_that_share_a_block_of_metadata_leave_swap_if_none_is_resident(alone):
    def program(vm):
        _, obj = file_in_swap(vm, 0, 31, 32, 63, 64, resident=[40])
        return p.swap_pager_condfree(obj, 0, 32), in_swap(obj)

    assert ((3, 96), [32, 63]) == alone(program)


def test_cleaning_goes_on_where_it_has_ended_and_ends_when_enough_is_free(alone):
    def program(vm):
        _, obj = file_in_swap(vm, 0, 1, 32, 64)
        done, basei = p.swap_pager_condfree(obj, 0, 1)
        return done, basei, in_swap(obj), p.swap_pager_condfree(obj, basei, 1)[1], in_swap(obj)

    assert (2, 32, [32, 64], 96, []) == alone(program)


def test_a_page_of_a_file_is_removed_with_its_swap(alone):
    def program(vm):
        vp, obj = file_in_swap(vm, 0, 1, 2, resident=[0, 1])
        busied(obj.raw_rb_memq.get(1), vm_page_dirty)
        for pindex in range(3):
            p.swp_pager_fault_page(obj, pindex)
        return in_swap(obj), sorted(obj.peek("rb_memq")), vp.v_refcnt.peek()

    assert ([], [1], 2) == alone(program)


def test_a_wired_page_stays_without_its_swap(alone):
    def program(vm):
        _, obj = file_in_swap(vm, 0, resident=[0])
        busied(obj.raw_rb_memq.get(0), vm_page_wire)
        p.swp_pager_fault_page(obj, 0)
        return in_swap(obj), sorted(obj.peek("rb_memq"))

    assert ([], [0]) == alone(program)


def test_a_file_that_is_reclaimed_is_left_alone(alone):
    def program(vm):
        vp, obj = file_in_swap(vm, 0)
        vsetflags(vp, VRECLAIMED)
        p.swp_pager_fault_page(obj, 0)
        vm_object_drop(obj)
        return in_swap(obj)

    assert [0] == alone(program)
