"""Objects that are found by a handle."""

from __future__ import annotations

import pytest

from vmsmp.vm.vm_object import OBJ_DEAD, vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vm_pager import cdev_pager_allocate, cdev_pager_lookup, dev_pager_dealloc


def test_a_device_has_one_object_that_is_found_with_another_reference(alone):
    def program(vm):
        obj = cdev_pager_allocate(vm, "disk", 2)
        found = cdev_pager_lookup(vm, "disk"), cdev_pager_lookup(vm, "tape")
        return found == (obj, None), obj.peek("ref_count"), obj.peek("hold_count")

    assert (True, 2, 0) == alone(program)


@pytest.mark.parametrize(("size", "after"), [(1, 2), (5, 5)])
def test_an_object_that_is_found_grows_and_never_shrinks(alone, size, after):
    def program(vm):
        obj = cdev_pager_allocate(vm, "disk", 2)
        return cdev_pager_allocate(vm, "disk", size) is obj, obj.peek("size"), obj.peek("ref_count")

    assert (True, after, 3) == alone(program)


@pytest.mark.parametrize(("first", "second", "size"), [(0, 3, 5), (3, 0, 5), (3, 1, 5)])
def test_an_object_reaches_to_the_end_of_the_range_that_was_mapped(alone, first, second, size):
    def program(vm):
        for page in (first, second):
            obj = cdev_pager_allocate(vm, "disk", 2, foff=page * PAGE_SIZE)
        return obj.peek("size")

    assert size == alone(program)


def test_the_last_reference_takes_the_object_off_the_list(alone):
    def program(vm):
        obj = cdev_pager_allocate(vm, "disk", 2)
        vm_object_deallocate(obj)
        return obj.freed, vm.pager.dev_pager_object_list, vm.pager.dev_pager_mtx.holders

    assert (True, [], []) == alone(program)


def test_a_dead_object_is_passed_over(alone):
    def program(vm):
        dying = cdev_pager_allocate(vm, "disk", 2)
        dying.flags.setbits(OBJ_DEAD)
        return cdev_pager_lookup(vm, "disk"), cdev_pager_allocate(vm, "disk", 2) is dying

    assert (None, False) == alone(program)


def test_an_object_leaves_the_list_once(panic):
    def program(vm):
        obj = cdev_pager_allocate(vm, "disk", 2)
        dev_pager_dealloc(obj)
        dev_pager_dealloc(obj)

    assert "dev_pager_dealloc: TAILQ_REMOVE of an object that is not on the list" == panic(program)
