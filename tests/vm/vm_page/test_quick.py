"""Wirings of a page that is wired already, without busying it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from page_layer import busied
from vmsmp.vm import vm_page as p
from vmsmp.vm.vm_page import vm_page_busy_try, vm_page_free, vm_page_wakeup


def wired_count(vm):
    return vm.meter.count("v_wire_count")


def wired(vm, count):
    m = busied(vm)
    for _ in range(count):
        p.vm_page_wire(m)
    vm_page_wakeup(m)
    return m


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (p.vm_page_wire_quick, "vm_page_wire_quick: wire count was zero"),
        (p.vm_page_unwire_quick, "vm_page_unwire_quick: wire count is zero"),
    ],
)
def test_a_page_that_is_not_wired_can_be_neither_wired_more_nor_less(panic, page_on, act, message):
    assert message == panic(lambda vm: act(page_on(vm, "active")))


def test_a_wired_page_may_be_wired_again_without_busying_it(alone):
    def program(vm):
        m = wired(vm, 1)
        p.vm_page_wire_quick(m)
        return m.wire_count.peek(), wired_count(vm)

    assert (2, 1) == alone(program)


@pytest.mark.parametrize(("count", "refused", "left"), [(1, True, 1), (2, False, 1), (3, False, 2)])
def test_a_quick_unwiring_refuses_to_be_the_last_one(alone, count, refused, left):
    def program(vm):
        m = wired(vm, count)
        return p.vm_page_unwire_quick(m), m.wire_count.peek(), wired_count(vm)

    assert (refused, left, 1) == alone(program)


def test_a_quick_unwiring_that_loses_a_race_reads_the_count_again(raced_word):
    word = raced_word(3, 3, 2)
    assert not p.vm_page_unwire_quick(SimpleNamespace(wire_count=word, gave=lambda _share: None))
    assert [(3, 2), (2, 1)] == word.tried


def test_a_quick_unwiring_that_loses_a_race_may_find_that_it_is_the_last(raced_word):
    word = raced_word(2, 2, 1)
    assert p.vm_page_unwire_quick(SimpleNamespace(wire_count=word))
    assert [(2, 1)] == word.tried


def test_a_quick_unwiring_looks_at_the_count_twice(steps, page_on):
    def prepare(vm):
        m = page_on(vm, "active")
        m.wire_count.value = 2
        return [m]

    word = "pg[7].wire_count"
    assert [f"load {word}", f"load {word}", f"cmpset {word}"] == steps(prepare, p.vm_page_unwire_quick)


def test_every_wiring_is_one_to_undo_quick_or_not(together):
    def program(vm):
        m = wired(vm, 1)
        p.vm_page_wire_quick(m)
        vm_page_busy_try(m, False)
        p.vm_page_wire(m)
        p.vm_page_unwire(m, False)
        vm.machine.check(not p.vm_page_unwire_quick(m), "one is left")
        p.vm_page_unwire(m, False)
        vm_page_free(m)

    together(program, schedules=1)


def test_of_two_quick_unwirings_of_a_page_wired_twice_one_is_refused(together):
    def program(vm):
        m, refused = wired(vm, 2), vm.machine.atomic(0)

        def worker():
            refused.fetchadd(p.vm_page_unwire_quick(m))

        vm.machine.spawn(worker)
        vm.machine.spawn(worker)
        vm.machine.join()
        vm.machine.check((refused.load(), m.peek("wire_count")) == (1, 1), "the last wiring stays")

    together(program, sched="dfs", schedules=300)


def test_parallel_cpus_wire_and_unwire_a_page_and_it_stays_wired_once(parallel):
    def program(vm):
        m = wired(vm, 1)

        def worker():
            for _ in range(50):
                p.vm_page_wire_quick(m)
                assert not p.vm_page_unwire_quick(m)

        for _ in range(3):
            vm.machine.spawn(worker)
        vm.machine.join()
        return m.peek("wire_count"), vm.meter.count("v_wire_count")

    assert (1, 1) == parallel(program)
