"""The list of an object's backings."""

from __future__ import annotations

import pytest

from page_layer import made
from vmsmp.vm import vm_object as o


def test_backings_join_at_the_tail_and_leave_from_anywhere(alone):
    def program(vm):
        obj = made(vm)
        one, two, three = object(), object(), object()
        for ba in (one, two, three):
            o.vm_object_backing_insert(obj, ba)
        o.vm_object_backing_remove(obj, two)
        return [one, three] == obj.peek("backing_list"), obj.backing_lk.holders

    assert (True, []) == alone(program)


@pytest.mark.parametrize("change", [o.vm_object_backing_insert, o.vm_object_backing_remove])
def test_the_list_is_changed_under_its_lock(steps, change):
    def prepare(vm):
        obj, ba = made(vm), object()
        o.vm_object_backing_insert(obj, ba)
        return [obj, ba]

    assert ["request obj[0].baclk", "release obj[0].baclk"] == steps(prepare, change)


def test_a_backing_that_is_not_on_the_list_does_not_leave_it(panic):
    message = panic(lambda vm: o.vm_object_backing_remove(made(vm), object()))
    assert "obj: TAILQ_REMOVE of a backing that is not on its list" == message
