"""Stacks: how they are made, how they grow, and what stops them."""

from __future__ import annotations

import pytest

from maps import at, entry_at, floored, layout, put
from vmsmp.scenarios._kit import leave, run_in
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_NO_SPACE,
    KERN_SUCCESS,
    MAP_ENTRY_STACK,
    MAP_FIXED,
    MAP_WIREFUTURE,
    VM_PROT_ALL,
    VM_PROT_RW,
)

STEP = {"sgrowsiz": 2 * 4096}
DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def process(vm, pages=8):
    """The map of a process whose stack is pages 8 to 16, of which the top two are mapped."""
    vmspace = v.vmspace_alloc(vm, at(0), at(32))
    run_in(vm, vmspace)
    put(vmspace.vm_map, 0, 1)
    stack(vmspace.vm_map, 8, pages)
    vmspace.vm_maxsaddr, vmspace.vm_ssize = at(8), 2
    return vmspace


def stack(map, page, pages, flags=MAP_FIXED):
    return v.vm_map_stack(map, at(page), pages * 4096, flags, VM_PROT_RW, VM_PROT_ALL, 0)


def grow(vmspace, page):
    return v.vm_map_growstack(vmspace.vm_map, at(page) + 17)


def ranges(vmspace):
    """First page, pages and bytes to grow of each entry but the first."""
    return [
        (page, pages, entry_at(vmspace.vm_map, page).peek("aux") // 4096)
        for page, pages, *_ in layout(vmspace.vm_map)
        if page
    ]


# -- making one -----------------------------------------------------------------------------------


def test_the_top_of_a_stack_is_mapped_and_the_rest_is_room(alone):
    def program(vm):
        vmspace = process(vm)
        flags = entry_at(vmspace.vm_map, 14).peek("eflags")
        return ranges(vmspace), flags

    assert ([(14, 2, 6)], MAP_ENTRY_STACK) == alone(program, **STEP)


def test_a_small_stack_is_mapped_as_a_whole(alone):
    assert [(8, 1, 0)] == alone(lambda vm: ranges(process(vm, 1)), **STEP)


@pytest.mark.parametrize("page", [0, 14, 10], ids=["on", "in", "under"])
def test_a_stack_does_not_go_where_something_is(alone, page):
    assert KERN_NO_SPACE == alone(lambda vm: stack(process(vm).vm_map, page, 5)[0], **STEP)


def test_a_stack_that_may_go_anywhere_goes_where_there_is_room(alone):
    def program(vm):
        rv, bottom = stack(process(vm).vm_map, 4, 6, 0)
        return rv, bottom == at(16)

    assert (KERN_SUCCESS, True) == alone(program, **STEP)


def test_without_room_there_is_no_stack(alone):
    assert KERN_NO_SPACE == alone(lambda vm: stack(floored(vm), 1, 40, 0)[0], **STEP)


# -- growing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "grown"),
    [(13, [(12, 2, 4)]), (11, [(10, 4, 2)]), (8, [(8, 6, 0)]), (14, []), (3, []), (20, [])],
)
def test_a_stack_grows_by_whole_steps_to_where_it_is_used(alone, page, grown):
    def program(vm):
        vmspace = process(vm)
        return grow(vmspace, page), ranges(vmspace), vmspace.vm_ssize

    rv, found, ssize = alone(program, **STEP)
    assert (KERN_SUCCESS, [*grown, (14, 2, 6)]) == (rv, found)
    assert 2 + sum(pages for _, pages, _ in grown) == ssize


def test_a_stack_that_has_grown_grows_on(alone):
    def program(vm):
        vmspace = process(vm)
        grow(vmspace, 13)
        grow(vmspace, 11)
        return ranges(vmspace)

    assert [(10, 2, 2), (12, 2, 4), (14, 2, 6)] == alone(program, **STEP)


def test_only_the_part_that_is_free_is_grown_into(alone):
    def program(vm):
        vmspace = process(vm)
        put(vmspace.vm_map, 10, 3)
        return grow(vmspace, 13), ranges(vmspace)

    assert (KERN_SUCCESS, [(10, 3, 0), (13, 1, 0), (14, 2, 1)]) == alone(program, **STEP)


@pytest.mark.parametrize(
    ("limit", "page", "answer", "ssize"),
    [(3, 12, KERN_NO_SPACE, 2), (4, 12, KERN_SUCCESS, 4), (3, 13, KERN_SUCCESS, 3), (9, 13, KERN_SUCCESS, 4)],
)
def test_a_process_stack_stays_within_its_limit(alone, limit, page, answer, ssize):
    def program(vm):
        vmspace = process(vm)
        vm.mycpu().proc.rlim_stack = limit * 4096
        return grow(vmspace, page), vmspace.vm_ssize

    assert (answer, ssize) == alone(program, **STEP)


def test_a_stack_that_is_not_the_process_one_has_no_such_limit(alone):
    def program(vm):
        vmspace = process(vm)
        vmspace.vm_maxsaddr = at(30)
        vm.mycpu().proc.rlim_stack = 0
        return grow(vmspace, 8), vmspace.vm_ssize

    assert (KERN_SUCCESS, 2) == alone(program, **STEP)


def test_a_process_stays_within_the_limit_of_all_that_it_maps(alone):
    def program(vm):
        vmspace = process(vm)
        vm.mycpu().proc.rlim_vmem = 4 * 4096
        return grow(vmspace, 13), ranges(vmspace)

    assert (KERN_NO_SPACE, [(14, 2, 6)]) == alone(program, **STEP)


def test_a_stack_is_its_own_process_alone(alone):
    def program(vm):
        vmspace = process(vm)
        process(vm)
        return grow(vmspace, 13), ranges(vmspace)

    assert (KERN_FAILURE, [(14, 2, 6)]) == alone(program, **STEP)


def test_a_thread_without_an_address_space_has_no_stack(panic):
    def program(vm):
        vmspace = process(vm)
        leave(vm)
        grow(vmspace, 13)

    assert "vm_map_growstack: no lwp" == panic(program, **STEP)


def test_a_stack_of_locked_memory_wires_the_map_that_it_has_locked(panic):
    def program(vm):
        vmspace = process(vm)
        v.vm_map_lock(vmspace.vm_map)
        vmspace.vm_map.flags = MAP_WIREFUTURE
        v.vm_map_unlock(vmspace.vm_map)
        grow(vmspace, 13)

    assert panic(program, **STEP).startswith("lockmgr: locking against myself")


def test_what_is_below_a_device_is_no_stack(alone):
    def program(vm):
        vmspace = process(vm)
        what = v.Mapping(object=lambda *_: 0, aux=Device(), maptype=v.VM_MAPTYPE_UKSMAP, prot=3, max=7)
        put(vmspace.vm_map, 20, 1, what)
        return grow(vmspace, 19), len(layout(vmspace.vm_map))

    assert (KERN_SUCCESS, 3) == alone(program, **STEP)


class Device:
    """A device whose mapping is nobody's."""

    minor = 6


@DEPTHS
def test_two_threads_grow_one_stack(together, locks):
    def program(vm):
        vmspace = process(vm)

        def thread(page):
            run_in(vm, vmspace)
            vm.machine.check(grow(vmspace, page) == KERN_SUCCESS, "there is room")

        for page in (13, 10):
            vm.machine.spawn(thread, page)
        vm.machine.join()
        vm.machine.check(vmspace.vm_ssize == 6, "what has grown is counted once")

    together(program, locks=locks, **STEP)


# -- how far, in bytes ----------------------------------------------------------------------------

GIB = 1 << 30


@pytest.mark.parametrize(("below", "by"), [(1, 1), (2, None), (3, None), (4, None), (5, 1), (6, None)])
def test_a_growth_has_the_lower_half_of_its_length_with_a_sign(alone, below, by):
    def program(vm):
        vmspace = v.vmspace_alloc(vm, 0, 32 * GIB)
        run_in(vm, vmspace)
        vmspace.vm_maxsaddr = 16 * GIB
        map = vmspace.vm_map
        v.vm_map_stack(map, 8 * GIB, 8 * GIB, MAP_FIXED, VM_PROT_RW, VM_PROT_ALL, 0)
        start = map.raw_rb_root.first().ba.raw_start
        rv = v.vm_map_growstack(map, start - below * GIB)
        return (start - map.raw_rb_root.first().ba.raw_start) // GIB if rv == KERN_SUCCESS else None

    assert by == alone(program)
