"""struct vm_object: the locks of its tree."""

from __future__ import annotations

import pytest

from vmsmp.vm import vm_object as o


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
