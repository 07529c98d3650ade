"""The pagedaemon: its passes, and when it works."""

from __future__ import annotations

import pytest

from page_layer import intact, limit, on, wanting
from vmsmp.vm import vm_pageout as d
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    VM_ALLOC_RETRY,
    VM_ALLOC_ZERO,
    vm_page_alloc,
    vm_page_deactivate,
    vm_page_grab,
    vm_page_wakeup,
    vm_wait,
    vm_wait_pfault,
)

# -- a pass ---------------------------------------------------------------------------------------


def test_a_pass_says_how_many_pages_it_gained(alone, page_on):
    def program(vm):
        page_on(vm, "hold").hold_count.value = 0
        page_on(vm, "inactive", None, 1)
        page_on(vm, "cache", None, 2)
        limit(vm, v_free_min=8, v_paging_target2=1000)
        return d.vm_pageout_pass(vm), vm.meter.count("v_free_count"), vm.meter.vmstats.peek("v_free_count")

    assert (1 + 1 + 2, 8, 8) == alone(program)


def test_a_pass_ages_active_pages(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        m.act_count = 3
        d.vm_pageout_pass(limit(vm))
        return m.act_count

    assert 2 == alone(program)


def test_a_pass_wakes_who_sleeps_for_memory_that_there_is(alone):
    def program(vm):
        limit(vm, v_free_min=9)
        vm.machine.spawn(vm_wait, vm, 0)
        vm.machine.yield_()
        d.vm_pageout_pass(limit(vm, v_free_min=8))
        vm.machine.join()
        return vm.machine.ticks

    assert 0 == alone(program)


def test_the_daemon_goes_on_until_a_pass_gains_nothing(alone, monkeypatch):
    gains, seen = [2, 1, 0], []
    monkeypatch.setattr(
        "vmsmp.vm.vm_pageout.daemon.vm_pageout_pass",
        lambda vm: seen.append(vm.machine.ticks) or gains[len(seen) - 1],
    )

    def program(vm):
        limit(vm, v_paging_start=1000)
        vm.machine.spawn(d.vm_pageout_thread, vm)
        vm.machine.yield_()
        d.vm_pageout_shutdown(vm)
        vm.machine.join()

    alone(program)
    assert [0, 0, 0] == seen


def test_a_pass_rolls_the_counts_up(alone):
    def program(vm):
        vm.mycpu()
        vm.machine.spawn(vm_page_alloc, vm, None, 0, VM_ALLOC_NORMAL).join()
        d.vm_pageout_pass(limit(vm))
        return vm.meter.vmstats.peek("v_free_count"), vm.mycpu().gd_vmstats.peek("v_free_count")

    assert (7, 7) == alone(program)


@pytest.mark.parametrize(
    ("severe", "gain", "killed"), [(9, False, True), (9, True, False), (8, False, False)]
)
def test_a_pass_in_vain_while_memory_is_severely_short_has_processes_killed(
    alone, page_on, severe, gain, killed
):
    def program(vm):
        if gain:
            page_on(vm, "inactive")
        limit(vm, v_free_severe=severe)
        worker = vm.machine.spawn(vm.mycpu)
        worker.join()
        vm.mycpu().systhread = True
        d.vm_pageout_pass(vm)
        return worker.result.p_lowmemkill, vm.mycpu().p_lowmemkill

    assert (killed, False) == alone(program)  # never the kernel's own


def test_processes_being_killed_do_not_wait_for_memory_any_longer(alone):
    def program(vm):
        limit(vm, v_free_min=9, v_free_severe=9)
        vm.mycpu().systhread = True
        waiter = vm.machine.spawn(vm_wait_pfault, vm)
        vm.machine.yield_()
        d.vm_pageout_pass(vm)
        waiter.join()
        return vm.machine.ticks

    assert 0 == alone(program)


@pytest.mark.parametrize(("minimum", "waiting"), [(8, 0), (9, 2)])
def test_a_pass_wakes_those_who_wait_if_there_is_enough(alone, minimum, waiting):
    def program(vm):
        limit(vm, v_free_min=minimum)
        vm.pageout.vm_pages_waiting.store(2)
        d.vm_pageout_pass(vm)
        return vm.pageout.vm_pages_waiting.load()

    assert waiting == alone(program)


# -- the daemon -----------------------------------------------------------------------------------


def test_the_daemon_is_a_kernel_thread_and_known_as_the_pagedaemon(alone):
    def program(vm):
        daemon = vm.machine.spawn(d.vm_pageout_thread, limit(vm))
        vm.machine.yield_()
        seen = vm.pageout.pagethread is daemon, vm.meter.globaldata[daemon.index].systhread
        d.vm_pageout_shutdown(vm)
        vm.machine.join()
        return seen

    assert (True, True) == alone(program)


def test_the_daemon_works_when_it_is_asked_to_and_ends_when_it_is_told_to(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        vm.machine.spawn(d.vm_pageout_thread, wanting(vm))
        vm.machine.yield_()
        before = on(m)
        vm.pageout.vm_pages_needed.store(1)
        vm.machine.wakeup("vm_pages_needed")
        vm.machine.yield_()
        after = on(m), vm.pageout.vm_pages_needed.load(), vm.machine.ticks
        d.vm_pageout_shutdown(vm)
        vm.machine.join()
        return before, after, vm.machine.ticks

    assert ("inactive", ("cache", 0, 0), 0) == alone(program)


def test_the_daemon_looks_after_a_second_by_itself(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        vm.machine.spawn(d.vm_pageout_thread, wanting(vm))
        vm.machine.yield_()
        limit(vm, v_paging_start=1000, v_paging_target2=1000)
        vm.machine.tsleep("a while", 0, "", 150)
        d.vm_pageout_shutdown(vm)
        vm.machine.join()
        return on(m)

    assert "cache" == alone(program)


def test_parallel_processes_fill_memory_while_the_daemon_makes_room(parallel):
    def program(vm):
        limit(vm, v_free_reserved=1, v_free_min=2, v_paging_start=4, v_paging_target1=5, v_paging_target2=6)
        daemon = vm.machine.spawn(d.vm_pageout_thread, vm)
        obj = vm_object_allocate(vm, 64)

        def process(first):
            for n in range(6):
                m = vm_page_grab(obj, first + n, VM_ALLOC_NORMAL | VM_ALLOC_RETRY | VM_ALLOC_ZERO)
                vm_page_deactivate(m)
                vm_page_wakeup(m)
            return first

        workers = [vm.machine.spawn(process, 20 * n) for n in range(2)]
        for worker in workers:
            worker.join()
        d.vm_pageout_shutdown(vm)
        daemon.join()
        listed = sum(pq.peek("lcnt") for pq in vm.page.vm_page_queues)
        return [worker.result for worker in workers], listed, intact(vm)

    assert ([0, 20], 8, True) == parallel(program, repairs=["vm-wait-interlocks"])
