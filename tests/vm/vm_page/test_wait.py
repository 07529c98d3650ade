"""Waiting for pages, and waking those who wait."""

from __future__ import annotations

import pytest

import page_layer
from vmsmp.engine.clock import HZ
from vmsmp.vm import vm_page as w
from vmsmp.vm.vm_meter import P_LOWMEMKILL, vmstats_rollup
from vmsmp.vm.vm_page import (
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_alloczwq,
    vm_page_free,
    vm_page_freezwq,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
SHORT, ENOUGH = 9, 8  # a minimum above and at the 8 pages that there are


def limit(vm, **limits):
    """Set these limits and all others, those of pageout and of hysteresis too, to zero."""
    return page_layer.limit(vm, **{"v_pageout_free_min": 0, "vm_page_free_hysteresis": 0, **limits})


def waited(vm, wait):
    """How many ticks it took, how many waits were counted and how often the pagedaemon was asked."""
    wait(vm)
    return vm.machine.ticks, vm.pageout.vm_pages_waiting.load(), vm.pageout.vm_pages_needed.load()


# -- the pagedaemon -------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "needed"), [(SHORT, 1), (ENOUGH, 0)])
def test_the_pagedaemon_is_woken_when_pages_get_short(alone, start, needed):
    def program(vm):
        w.pagedaemon_wakeup(limit(vm, v_paging_start=start))
        return vm.pageout.vm_pages_needed.load()

    assert needed == alone(program)


@pytest.mark.parametrize(("role", "needed"), [("pagethread", 0), ("emergpager", 1)])
def test_the_pagedaemon_does_not_wake_itself(alone, role, needed):
    def program(vm):
        setattr(vm.pageout, role, vm.machine.curcpu)
        w.pagedaemon_wakeup(limit(vm, v_paging_start=SHORT))
        return vm.pageout.vm_pages_needed.load()

    assert needed == alone(program)


@pytest.mark.parametrize(
    ("minimum", "needed", "woken", "left"),
    [
        (ENOUGH, 0, True, 1),
        (ENOUGH, 1, True, 1),
        (ENOUGH, 2, False, 2),
        (SHORT, 1, True, 1),
        (SHORT, 2, False, 3),
    ],
)
def test_the_pagedaemon_is_woken_while_it_is_needed_by_one_at_most(steps, minimum, needed, woken, left):
    seen = []

    def prepare(vm):
        vm.pageout.vm_pages_needed.store(needed)
        return [limit(vm, v_paging_start=SHORT, v_free_min=minimum)]

    def act(vm):
        w.pagedaemon_wakeup(vm)
        seen.append(vm.pageout.vm_pages_needed.peek())

    assert (woken, [left]) == ("wakeup vm_pages_needed" in steps(prepare, act), seen)


def test_the_pagedaemon_sleeping_for_work_is_woken(alone):
    def program(vm):
        daemon = vm.machine.spawn(vm.machine.tsleep, w.VM_PAGES_NEEDED, 0, "psleep", 0)
        vm.machine.yield_()
        w.pagedaemon_wakeup(limit(vm, v_paging_start=SHORT))
        daemon.join()
        return daemon.result

    assert 0 == alone(program)


# -- a page became free ---------------------------------------------------------------------------


@pytest.mark.parametrize(("free_min", "flag"), [(9, 1), (8, 0), (0, 0)])
def test_a_pager_that_waits_is_woken_when_there_are_as_many_pages_as_it_needs(alone, free_min, flag):
    def program(vm):
        vm.pageout.vm_pageout_pages_needed.store(1)
        w.vm_page_free_wakeup(limit(vm, v_pageout_free_min=free_min))
        return vm.pageout.vm_pageout_pages_needed.load()

    assert flag == alone(program)


def test_cached_pages_count_for_the_pager_too(alone, page_on):
    def program(vm):
        page_on(vm, "cache")
        vm.pageout.vm_pageout_pages_needed.store(1)
        w.vm_page_free_wakeup(limit(vm, v_pageout_free_min=8))
        return vm.pageout.vm_pageout_pages_needed.load()

    assert 0 == alone(program)


@pytest.mark.parametrize(
    ("minimum", "hysteresis", "target1", "waiting"),
    [
        (8, 0, 8, 0),
        (8, 0, 9, 0),  # the minimum and the hysteresis are there, and that is enough
        (9, 0, 8, 0),  # the first target is reached, and that is enough
        (9, 0, 9, 3),
        (8, 1, 9, 3),
        (7, 1, 9, 0),
    ],
)
def test_those_who_wait_are_woken_above_the_minimum_or_at_the_first_target(
    alone, minimum, hysteresis, target1, waiting
):
    def program(vm):
        limit(vm, v_free_min=minimum, vm_page_free_hysteresis=hysteresis, v_paging_target1=target1)
        vm.pageout.vm_pages_waiting.store(3)
        w.vm_page_free_wakeup(vm)
        return vm.pageout.vm_pages_waiting.load()

    assert waiting == alone(program)


def test_what_was_counted_is_zeroed_before_the_wakeup(steps):
    def prepare(vm):
        vm.pageout.vm_pageout_pages_needed.store(1)
        vm.pageout.vm_pages_waiting.store(3)
        return [limit(vm)]

    assert [
        "load vm_pageout_pages_needed",
        "store vm_pageout_pages_needed",
        "wakeup vm_pageout_pages_needed",
        "load vm_pages_waiting",
        "store vm_pages_waiting",
        "wakeup vmstats.v_free_count",
    ] == steps(prepare, w.vm_page_free_wakeup)


def test_nobody_is_woken_if_nobody_waits(steps):
    rows = steps(lambda vm: [limit(vm)], w.vm_page_free_wakeup)
    assert ["load vm_pageout_pages_needed", "load vm_pages_waiting"] == rows


# -- waiting --------------------------------------------------------------------------------------


def test_who_finds_pages_enough_does_not_wait(alone):
    assert (0, 0, 0) == alone(lambda vm: waited(limit(vm, v_free_min=ENOUGH), w.vm_wait))


@pytest.mark.parametrize(("timo", "ticks"), [(0, HZ), (1, 1), (7, 7), (500, 500)])
def test_who_waits_is_counted_wakes_the_pagedaemon_and_sleeps_no_longer_than_its_time(alone, timo, ticks):
    def program(vm):
        return waited(limit(vm, v_free_min=SHORT), lambda vm: w.vm_wait(vm, timo))

    assert (ticks, 1, 1) == alone(program)


@pytest.mark.parametrize(("nice", "sleeps"), [(-1, False), (0, True), (-20, False), (20, True)])
def test_a_process_waits_a_step_of_niceness_earlier_than_its_own(alone, nice, sleeps):
    """At the minimum only who is nice must wait: (n + 20) * 39 / 40 pages of 39 for n = nice + 1."""

    def program(vm):
        vm.mycpu().nice = nice
        limit(vm, v_free_min=ENOUGH, v_paging_wait=ENOUGH + 80)
        return waited(vm, w.vm_wait)[0]

    assert (HZ if sleeps else 0) == alone(program)


def test_who_waits_has_vm_token_while_it_looks_and_not_while_it_sleeps(alone):
    def program(vm):
        limit(vm, v_free_min=SHORT)
        cpu = vm.machine.spawn(w.vm_wait, vm, 0)
        vm.machine.yield_()
        free = vm.pageout.vm_token.try_acquire()
        vm.pageout.vm_token.release()
        cpu.join()
        return free, vm.pageout.vm_token.holders

    assert (True, []) == alone(program)


def test_who_waits_takes_vm_token_before_it_looks(steps):
    rows = steps(lambda vm: [limit(vm, v_free_min=SHORT)], lambda vm: w.vm_wait(vm, 0))
    order = [
        "acquire vm_token",
        "load vm_pages_needed",
        "load vm_pages_needed",
        "store vm_pages_needed",
        "load vm_pages_waiting",
        "store vm_pages_waiting",
        "sleep vmstats.v_free_count",
    ]
    assert order == [row for row in rows if row in order]


def test_who_waits_is_woken_by_a_free(alone):
    def program(vm):
        m = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        vmstats_rollup(vm)
        limit(vm, v_free_min=ENOUGH)
        cpu = vm.machine.spawn(w.vm_wait, vm, 0)
        vm.machine.yield_()
        waiting = vm.pageout.vm_pages_waiting.load()
        vm_page_free(m)
        cpu.join()
        return waiting, vm.pageout.vm_pages_waiting.load(), vm.machine.ticks

    assert (1, 0, 0) == alone(program)


def test_who_slept_for_memory_sees_afterwards_what_others_gave_back(alone):
    def program(vm):
        m = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        vmstats_rollup(vm)
        limit(vm, v_free_min=SHORT, v_paging_target1=SHORT)  # nobody wakes it before its time
        cpu = vm.machine.spawn(lambda: (w.vm_wait(vm, 5), vm.mycpu().gd_vmstats.peek("v_free_count"))[1])
        vm.machine.yield_()
        vm_page_free(m)
        cpu.join()
        return cpu.result

    assert 8 == alone(program)


@pytest.mark.parametrize("role", ["pagethread", "emergpager"])
@pytest.mark.parametrize(("minimum", "ticks", "flag"), [(SHORT, HZ, 1), (ENOUGH, 0, 0)])
def test_a_pager_waits_with_a_flag_of_its_own_and_below_the_minimum_only(alone, role, minimum, ticks, flag):
    def program(vm):
        setattr(vm.pageout, role, vm.machine.curcpu)
        limit(vm, v_free_min=minimum, v_paging_wait=minimum + 80)
        return waited(vm, w.vm_wait), vm.pageout.vm_pageout_pages_needed.load()

    assert ((ticks, 0, 0), flag) == alone(program)


def test_a_pager_that_waits_is_woken_by_a_free(alone):
    def program(vm):
        m = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        vmstats_rollup(vm)
        limit(vm, v_free_min=ENOUGH, v_pageout_free_min=ENOUGH)

        def pager():
            vm.pageout.pagethread = vm.machine.curcpu
            w.vm_wait(vm, 0)

        cpu = vm.machine.spawn(pager)
        vm.machine.yield_()
        flag = vm.pageout.vm_pageout_pages_needed.load()
        vm_page_free(m)
        cpu.join()
        return flag, vm.pageout.vm_pageout_pages_needed.load(), vm.machine.ticks

    assert (1, 0, 0) == alone(program)


def test_a_pager_that_has_slept_sees_what_others_have_counted_meanwhile(alone):
    def program(vm):
        vm.pageout.pagethread = vm.machine.curcpu
        limit(vm, v_free_min=SHORT)
        view = vm.mycpu().gd_vmstats
        vm.machine.spawn(vm_page_alloc, vm, None, 0, VM_ALLOC_NORMAL).join()
        before = view.peek("v_free_count")
        w.vm_wait(vm, 5)
        return before, view.peek("v_free_count")

    assert (8, 7) == alone(program)


# -- faults ---------------------------------------------------------------------------------------


def test_a_fault_with_pages_enough_goes_on(alone):
    assert (0, 0, 0) == alone(lambda vm: waited(limit(vm, v_free_min=ENOUGH), w.vm_wait_pfault))


def test_a_fault_below_the_minimum_is_held_back_for_a_tenth_of_a_second_once(alone):
    assert (HZ // 10 + 1, 1, 1) == alone(lambda vm: waited(limit(vm, v_free_min=SHORT), w.vm_wait_pfault))


def test_a_fault_that_goes_on_sees_what_others_have_counted_meanwhile(alone):
    def program(vm):
        limit(vm, v_free_min=ENOUGH)
        view = vm.mycpu().gd_vmstats
        vm.machine.spawn(vm_page_alloc, vm, None, 0, VM_ALLOC_NORMAL).join()
        before = view.peek("v_free_count")
        w.vm_wait_pfault(vm)
        return before, view.peek("v_free_count"), vm.machine.ticks

    assert (8, 7, 0) == alone(program)


@pytest.mark.parametrize(("nice", "ticks"), [(0, 0), (-20, 0), (1, HZ // 10 + 1), (20, HZ // 10 + 1)])
def test_a_nice_process_s_fault_is_held_back_earlier(alone, nice, ticks):
    def program(vm):
        vm.mycpu().nice = nice
        limit(vm, v_free_min=ENOUGH, v_paging_wait=ENOUGH + 80)
        return waited(vm, w.vm_wait_pfault)[0]

    assert ticks == alone(program)


def test_a_fault_is_held_back_again_while_pages_are_severely_short(alone):
    def program(vm):
        limit(vm, v_free_min=SHORT, v_free_severe=SHORT)
        cpu = vm.machine.spawn(w.vm_wait_pfault, vm)
        vm.machine.tsleep("a while", 0, "", 3 * (HZ // 10 + 1) + 5)
        rounds = vm.pageout.vm_pages_waiting.load()
        limit(vm, v_free_min=SHORT)
        cpu.join()
        return rounds, vm.machine.ticks

    assert (4, 4 * (HZ // 10 + 1)) == alone(program)


def test_a_fault_that_is_held_back_has_vm_token_in_every_round_and_not_afterwards(alone, monkeypatch):
    rounds = []

    def sleep(vm, nice, wmesg, timo):
        rounds.append((vm.pageout.vm_token.held(), len(vm.pageout.vm_token.holders)))
        limit(vm, v_free_min=SHORT, v_free_severe=SHORT if len(rounds) < 3 else 0)

    monkeypatch.setattr("vmsmp.vm.vm_page.wait._sleep_for_pages", sleep)

    def program(vm):
        w.vm_wait_pfault(limit(vm, v_free_min=SHORT))
        return rounds, vm.pageout.vm_token.holders

    assert ([(True, 1)] * 3, []) == alone(program)


def test_a_fault_of_a_process_that_is_being_killed_for_memory_is_held_back_once(alone):
    def program(vm):
        vm.mycpu().proc.p_flags.setbits(P_LOWMEMKILL)
        return waited(limit(vm, v_free_min=SHORT, v_free_severe=SHORT), w.vm_wait_pfault)

    assert (HZ // 10 + 1, 1, 1) == alone(program)


# -- until it is nominal --------------------------------------------------------------------------


def test_the_nominal_test_is_about_the_minimum(alone):
    assert [True, False] == alone(
        lambda vm: [w.vm_test_nominal(limit(vm, v_free_min=minimum)) for minimum in (SHORT, ENOUGH)]
    )


def test_who_waits_until_pages_are_not_short_does_so(alone):
    def program(vm):
        limit(vm, v_free_min=SHORT)
        cpu = vm.machine.spawn(w.vm_wait_nominal, vm)
        vm.machine.tsleep("a while", 0, "", 3 * HZ + 5)
        limit(vm, v_free_min=ENOUGH)
        cpu.join()
        return vm.machine.ticks

    assert 4 * HZ == alone(program)


def test_who_finds_pages_not_short_goes_on(alone):
    assert (0, 0, 0) == alone(
        lambda vm: waited(limit(vm, v_free_min=ENOUGH, v_paging_wait=99), w.vm_wait_nominal)
    )


# -- many -----------------------------------------------------------------------------------------


def test_a_free_before_the_sleep_that_the_sleeper_does_not_see_wakes_nobody(found):
    """The kernel's own finding: no interlock, and the timeout is the safety net."""

    def program(vm):
        hoard = [vm_page_alloczwq(vm, n, VM_ALLOC_INTERRUPT) for n in range(8)]
        vmstats_rollup(vm)
        limit(vm, v_free_min=2)

        def giver():
            for m in hoard:
                vm_page_freezwq(m)

        vm.machine.spawn(w.vm_wait, vm, 0)
        vm.machine.spawn(giver)
        vm.machine.join()

    kind, message = found(program, sched="pct:3", schedules=100)
    assert ("lost-wakeup", "vmstats.v_free_count") == (kind, message.partition(":")[0])


@DEPTHS
@pytest.mark.parametrize("wait", [w.vm_wait, w.vm_wait_pfault])
def test_with_the_interlock_nobody_sleeps_for_memory_that_is_there(together, locks, wait):
    def program(vm):
        hoard = [vm_page_alloczwq(vm, n, VM_ALLOC_INTERRUPT) for n in range(2)]
        vmstats_rollup(vm)
        limit(vm, v_free_min=2)

        def giver():
            for m in hoard:
                vm_page_freezwq(m)

        vm.machine.spawn(wait, vm)
        vm.machine.spawn(giver)
        vm.machine.join()
        vm.machine.check(vm.machine.ticks == 0, "no timeout was needed")

    together(program, sched="dfs:1", schedules=400, locks=locks, pages=2, repairs=["vm-wait-interlocks"])


def test_parallel_cpus_that_want_more_than_there_is_all_get_it_in_turn(parallel):
    def program(vm):
        limit(vm, v_free_min=1)
        done = vm.machine.atomic(0)

        def worker():
            for n in range(5):
                m = vm_page_alloczwq(vm, n, VM_ALLOC_INTERRUPT)
                done.fetchadd(1)
                vm_page_freezwq(m)

        for _ in range(3):
            vm.machine.spawn(worker)
        vm.machine.join()
        return done.load(), vm.meter.count("v_free_count")

    assert (15, 2) == parallel(program, pages=2)


def test_who_is_not_the_first_to_need_pages_reads_the_count_again_to_count_up(steps):
    def prepare(vm):
        limit(vm, v_free_min=SHORT, v_paging_start=SHORT)
        vm.pageout.vm_pages_needed.store(2)
        return [vm]

    word = "vm_pages_needed"
    assert [f"load {word}", f"load {word}", f"store {word}"] == steps(prepare, w.pagedaemon_wakeup)
