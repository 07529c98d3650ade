"""Activity on an object, and waiting until there is none."""

from __future__ import annotations

import pytest

from page_layer import made
from vmsmp.engine.clock import HZ
from vmsmp.sync.refcount import REFCNTF_WAITING
from vmsmp.vm import vm_object as o

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def test_a_wait_without_activity_does_not_sleep(steps):
    rows = steps(lambda vm: [made(vm), "idle"], o.vm_object_pip_wait)
    assert ["load obj[0].paging_in_progress"] == rows


def test_the_count_is_read_once_more_before_a_wait(steps):
    def prepare(vm):
        obj = made(vm)
        obj.paging_in_progress.value = REFCNTF_WAITING  # the last activity has ended and is about to clear it
        return [obj, "ending"]

    assert ["load obj[0].paging_in_progress"] * 2 == steps(prepare, o.vm_object_pip_wait)


def test_a_waiter_announces_itself_and_sleeps_for_ten_seconds_at_most(alone):
    def program(vm):
        obj = made(vm)
        o.vm_object_pip_add(obj, 2)
        cpu = vm.machine.spawn(o.vm_object_pip_wait, obj, "busy")
        vm.machine.yield_()
        seen = obj.paging_in_progress.peek()
        vm.machine.tsleep("a while", 0, "", 10 * HZ + 1)
        again = obj.paging_in_progress.peek(), cpu.done
        o.vm_object_pip_wakeup_n(obj, 2)
        cpu.join()
        return seen, again, obj.paging_in_progress.peek()

    assert (REFCNTF_WAITING | 2, (REFCNTF_WAITING | 2, False), 0) == alone(program)


@pytest.mark.parametrize(("left", "woken"), [(0, True), (1, False)])
def test_only_the_last_activity_wakes_the_waiters(steps, left, woken):
    def prepare(vm):
        obj = made(vm)
        obj.paging_in_progress.value = REFCNTF_WAITING | 1 + left
        return [obj]

    rows = steps(prepare, o.vm_object_pip_wakeup)
    assert woken is ("wakeup obj[0].paging_in_progress" in rows)


def test_an_activity_that_nobody_waits_for_wakes_nobody(steps):
    def prepare(vm):
        obj = made(vm)
        o.vm_object_pip_add(obj, 1)
        return [obj]

    assert ["fetchadd obj[0].paging_in_progress"] == steps(prepare, o.vm_object_pip_wakeup)


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_no_wait_for_the_end_of_activity_is_lost(together, locks, sched):
    def program(vm):
        obj = made(vm)
        o.vm_object_pip_add(obj, 2)
        for _ in range(2):
            vm.machine.spawn(o.vm_object_pip_wakeup, obj)
            vm.machine.spawn(o.vm_object_pip_wait, obj, "busy")
        vm.machine.join()
        vm.machine.check(vm.machine.ticks == 0, "no timeout was needed")

    together(program, sched=sched, locks=locks)
