"""Wiring ranges for users and for the kernel, and what is left when a page cannot be had."""

from __future__ import annotations

import pytest

from maps import at, entry_at, floored, layout, over, put
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    KM_KRESERVE,
    KM_NOTLBSYNC,
    KM_PAGEABLE,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_USER_WIRED,
    VM_FAULT_CHANGE_WIRING,
    VM_FAULT_USER_WIRE,
    VM_PROT_NOSYNC,
    VM_PROT_READ,
    VM_PROT_RW,
)
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_reference_quick

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def mapped(vm, fails_at=99):
    """A map of pages 2 to 6, the last two read-only; faults have no pages, and fail from a page on."""
    map = floored(vm)
    put(map, 2, 4)
    over(v.vm_map_protect, map, 4, 2, VM_PROT_READ, False)
    vm.map.fault = lambda _map, va, *_: KERN_FAILURE if va >= at(fails_at) else KERN_SUCCESS
    return map


def counts(map):
    """Wirings by page."""
    return [entry_at(map, page).peek("wired_count") for page in range(2, 6)]


def user(map, page, pages, unwire=False):
    return over(v.vm_map_user_wiring, map, page, pages, unwire)


def kernel(map, page, pages, kmflags=0):
    return over(v.vm_map_kernel_wiring, map, page, pages, kmflags)


WIRES = pytest.mark.parametrize("wire", [user, kernel])


@WIRES
def test_a_range_is_wired_and_cut_out(alone, wire):
    def program(vm):
        map = mapped(vm)
        return wire(map, 3, 2), counts(map), [page for page, *_ in layout(map)]

    assert (KERN_SUCCESS, [0, 1, 1, 0], [2, 3, 4, 5]) == alone(program)


@WIRES
@pytest.mark.parametrize(("page", "pages"), [(1, 2), (5, 2), (10, 1)])
def test_a_range_with_a_hole_is_refused(alone, wire, page, pages):
    def program(vm):
        map = mapped(vm)
        return wire(map, page, pages), counts(map), vm.map.supply().reserved()

    assert (KERN_INVALID_ADDRESS, [0] * 4, 0) == alone(program)


def test_a_user_s_wiring_counts_once(alone):
    def program(vm):
        map = mapped(vm)
        user(map, 2, 4)
        return user(map, 2, 4), counts(map), user(map, 2, 4, True), counts(map)

    assert (KERN_SUCCESS, [1] * 4, KERN_SUCCESS, [0] * 4) == alone(program)


def test_the_kernel_s_wirings_add_up(alone):
    def program(vm):
        map = mapped(vm)
        kernel(map, 2, 4)
        kernel(map, 3, 1)
        user(map, 2, 1)
        first = counts(map)
        kernel(map, 2, 4, KM_PAGEABLE)
        return first, counts(map), bool(entry_at(map, 2).peek("eflags") & MAP_ENTRY_USER_WIRED)

    assert ([2, 2, 1, 1], [1, 1, 0, 0], True) == alone(program)


@pytest.mark.parametrize(
    ("unwire", "answer"),
    [(lambda map: user(map, 2, 4, True), KERN_INVALID_ARGUMENT), (lambda map: kernel(map, 2, 4, 1), 4)],
    ids=["user", "kernel"],
)
def test_what_is_not_wired_throughout_stays_as_it_is(alone, unwire, answer):
    def program(vm):
        map = mapped(vm)
        user(map, 2, 2)
        return unwire(map), counts(map)

    assert (answer, [1, 1, 0, 0]) == alone(program)


@WIRES
def test_a_wiring_that_fails_at_once_leaves_nothing(alone, wire):
    def program(vm):
        map = mapped(vm, fails_at=2)
        return wire(map, 2, 2), counts(map), layout(map)[0][:2]

    assert (KERN_FAILURE, [0] * 4, (2, 2)) == alone(program)


def test_a_failed_mlock_takes_back_what_it_has_done(alone):
    def program(vm):
        map = mapped(vm, fails_at=4)
        return user(map, 2, 4), counts(map)

    assert (KERN_FAILURE, [0] * 4) == alone(program)


@pytest.mark.parametrize(
    ("wire", "kmflags", "prot", "flags"),
    [
        (user, (), VM_PROT_READ, VM_FAULT_USER_WIRE),
        (kernel, (), VM_PROT_RW, VM_FAULT_CHANGE_WIRING),
        (kernel, (KM_NOTLBSYNC,), VM_PROT_RW | VM_PROT_NOSYNC, VM_FAULT_CHANGE_WIRING),
        (kernel, (KM_KRESERVE,), VM_PROT_RW, VM_FAULT_CHANGE_WIRING),
    ],
)
def test_each_page_is_faulted_in_with_the_map_unlocked(alone, wire, kmflags, prot, flags):
    def program(vm):
        map = mapped(vm)
        asked = []

        def fault(which, *how):
            asked.append((which.lock.held(), *how))
            return KERN_SUCCESS

        vm.map.fault = fault
        before = map.peek("timestamp")
        wire(map, 2, 2, *kmflags)
        return asked, map.peek("timestamp") - before

    asked, versions = alone(program)
    assert [(False, at(page), prot, flags) for page in (2, 3)] == asked
    assert 3 == versions


@WIRES
def test_what_is_written_to_gets_an_object_of_its_own_first(alone, wire):
    def program(vm):
        map = floored(vm)
        obj = vm_object_allocate(vm, 4)
        vm_object_reference_quick(obj)
        put(map, 2, 4, v.Mapping(object=obj, prot=3, max=7, cow=v.COWF_COPY_ON_WRITE))
        wire(map, 2, 4)
        entry = entry_at(map, 2)
        return entry.ba.peek("object") is obj, bool(entry.peek("eflags") & MAP_ENTRY_NEEDS_COPY)

    assert (False, False) == alone(program)


@WIRES
def test_what_is_only_read_stays_shared(alone, wire):
    def program(vm):
        map = floored(vm)
        obj = vm_object_allocate(vm, 4)
        vm_object_reference_quick(obj)
        put(map, 2, 4, v.Mapping(object=obj, prot=1, max=7, cow=v.COWF_COPY_ON_WRITE))
        wire(map, 2, 4)
        return entry_at(map, 2).ba.peek("object") is obj

    assert True is alone(program)


def test_an_entry_that_is_cut_while_it_is_wired_is_wired_in_all_its_pieces(alone):
    def program(vm):
        map = mapped(vm)
        cut = []

        def fault(which, va, *_):
            if not cut:
                cut.append(over(v.vm_map_protect, which, 3, 1, VM_PROT_READ, False))
            return KERN_SUCCESS

        vm.map.fault = fault
        return kernel(map, 2, 4), counts(map), user(map, 2, 4), counts(map)

    assert (KERN_SUCCESS, [1] * 4, KERN_SUCCESS, [2] * 4) == alone(program)


def test_a_failure_is_taken_back_in_all_pieces(alone):
    def program(vm):
        map = mapped(vm)

        def fault(which, va, *_):
            over(v.vm_map_protect, which, 3, 1, VM_PROT_READ, False)
            return KERN_FAILURE

        vm.map.fault = fault
        return user(map, 2, 2), counts(map)

    assert (KERN_FAILURE, [0] * 4) == alone(program)


def test_the_guard_of_a_kernel_stack_is_not_faulted_in(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 3, v.Mapping(prot=3, max=7, cow=v.COWF_IS_KSTACK))
        asked = []
        vm.map.fault = lambda _map, va, *_: asked.append(va) or KERN_SUCCESS
        kernel(map, 2, 3)
        return [va == at(page) for va, page in zip(asked, (3, 4), strict=True)]

    assert [True, True] == alone(program)


def quick(map, page, pages):
    count = v.vm_map_entry_reserve(map.vm, v.MAP_RESERVE_COUNT)
    v.vm_map_lock(map)
    v.vm_map_set_wired_quick(map, at(page), pages * 4096, count)
    v.vm_map_unlock(map)
    v.vm_map_entry_release(map.vm, count)


def test_a_range_can_be_said_to_be_wired_without_a_fault(alone):
    def program(vm):
        map = mapped(vm, fails_at=0)
        quick(map, 3, 2)
        return counts(map)

    assert [0, 1, 1, 0] == alone(program)


@pytest.mark.parametrize(("page", "text"), [(3, "wired already"), (20, "the range is not mapped")])
def test_only_what_is_mapped_and_not_wired_can_be_said_so(panic, page, text):
    def program(vm):
        map = mapped(vm)
        user(map, 3, 1)
        quick(map, page, 1)

    assert f"vm_map_set_wired_quick: {text}" == panic(program)


@DEPTHS
def test_two_wire_one_range(together, locks):
    def program(vm):
        map = mapped(vm)
        for _ in range(2):
            vm.machine.spawn(kernel, map, 2, 4)
        vm.machine.join()
        vm.machine.check(counts(map) == [2] * 4, "both are counted")

    together(program, locks=locks, repairs=["simplify-asks-the-next"])
