"""A page's membership of its object: inserting, removing, renaming."""

from __future__ import annotations

import re

import pytest

from page_layer import busied, on
from vmsmp.vm import vm_page as p
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_page import (
    PBUSY_LOCKED,
    VM_PAGE_BITS_ALL,
    vm_page_busy_try,
    vm_page_free,
    vm_page_wakeup,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
STORES = ["store pg.object", "store pg.pindex"]


def held_object(vm, size=8):
    obj = vm_object_allocate(vm, size)
    vm_object_hold(obj)
    return obj


# -- into objects ---------------------------------------------------------------------------------


def test_a_page_inserted_is_its_object_s_at_that_index(alone):
    def program(vm):
        obj, m = held_object(vm), busied(vm)
        done = p.vm_page_insert(m, obj, 5)
        return done, m.object is obj, m.pindex, obj.rb_memq == {5: m}, obj.resident_page_count

    assert (True, True, 5, True, 1) == alone(program)


def test_an_insertion_at_a_taken_index_fails_and_leaves_the_page_in_no_object(alone):
    def program(vm):
        obj, there, m = held_object(vm), busied(vm), busied(vm)
        p.vm_page_insert(there, obj, 5)
        done = p.vm_page_insert(m, obj, 5)
        return done, m.object, m.pindex, obj.rb_memq == {5: there}, obj.resident_page_count

    assert (False, None, 0, True, 1) == alone(program)


def test_an_insertion_that_fails_leaves_the_page_busied_and_its_spinlock_free(alone):
    def program(vm):
        obj, there, m = held_object(vm), busied(vm), busied(vm)
        p.vm_page_insert(there, obj, 5)
        p.vm_page_insert(m, obj, 5)
        return m.busy_count.peek(), m.spin.holders

    assert (PBUSY_LOCKED, []) == alone(program)


@pytest.mark.parametrize(("taken", "stores"), [(False, STORES), (True, STORES * 2)])
def test_an_insertion_is_a_generation_even_if_it_fails_and_before_the_spinlock(steps, taken, stores):
    def prepare(vm):
        obj, m = held_object(vm), busied(vm)
        if taken:
            p.vm_page_insert(busied(vm), obj, 5)
        return [m, obj, 5]

    rows = [row for row in steps(prepare, p.vm_page_insert) if not row.startswith("load")]
    assert ["fetchadd obj[0].generation", "acquire pg.spin", *stores, "release pg.spin"] == [
        re.sub(r"pg\[.\]", "pg", row) for row in rows
    ]


def test_an_object_begins_with_its_first_generation(alone):
    assert 1 == alone(lambda vm: vm_object_allocate(vm, 8).generation.peek())


@pytest.mark.parametrize("hold", [None, vm_object_hold_shared], ids=["not at all", "shared"])
def test_an_insertion_into_an_object_not_held_exclusively_panics(panic, hold):
    def program(vm):
        obj, m = vm_object_allocate(vm, 8), busied(vm)
        if hold:
            hold(obj)
        p.vm_page_insert(m, obj, 5)

    assert "obj: its token is not held exclusively" == panic(program)


def test_an_insertion_of_a_page_that_is_in_an_object_panics(panic):
    def program(vm):
        obj, m = held_object(vm), busied(vm)
        p.vm_page_insert(m, obj, 5)
        p.vm_page_insert(m, obj, 6)

    assert "vm_page_insert: already inserted" == panic(program)


@DEPTHS
def test_of_two_insertions_at_one_index_one_succeeds(together, locks):
    def program(vm):
        obj, done = vm_object_allocate(vm, 8), vm.machine.atomic(0)

        def worker():
            m = busied(vm)
            vm_object_hold(obj)
            inserted = p.vm_page_insert(m, obj, 3)
            vm_object_drop(obj)
            done.fetchadd(inserted)
            if inserted:
                vm_page_wakeup(m)
            else:
                vm_page_free(m)

        vm.machine.spawn(worker)
        vm.machine.spawn(worker)
        vm.machine.join()
        vm.machine.check(done.load() == 1, "one of them is there")

    together(program, locks=locks)


# -- out of objects -------------------------------------------------------------------------------


def test_a_page_removed_is_in_no_object_and_the_object_is_a_generation_older(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 5)
        vm_page_busy_try(m, False)
        before = obj.generation.peek()
        p.vm_page_remove(m)
        return m.object, obj.rb_memq, obj.resident_page_count, obj.generation.peek() - before

    assert (None, {}, 0, 1) == alone(program)


def test_a_removal_holds_the_object_and_takes_the_page_s_spinlock_inside(steps, page_on):
    def prepare(vm):
        m = page_on(vm, "none")
        vm_page_busy_try(m, False)
        return [m]

    rows = steps(prepare, p.vm_page_remove)
    assert [
        "fetchadd obj[0].hold_count",
        "acquire obj[0].token",
        "acquire pg[7].spin",
        "store pg[7].object",
        "fetchadd obj[0].generation",
        "release pg[7].spin",
        "fetchadd obj[0].hold_count",
        "release obj[0].token",
    ] == [row for row in rows if not row.startswith("load")]


def test_a_removal_leaves_the_page_busied_and_on_its_queue(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        vm_page_busy_try(m, False)
        p.vm_page_remove(m)
        return m.busy_count.peek(), on(m)

    assert (PBUSY_LOCKED, "active") == alone(program)


def test_a_removal_of_a_page_in_no_object_is_nothing(steps):
    assert [] == steps(lambda vm: [busied(vm)], p.vm_page_remove)


def test_a_removal_of_a_page_that_its_object_does_not_have_panics(panic, page_on):
    def program(vm):
        m = page_on(vm, "none")
        vm_page_busy_try(m, False)
        m.object.rb_memq.clear()
        p.vm_page_remove(m)

    assert "obj: RB_REMOVE of a page that is not in its tree" == panic(program)


def test_a_removal_of_a_page_that_is_not_busy_panics(panic, page_on):
    assert "vm_page_remove: page not busy" == panic(lambda vm: p.vm_page_remove(page_on(vm, "none")))


# -- renaming -------------------------------------------------------------------------------------


def renamed(vm, page_on, kind, source_held=vm_object_hold, target_held=vm_object_hold):
    """A busied page of one object, that object, and another: ready to be renamed."""
    source, target = vm_object_allocate(vm, 8), vm_object_allocate(vm, 8)
    m = page_on(vm, kind, source, 2)
    vm_page_busy_try(m, False)
    for obj, hold in ((source, source_held), (target, target_held)):
        if hold:
            hold(obj)
    return m, source, target


def test_a_page_renamed_is_the_other_object_s_and_dirty(alone, page_on):
    def program(vm):
        m, source, target = renamed(vm, page_on, "active")
        p.vm_page_rename(m, target, 6)
        assert target is m.object
        return source.rb_memq, target.rb_memq == {6: m}, m.pindex, m.dirty, m.busy_count.peek()

    assert ({}, True, 6, VM_PAGE_BITS_ALL, PBUSY_LOCKED) == alone(program)


@pytest.mark.parametrize(
    ("kind", "left"),
    [("cache", "inactive"), ("active", "active"), ("inactive", "inactive"), ("none", "none")],
)
def test_a_cached_page_renamed_becomes_inactive_and_others_stay_where_they_are(alone, page_on, kind, left):
    def program(vm):
        m, _, target = renamed(vm, page_on, kind)
        p.vm_page_rename(m, target, 6)
        return on(m), m.dirty

    assert (left, VM_PAGE_BITS_ALL) == alone(program)


@pytest.mark.parametrize("hold", [None, vm_object_hold_shared], ids=["not at all", "shared"])
@pytest.mark.parametrize("which", ["source_held", "target_held"])
def test_a_renaming_without_both_tokens_exclusively_panics(panic, page_on, which, hold):
    def program(vm):
        m, _, target = renamed(vm, page_on, "active", **{which: hold})
        p.vm_page_rename(m, target, 6)

    assert "obj: its token is not held exclusively" == panic(program)


def test_a_renaming_of_a_page_that_is_not_busy_panics(panic, page_on):
    def program(vm):
        m, _, target = renamed(vm, page_on, "active")
        vm_page_wakeup(m)
        p.vm_page_rename(m, target, 6)

    assert "vm_page_rename: page not busy" == panic(program)


def test_a_renaming_to_a_taken_index_panics(panic, page_on):
    def program(vm):
        m, _, target = renamed(vm, page_on, "active")
        page_on(vm, "active", target, 6)
        p.vm_page_rename(m, target, 6)

    assert "vm_page_rename: target exists" == panic(program)


def test_a_rename_asks_for_the_new_object_s_token_before_anything_else(steps, page_on):
    def prepare(vm):
        m, _, target = renamed(vm, page_on, "active", target_held=lambda _obj: None)
        return [m, target, 6]

    assert [] == steps(prepare, p.vm_page_rename, ends="check")
