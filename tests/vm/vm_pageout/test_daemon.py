"""The pagedaemon: its passes, and when it works."""

from __future__ import annotations

import pytest

from page_layer import intact, limit, on, wanting
from vmsmp.engine.clock import HZ
from vmsmp.vm import vm_pageout as d
from vmsmp.vm.vm_meter import P_LOWMEMKILL
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    VM_ALLOC_RETRY,
    VM_ALLOC_ZERO,
    vm_page_alloc,
    vm_page_deactivate,
    vm_page_grab,
    vm_page_wakeup,
    vm_wait_pfault,
)

# -- a pass ---------------------------------------------------------------------------------------


def test_a_pass_frees_what_is_held_no_longer_and_caches_what_is_inactive(alone, page_on):
    def program(vm):
        page_on(vm, "hold").hold_count.value = 0
        page_on(vm, "inactive", None, 1)
        page_on(vm, "cache", None, 2)
        d.vm_pageout_pass(limit(vm, v_free_min=8, v_paging_target2=1000))
        return vm.meter.count("v_free_count")

    assert 8 == alone(program)


@pytest.mark.parametrize(("easy", "target"), [(False, 20), (True, 30)])
@pytest.mark.parametrize(("kinds", "gained"), [((), 0), (("inactive",), 1), (("inactive", "active"), 2)])
def test_a_pass_says_how_many_pages_are_still_missing(alone, page_on, easy, target, kinds, gained):
    def program(vm):
        for n, kind in enumerate(kinds):
            page_on(vm, kind, None, n).act_count = 0
        limit(vm, v_paging_target1=20, v_paging_target2=30)
        vm.pageout.vm_pageout_deficit.store(3)
        missing = d.vm_pageout_pass(vm, easy)
        return missing, vm.pageout.vm_pageout_deficit.load()

    there = 8 - len(kinds)
    assert (target + 3 - there - gained, 0) == alone(program)


def test_a_pass_counts_what_is_missing_once_it_knows_what_others_have_counted(alone):
    def program(vm):
        vm.mycpu()
        vm.machine.spawn(vm_page_alloc, vm, None, 0, VM_ALLOC_NORMAL).join()
        return d.vm_pageout_pass(limit(vm, v_paging_target1=8))

    assert 1 == alone(program)


def test_a_pass_ages_active_pages(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        m.act_count = 3
        d.vm_pageout_pass(limit(vm))
        return m.act_count

    assert 2 == alone(program)


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
        return [gd.proc.p_flags.peek() for gd in (worker.result, vm.mycpu())]

    assert [P_LOWMEMKILL * killed, 0] == alone(program)  # never the kernel's own


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


def test_a_pass_leaves_those_who_wait_alone(alone):
    def program(vm):
        vm.pageout.vm_pages_waiting.store(2)
        d.vm_pageout_pass(limit(vm))
        return vm.pageout.vm_pages_waiting.load()

    assert 2 == alone(program)


# -- the daemon's states --------------------------------------------------------------------------

NEEDED, FREE = "vm_pages_needed", "vmstats.v_free_count"


def daemon(vm, state, needed=1, passes=0):
    """A daemon in that state."""
    made = d._Pagedaemon(vm)
    made.state, made.passes = state, passes
    vm.pageout.vm_pages_needed.value = needed
    return made


def of(rows):
    """Accesses to `vm_pages_needed`, sleeps and wakeups."""
    told = "load", "store", "sleep", "wakeup"
    return [row for row in rows if row.startswith(told) and row.endswith((NEEDED, FREE))]


def test_an_idle_daemon_that_is_asked_for_pages_does_not_sleep(steps):
    rows = steps(lambda vm: [daemon(vm, d.PAGING_IDLE, 2)], d._Pagedaemon.due)
    assert [f"load {NEEDED}", f"store {NEEDED}"] == of(rows)


@pytest.mark.parametrize(
    ("start", "asked", "due", "ticks"),
    [(0, False, False, 5 * HZ), (0, True, True, 50), (1000, False, True, 5 * HZ)],
    ids=["for nothing", "until it is asked", "until pages are short"],
)
def test_an_idle_daemon_sleeps_for_five_seconds_at_most(alone, start, asked, due, ticks):
    def program(vm):
        this = daemon(limit(vm, v_paging_start=start), d.PAGING_IDLE, 0)
        cpu = vm.machine.spawn(this.due)
        vm.machine.tsleep("a while", 0, "", 50)
        if asked:
            vm.machine.wakeup(NEEDED)
        cpu.join()
        return cpu.result, this.state, vm.pageout.vm_pages_needed.load(), vm.machine.ticks

    state = d.PAGING_TARGET1 if due else d.PAGING_IDLE
    assert (due, state, int(due), ticks) == alone(program)


@pytest.mark.parametrize(("start", "state"), [(0, d.PAGING_TARGET2), (1000, d.PAGING_TARGET1)])
def test_a_daemon_that_takes_it_easy_sleeps_before_each_pass_and_looks_whether_pages_are_short(
    alone, start, state
):
    def program(vm):
        this = daemon(limit(vm, v_paging_start=start), d.PAGING_TARGET2)
        return this.due(), this.state, vm.machine.ticks

    assert (True, state, HZ // 10) == alone(program)


def test_a_daemon_that_works_hard_does_not_sleep_before_a_pass(steps):
    assert [] == steps(lambda vm: [daemon(vm, d.PAGING_TARGET1)], d._Pagedaemon.due)


def after_a_pass(monkeypatch, missing):
    """Have a pass leave so many pages missing."""
    monkeypatch.setattr("vmsmp.vm.vm_pageout.daemon.vm_pageout_pass", lambda vm, easy, passes: missing)


@pytest.mark.parametrize(
    ("passes", "needed", "told"),
    [
        (0, 2, [f"load {NEEDED}"]),
        (0, 1, [f"load {NEEDED}", f"store {NEEDED}", f"sleep {NEEDED}"]),
        (98, 1, [f"load {NEEDED}", f"store {NEEDED}", f"sleep {NEEDED}"]),
        (99, 2, [f"sleep {NEEDED}"]),
    ],
)
def test_a_pass_that_misses_its_target_is_followed_by_another(steps, monkeypatch, passes, needed, told):
    after_a_pass(monkeypatch, 1)
    rows = steps(lambda vm: [daemon(vm, d.PAGING_TARGET1, needed, passes)], d._Pagedaemon.turn)
    assert told == of(rows)


@pytest.mark.parametrize(("passes", "ticks"), [(0, 2), (98, 2), (99, HZ // 10)])
def test_the_pause_after_a_pass_in_vain_is_longer_from_the_hundredth_on(alone, monkeypatch, passes, ticks):
    after_a_pass(monkeypatch, 1)

    def program(vm):
        this = daemon(vm, d.PAGING_TARGET1, 1, passes)
        this.turn()
        return this.passes, this.state, vm.machine.ticks

    assert (passes + 1, d.PAGING_TARGET1, ticks) == alone(program)


@pytest.mark.parametrize(
    ("limits", "state", "needed", "told"),
    [
        ({"v_paging_target1": 8}, d.PAGING_TARGET2, 1, [f"wakeup {FREE}"]),
        ({"v_paging_target1": 9}, d.PAGING_TARGET1, 2, [f"store {NEEDED}", f"wakeup {FREE}"]),
        ({"v_paging_target1": 9, "v_free_min": 9}, d.PAGING_TARGET1, 2, [f"store {NEEDED}"]),
    ],
)
def test_a_pass_that_reaches_its_target_wakes_who_waits_if_there_is_enough_for_it(
    steps, alone, monkeypatch, limits, state, needed, told
):
    after_a_pass(monkeypatch, 0)

    def prepare(vm):
        return [daemon(limit(vm, **limits), d.PAGING_TARGET1, 1, 7)]

    def program(vm):
        (this,) = prepare(vm)
        this.turn()
        return this.state, this.passes, vm.pageout.vm_pages_needed.load()

    assert told == of(steps(prepare, d._Pagedaemon.turn))
    assert (state, 0, needed) == alone(program)


@pytest.mark.parametrize(
    ("target", "state", "needed", "told"),
    [
        (8, d.PAGING_IDLE, 0, [f"store {NEEDED}", f"wakeup {FREE}"]),
        (9, d.PAGING_TARGET2, 1, []),
    ],
)
@pytest.mark.parametrize("missing", [0, 1])
def test_a_daemon_is_idle_once_the_final_target_is_reached(
    steps, alone, monkeypatch, target, state, needed, told, missing
):
    after_a_pass(monkeypatch, missing)

    def prepare(vm):
        return [daemon(limit(vm, v_paging_target2=target), d.PAGING_TARGET2)]

    def program(vm):
        (this,) = prepare(vm)
        this.turn()
        return this.state, vm.pageout.vm_pages_needed.load()

    assert told == of(steps(prepare, d._Pagedaemon.turn))
    assert (state, needed) == alone(program)


@pytest.mark.parametrize("state", [d.PAGING_TARGET1, d.PAGING_TARGET2])
def test_a_pass_is_about_the_target_of_the_state(alone, monkeypatch, state):
    seen = []
    monkeypatch.setattr(
        "vmsmp.vm.vm_pageout.daemon.vm_pageout_pass", lambda vm, easy, passes: seen.append(easy) or 0
    )
    alone(lambda vm: daemon(limit(vm), state).turn())
    assert [state == d.PAGING_TARGET2] == seen


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

    assert ("inactive", ("cache", 1, 0), 0) == alone(program)


def test_the_daemon_looks_after_five_seconds_by_itself(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        vm.machine.spawn(d.vm_pageout_thread, wanting(vm))
        vm.machine.yield_()
        limit(vm, v_paging_start=1000, v_paging_target2=1000)
        vm.machine.tsleep("a while", 0, "", 5 * HZ + 1)
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
