"""References to an object."""

from __future__ import annotations

import pytest

from page_layer import made, poke
from vmsmp.scenarios._kit import file_object
from vmsmp.vm import vm_object as o

MODES = pytest.mark.parametrize(
    "hold", [o.vm_object_hold, o.vm_object_hold_shared], ids=["exclusive", "shared"]
)


@MODES
def test_a_reference_may_be_added_under_the_token_in_any_mode(alone, hold):
    def program(vm):
        obj = made(vm)
        hold(obj)
        o.vm_object_reference_locked(obj)
        return obj.ref_count.peek()

    assert 2 == alone(program)


def test_a_reference_added_without_the_token_panics(panic):
    assert "obj: its token is not held" == panic(lambda vm: o.vm_object_reference_locked(made(vm)))


def test_who_has_a_reference_may_add_one_without_the_token(steps):
    rows = steps(lambda vm: [made(vm)], o.vm_object_reference_quick)
    asked, counted = ["load obj[0].type", "load obj[0].ref_count"], "fetchadd obj[0].ref_count"
    assert [*asked, counted, "load obj[0].type"] == rows


def test_a_quick_reference_to_an_object_without_any_panics(panic):
    message = panic(lambda vm: o.vm_object_reference_quick(made(vm, 0)))
    assert "vm_object_reference_quick: object without references" == message


def test_no_reference_is_lost_between_shared_holders(together):
    def program(vm):
        obj = made(vm)

        def user():
            o.vm_object_hold_shared(obj)
            o.vm_object_reference_locked(obj)
            o.vm_object_drop(obj)

        vm.machine.spawn(user)
        vm.machine.spawn(user)
        vm.machine.join()
        vm.machine.check(obj.peek("ref_count") == 3, "both are counted")

    together(program, sched="dfs:2", schedules=300)


@pytest.mark.parametrize("quick", [True, False])
def test_a_reference_to_a_file_s_object_is_one_to_its_vnode(alone, quick):
    def program(vm):
        vp, obj = file_object(vm, 1)
        if quick:
            o.vm_object_reference_quick(obj)
        else:
            o.vm_object_hold_shared(obj)
            o.vm_object_reference_locked(obj)
            o.vm_object_drop(obj)
        return obj.peek("ref_count"), vp.peek("v_refcnt")

    assert (2, 3) == alone(program)


def test_a_file_s_object_without_references_may_be_referenced_again(alone):
    def program(vm):
        _vp, obj = file_object(vm, 1)
        o.vm_object_deallocate(obj)
        o.vm_object_reference_quick(obj)
        return obj.peek("ref_count")

    assert 1 == alone(program)


def test_an_object_that_has_lost_its_vnode_meanwhile_is_a_page_fault(panic):
    def program(vm):
        _vp, obj = file_object(vm, 1)
        poke(obj, handle=None)
        o.vm_object_reference_quick(obj)

    assert "vref: page fault: the object has lost its vnode" == panic(program)
