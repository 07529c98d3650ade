"""Holding and locking an object, and what the last hold of a dead one does."""

from __future__ import annotations

import pytest

from page_layer import dead, made
from vmsmp.vm import vm_object as o

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
MODES = pytest.mark.parametrize(
    "hold", [o.vm_object_hold, o.vm_object_hold_shared], ids=["exclusive", "shared"]
)


@pytest.mark.parametrize(
    ("hold", "rows"),
    [
        (o.vm_object_hold, ["fetchadd obj[0].hold_count", "acquire obj[0].token"]),
        (o.vm_object_hold_shared, ["fetchadd obj[0].hold_count", "acquire shared obj[0].token"]),
        (o.vm_object_hold_try, ["fetchadd obj[0].hold_count", "try obj[0].token"]),
    ],
)
def test_an_object_is_held_before_its_token_is_asked_for(steps, hold, rows):
    assert rows == steps(lambda vm: [made(vm)], hold)


@pytest.mark.parametrize(
    ("lock", "rows"),
    [
        (o.vm_object_lock, ["acquire obj[0].token"]),
        (o.vm_object_lock_shared, ["acquire shared obj[0].token"]),
        (o.vm_object_lock_try, ["try obj[0].token"]),
        (o.VM_OBJECT_LOCK, ["fetchadd obj[0].hold_count", "acquire obj[0].token"]),
    ],
)
def test_a_lock_is_the_token_s_alone(steps, lock, rows):
    assert rows == steps(lambda vm: [made(vm)], lock)


@pytest.mark.parametrize(
    ("lock", "row"), [(o.vm_object_lock, "release"), (o.vm_object_lock_shared, "release shared")]
)
def test_an_unlock_gives_back_the_token_in_whatever_mode(steps, lock, row):
    def prepare(vm):
        obj = made(vm)
        lock(obj)
        return [obj]

    assert [f"{row} obj[0].token"] == steps(prepare, o.vm_object_unlock)


@DEPTHS
@pytest.mark.parametrize("lock", [o.vm_object_lock, o.vm_object_lock_shared])
def test_a_try_to_lock_a_contended_object_fails(alone, locks, lock):
    def program(vm):
        obj = made(vm)
        lock(obj)
        cpu = vm.machine.spawn(o.vm_object_lock_try, obj)
        cpu.join()
        return cpu.result, o.vm_object_token(obj).held_any()

    assert (False, True) == alone(program, locks=locks)


@DEPTHS
def test_the_first_of_two_objects_can_be_unlocked_first_after_a_swap(alone, locks):
    def program(vm):
        upper, lower = made(vm), made(vm)
        o.vm_object_hold(upper)
        o.vm_object_hold(lower)
        o.vm_object_lock_swap(vm)
        o.VM_OBJECT_UNLOCK(upper)
        seen = upper.token.held(), lower.token.held()
        o.VM_OBJECT_UNLOCK(lower)
        return seen, lower.token.held()

    assert ((False, True), False) == alone(program, locks=locks)


def test_no_object_is_dropped_in_no_step(steps):
    assert [] == steps(lambda vm: [None], o.vm_object_drop)


def test_an_object_that_nobody_holds_is_not_dropped(panic):
    def program(vm):
        obj = made(vm)
        o.vm_object_lock(obj)
        o.vm_object_drop(obj)

    assert "vm_object_drop: object is not held" == panic(program)


@MODES
def test_a_drop_gives_back_the_hold_and_then_the_token(steps, hold):
    def prepare(vm):
        obj = made(vm)
        hold(obj)
        hold(obj)
        o.vm_object_drop(obj)
        return [obj]

    rows = steps(prepare, o.vm_object_drop)
    release = "release shared" if hold is o.vm_object_hold_shared else "release"
    assert ["fetchadd obj[0].hold_count", f"{release} obj[0].token"] == [r for r in rows if "load" not in r]


def test_one_cpu_may_hold_an_object_twice(alone):
    def program(vm):
        obj = made(vm)
        o.vm_object_hold(obj)
        o.vm_object_hold(obj)
        o.vm_object_drop(obj)
        seen = obj.hold_count.peek(), obj.token.held()
        o.vm_object_drop(obj)
        return seen, obj.hold_count.peek(), obj.token.holders

    assert ((1, True), 0, []) == alone(program)


def test_a_try_to_hold_succeeds_with_the_token_exclusively(alone):
    def program(vm):
        obj = made(vm)
        return o.vm_object_hold_try(obj), obj.hold_count.peek(), obj.token.held()

    assert (True, 1, True) == alone(program)


@DEPTHS
@MODES
def test_a_try_to_hold_a_contended_object_fails_and_leaves_no_hold(alone, locks, hold):
    def program(vm):
        obj = made(vm)
        hold(obj)
        cpu = vm.machine.spawn(o.vm_object_hold_try, obj)
        cpu.join()
        return cpu.result, obj.hold_count.peek(), obj.freed

    assert (False, 1, False) == alone(program, locks=locks)


@pytest.mark.parametrize("dead_", [False, True])
@pytest.mark.parametrize("refs", [0, 1])
@pytest.mark.parametrize("last", [False, True])
def test_the_last_hold_frees_the_memory_of_a_dead_object_without_references(alone, dead_, refs, last):
    def program(vm):
        obj = dead(vm, refs) if dead_ else made(vm, refs)
        o.vm_object_hold(obj)
        obj.hold_count.fetchadd(not last)
        o.vm_object_drop(obj)
        return obj.freed

    assert (dead_ and not refs and last) is alone(program)


@pytest.mark.parametrize("dead_", [False, True])
@pytest.mark.parametrize("refs", [0, 1])
@pytest.mark.parametrize("last", [False, True])
def test_a_try_to_hold_that_fails_may_be_the_last_hold_too(alone, dead_, refs, last):
    def program(vm):
        obj = dead(vm, refs) if dead_ else made(vm, refs)
        obj.hold_count.value = not last
        obj.token.acquire()  # its owner has dropped his hold already
        cpu = vm.machine.spawn(o.vm_object_hold_try, obj)
        cpu.join()
        return cpu.result, obj.freed

    assert (False, dead_ and not refs and last) == alone(program)


def test_the_token_goes_before_the_memory_does(alone, monkeypatch):
    seen = []
    free = o._free
    monkeypatch.setattr(
        "vmsmp.vm.vm_object.hold._free", lambda obj: (seen.append(obj.token.holders), free(obj))
    )

    def program(vm):
        obj = dead(vm)
        o.vm_object_hold(obj)
        o.vm_object_drop(obj)

    alone(program)
    assert [[]] == seen


def test_an_object_with_pages_is_not_freed(panic, page_on):
    def program(vm):
        obj = dead(vm)
        page_on(vm, "active", obj)

    assert "obj freed with resident pages" == panic(program)


@pytest.mark.parametrize("use", [o.vm_object_hold, o.vm_object_hold_shared, o.vm_object_hold_try])
def test_who_holds_an_object_after_its_memory_went_is_found_out(found, use):
    def program(vm):
        obj = o.vm_object_allocate(vm, 8)
        o.vm_object_deallocate(obj)
        vm.machine.spawn(use, obj)
        vm.machine.join()

    assert "use-after-free" == found(program, schedules=1)[0]


@pytest.mark.parametrize(
    ("change", "before", "held", "after"),
    [
        (o.vm_object_upgrade, o.vm_object_hold_shared, True, ["release shared", "acquire"]),
        (o.vm_object_downgrade, o.vm_object_hold, False, ["release", "acquire shared"]),
    ],
)
def test_the_mode_of_a_hold_changes_with_the_token_lost_in_between(steps, change, before, held, after):
    seen = []

    def prepare(vm):
        obj = made(vm)
        before(obj)
        return [obj]

    def act(obj):
        change(obj)
        seen.append((obj.token.held(), obj.token.held_shared(), obj.hold_count.peek()))

    assert [f"{step} obj[0].token" for step in after] == steps(prepare, act)
    assert [(held, True, 1)] == seen


@DEPTHS
def test_another_writer_may_come_between_in_an_upgrade(found, locks):
    def program(vm):
        obj = made(vm)

        def upgrader():
            o.vm_object_hold_shared(obj)
            before = obj.size
            o.vm_object_upgrade(obj)
            vm.machine.check(obj.size == before, "nobody came between")
            o.vm_object_drop(obj)

        def writer():
            o.vm_object_hold(obj)
            obj.size += 1
            o.vm_object_drop(obj)

        vm.machine.spawn(upgrader)
        vm.machine.spawn(writer)
        vm.machine.join()

    assert ("check", "nobody came between") == found(program, schedules=200, locks=locks)
