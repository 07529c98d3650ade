"""Memory that is scarce: so many free pages as the CPUs start, and a CPU that wants them all."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.library import find_scenario
from vmsmp.vm.pressure import TURNS, leave_free, press
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_alloczwq,
    vm_page_cache,
    vm_page_freezwq,
    vm_page_hold,
    vm_page_unhold,
    vm_page_wakeup,
    vm_page_zero_invalid,
)


def free(vm):
    return vm.meter.count("v_free_count")


# -- so many pages --------------------------------------------------------------------------------


@pytest.mark.parametrize("pages", [0, 1, 5, 8, 9])
def test_that_many_pages_are_left_free_and_no_more_are_made(alone, pages):
    def program(vm):
        leave_free(vm, pages)
        return free(vm), sum(m.peek("wire_count") for m in vm.page.vm_page_array)

    assert (min(pages, 8), 8 - min(pages, 8)) == alone(program)


def starting(seen, sizes=()):
    """A program that takes three pages, and tells how many are free as its first CPU starts."""

    def program(m):
        vm = m.boot(**{"pages": 4, "l2_size": 1, **dict(sizes)})
        mine = [vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL) for n in range(3)]
        for page in mine:
            vm_page_wakeup(page)
        m.spawn(lambda: seen.append(free(vm)))
        m.join()
        seen.append(len(m.cpus))

    return program


@pytest.mark.parametrize("pages", [0, 1, 2, 40])
def test_a_program_has_its_own_pages_and_as_many_free_ones_as_asked_for(pages):
    seen = []
    assert None is vmsmp.explore(starting(seen), schedules=1, pages=pages, check=False).failure
    assert [pages, 2] == seen


def test_a_program_that_nobody_asks_for_has_what_it_has():
    seen = []
    assert None is vmsmp.explore(starting(seen), schedules=1, check=False).failure
    assert [1, 2] == seen


# -- pressure -------------------------------------------------------------------------------------


def test_pressure_takes_all_pages_that_a_request_gets_and_frees_them_turn_after_turn(alone):
    def program(vm):
        freed = vm.mycpu().v_tfree
        press(vm)
        return free(vm), vm.mycpu().v_tfree - freed

    assert (8, TURNS * 8) == alone(program)


def test_pressure_leaves_the_reserve_alone(alone):
    def program(vm):
        vm.meter.limits.v_free_reserved = 3
        press(vm)
        return vm.mycpu().v_tfree

    assert TURNS * 6 == alone(program)


def test_pressure_takes_cached_pages_too(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 1)
        vm_object_hold(obj)
        page = vm_page_alloc(vm, obj, 0, VM_ALLOC_NORMAL)
        vm_page_zero_invalid(page)
        vm_page_cache(page)
        vm_object_drop(obj)
        press(vm)
        return free(vm), page.peek("object")

    assert (8, None) == alone(program)


def test_pressure_is_a_cpu_beside_those_of_the_program():
    seen = []
    result = vmsmp.explore(starting(seen), schedules=20, stop="never", pressure=True, check=False)
    assert ([], 20, {3}) == (result.failures, result.executions, set(seen[1::2]))


def test_pressure_may_be_one_more_than_the_cpus_asked_for():
    seen = []
    assert None is vmsmp.explore(starting(seen), schedules=1, cpus=1, pressure=True, check=False).failure
    assert 3 == seen[-1]


@pytest.mark.parametrize("scarce", [{"pages": 3}, {"pressure": True}])
def test_a_program_without_memory_is_refused_in_one_line(scarce):
    def program(m):
        m.spawn(lambda: None)
        m.boot()

    with pytest.raises(vmsmp.UsageError, match="has booted no memory: leave out pages and pressure"):
        vmsmp.explore(program, schedules=1, **scarce)


@pytest.mark.parametrize("words", ["pages=2", "pressure", "pages=0+pressure", "exact+pages=1+pressure"])
def test_a_line_with_scarce_memory_replays_bit_for_bit(words):
    scenario = find_scenario("page_storm")
    one, other = (vmsmp.replay(scenario, f"v1:page_storm+{words}:7:") for _ in range(2))
    plain = vmsmp.replay(scenario, "v1:page_storm:7:")
    assert (one.digest, one.steps, None) == (other.digest, other.steps, one.failure)
    assert plain.digest != one.digest


def test_a_failure_under_pressure_has_a_line_that_says_so():
    def program(m):
        vm = m.boot(pages=3, l2_size=1)

        def taker():
            page = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
            m.check(page is not None, "there is a page")
            vm_page_wakeup(page)

        m.spawn(taker)
        m.join()

    result = vmsmp.explore(program, pages=1, pressure=True, check=False)
    assert "v1:program+pages=1+pressure:" == result.failure.schedule[:28]
    again = vmsmp.replay(program, result.failure.schedule, check=False)
    assert (result.failure.signature, result.failure.digest) == (again.failure.signature, again.digest)


def test_parallel_cpus_are_pressed_too():
    outcome = vmsmp.run(find_scenario("page_storm"), pages=2, pressure=True, time_s=30)
    assert None is outcome.failure, (outcome.failure.message, outcome.failure.history)


# -- before and after -----------------------------------------------------------------------------


def leaving(deed):
    """A scenario whose CPU does `deed(vm, obj)`."""

    @vmsmp.scenario(cpus=1)
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        obj = vm_object_allocate(vm, 4)
        m.spawn(deed, vm, obj)
        m.join()

    return program


def wire(vm, _obj):
    return vm_page_alloczwq(vm, 0, VM_ALLOC_NORMAL)


def hold(vm, _obj):
    page = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
    vm_page_hold(page)
    vm_page_unhold(page)
    vm_page_wakeup(page)


@pytest.mark.parametrize(
    ("deed", "signature"),
    [
        (wire, "leak: INV-HW2: more wires are out than when the CPUs started"),
        (
            lambda vm, _obj: vm_object_allocate(vm, 1),
            "leak: INV-O4: more references are out than when the CPUs started",
        ),
        (hold, "leak: INV-Q9: pg: it is on no queue, in no object and not wired: lost"),
    ],
)
def test_what_a_cpu_leaves_behind_is_a_leak(deed, signature):
    assert signature == vmsmp.explore(leaving(deed), schedules=1).failure.signature


def test_a_leak_names_who_took_it():
    failure = vmsmp.explore(leaving(wire), schedules=1).failure
    assert any("took a wire at" in fact for fact in failure.facts)


@pytest.mark.parametrize("scarce", [{}, {"pages": 2}, {"pages": 1, "pressure": True}])
def test_what_is_given_back_is_no_leak(scarce):
    def deed(vm, obj):
        page = wire(vm, obj)
        if page is not None:
            vm_page_freezwq(page)

    result = vmsmp.explore(
        leaving(deed), schedules=30, stop="never", repairs=["vm-wait-interlocks"], **scarce
    )
    assert ([], 30) == (result.failures, result.executions)


def test_what_is_there_as_the_cpus_start_may_stay():
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        wire(vm, None)
        m.spawn(lambda: None)
        m.join()

    assert None is vmsmp.explore(program, schedules=3).failure


def test_a_wire_may_move_to_another_page():
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        mine = wire(vm, None)

        def mover():
            wire(vm, None)
            vm_page_freezwq(mine)

        m.spawn(mover)
        m.join()

    assert None is vmsmp.explore(program, schedules=3).failure
