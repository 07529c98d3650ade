"""Counting pages, and rolling the counts up."""

from __future__ import annotations

import pytest

from page_layer import limit
from vmsmp.vm import vm_meter as v

FREE = "v_free_count"


def counts(vm, gd=None, name=FREE):
    """The global count, the delta and the view."""
    gd = gd or vm.mycpu()
    return vm.meter.vmstats.peek(name), gd.gd_vmstats_adj.peek(name), gd.gd_vmstats.peek(name)


# -- counting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", v.COUNTS)
def test_a_page_more_is_counted_in_the_cpu_s_delta_and_in_its_view(alone, name):
    def program(vm):
        before = vm.meter.vmstats.peek(name)
        v.vmstats_add(vm, name)
        return [n - b for n, b in zip(counts(vm, name=name), (before, 0, before), strict=True)]

    assert [0, 1, 1] == alone(program)


@pytest.mark.parametrize("name", v.COUNTS[:4])
def test_a_page_less_is_counted_in_the_cpu_s_delta_and_in_its_view(alone, name):
    def program(vm):
        before = vm.meter.vmstats.peek(name)
        v.vmstats_rem(vm, name)
        return [n - b for n, b in zip(counts(vm, name=name), (before, 0, before), strict=True)]

    assert [0, -1, -1] == alone(program)


def test_a_count_is_another_cpu_s_business_until_it_is_rolled_up(alone):
    def program(vm):
        mine = vm.mycpu()
        vm.machine.spawn(v.vmstats_rem, vm, FREE).join()
        return counts(vm, mine)

    assert (8, 0, 8) == alone(program)


def test_one_cpu_s_deltas_may_be_rolled_up_by_another_that_then_sees_no_more_than_before(alone):
    def program(vm):
        mine = vm.mycpu()
        v.vmstats_rem(vm, FREE)

        def other():
            v.vmstats_rem(vm, FREE)
            before = counts(vm)
            v.vmstats_rollup_cpu(vm, mine)
            told.append((before, counts(vm)))

        told = []
        vm.machine.spawn(other).join()
        return told[0], counts(vm, mine)

    assert (((8, -1, 7), (7, -1, 7)), (7, 0, 7)) == alone(program)


def removed(vm, times):
    for _ in range(times):
        v.vmstats_rem(vm, FREE)
    return counts(vm)


@pytest.mark.parametrize(
    ("times", "left"), [(2, (8, -2, 6)), (3, (5, 0, 5)), (4, (5, -1, 4)), (6, (2, 0, 2))]
)
def test_a_delta_below_its_limit_goes_to_the_global_count_when_paging_is_near(alone, times, left):
    assert left == alone(lambda vm: removed(limit(vm, v_paging_start=99), times), adj_limit=2)


def test_a_delta_below_its_limit_stays_while_paging_is_far(alone):
    assert (8, -6, 2) == alone(lambda vm: removed(limit(vm), 6), adj_limit=0, pages=8, cpus=1)


@pytest.mark.parametrize(("start", "left"), [(0, (8, -3, 5)), (1, (5, 0, 5))])
def test_paging_is_near_when_all_cpus_deltas_might_bring_it(alone, start, left):
    """Two pages for each of two CPUs may not be rolled up: 5 left, less 4."""

    def program(vm):
        return removed(limit(vm, v_paging_start=start + 1), 3)

    assert left == alone(program, adj_limit=2, cpus=2)


def test_the_reserve_touched_brings_paging_near_too(alone):
    assert (5, 0, 5) == alone(lambda vm: removed(limit(vm, v_free_reserved=6), 3), adj_limit=2)


def test_a_page_more_is_never_handed_on(alone):
    def program(vm):
        for _ in range(9):
            v.vmstats_add(vm, FREE)
        return counts(limit(vm, v_paging_start=99))

    assert (8, 9, 17) == alone(program, adj_limit=0)


# -- rolling up -----------------------------------------------------------------------------------


def test_a_rollup_adds_every_cpu_s_deltas_and_renews_the_caller_s_view_alone(alone):
    def program(vm):
        mine = vm.mycpu()
        worker = vm.machine.spawn(lambda: removed(limit(vm), 2) and vm.mycpu())
        other = vm.machine.spawn(lambda: removed(vm, 1) and vm.mycpu())
        worker.join()
        other.join()
        v.vmstats_rollup(vm)
        return [counts(vm, gd) for gd in (mine, worker.result, other.result)]

    assert [(5, 0, 5), (5, 0, 6), (5, 0, 7)] == alone(program)


def test_a_rollup_is_about_all_counts(alone):
    def program(vm):
        for n, name in enumerate(v.COUNTS, 1):
            v.vmstats_add(vm, name, n)
        v.vmstats_rollup(vm)
        return [counts(vm, name=name) for name in v.COUNTS]

    assert [(9, 0, 9), (2, 0, 2), (3, 0, 3), (4, 0, 4), (5, 0, 5)] == alone(program)


def test_a_rollup_takes_a_delta_before_it_adds_it(steps):
    def prepare(vm):
        v.vmstats_add(vm, FREE)
        return [vm]

    rows = [row for row in steps(prepare, v.vmstats_rollup) if FREE in row]
    assert [
        "load cpu0.gd_vmstats_adj.v_free_count",
        "swap cpu0.gd_vmstats_adj.v_free_count",
        "fetchadd vmstats.v_free_count",
        "load vmstats.v_free_count",
    ] == rows


def test_a_rollup_leaves_a_delta_of_nothing_alone(steps):
    rows = [row for row in steps(lambda vm: [vm], v.vmstats_rollup) if "adj" in row]
    assert [f"load cpu0.gd_vmstats_adj.{name}" for name in v.COUNTS[1:]] == rows[1:]


def test_a_delta_that_another_cpu_takes_meanwhile_is_not_handed_on_again(steps):
    rows = steps(lambda vm: [vm, FREE], v.vmstats_rem)
    assert [
        "fetchadd cpu0.gd_vmstats_adj.v_free_count",
        "load cpu0.gd_vmstats_adj.v_free_count",
    ] == rows


@pytest.mark.parametrize(("ticks", "seen"), [(0, 8), (1, 7)])
def test_the_clock_rolls_the_counts_up_when_time_has_passed(alone, ticks, seen):
    def program(vm):
        mine = vm.mycpu()
        vm.machine.spawn(v.vmstats_rem, vm, FREE).join()
        since = vm.machine.ticks
        if ticks:
            vm.machine.tsleep("a while", 0, "", ticks)
        v.hardclock(vm, since)
        return mine.gd_vmstats.peek(FREE)

    assert seen == alone(program)


def test_no_page_is_lost_between_rollups_and_cpus_that_count(together):
    def program(vm):
        def counter():
            for _ in range(2):
                v.vmstats_add(vm, FREE)
                v.vmstats_rem(vm, FREE)

        def roller():
            v.vmstats_rollup(vm)

        for fn in (counter, roller, roller):
            vm.machine.spawn(fn)
        vm.machine.join()
        vm.machine.check(vm.meter.count(FREE) == 8, "as many as before")

    together(program, schedules=150, adj_limit=0)


def test_parallel_cpus_count_and_roll_up_and_no_page_is_lost(parallel):
    def program(vm):
        def worker():
            for n in range(60):
                v.vmstats_add(vm, FREE)
                v.vmstats_rem(vm, FREE)
                if n % 7 == 0:
                    v.vmstats_rollup(vm)

        for _ in range(3):
            vm.machine.spawn(worker)
        vm.machine.join()
        v.vmstats_rollup(vm)
        return vm.meter.count(FREE), vm.meter.vmstats.peek(FREE)

    assert (8, 8) == parallel(program)
