"""What the rules of faults say of a page that is mapped, and of a fault that returns."""

from __future__ import annotations

import pytest

import vmsmp
from faults import REPAIRS, filled, load, new_process, private, store
from maps import at, entry_at
from vmsmp.vm import vm_map as v
from vmsmp.vm.observer import FaultEnds
from vmsmp.vm.pmap import pmap_enter
from vmsmp.vm.vm_map import VM_PROT_NONE, VM_PROT_READ, VM_PROT_RW
from vmsmp.vm.vm_page import vm_page_busy_wait, vm_page_wakeup


def verdict(act):
    """What all checkers say of `act(vm)`: (kind, message), or None."""

    def program(m):
        act(m.boot(pages=16, l2_size=1))

    failure = vmsmp.explore(program, sched="dfs:0", schedules=1, repairs=REPAIRS).failure
    return failure and (failure.kind, failure.message)


def entering(prot=VM_PROT_RW, *, busy=True, locked=True, valid=0xFF, shadow=False, protection=VM_PROT_RW):
    """Map a page in such a way."""

    def enter(map, m, entry):
        v.vm_map_lock(map)
        if shadow:
            v.vm_map_entry_shadow(entry)
        entry.protection = protection
        if not locked:
            v.vm_map_unlock(map)
        if busy:
            vm_page_busy_wait(m, True)
        m.raw_valid = valid
        pmap_enter(map.pmap, at(0), m, prot, False, entry)
        m.raw_valid = 0xFF
        vm_page_wakeup(m)
        v.vm_map_unlock(map)

    def act(vm):
        map, obj = new_process(vm), filled(vm, 5)
        private(map, 0, obj)
        m = obj.raw_rb_memq[0]
        if not busy:  # by whom it is mapped, but by somebody else
            vm_page_busy_wait(m, True)
        vm.machine.spawn(enter, map, m, entry_at(map, 0)).join()

    return act


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"locked": False}, "INV-F4: pg: it is mapped, and the map is not locked"),
        ({"valid": 1}, "INV-PM2: pg: it is mapped, and not valid"),
        ({"shadow": True}, "INV-C1: pg: it is mapped writeable, and not the first object's"),
        ({}, "INV-C1: pg: it is mapped writeable, and its entry needs a copy"),
        (
            {"prot": VM_PROT_READ | 4, "protection": VM_PROT_READ},
            "INV-M7: pg: it is mapped with a right that its entry does not give",
        ),
        (
            {"prot": VM_PROT_NONE, "protection": VM_PROT_NONE},
            "INV-M7: pg: it is mapped, and so can be read, where nothing may be read",
        ),
        ({"prot": VM_PROT_READ}, None),
    ],
)
def test_a_page_is_mapped_as_it_may_be(how, message):
    assert (message and ("accounting", message)) == verdict(entering(**how))


def test_who_maps_a_page_has_busied_it():
    assert ("check", "panic: pmap_enter: page not busied") == verdict(entering(busy=False))


def test_a_fault_leaves_its_thread_with_what_it_had():
    def act(vm):
        map = new_process(vm)
        v.vm_map_lock(map)
        for hook in vm.hooks.event:
            hook(vm.engine.current, FaultEnds(map, 0, 0))
        v.vm_map_unlock(map)

    kind, message = verdict(act)
    assert ("accounting", "a fault returns with +1 locks and pages") == (kind, message.split(": ")[-1])


def test_ordinary_faults_break_no_rule():
    def act(vm):
        map, obj = new_process(vm), filled(vm, 5)
        private(map, 0, obj)
        load(map, 0)
        store(map, 0, 6)

    assert None is verdict(act)
