"""Allocation for a caller that waits: vm_page_grab, and the kernel's own pages."""

from __future__ import annotations

import pytest

from page_layer import held_object, on
from vmsmp.patches.catalogue import REPAIR_BY_NAME
from vmsmp.scenarios._kit import set_limits
from vmsmp.vm import vm_page as a
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_hold
from vmsmp.vm.vm_page import (
    PBUSY_LOCKED,
    PBUSY_WANTED,
    VM_ALLOC_FORCE_ZERO,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    VM_ALLOC_QUICK,
    VM_ALLOC_RETRY,
    VM_ALLOC_SYSTEM,
    VM_ALLOC_ZERO,
    VM_PAGE_BITS_ALL,
    alloc,
    vm_page_busy_try,
    vm_page_free,
    vm_page_wakeup,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
NORMAL, SYSTEM, INTERRUPT = VM_ALLOC_NORMAL, VM_ALLOC_SYSTEM, VM_ALLOC_INTERRUPT


# -- grabbing -------------------------------------------------------------------------------------


def test_a_grab_of_a_resident_page_busies_it(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 3)
        return a.vm_page_grab(obj, 3, NORMAL) is m, m.busy_count.peek(), len(obj.token.holders)

    assert (True, PBUSY_LOCKED, 0) == alone(program)


@pytest.mark.parametrize("held", [True, False], ids=["held", "not held"])
def test_a_grab_of_a_missing_page_makes_it_whether_the_caller_holds_the_object_or_not(alone, held):
    def program(vm):
        obj = held_object(vm) if held else vm_object_allocate(vm, 8)
        m = a.vm_page_grab(obj, 3, NORMAL)
        return obj.peek("rb_memq") == {3: m}, m.busy_count.peek(), obj.token.held(), obj.hold_count.peek()

    assert (True, PBUSY_LOCKED, held, held) == alone(program)


def test_a_grab_takes_a_hold_of_its_own_upgrades_it_once_and_drops_it(steps):
    rows = steps(lambda vm: [vm_object_allocate(vm, 8)], lambda obj: a.vm_page_grab(obj, 3, NORMAL))
    assert [
        "fetchadd obj[0].hold_count",
        "acquire shared obj[0].token",
        "release shared obj[0].token",  # not atomic
        "acquire obj[0].token",
        "fetchadd obj[0].hold_count",
        "release obj[0].token",
    ] == [row for row in rows if row.endswith((".token", "obj[0].hold_count"))]


def test_a_grab_that_inserts_after_its_upgrade_does_not_look_for_the_page_again(panic, page_on, monkeypatch):
    upgrade = alloc.vm_object_upgrade

    def overtaken(obj):
        upgrade(obj)
        page_on(obj.vm, "active", obj, 3)

    monkeypatch.setattr(alloc, "vm_object_upgrade", overtaken)
    assert "PAGE RACE" == panic(lambda vm: a.vm_page_grab(vm_object_allocate(vm, 8), 3, NORMAL))


def test_a_grab_that_lost_the_race_waits_for_memory_before_it_finds_the_other_s_page(
    alone, page_on, monkeypatch
):
    upgrade, waits = alloc.vm_object_upgrade, []

    def overtaken(obj):
        upgrade(obj)
        page_on(obj.vm, "active", obj, 3)

    monkeypatch.setattr(alloc, "vm_object_upgrade", overtaken)
    monkeypatch.setattr(alloc, "vm_wait", lambda vm, timo: waits.append(timo))

    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = a.vm_page_grab(obj, 3, NORMAL | VM_ALLOC_RETRY)
        return obj.peek("rb_memq") == {3: m}, waits

    assert (True, [0]) == alone(program)


@pytest.mark.parametrize("call", ["grab", "alloc"])
def test_a_request_of_no_kind_panics(panic, call):
    def program(vm):
        if call == "grab":
            a.vm_page_grab(vm_object_allocate(vm, 8), 3, VM_ALLOC_QUICK | VM_ALLOC_RETRY)
        else:
            a.vm_page_alloc(vm, None, 3, VM_ALLOC_ZERO)

    assert f"vm_page_{call}: request of no kind" == panic(program)


@pytest.mark.parametrize("word", [PBUSY_LOCKED, 1])
def test_a_grab_of_a_busy_page_that_may_not_go_on_sleeps_once_and_asks_a_page_that_is_not_there(
    panic, page_on, word
):
    asleep = set()

    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 3)
        m.busy_count.value = word
        cpu = vm.machine.spawn(a.vm_page_grab, obj, 3, NORMAL)
        vm.machine.yield_()
        asleep.add((not cpu.done, bool(m.busy_count.peek() & PBUSY_WANTED)))
        m.busy_count.value = 0
        vm.machine.wakeup(m)
        cpu.join()

    assert ("vm_page_grab: page fault, m is NULL", {(True, True)}) == (panic(program), asleep)


@pytest.mark.parametrize("word", [PBUSY_LOCKED, 1])
def test_a_grab_that_is_repaired_gives_a_busy_page_up(alone, page_on, word):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 3)
        m.busy_count.value = word
        cpu = vm.machine.spawn(a.vm_page_grab, obj, 3, NORMAL)
        vm.machine.yield_()
        m.busy_count.value = 0
        vm.machine.wakeup(m)
        cpu.join()
        return cpu.result, m.busy_count.peek(), obj.hold_count.peek()

    with REPAIR_BY_NAME["grab-gives-up"].plant():
        assert (None, 0, 0) == alone(program)


def test_a_grab_that_may_wait_gets_the_page_once_it_is_let_go(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 3)
        vm_page_busy_try(m, False)

        def grabber():
            return a.vm_page_grab(obj, 3, NORMAL | VM_ALLOC_RETRY)

        cpu = vm.machine.spawn(grabber)
        vm.machine.yield_()
        assert PBUSY_LOCKED | PBUSY_WANTED == m.busy_count.peek()
        vm_page_wakeup(m)
        cpu.join()
        return cpu.result is m

    assert True is alone(program)


def test_a_grab_that_waited_makes_the_page_if_it_is_gone(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 3)
        vm_page_busy_try(m, False)

        def grabber():
            return a.vm_page_grab(obj, 3, NORMAL | VM_ALLOC_RETRY)

        cpu = vm.machine.spawn(grabber)
        vm.machine.yield_()
        vm_page_free(m)
        cpu.join()
        return obj.rb_memq == {3: cpu.result}, cpu.result.busy_count.peek()

    assert (True, PBUSY_LOCKED) == alone(program)


def test_a_grab_without_memory_fails_unless_it_may_wait(alone, exhaust):
    def program(vm):
        exhaust(vm)
        return a.vm_page_grab(vm_object_allocate(vm, 8), 3, NORMAL)

    assert None is alone(program)


def test_a_grab_that_may_wait_waits_for_memory(alone, exhaust):
    def program(vm):
        m = a.vm_page_alloc(vm, None, 0, NORMAL)
        exhaust(vm)
        set_limits(vm, v_free_min=1)
        obj = vm_object_allocate(vm, 8)

        def grabber():
            return a.vm_page_grab(obj, 3, NORMAL | VM_ALLOC_RETRY)

        cpu = vm.machine.spawn(grabber)
        vm.machine.yield_()
        assert vm.pageout.vm_pages_waiting.load() == 1
        vm_page_free(m)
        cpu.join()
        return cpu.result is m

    assert True is alone(program, pages=4)


@pytest.mark.parametrize(
    ("flags", "valid", "left"),
    [
        (0, 0x00, 0x00),
        (0, 0x0F, 0x0F),
        (VM_ALLOC_ZERO, 0x00, 0xFF),
        (VM_ALLOC_ZERO, 0x0F, 0x0F),  # it has content
        (VM_ALLOC_FORCE_ZERO, 0x00, 0xFF),
        (VM_ALLOC_FORCE_ZERO, 0x0F, 0xFF),
    ],
)
def test_a_grab_zeroes_an_invalid_page_if_asked_to_and_any_if_forced_to(alone, page_on, flags, valid, left):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        page_on(vm, "active", obj, 3).valid = valid
        vm_object_hold(obj)
        return a.vm_page_grab(obj, 3, NORMAL | flags).valid

    assert left == alone(program)


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_grabs_of_one_missing_page_make_it_once_and_all_get_it(together, locks, sched):
    def program(vm):
        obj, pages = vm_object_allocate(vm, 8), []

        def grabber():
            m = a.vm_page_grab(obj, 3, NORMAL | VM_ALLOC_RETRY | VM_ALLOC_ZERO)
            pages.append(m.phys)
            vm_page_wakeup(m)

        for _ in range(3):
            vm.machine.spawn(grabber)
        vm.machine.join()
        vm.machine.check(len(set(pages)) == 1 and obj.resident_page_count == 1, "one page")

    together(program, sched=sched, locks=locks, repairs=["vm-wait-interlocks"])


# -- kernel pages ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "valid"), [(0, 0), (VM_ALLOC_ZERO, VM_PAGE_BITS_ALL), (VM_ALLOC_FORCE_ZERO, VM_PAGE_BITS_ALL)]
)
def test_a_kernel_page_is_wired_not_busied_in_no_object_and_zeroed_if_asked_to(alone, flags, valid):
    def program(vm):
        m = a.vm_page_alloczwq(vm, 6, NORMAL | flags)
        names = ("wire_count", "busy_count", "object", "pindex", "valid")
        return on(m), [m.peek(name) for name in names], vm.meter.count("v_wire_count")

    assert ("none", [1, 0, None, 6, valid], 1) == alone(program)


def test_a_kernel_page_is_wired_before_its_busy_goes(steps):
    rows = steps(lambda vm: [vm, 0, NORMAL], a.vm_page_alloczwq)
    order = ["fetchadd pg[7].wire_count", "cmpset pg[7].busy_count"]
    assert order == [row for row in rows if row in order][-2:]


def test_a_kernel_page_that_need_not_be_had_is_waited_for_once(alone, exhaust, monkeypatch):
    waits = []
    monkeypatch.setattr(alloc, "vm_wait", lambda vm, timo: waits.append(timo))

    def program(vm):
        exhaust(vm)
        return a.vm_page_alloczwq(vm, 0, NORMAL), waits

    assert (None, [0]) == alone(program)


def test_a_kernel_page_that_must_be_had_is_waited_for(alone, exhaust):
    def program(vm):
        m = a.vm_page_alloc(vm, None, 0, NORMAL)
        exhaust(vm)
        set_limits(vm, v_free_min=1)
        cpu = vm.machine.spawn(a.vm_page_alloczwq, vm, 0, NORMAL | VM_ALLOC_RETRY)
        vm.machine.yield_()
        assert vm.pageout.vm_pages_waiting.load() == 1
        vm_page_free(m)
        cpu.join()
        return cpu.result is m

    assert True is alone(program, pages=4)


def test_a_kernel_page_given_back_is_free_and_not_wired(alone):
    def program(vm):
        m = a.vm_page_alloczwq(vm, 0, NORMAL)
        a.vm_page_freezwq(m)
        return on(m), m.wire_count.peek(), vm.meter.count("v_wire_count"), vm.meter.count("v_free_count")

    assert ("free", 0, 0, 8) == alone(program)


def test_a_kernel_page_that_is_busied_is_waited_for_before_it_is_given_back(alone):
    def program(vm):
        m = a.vm_page_alloczwq(vm, 0, NORMAL)
        vm_page_busy_try(m, False)
        vm.machine.spawn(a.vm_page_freezwq, m)
        vm.machine.yield_()
        before = on(m)
        vm_page_wakeup(m)
        vm.machine.join()
        return before, on(m)

    assert ("none", "free") == alone(program)


@DEPTHS
def test_kernel_pages_come_and_go_while_others_busy_them(together, locks):
    def program(vm):
        def worker():
            a.vm_page_freezwq(a.vm_page_alloczwq(vm, 0, NORMAL | VM_ALLOC_RETRY))

        def meddler():
            for m in vm.page.vm_page_array:
                if not vm_page_busy_try(m, True):
                    vm_page_wakeup(m)

        for fn in (worker, meddler, worker):
            vm.machine.spawn(fn)
        vm.machine.join()

    together(program, locks=locks, pages=4)
