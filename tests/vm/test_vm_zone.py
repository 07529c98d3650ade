"""Zones: caches of CPUs, the zone's count, and making more by one CPU at a time."""

from __future__ import annotations

from vmsmp.vm.vm_zone import ZONE_BURST, ZONE_CACHE, VmZone, zalloc, zfree


def zone(vm, free, makes=5):
    made = []

    def refill(_vm):
        made.append(makes)
        return makes

    return VmZone(vm, "zone", free, refill), made


def test_a_cpu_takes_a_burst_and_then_from_its_cache(steps, alone):
    def program(vm):
        z, _ = zone(vm, 100)
        zalloc(vm, z)
        return z.state()

    assert f"{100 - ZONE_BURST} free, {ZONE_BURST - 1} in caches" == alone(program)

    def second(vm):
        z, _ = zone(vm, 100)
        zalloc(vm, z)
        return vm, z

    assert [] == steps(second, zalloc)


def test_the_last_items_are_taken_before_more_are_made(alone):
    def program(vm):
        z, made = zone(vm, 2)
        for _ in range(2):
            zalloc(vm, z)
        before = [*made]
        zalloc(vm, z)
        return before, made, z.state()

    assert ([], [5], "4 free, 0 in caches") == alone(program)


def test_a_freed_item_is_in_the_cache_until_that_is_full(alone):
    def program(vm):
        z, _ = zone(vm, 0)
        for _ in range(ZONE_CACHE + 3):
            zfree(vm, z)
        return z.state()

    assert f"3 free, {ZONE_CACHE} in caches" == alone(program)


def test_one_cpu_makes_more_and_who_waited_for_it_looks_again(alone):
    def program(vm):
        calls = []

        def refill(vm):
            calls.append(vm.engine.current.index)
            vm.machine.yield_()
            return 5

        z = VmZone(vm, "zone", 0, refill)
        for _ in range(3):
            vm.machine.spawn(zalloc, vm, z)
        vm.machine.join()
        return len(calls), z.zfreecnt + sum(z.zpcpu.values())

    calls, left = alone(program)
    assert 5 * calls - 3 == left


def test_a_refill_that_has_nothing_is_tried_again(alone):
    def program(vm):
        answers = [0, 0, 2]
        z = VmZone(vm, "zone", 0, lambda _vm: answers.pop(0))
        zalloc(vm, z)
        return answers, z.state()

    assert ([], "1 free, 0 in caches") == alone(program)
