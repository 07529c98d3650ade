"""The end of an object: the last reference, and the freeing of its pages."""

from __future__ import annotations

import pytest

from mappings import entry, map_page
from page_layer import dead, made, on
from vmsmp.vm import vm_object as o
from vmsmp.vm.vm_map import VM_PROT_READ
from vmsmp.vm.vm_object import terminate
from vmsmp.vm.vm_page import (
    PBUSY_WANTED,
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_free,
    vm_page_hold,
    vm_page_insert,
    vm_page_rename,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_wakeup,
    vm_page_wire,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


@pytest.mark.parametrize(
    ("refs", "locked"), [(9, False), (4, False), (3, True), (2, True)], ids=["9", "4", "3", "2"]
)
def test_a_reference_beyond_the_third_is_dropped_without_the_token(steps, refs, locked):
    seen = []

    def act(obj):
        o.vm_object_deallocate(obj)
        seen.append(obj.ref_count.peek())

    rows = steps(lambda vm: [made(vm, refs)], act)
    assert (locked, [refs - 1]) == ("acquire obj[0].token" in rows, seen)


@pytest.mark.parametrize("give", [o.vm_object_deallocate, o.vm_object_deallocate_locked])
def test_no_object_is_given_back_in_no_step(steps, give):
    assert [] == steps(lambda vm: [None], give)


def test_an_object_is_declared_dead_first_which_under_its_token_it_can_be_asked_unseen(steps):
    def prepare(vm):
        obj = made(vm, 0)
        o.vm_object_hold(obj)
        return [obj]

    rows = steps(prepare, o.vm_object_terminate)
    assert ["setbits obj[0].flags"] == rows[:1]


def test_a_reference_too_many_given_back_panics(panic):
    message = panic(lambda vm: o.vm_object_deallocate(made(vm, 0)))
    assert "vm_object_deallocate: object deallocated too many times" == message


@pytest.mark.parametrize("hold", [None, o.vm_object_hold_shared], ids=["not at all", "shared"])
def test_a_reference_dropped_without_the_exclusive_token_panics(panic, hold):
    def program(vm):
        obj = made(vm)
        if hold:
            hold(obj)
        o.vm_object_deallocate_locked(obj)

    assert "obj: its token is not held exclusively" == panic(program)


def test_the_last_reference_terminates_the_object_and_frees_its_memory(alone, page_on):
    def program(vm):
        obj = made(vm)
        m = page_on(vm, "active", obj, 3)
        o.vm_object_deallocate(obj)
        return bool(obj.flags.peek() & o.OBJ_DEAD), obj.freed, on(m)

    assert (True, True, "free") == alone(program)


def test_a_reference_that_is_not_the_last_leaves_the_object_alive(alone, page_on):
    def program(vm):
        obj = made(vm, 2)
        m = page_on(vm, "active", obj, 3)
        o.vm_object_deallocate(obj)
        return obj.flags.peek() & o.OBJ_DEAD, obj.freed, on(m)

    assert (0, False, "active") == alone(program)


def test_the_last_reference_to_a_dead_object_does_not_terminate_it_again(alone):
    def program(vm):
        obj = dead(vm, 1)
        o.vm_object_deallocate(obj)
        return obj.freed

    assert True is alone(program)


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_whoever_drops_the_last_reference_terminates_the_object_once(together, page_on, locks, sched):
    def program(vm):
        obj = made(vm)
        page_on(vm, "active", obj, 3)
        for _ in range(4):
            o.vm_object_reference_quick(obj)
        o.vm_object_deallocate(obj)
        o.vm_object_deallocate(obj)  # three left, for three to drop
        for _ in range(3):
            vm.machine.spawn(o.vm_object_deallocate, obj)
        vm.machine.join()
        vm.machine.check(obj.freed, "its memory is free")

    together(program, sched=sched, locks=locks)


@DEPTHS
def test_parallel_references_come_and_go_and_the_object_dies_with_the_last(parallel, page_on, locks):
    def program(vm):
        obj = made(vm)
        page_on(vm, "active", obj, 3)

        def user():
            for _ in range(20):
                o.vm_object_reference_quick(obj)
                o.vm_object_deallocate(obj)

        for _ in range(3):
            vm.machine.spawn(user)
        vm.machine.join()
        before = obj.freed
        o.vm_object_deallocate(obj)
        return before, obj.freed, vm.meter.count("v_free_count")

    assert (False, True, 8) == parallel(program, locks=locks)


# -- termination ----------------------------------------------------------------------------------


def terminating(vm, obj):
    """Terminate an object without references, up to the hold of the caller."""
    obj.ref_count.value = 0
    o.vm_object_hold(obj)
    o.vm_object_terminate(obj)


def test_termination_frees_every_page_from_whatever_queue(alone, page_on):
    def program(vm):
        obj = made(vm)
        kinds = ["none", "inactive", "active", "cache"]
        pages = [page_on(vm, kind, obj, n) for n, kind in enumerate(kinds)]
        terminating(vm, obj)
        return [on(m) for m in pages], obj.rb_memq, obj.resident_page_count, vm.meter.count("v_free_count")

    assert (["free"] * 4, {}, 0, 8) == alone(program)


def test_termination_unmaps_the_pages_it_frees(alone, page_on):
    def program(vm):
        obj = made(vm)
        m = page_on(vm, "active", obj, 3)
        vm_page_busy_try(m, False)
        map_page(m, VM_PROT_READ)
        vm_page_wakeup(m)
        terminating(vm, obj)
        return on(m), entry(m)

    assert ("free", "") == alone(program)


def test_termination_takes_a_wired_page_out_and_leaves_it_wired(alone, page_on):
    def program(vm):
        obj = made(vm)
        m = page_on(vm, "none", obj, 3)
        vm_page_busy_try(m, False)
        vm_page_wire(m)
        map_page(m, VM_PROT_READ)
        vm_page_wakeup(m)
        terminating(vm, obj)
        names = ("object", "wire_count", "busy_count", "interlock_count")
        return on(m), [m.peek(name) for name in names], obj.rb_memq

    assert ("none", [None, 1, 0, 0], {}) == alone(program)


def test_termination_sends_a_held_page_to_the_hold_queue(alone, page_on):
    def program(vm):
        obj = made(vm)
        m = page_on(vm, "active", obj, 3)
        vm_page_busy_try(m, False)
        vm_page_hold(m)
        vm_page_wakeup(m)
        terminating(vm, obj)
        return on(m)

    assert "hold" == alone(program)


def test_a_second_termination_panics(panic):
    def program(vm):
        obj = made(vm, 0)
        o.vm_object_hold(obj)
        o.vm_object_terminate(obj)
        o.vm_object_terminate(obj)

    assert "vm_object_terminate: object is dead already" == panic(program)


def test_termination_of_an_object_with_references_panics(panic):
    def program(vm):
        obj = made(vm, 1)
        o.vm_object_hold(obj)
        o.vm_object_terminate(obj)

    assert "vm_object_terminate: object with references" == panic(program)


def test_references_of_a_dying_object_are_found_before_its_pages_go(panic, page_on):
    pages = []

    def program(vm):
        obj = made(vm, 1)
        pages.append(page_on(vm, "active", obj, 3))
        o.vm_object_hold(obj)
        o.vm_object_terminate(obj)

    assert "vm_object_terminate: object with references" == panic(program)
    assert "active" == on(pages[0])


def test_termination_waits_for_the_activity_on_the_object(alone, page_on):
    def program(vm):
        obj = made(vm)
        m = page_on(vm, "active", obj, 3)
        o.vm_object_pip_add(obj, 1)
        vm.machine.spawn(o.vm_object_deallocate, obj)
        vm.machine.yield_()
        seen = bool(obj.flags.peek() & o.OBJ_DEAD), on(m)
        o.vm_object_pip_wakeup(obj)
        vm.machine.join()
        return seen, on(m), obj.freed

    assert ((True, "active"), "free", True) == alone(program)


def test_a_page_inserted_into_a_dying_object_behind_the_scan_is_warned_about_and_freed(alone, page_on):
    def program(vm):
        obj = made(vm)
        first, late = page_on(vm, "active", obj, 3), vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        vm_page_busy_try(first, False)
        vm.machine.spawn(o.vm_object_deallocate, obj)
        vm.machine.yield_()  # the terminator waits for the first page
        free = terminate.vm_page_free

        def inserting(m):
            free(m)
            if m is first:
                vm_page_insert(late, obj, 1)
                vm_page_wakeup(late)

        terminate.vm_page_free = inserting
        vm_page_wakeup(first)
        vm.machine.join()
        terminate.vm_page_free = free
        return vm.console, on(late), obj.freed

    warning = "vm_object_terminate: obj[0] was given pages while it was terminated"
    assert ([warning], "free", True) == alone(program)


@pytest.mark.parametrize(("refs", "loads"), [(3, 2), (2, 4)])
def test_references_are_tested_and_dropped_in_separate_steps(steps, refs, loads):
    def prepare(vm):
        obj = made(vm, refs)
        o.vm_object_hold(obj)
        return [obj]

    rows = steps(prepare, o.vm_object_deallocate_locked)
    assert [*["load obj[0].ref_count"] * loads, "fetchadd obj[0].ref_count"] == rows


def test_pages_freed_by_a_termination_are_counted(alone, page_on):
    def program(vm):
        obj = made(vm)
        for n in range(2):
            page_on(vm, "active", obj, n)
        terminating(vm, obj)
        return vm.mycpu().v_pfree

    assert 2 == alone(program)


def test_an_object_is_dead_before_its_termination_waits_for_anything(alone, page_on):
    def program(vm):
        obj = made(vm)
        m = page_on(vm, "active", obj, 3)
        vm_page_busy_try(m, False)
        vm.machine.spawn(o.vm_object_deallocate, obj)
        vm.machine.yield_()  # it sleeps for the page now
        seen = bool(obj.flags.peek() & o.OBJ_DEAD), obj.ref_count.peek(), obj.freed
        vm_page_wakeup(m)
        vm.machine.join()
        return seen, on(m), obj.freed

    assert ((True, 0, False), "free", True) == alone(program)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_termination_waits_for_a_page_that_is_busy_in_any_way(alone, page_on, kind):
    def program(vm):
        obj = made(vm)
        m = page_on(vm, "active", obj, 3)
        (vm_page_busy_try(m, False) if kind == "hard" else vm_page_sbusy_try(m))
        vm.machine.spawn(o.vm_object_deallocate, obj)
        vm.machine.yield_()
        seen = bool(m.busy_count.peek() & PBUSY_WANTED), on(m)
        (vm_page_wakeup if kind == "hard" else vm_page_sbusy_drop)(m)
        vm.machine.join()
        return seen, on(m)

    assert ((True, "active"), "free") == alone(program)


def test_a_page_that_leaves_the_object_while_it_is_waited_for_is_spared(alone, page_on):
    def program(vm):
        obj, other = made(vm), made(vm)
        m = page_on(vm, "active", obj, 3)
        vm_page_busy_try(m, False)
        vm.machine.spawn(o.vm_object_deallocate, obj)
        vm.machine.yield_()
        o.vm_object_hold(obj)
        o.vm_object_hold(other)
        vm_page_rename(m, other, 5)
        o.vm_object_drop(other)
        o.vm_object_drop(obj)
        vm_page_wakeup(m)
        vm.machine.join()
        return on(m), m.object is other, m.busy_count.peek(), obj.freed

    assert ("active", True, 0, True) == alone(program)


def test_a_page_is_looked_at_again_once_termination_has_busied_it(alone, page_on, monkeypatch):

    busy_try = vm_page_busy_try

    def program(vm):
        obj, other = made(vm), made(vm)
        m = page_on(vm, "active", obj, 3)

        def late(page, also):  # it was renamed between the scan's visit and its busy
            if page is m and page.object is obj:
                del obj.rb_memq[3]
                obj.resident_page_count -= 1
                page.object, page.pindex = other, 5
                other.rb_memq[5] = page
            return busy_try(page, also)

        monkeypatch.setattr("vmsmp.vm.vm_object.terminate.vm_page_busy_try", late)
        terminating(vm, obj)
        return on(m), m.object is other, m.busy_count.peek()

    assert ("active", True, 0) == alone(program)


def test_a_holder_keeps_the_memory_of_a_terminated_object_until_he_drops_it(alone):
    def program(vm):
        obj = made(vm)
        obj.hold_count.fetchadd(1)  # a holder that waits for the token
        o.vm_object_deallocate(obj)
        before = obj.freed
        obj.token.acquire()
        o.vm_object_drop(obj)
        return before, obj.freed

    assert (False, True) == alone(program)


@pytest.mark.parametrize(("every", "yields"), [(1, 6), (3, 2), (64, 0)])
def test_a_scan_yields_its_token_every_so_many_pages(steps, page_on, every, yields):
    def prepare(vm):
        obj = made(vm, 0)
        for n in range(6):
            page_on(vm, "none", obj, n)
        o.vm_object_hold(obj)
        return [obj]

    rows = steps(prepare, o.vm_object_terminate, scan_yield=every)
    assert yields == sum(row.startswith("reacquire") for row in rows)


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_an_object_goes_while_others_try_to_hold_it(together, page_on, locks, sched):
    def program(vm):
        obj = made(vm)
        m = page_on(vm, "active", obj, 3)

        def owner():
            vm_page_busy_wait(m, True)
            if m.object is obj and o.vm_object_hold_try(obj):
                vm_page_free(m)
                o.vm_object_drop(obj)
                return
            vm_page_wakeup(m)

        vm.machine.spawn(owner)
        vm.machine.spawn(o.vm_object_deallocate, obj)
        vm.machine.join()
        vm.machine.check(obj.freed, "its memory is free")
        vm.machine.check(on(m) == "free", "and its page")

    together(program, schedules=120, sched=sched, locks=locks)
