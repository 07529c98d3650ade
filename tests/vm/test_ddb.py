"""The debugger's commands together: they only look, and make nothing."""

from __future__ import annotations

import pytest

from vmsmp.vm.vm_object import (
    show_object,
)
from vmsmp.vm.vm_page import (
    show_page,
    show_pageq,
)

# -- looking on -----------------------------------------------------------------------------------


def look_at_everything(vm):
    for number in (None, *range(len(vm.page.vm_page_array))):
        show_page(vm, number)
    for kind in (None, "free", "hold"):
        show_pageq(vm, kind)
    show_object(vm)


def test_looking_at_everything_is_no_step_of_the_run(steps, page_on):
    def prepare(vm):
        page_on(vm, "active")
        return (vm,)

    assert [] == steps(prepare, look_at_everything, pages=64, l2_size=4)


def test_looking_at_everything_breaks_no_rule_and_makes_no_lock(alone, page_on):
    def program(vm):
        page_on(vm, "active")
        before = [lock.name for pool in vm.pools for lock in pool.spinlocks()]
        look_at_everything(vm)
        return before, [lock.name for pool in vm.pools for lock in pool.spinlocks()]

    before, after = alone(program, check=True)
    assert before == after


# -- the locks there are --------------------------------------------------------------------------


def test_a_machine_just_booted_has_no_lock_yet(alone):
    assert [] == alone(lambda vm: [spin for pool in vm.pools for spin in pool.spinlocks()])


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_locks_that_were_wanted_are_there_the_queues_first(alone, locks):
    def program(vm):
        with vm.page.vm_page_array[5].spin:
            pass
        with vm.page.vm_page_array[2].spin, vm.page.vm_page_queues[vm.page.PQ_CACHE].spin:
            pass
        return [
            (lock.name, lock.acquisitions)
            for lock in [spin for pool in vm.pools for spin in pool.spinlocks()]
        ]

    assert [("pq.cache[0].spin", 1), ("pg[2].spin", 1), ("pg[5].spin", 1)] == alone(program, locks=locks)
