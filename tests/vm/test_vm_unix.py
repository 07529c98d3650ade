"""The heap of a process."""

from __future__ import annotations

import pytest

from faults import new_process
from maps import at, entry_at, put
from vmsmp.sync.errno import EINVAL, ENOMEM, EOPNOTSUPP
from vmsmp.vm.vm_map import VM_MAX_USER_ADDRESS
from vmsmp.vm.vm_mmap import MCL_FUTURE, sys_mlockall
from vmsmp.vm.vm_page import PAGE_SIZE as PAGE
from vmsmp.vm.vm_unix import sys_obreak, sys_sbrk


def heap(vm):
    """An address space whose heap begins at page 8."""
    map = new_process(vm, 1)
    vmspace = vm.mycpu().lwp.lwp_vmspace
    vmspace.vm_daddr = at(8)
    return vmspace, map


@pytest.mark.parametrize(
    ("sizes", "answers", "end", "mapped"),
    [
        ([0], [at(8)], 0, 0),
        ([PAGE], [at(8)], PAGE, 1),
        ([100, 0, 50], [at(8), at(8) + 100, at(8) + 100], 150, 1),
        ([100, PAGE], [at(8), at(9)], 2 * PAGE, 2),
        ([PAGE, 2 * PAGE], [at(8), at(9)], 3 * PAGE, 3),
    ],
)
def test_a_heap_grows_in_its_last_page_or_behind_it(alone, sizes, answers, end, mapped):
    def program(vm):
        vmspace, map = heap(vm)
        got = [sys_sbrk(vmspace, size) for size in sizes]
        return got, vmspace.vm_dsize, map.peek("size") // PAGE - 1

    assert ([(0, answer) for answer in answers], end, mapped) == alone(program, pages=16)


@pytest.mark.parametrize("incr", [-1, 3 * PAGE, VM_MAX_USER_ADDRESS])
def test_a_heap_shrinks_never_and_grows_within_its_limit(alone, incr):
    def program(vm):
        vmspace, map = heap(vm)
        vm.mycpu().proc.rlim_data = 2 * PAGE
        return sys_sbrk(vmspace, incr), vmspace.vm_dsize, map.token.held()

    assert ((ENOMEM, 0), 0, False) == alone(program, pages=16)


def test_a_heap_ends_before_what_is_mapped_behind_it(alone):
    def program(vm):
        vmspace, map = heap(vm)
        put(map, 9, 1)
        return sys_sbrk(vmspace, 2 * PAGE), sys_obreak(vmspace, at(10)), vmspace.vm_dsize

    assert ((ENOMEM, 0), ENOMEM, 0) == alone(program, pages=16)


@pytest.mark.parametrize(
    ("nsize", "error", "end"),
    [
        (at(8), 0, 0),
        (at(10), 0, 2 * PAGE),
        (at(9) + 1, 0, 2 * PAGE),
        (at(7), EINVAL, 0),
        (at(12), ENOMEM, 0),
        (VM_MAX_USER_ADDRESS, ENOMEM, 0),
    ],
)
def test_the_break_is_set_to_whole_pages(alone, nsize, error, end):
    def program(vm):
        vmspace, map = heap(vm)
        vm.mycpu().proc.rlim_data = 3 * PAGE
        return sys_obreak(vmspace, nsize), vmspace.vm_dsize, map.token.held()

    assert (error, end, False) == alone(program, pages=16)


def test_the_break_is_never_set_back(alone):
    def program(vm):
        vmspace, _ = heap(vm)
        return sys_obreak(vmspace, at(10)), sys_obreak(vmspace, at(9)), vmspace.vm_dsize

    assert (0, EOPNOTSUPP, 2 * PAGE) == alone(program, pages=16)


def test_the_break_is_within_the_limit_of_the_map(alone):
    def program(vm):
        vmspace, map = heap(vm)
        vm.mycpu().proc.rlim_vmem = 2 * PAGE
        return sys_obreak(vmspace, at(10)), sys_obreak(vmspace, at(9)), map.peek("size")

    assert (ENOMEM, 0, 2 * PAGE) == alone(program, pages=16)


@pytest.mark.parametrize(
    "grow", [lambda one: sys_sbrk(one, PAGE), lambda one: sys_obreak(one, at(9))], ids=["sbrk", "obreak"]
)
def test_a_heap_is_wired_where_all_that_comes_is_locked(alone, grow):
    def program(vm):
        vmspace, map = heap(vm)
        sys_mlockall(map, MCL_FUTURE)
        grow(vmspace)
        return entry_at(map, 8).peek("wired_count"), map.pmap.wired_count.peek()

    assert (1, 1) == alone(program, pages=16)
