"""The page hash: entering a page, and finding it without the object's token."""

from __future__ import annotations

import pytest

from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    PBUSY_SWAPINPROG,
    PBUSY_WANTED,
    PG_FICTITIOUS,
    PG_MAPPEDMULTI,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_free,
    vm_page_hash_enter,
    vm_page_hash_get,
    vm_page_rename,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_wakeup,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
ONE_SET = {"hash_size": 1}


def known(vm, page_on, obj=None, pindex=0):
    """A page that the hash knows, and its object."""
    obj = obj or vm_object_allocate(vm, 8)
    m = page_on(vm, "active", obj, pindex)
    m.flags.setbits(PG_MAPPEDMULTI)
    vm_page_hash_enter(m)
    return m, obj


def entries(vm, obj, pindex):
    """The elements of the identity's set as (page, object, index)."""
    return [
        (mp.peek("m"), mp.peek("object"), mp.peek("pindex"))
        for mp in vm.page.vm_page_hash.set_of(obj, pindex)
    ]


def at(vm, ticks):
    """Make it that time."""
    vm.machine.engine.clock.ticks = ticks


# -- entering -------------------------------------------------------------------------------------


def test_a_page_mapped_by_many_is_found_soft_busied_without_the_token(alone, page_on):
    def program(vm):
        m, obj = known(vm, page_on)
        return vm_page_hash_get(vm, obj, 0) is m, m.busy_count.peek()

    assert (True, 1) == alone(program)


@pytest.mark.parametrize("why", ["not mapped by many", "in no object", "not in the array"])
def test_other_pages_are_not_entered(alone, page_on, why):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 0)
        if why != "not mapped by many":
            m.flags.setbits(PG_MAPPEDMULTI)
        if why == "in no object":
            m.object = None
        elif why == "not in the array":
            m = vm.page.marker(PG_FICTITIOUS | PG_MAPPEDMULTI)
            m.object = obj
        vm_page_hash_enter(m)
        return entries(vm, obj, 0)

    assert [(None, None, 0)] * 4 == alone(program)


@pytest.mark.parametrize(("only", "type_", "entered"), [(0, 0, True), (1, 0, False), (1, 2, True)])
def test_pages_of_vnodes_only_are_entered_if_a_sysctl_says_so(alone, page_on, only, type_, entered):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        vm.sysctl["vm.page_hash_vnode_only"] = only
        obj.type = type_
        m, _ = known(vm, page_on, obj)
        return vm_page_hash_get(vm, obj, 0) is m

    assert entered is alone(program)


def test_a_set_has_room_for_its_ways_and_every_page_of_it_is_found(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        at(vm, 1)
        pages = [known(vm, page_on, obj, n)[0] for n in range(4)]
        return [vm_page_hash_get(vm, obj, n) is m for n, m in enumerate(pages)]

    assert [True] * 4 == alone(program, **ONE_SET)


@pytest.mark.parametrize(
    ("used", "lost"),
    [
        ((13, 12, 12, 14), 2),  # the last one used longer ago than the first
        ((13, 5, 12, 14), 2),  # not the one used longest ago
        ((10, 11, 12, 13), 0),  # the first, if it was used longest ago
        ((10, 10, 10, 10), 0),
        ((10, 10, 10, 9), 3),
    ],
)
def test_a_full_set_loses_the_last_entry_that_is_older_than_its_first(alone, page_on, used, lost):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        for n in range(4):
            at(vm, 1 + n)
            known(vm, page_on, obj, n)
        for mp, ticks in zip(vm.page.vm_page_hash.set_of(obj, 0), used, strict=True):
            mp.ticks = ticks
        at(vm, 20)
        known(vm, page_on, obj, 4)
        return [pindex for _, _, pindex in entries(vm, obj, 0)]

    before = [0, 3, 2, 1]  # the first element is filled first, then from the last one down
    expected = [4 if n == lost else pindex for n, pindex in enumerate(before)]
    assert expected == alone(program, **ONE_SET)


@pytest.mark.parametrize("call", ["enter", "get"])
def test_an_entry_used_in_this_very_tick_is_not_written_again(steps, page_on, call):
    def prepare(vm):
        m, obj = known(vm, page_on)
        return [m] if call == "enter" else [vm, obj, 0]

    rows = steps(prepare, vm_page_hash_enter if call == "enter" else vm_page_hash_get)
    assert [] == [row for row in rows if row.startswith("store")]


def test_a_page_found_is_one_used_just_now(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        for n in range(4):
            at(vm, 1 + n)
            known(vm, page_on, obj, n)
        at(vm, 50)
        vm_page_hash_get(vm, obj, 0)
        at(vm, 60)
        known(vm, page_on, obj, 4)
        return {pindex for _, _, pindex in entries(vm, obj, 0)}

    assert {0, 4, 2, 3} == alone(program, **ONE_SET)


def test_a_page_entered_again_is_used_just_now_and_entered_once(alone, page_on):
    def program(vm):
        obj, pages = vm_object_allocate(vm, 8), []
        for n in range(4):
            at(vm, 1 + n)
            pages.append(known(vm, page_on, obj, n)[0])
        at(vm, 50)
        vm_page_hash_enter(pages[2])
        return [(mp.peek("pindex"), mp.peek("ticks")) for mp in vm.page.vm_page_hash.set_of(obj, 0)]

    assert [(0, 1), (3, 4), (2, 50), (1, 2)] == alone(program, **ONE_SET)


@pytest.mark.parametrize("what", ["page", "object", "index"])
def test_an_entry_of_which_one_word_differs_is_another_one(alone, page_on, what):
    def program(vm):
        at(vm, 1)
        m, obj = known(vm, page_on)
        at(vm, 2)
        if what == "page":  # the old page is gone, and another is there
            vm_page_busy_try(m, False)
            vm_page_free(m)
            page_on(vm, "active")  # takes the old page
            m, _ = known(vm, page_on, obj)
            return vm_page_hash_get(vm, obj, 0) is m
        target, pindex = (vm_object_allocate(vm, 8), 0) if what == "object" else (obj, 5)
        vm_page_busy_try(m, False)
        vm_object_hold(obj)
        vm_object_hold(target)
        vm_page_rename(m, target, pindex)
        vm_page_hash_enter(m)
        vm_page_wakeup(m)
        return vm_page_hash_get(vm, target, pindex) is m

    assert True is alone(program, **ONE_SET)


def test_the_first_page_of_the_array_is_entered_too(alone, page_on):
    def program(vm):
        m, obj = known(vm, page_on)
        return m.phys, vm_page_hash_get(vm, obj, 0) is m

    assert (0, True) == alone(program, pages=1)


@pytest.mark.parametrize(("ahead", "lost"), [(1, 0), (2, 2), (1000, 2)])
def test_an_entry_from_the_future_counts_as_the_oldest(alone, page_on, ahead, lost):
    """One tick ahead is another CPU's clock; more means that the clock went round."""

    def program(vm):
        obj = vm_object_allocate(vm, 8)
        at(vm, 100)
        for n in range(4):
            known(vm, page_on, obj, n)
        vm.page.vm_page_hash.set_of(obj, 0)[2].ticks = 110 + ahead
        vm.page.vm_page_hash.set_of(obj, 0)[0].ticks = 50  # used longer ago than all others
        at(vm, 110)
        known(vm, page_on, obj, 4)
        return {0, 1, 2, 3} - {pindex for _, _, pindex in entries(vm, obj, 0)}

    assert {lost} == alone(program, **ONE_SET)


def test_an_entry_is_four_stores_each_on_its_own_the_page_first(steps, page_on):
    def prepare(vm):
        m = page_on(vm, "active")
        m.flags.setbits(PG_MAPPEDMULTI)
        return [m]

    stores = [row for row in steps(prepare, vm_page_hash_enter) if row.startswith("store")]
    assert ["m", "object", "pindex", "ticks"] == [row.rsplit(".", 1)[1] for row in stores]


# -- getting --------------------------------------------------------------------------------------


def test_an_identity_that_the_hash_does_not_know_is_not_found(alone, page_on):
    def program(vm):
        _, obj = known(vm, page_on)
        return vm_page_hash_get(vm, obj, 1), vm_page_hash_get(vm, vm_object_allocate(vm, 8), 0)

    assert (None, None) == alone(program, **ONE_SET)


def test_a_hard_busied_page_is_not_found(alone, page_on):
    def program(vm):
        m, obj = known(vm, page_on)
        vm_page_busy_try(m, False)
        return vm_page_hash_get(vm, obj, 0)

    assert None is alone(program)


@pytest.mark.parametrize("word", [2, PBUSY_WANTED, PBUSY_SWAPINPROG])
def test_a_page_that_is_only_soft_busied_or_wanted_is_found(alone, page_on, word):
    def program(vm):
        m, obj = known(vm, page_on)
        m.busy_count.value = word
        vm_page_hash_get(vm, obj, 0)
        return m.busy_count.peek()

    assert word + 1 == alone(program)


def test_a_page_that_was_freed_or_renamed_is_not_found_and_not_left_busied(alone, page_on):
    def program(vm):
        freed, obj = known(vm, page_on)
        moved, _ = known(vm, page_on, obj, 1)
        vm_page_busy_try(freed, False)
        vm_page_free(freed)
        vm_page_busy_try(moved, False)
        vm_object_hold(obj)
        vm_page_rename(moved, obj, 5)
        vm_object_drop(obj)
        vm_page_wakeup(moved)
        found = [vm_page_hash_get(vm, obj, n) for n in (0, 1)]
        return found, freed.busy_count.peek(), moved.busy_count.peek()

    assert ([None, None], 0, 0) == alone(program)


@pytest.mark.parametrize("torn", ["m", "object", "pindex"])
def test_a_torn_entry_finds_nothing(alone, page_on, torn):
    """Half of one entry and half of another: its words are stored one by one."""

    def program(vm):
        at(vm, 1)
        m, obj = known(vm, page_on)
        other, stranger = known(vm, page_on, None, 7)
        mp = next(mp for mp in vm.page.vm_page_hash.set_of(obj, 0) if mp.peek("m") is m)
        setattr(mp, torn, {"m": other, "object": stranger, "pindex": 7}[torn])
        found = [vm_page_hash_get(vm, o, n) for o in (obj, stranger) for n in (0, 7)]
        return found, [page.busy_count.peek() for page in (m, other)]

    found, busy = alone(program, **ONE_SET)
    # The page of the stranger is there in its own right, and found once, as itself.
    assert ([None, None, None], [0, 1]) == (found[:3], busy)


def test_an_entry_whose_page_is_not_stored_yet_finds_nothing(alone, page_on):
    def program(vm):
        _, obj = known(vm, page_on)
        for mp in vm.page.vm_page_hash.set_of(obj, 0):
            mp.m = None
        return vm_page_hash_get(vm, obj, 0)

    assert None is alone(program)


@pytest.mark.parametrize("what", ["object", "pindex"])
def test_a_page_whose_identity_changes_before_the_soft_busy_is_let_go_again(alone, page_on, what):
    def program(vm):
        m, obj = known(vm, page_on)

        other = vm_object_allocate(vm, 8)

        class Turn:  # the renaming comes between the hash's look at the identity and its busy
            def load(self):
                word.load()
                setattr(m, what, {"pindex": 5, "object": other}[what])
                m.busy_count = word
                return word.peek()

        word, m.busy_count = m.busy_count, Turn()
        return vm_page_hash_get(vm, obj, 0), m.busy_count.peek()

    assert (None, 0) == alone(program)


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_the_hash_never_returns_a_page_of_another_identity(together, page_on, locks, sched):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m, _ = known(vm, page_on, obj, 1)

        def mover():
            for pindex in (5, 1):
                vm_page_busy_wait(m, True)
                vm_object_hold(obj)
                vm_page_rename(m, obj, pindex)
                vm_page_hash_enter(m)
                vm_object_drop(obj)
                vm_page_wakeup(m)

        def getter():
            for pindex in (1, 5):
                found = vm_page_hash_get(vm, obj, pindex)
                if found is not None:
                    vm.machine.check(found.pindex == pindex, "the index asked for")
                    vm_page_sbusy_drop(found)

        for fn in (mover, getter, getter):
            vm.machine.spawn(fn)
        vm.machine.join()
        vm.machine.check(m.peek("busy_count") == 0, "nobody has it any more")

    together(program, sched=sched, locks=locks, **ONE_SET)


def test_parallel_cpus_get_and_enter_pages_of_one_set_and_leave_none_busied(parallel, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        pages = [known(vm, page_on, obj, n)[0] for n in range(6)]

        def worker(first):
            for n in range(40):
                pindex = (first + n) % 6
                found = vm_page_hash_get(vm, obj, pindex)
                if found is not None:
                    assert pages[pindex] is found
                    vm_page_hash_enter(found)
                    vm_page_sbusy_drop(found)
                elif not vm_page_sbusy_try(pages[pindex]):
                    vm_page_hash_enter(pages[pindex])
                    vm_page_sbusy_drop(pages[pindex])

        for n in range(3):
            vm.machine.spawn(worker, n)
        vm.machine.join()
        return [m.peek("busy_count") for m in pages]

    assert [0] * 6 == parallel(program, **ONE_SET)


def test_an_entry_s_time_is_read_after_what_it_says_and_that_of_the_first_before_all(steps, page_on):
    def prepare(vm):
        m, _ = known(vm, page_on)
        return [m]

    rows = steps(prepare, vm_page_hash_enter, **ONE_SET)
    fields = [row.split(".")[-1] for row in rows if "hash[" in row]
    assert ["ticks", "m", "object", "pindex", "ticks"] == fields


def test_an_entry_of_another_page_is_compared_by_its_page_alone(steps, page_on):
    def prepare(vm):
        return [known(vm, page_on, pindex=1)[0], page_on(vm, "active", vm_object_allocate(vm, 8), 0)]

    def enter(_known, other):
        other.flags.setbits(PG_MAPPEDMULTI)
        vm_page_hash_enter(other)

    rows = [row for row in steps(prepare, enter, **ONE_SET) if row.startswith("load") and "hash[" in row]
    assert ["ticks", *["m", "ticks"] * 4] == [row.split(".")[-1] for row in rows]
