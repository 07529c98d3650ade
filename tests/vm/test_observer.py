"""The events of the virtual memory, as an observer hears of them."""

from __future__ import annotations

import pytest

from page_layer import held_object, limit
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.machine import Machine
from vmsmp.sched.random_walk import RandomWalk
from vmsmp.vm.observer import PageAllocated, PageFound, SweepBegun, SweepEnded, VmObserver
from vmsmp.vm.vm_page import (
    PG_MAPPEDMULTI,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_hash_enter,
    vm_page_hash_get,
    vm_page_lookup_busy_try,
    vm_page_lookup_busy_wait,
    vm_page_lookup_sbusy_try,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pageout import vm_pageout_scan_active, vm_pageout_scan_inactive


class Events(VmObserver):
    """Writes every event down."""

    def __init__(self):
        self.seen = []

    def event(self, cpu, event):
        self.seen.append((cpu.index, event))


def heard(program):
    """What `program(vm)` returns, and the events that were heard of it."""
    told, events = [], Events()
    with WorkerPool(current_core()) as pool:
        execution = ControlledEngine(pool, max_steps=10_000).prepare(RandomWalk(0))
        machine = Machine(execution, hooks=Hooks([events]))
        pool.drive(lambda: execution.execute(machine, lambda m: told.append(program(m.boot(pages=8)))))
    assert None is machine.violation
    return told[0], events.seen


def test_an_allocation_is_an_event_with_its_page_and_its_request():
    m, events = heard(lambda vm: vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL))
    assert [(0, PageAllocated(m, VM_ALLOC_NORMAL))] == events


def test_a_request_refused_is_no_event():
    def program(vm):
        while vm_page_alloc(vm, None, 0, VM_ALLOC_INTERRUPT) is not None:
            pass
        return len(vm.page.vm_page_array)

    pages, events = heard(program)
    assert pages == len(events)


def resident(vm):
    """A valid page that several processes map, at index 3 of an object that the CPU holds."""
    obj = held_object(vm)
    m = vm_page_alloc(vm, obj, 3, VM_ALLOC_NORMAL)
    m.valid = VM_PAGE_BITS_ALL
    m.flags.setbits(PG_MAPPEDMULTI)
    vm_page_wakeup(m)
    return m, obj


LOOKUPS = {
    "hard": (lambda _vm, obj: vm_page_lookup_busy_try(obj, 3, False), 0, False),
    "hard, alone": (lambda _vm, obj: vm_page_lookup_busy_try(obj, 3, True), 0, True),
    "hard, waiting": (lambda _vm, obj: vm_page_lookup_busy_wait(obj, 3, False), 0, False),
    "soft, for a piece": (lambda _vm, obj: vm_page_lookup_sbusy_try(obj, 3, 0, 512), 0x01, False),
    "hashed": (lambda vm, obj: vm_page_hash_get(vm, obj, 3), 0, False),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_a_lookup_that_finds_a_page_is_an_event_with_what_it_promises(name):
    look_up, valid, idle = LOOKUPS[name]

    def program(vm):
        m, obj = resident(vm)
        if name == "hashed":
            vm_page_hash_enter(m)
        look_up(vm, obj)
        return m, obj

    (m, obj), events = heard(program)
    assert (0, PageFound(m, obj, 3, valid, idle)) == events[-1]


@pytest.mark.parametrize("name", LOOKUPS)
def test_a_lookup_that_finds_nothing_is_no_event(name):
    look_up, _, _ = LOOKUPS[name]
    _, events = heard(lambda vm: look_up(vm, held_object(vm)))
    assert [] == events


def test_a_busied_page_that_a_lookup_leaves_to_its_owner_is_no_event():
    def program(vm):
        m, obj = resident(vm)
        vm_page_busy_try(m, False)
        return vm_page_lookup_busy_try(obj, 3, False)

    _, events = heard(program)
    assert [PageAllocated] == [type(event) for _, event in events]


def test_an_event_does_not_change():
    with pytest.raises(AttributeError):
        PageAllocated(None, 0).request = 1


@pytest.mark.parametrize(("enough", "whole"), [(False, True), (True, False)])
def test_a_sweep_says_when_it_begins_and_whether_it_has_passed_all(page_on, enough, whole):
    def program(vm):
        page_on(vm, "inactive", None, 0)
        limit(vm, v_paging_target2=0 if enough else 1000)
        vm_pageout_scan_inactive(vm)
        return vm.page.PQ_INACTIVE

    base, events = heard(program)
    assert [(0, SweepBegun(base)), (0, SweepEnded(base, whole))] == events[-2:]


def test_a_sweep_of_empty_queues_is_a_whole_one():
    base, events = heard(lambda vm: vm_pageout_scan_active(vm) or vm.page.PQ_ACTIVE)
    assert [(0, SweepBegun(base)), (0, SweepEnded(base, True))] == events
