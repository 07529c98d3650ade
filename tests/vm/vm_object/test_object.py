"""struct vm_object: the locks of its tree, and scans over it."""

from __future__ import annotations

import pytest

from page_layer import made
from vmsmp.vm import vm_object as o
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_free,
    vm_page_wakeup,
)


@pytest.mark.parametrize(
    ("hold", "read", "write"),
    [(None, False, False), (o.vm_object_hold_shared, True, False), (o.vm_object_hold, True, True)],
    ids=["not at all", "shared", "exclusive"],
)
@pytest.mark.parametrize("change", [False, True], ids=["look", "change"])
def test_an_object_s_tree_is_looked_at_under_its_token_and_changed_under_the_exclusive_one(
    found, hold, read, write, change
):
    def program(vm):
        obj = o.vm_object_allocate(vm, 8)

        def worker():
            if hold:
                hold(obj)
            if change:
                obj.changing("rb_memq")
            else:
                _ = obj.rb_memq
            if hold:
                o.vm_object_drop(obj)

        vm.machine.spawn(worker)
        vm.machine.join()

    failure = found(program, schedules=1)
    assert (None if (write if change else read) else "field-lock") == (failure and failure[0])


def test_pages_are_scanned_in_order_of_index(alone, page_on):
    def program(vm):
        obj = made(vm)
        for n in (5, 1, 3):
            page_on(vm, "none", obj, n)
        o.vm_object_hold(obj)
        return [m.pindex for m in o.scan(obj)]

    assert [1, 3, 5] == alone(program)


def test_a_scan_goes_on_past_pages_that_come_and_go(alone, page_on):
    def program(vm):
        obj, seen = made(vm), []
        for n in (1, 3, 5):
            page_on(vm, "none", obj, n)
        o.vm_object_hold(obj)
        for m in o.scan(obj):
            seen.append(m.pindex)
            if m.pindex == 1:  # the next one goes, and others come before and behind it
                vm_page_busy_try(obj.rb_memq[3], False)
                vm_page_free(obj.rb_memq[3])
                for n in (0, 4):
                    vm_page_wakeup(vm_page_alloc(vm, obj, n, VM_ALLOC_NORMAL))
        return seen

    assert [1, 4, 5] == alone(program)
