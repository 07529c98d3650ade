"""Who is short of memory: each threshold, as a CPU sees it."""

from __future__ import annotations

import pytest

from page_layer import limit
from vmsmp.vm import vm_meter as v


def see(vm, free, cache=0):
    """Have this CPU see that many pages."""
    vm.mycpu().gd_vmstats.v_free_count.value = free
    vm.mycpu().gd_vmstats.v_cache_count.value = cache
    return vm


TESTS = {
    "v_free_severe": v.vm_paging_severe,
    "v_free_min": v.vm_paging_min,
    "v_paging_wait": v.vm_paging_wait,
    "v_paging_start": v.vm_paging_start,
    "v_paging_target1": v.vm_paging_target1,
    "v_paging_target2": v.vm_paging_target2,
}
EVERY = pytest.mark.parametrize("name", TESTS)


@EVERY
@pytest.mark.parametrize(
    ("free", "cache", "short"),
    [(10, 0, False), (9, 0, True), (4, 6, False), (4, 5, True), (0, 10, False), (11, 0, False)],
)
def test_each_threshold_is_about_free_and_cached_pages_together(alone, name, free, cache, short):
    assert short is alone(lambda vm: TESTS[name](see(limit(vm, **{name: 10}), free, cache)))


@EVERY
@pytest.mark.parametrize(("free", "short"), [(3, False), (2, True)])
def test_each_threshold_trips_when_the_reserve_is_touched_however_much_is_cached(alone, name, free, short):
    assert short is alone(lambda vm: TESTS[name](see(limit(vm, v_free_reserved=3), free, 100)))


@EVERY
def test_each_threshold_is_judged_by_the_cpu_s_own_view(alone, name):
    def program(vm):
        see(limit(vm, **{name: 10}), 10)
        vm.meter.vmstats.v_free_count.value = 0
        return TESTS[name](vm), vm.machine.spawn(lambda: vm.machine.check(TESTS[name](vm)))

    assert False is alone(program)[0]


@pytest.mark.parametrize(("donotcount", "short"), [(0, False), (2, False), (3, True)])
def test_pages_not_to_be_counted_raise_the_minimum(alone, donotcount, short):
    def program(vm):
        return v.vm_paging_min_dnc(see(limit(vm, v_free_min=10), 12), donotcount)

    assert short is alone(program)


@pytest.mark.parametrize(("adj", "short"), [(0, False), (-2, False), (-3, True), (5, False)])
def test_pages_that_may_not_be_rolled_up_bring_paging_nearer(alone, adj, short):
    assert short is alone(lambda vm: v.vm_paging_start(see(limit(vm, v_paging_start=10), 12), adj))


@pytest.mark.parametrize(("adj", "short"), [(0, False), (-2, False), (-3, True), (2, False)])
def test_paging_starts_when_free_pages_alone_are_below_the_minimum(alone, adj, short):
    assert short is alone(lambda vm: v.vm_paging_start(see(limit(vm, v_free_min=10), 12, 100), adj))


@pytest.mark.parametrize(("free", "cache", "missing"), [(6, 3, 1), (10, 0, 0), (10, 7, -7), (0, 0, 10)])
@pytest.mark.parametrize("target", [1, 2])
def test_the_pages_missing_to_a_target_are_counted(alone, target, free, cache, missing):
    count = {1: v.vm_paging_target1_count, 2: v.vm_paging_target2_count}[target]
    limits = {f"v_paging_target{target}": 10}
    assert missing == alone(lambda vm: count(see(limit(vm, **limits), free, cache)))


@pytest.mark.parametrize(
    ("free", "cache", "inactive", "missing"), [(4, 3, 7, 1), (4, 4, 7, 0), (9, 9, 9, -12), (0, 0, 0, 15)]
)
def test_pages_should_become_inactive_while_few_are_free_cached_or_inactive(
    alone, free, cache, inactive, missing
):
    def program(vm):
        see(limit(vm, v_free_min=10, v_inactive_target=5), free, cache)
        vm.mycpu().gd_vmstats.v_inactive_count.value = inactive
        return v.vm_paging_inactive_count(vm), v.vm_paging_inactive(vm)

    assert (missing, missing > 0) == alone(program)


@pytest.mark.parametrize(
    ("nice", "extra"), [(0, 0), (20, 40), (-20, 0), (10, 30), (-10, 10), (1, 21), (-1, 19), (19, 39)]
)
def test_who_is_nice_waits_that_many_pages_earlier(alone, nice, extra):
    def program(vm):
        limit(vm, v_free_min=10, v_paging_wait=91)  # (91 - 10 - 1) / 2 = 40
        return v.paging_extra(vm, nice), [v.vm_paging_min_nice(see(vm, 10 + extra - n), nice) for n in (0, 1)]

    assert (extra, [False, True]) == alone(program)


@pytest.mark.parametrize(("wait", "nice", "extra"), [(18, 19, 2), (18, 1, 1), (11, 20, 0), (12, 20, 0)])
def test_the_pages_of_the_nice_are_rounded_down(alone, wait, nice, extra):
    assert extra == alone(lambda vm: v.paging_extra(limit(vm, v_free_min=10, v_paging_wait=wait), nice))
