"""Objects: holds before tokens, references, and the last hold of a dead one."""

from __future__ import annotations

import pytest

from page_layer import dead, made, on
from vmsmp.vm import vm_object as o

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
MODES = pytest.mark.parametrize(
    "hold", [o.vm_object_hold, o.vm_object_hold_shared], ids=["exclusive", "shared"]
)


# -- allocation -----------------------------------------------------------------------------------


def test_an_object_starts_with_one_reference_and_neither_held_nor_locked_nor_dead(alone):
    def program(vm):
        obj = o.vm_object_allocate(vm, 8)
        names = ("ref_count", "hold_count", "flags", "paging_in_progress", "resident_page_count", "rb_memq")
        return [obj.peek(name) for name in names], obj.token.holders, obj.size

    assert ([1, 0, 0, 0, 0, {}], [], 8) == alone(program)


def test_the_machine_knows_its_objects(alone):
    def program(vm):
        return [o.vm_object_allocate(vm, 8) for _ in range(3)] == [*vm.objects]

    assert True is alone(program)


@pytest.mark.parametrize(
    ("hold", "read", "write"),
    [(None, False, False), (o.vm_object_hold_shared, True, False), (o.vm_object_hold, True, True)],
    ids=["not at all", "shared", "exclusive"],
)
@pytest.mark.parametrize("change", [False, True], ids=["look", "change"])
def test_an_object_s_tree_is_looked_at_under_its_token_and_changed_under_the_exclusive_one(
    found, hold, read, write, change
):
    def program(vm):
        obj = o.vm_object_allocate(vm, 8)

        def worker():
            if hold:
                hold(obj)
            if change:
                obj.changing("rb_memq")
            else:
                _ = obj.rb_memq
            if hold:
                o.vm_object_drop(obj)

        vm.machine.spawn(worker)
        vm.machine.join()

    failure = found(program, schedules=1)
    assert (None if (write if change else read) else "field-lock") == (failure and failure[0])


def test_objects_are_spread_over_the_colours(alone):
    def program(vm):
        return [o.vm_object_allocate(vm, 8).pg_color for _ in range(6)]

    assert [0, 1, 2, 3, 0, 1] == alone(program, l2_size=4)


# -- holds and tokens -----------------------------------------------------------------------------


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
            before = obj.generation
            o.vm_object_upgrade(obj)
            vm.machine.check(obj.generation == before, "nobody came between")
            o.vm_object_drop(obj)

        def writer():
            o.vm_object_hold(obj)
            obj.generation += 1
            o.vm_object_drop(obj)

        vm.machine.spawn(upgrader)
        vm.machine.spawn(writer)
        vm.machine.join()

    assert ("check", "nobody came between") == found(program, schedules=200, locks=locks)


# -- references -----------------------------------------------------------------------------------


@MODES
def test_a_reference_may_be_added_under_the_token_in_any_mode(alone, hold):
    def program(vm):
        obj = made(vm)
        hold(obj)
        o.vm_object_reference_locked(obj)
        return obj.ref_count.peek()

    assert 2 == alone(program)


def test_a_reference_added_without_the_token_panics(panic):
    assert "obj: its token is not held" == panic(lambda vm: o.vm_object_reference_locked(made(vm)))


def test_who_has_a_reference_may_add_one_without_the_token(steps):
    rows = steps(lambda vm: [made(vm)], o.vm_object_reference_quick)
    assert ["load obj[0].ref_count", "fetchadd obj[0].ref_count"] == rows


def test_a_quick_reference_to_an_object_without_any_panics(panic):
    message = panic(lambda vm: o.vm_object_reference_quick(made(vm, 0)))
    assert "vm_object_reference_quick: object without references" == message


def test_no_reference_is_lost_between_shared_holders(together):
    def program(vm):
        obj = made(vm)

        def user():
            o.vm_object_hold_shared(obj)
            o.vm_object_reference_locked(obj)
            o.vm_object_drop(obj)

        vm.machine.spawn(user)
        vm.machine.spawn(user)
        vm.machine.join()
        vm.machine.check(obj.peek("ref_count") == 3, "both are counted")

    together(program, sched="dfs:2", schedules=300)


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
        return obj.flags.peek(), obj.freed, on(m)

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
