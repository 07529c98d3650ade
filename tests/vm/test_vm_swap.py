"""The table of swap devices."""

from __future__ import annotations

import pytest

from vmsmp.sync.errno import EBUSY, EINTR, EINVAL, EIO, ENODEV
from vmsmp.vm.vm_swap import (
    NSWAPDEV,
    Swap,
    swapacctspace,
    swapdev_strategy,
    swapoff_one,
    sys_swapoff,
    sys_swapon,
)
from vmsmp.vm.vnode import getnewvnode


def disks_of(vm, count):
    return Swap(vm), [getnewvnode(vm, f"disk{n}") for n in range(count)]


def table(swap):
    return [device and device.sw_vp for device in swap.swdevt]


def references(disks):
    return [disk.v_refcnt.peek() for disk in disks]


def test_a_device_that_is_swapped_to_is_referenced(alone):
    def program(vm):
        swap, disks = disks_of(vm, 2)
        return sys_swapon(swap, disks[0]), references(disks), table(swap) == [disks[0], None, None, None]

    assert (0, [2, 1], True) == alone(program)


def test_a_device_is_refused_that_is_in_the_table_or_for_which_there_is_no_slot(alone):
    def program(vm):
        swap, disks = disks_of(vm, NSWAPDEV + 1)
        errors = [sys_swapon(swap, disk) for disk in (disks[0], *disks)]
        return errors, references(disks)

    assert ([0, EBUSY, 0, 0, 0, EINVAL], [2] * NSWAPDEV + [1]) == alone(program)


def test_an_empty_slot_is_taken_whatever_is_behind_it(alone):
    def program(vm):
        swap, disks = disks_of(vm, 2)
        errors = [sys_swapon(swap, disk) for disk in disks]
        errors += [sys_swapoff(swap, disks[0]), sys_swapon(swap, disks[1])]
        return errors, table(swap) == [disks[1], disks[1], None, None]

    assert ([0] * 4, True) == alone(program)


@pytest.mark.parametrize(("there", "answer"), [(True, (0, [2])), (False, (EINVAL, [2]))])
def test_a_device_that_is_given_up_keeps_the_reference_of_its_look_up(alone, there, answer):
    def program(vm):
        swap, disks = disks_of(vm, 1)
        if there:
            sys_swapon(swap, disks[0])
        return sys_swapoff(swap, disks[0]), references(disks)

    assert answer == alone(program)


def test_a_slot_without_a_device_cannot_be_given_up(panic):
    assert "swapoff_one: no device" == panic(lambda vm: swapoff_one(Swap(vm), 0))


@pytest.mark.parametrize(("stuck", "answer"), [(0, (0, (0, 0), True)), (1, (EINTR, (0, 0), False))])
def test_a_device_stays_while_something_cannot_be_read_back(alone, stuck, answer):
    def program(vm):
        swap, disks = disks_of(vm, 1)
        sys_swapon(swap, disks[0], 128)
        swap.swdevt[0].stuck = stuck
        error = sys_swapoff(swap, disks[0])
        return error, (swap.vm_swap_size.peek(), swap.vm_swap_max), swap.slot_of(disks[0]) is None

    assert answer == alone(program)


def test_blocks_that_are_free_are_counted_with_the_device_s(alone):
    def program(vm):
        swap, disks = disks_of(vm, 1)
        sys_swapon(swap, disks[0])
        swapacctspace(swap, swap.swdevt[0], -3)
        return swap.swdevt[0].free, swap.vm_swap_size.peek()

    assert (61, 61) == alone(program)


@pytest.mark.parametrize(("blocks", "free"), [(1, 0), (64, 0), (65, 64), (128, 64), (129, 128), (192, 128)])
def test_the_first_stripe_stays_unused_and_the_last_one_is_whole(alone, blocks, free):
    def program(vm):
        swap, disks = disks_of(vm, 1)
        sys_swapon(swap, disks[0], blocks)
        before = swap.vm_swap_size.peek(), swap.vm_swap_max, swap.swdevt[0].free
        sys_swapoff(swap, disks[0])
        return before, (swap.vm_swap_size.peek(), swap.vm_swap_max)

    assert ((free, free, free), (0, 0)) == alone(program)


def test_a_block_is_refused_behind_the_stripes_or_by_the_device(alone):
    def program(vm):
        swap, disks = disks_of(vm, 1)
        sys_swapon(swap, disks[0], 100)
        return [swapdev_strategy(swap, 0, n) for n in (0, 99, 100, 127, 128)], swapdev_strategy(swap, 1, 0)

    assert ([0, 0, EIO, EIO, EINVAL], ENODEV) == alone(program)
