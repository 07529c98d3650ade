"""References to an object."""

from __future__ import annotations

import pytest

from page_layer import made
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
    assert ["load obj[0].ref_count", "fetchadd obj[0].ref_count"] == rows


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
