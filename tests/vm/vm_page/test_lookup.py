"""Looking an object's page up, and busying it."""

from __future__ import annotations

import pytest

from vmsmp.vm import vm_page as lookup
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_page import (
    PBUSY_LOCKED,
    PBUSY_SWAPINPROG,
    PBUSY_WANTED,
    PG_FICTITIOUS,
    PG_MAPPEDMULTI,
    PG_REFERENCED,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_free,
    vm_page_hash_get,
    vm_page_rename,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_set_invalid,
    vm_page_wakeup,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
HOLDS = pytest.mark.parametrize("hold", [vm_object_hold, vm_object_hold_shared], ids=["exclusive", "shared"])
ALSO = pytest.mark.parametrize("also", [False, True], ids=["hard", "also soft"])
LOOKUPS = {
    "lookup": lambda obj: lookup.vm_page_lookup(obj, 3),
    "wait": lambda obj: lookup.vm_page_lookup_busy_wait(obj, 3, False),
    "try": lambda obj: lookup.vm_page_lookup_busy_try(obj, 3, False)[0],
    "soft": lambda obj: lookup.vm_page_lookup_sbusy_try(obj, 3),
}
EVERY = pytest.mark.parametrize("find", LOOKUPS.values(), ids=LOOKUPS)


def held(vm, page_on, word=0, hold=vm_object_hold):
    """A held object and its page at index 3, which has that busy_count."""
    obj = vm_object_allocate(vm, 8)
    m = page_on(vm, "active", obj, 3)
    m.busy_count.value = word
    hold(obj)
    return obj, m


# -- all of them ----------------------------------------------------------------------------------


@EVERY
@HOLDS
def test_a_lookup_finds_the_object_s_page_at_that_index(alone, page_on, find, hold):
    def program(vm):
        obj, m = held(vm, page_on, hold=hold)
        page_on(vm, "active", None, 3)  # another object's
        return find(obj) is m

    assert True is alone(program)


@EVERY
def test_a_lookup_finds_nothing_at_an_index_without_a_page(alone, page_on, find):
    def program(vm):
        obj, m = held(vm, page_on)
        vm_page_busy_try(m, False)
        vm_page_free(m)
        return find(obj)

    assert None is alone(program)


@EVERY
def test_a_lookup_in_an_object_that_is_not_held_panics(panic, page_on, find):
    def program(vm):
        obj, _ = held(vm, page_on)
        vm_object_drop(obj)
        find(obj)

    assert "obj: its token is not held" == panic(program)


@pytest.mark.parametrize(
    ("kind", "left"), [("lookup", 0), ("wait", PBUSY_LOCKED), ("try", PBUSY_LOCKED), ("soft", 1)]
)
def test_a_lookup_busies_the_page_as_it_says(alone, page_on, kind, left):
    def program(vm):
        obj, m = held(vm, page_on)
        LOOKUPS[kind](obj)
        return m.busy_count.peek()

    assert left == alone(program)


@pytest.mark.parametrize("word", [0, 2, PBUSY_SWAPINPROG | 1, PBUSY_WANTED])
@pytest.mark.parametrize("kind", ["wait", "try"])
def test_a_lookup_adds_the_hard_busy_and_leaves_the_rest_of_the_word(alone, page_on, kind, word):
    def program(vm):
        obj, m = held(vm, page_on, word)
        LOOKUPS[kind](obj)
        return m.busy_count.peek()

    assert word | PBUSY_LOCKED == alone(program)


# -- hard busy ------------------------------------------------------------------------------------

WANTED, SWAPIN, LOCKED = PBUSY_WANTED, PBUSY_SWAPINPROG, PBUSY_LOCKED


BUSY = pytest.mark.parametrize(
    ("word", "hard", "alone_too"),
    [
        (0, False, False),
        (1, False, True),
        (WANTED, False, True),
        (SWAPIN, False, True),  # the whole word counts here, not the soft busies only
        (SWAPIN | 2, False, True),
        (LOCKED, True, True),
        (LOCKED | WANTED | 1, True, True),
    ],
)


@BUSY
def test_a_lookup_that_waits_sleeps_for_a_hard_busy_or_for_any_bit(sleeps, page_on, word, hard, alone_too):
    def looking(also):
        return lambda vm: lookup.vm_page_lookup_busy_wait(held(vm, page_on, word)[0], 3, also)

    assert (hard, alone_too) == (sleeps(looking(False)), sleeps(looking(True)))


@BUSY
def test_a_lookup_that_tries_fails_for_a_hard_busy_or_for_any_bit(alone, page_on, word, hard, alone_too):
    def looking(also):
        def program(vm):
            obj, m = held(vm, page_on, word)
            found, error = lookup.vm_page_lookup_busy_try(obj, 3, also)
            assert m is found  # also if it could not be busied
            assert m.busy_count.peek() == (word if error else word | LOCKED)
            return error

        return program

    assert (hard, alone_too) == (alone(looking(False)), alone(looking(True)))


def test_a_lookup_that_tries_and_finds_nothing_is_no_error(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        vm_object_hold(obj)
        return lookup.vm_page_lookup_busy_try(obj, 3, True)

    assert (None, False) == alone(program)


def test_a_lookup_that_waits_announces_its_sleep_before_it_publishes_its_want(steps, page_on):
    def act(obj, _m):
        lookup.vm_page_lookup_busy_wait(obj, 3, False)

    rows = steps(lambda vm: held(vm, page_on, LOCKED), act, ends="deadlock")
    assert [
        "load pg[7].busy_count",
        "interlock pg[7]",
        "cmpset pg[7].busy_count",
        "setbits pg[7].flags",
        "sleep pg[7]",
    ] == rows[:5]


def looked_up_asleep(vm, page_on, meanwhile):
    """Look a busied page up, do something with it while the lookup sleeps; what the lookup finds."""
    obj, m = held(vm, page_on)
    vm_object_drop(obj)
    vm_page_busy_try(m, False)

    def finder():
        vm_object_hold_shared(obj)
        found = lookup.vm_page_lookup_busy_wait(obj, 3, False)
        vm_object_drop(obj)
        return found

    cpu = vm.machine.spawn(finder)
    vm.machine.yield_()
    assert WANTED | LOCKED == m.busy_count.peek()
    assert PG_REFERENCED == m.flags.peek()
    there = meanwhile(obj, m)
    cpu.join()
    return cpu.result, there


def test_a_lookup_that_slept_gets_the_page_once_it_is_let_go(alone, page_on):
    def program(vm):
        found, m = looked_up_asleep(vm, page_on, lambda _obj, m: (vm_page_wakeup(m), m)[1])
        return found is m, m.busy_count.peek()

    assert (True, LOCKED) == alone(program)


def test_a_lookup_that_slept_looks_again_and_finds_the_page_gone(alone, page_on):
    def program(vm):
        return looked_up_asleep(vm, page_on, lambda _obj, m: vm_page_free(m))

    assert (None, None) == alone(program)


def test_a_lookup_that_slept_looks_again_and_finds_another_page_there(alone, page_on):
    def program(vm):
        def replaced(obj, m):
            other = vm_object_allocate(vm, 8)
            vm_object_hold(other)
            vm_object_hold(obj)
            vm_page_rename(m, other, 0)
            vm_object_drop(obj)
            vm_object_drop(other)
            there = page_on(vm, "active", obj, 3)
            vm_page_wakeup(m)
            return there

        found, there = looked_up_asleep(vm, page_on, replaced)
        return found is there

    assert True is alone(program)


@pytest.mark.parametrize("kind", ["wait", "lookup", "soft"])
def test_a_page_looked_up_is_entered_into_the_hash(alone, page_on, kind):
    def program(vm):
        obj, m = held(vm, page_on)
        m.flags.setbits(PG_MAPPEDMULTI)
        found = LOOKUPS[kind](obj)
        if kind == "wait":
            vm_page_wakeup(found)
        elif kind == "soft":
            vm_page_sbusy_drop(found)
        return vm_page_hash_get(vm, obj, 3) is m

    assert True is alone(program)


@pytest.mark.parametrize("kind", ["wait", "try", "lookup"])
def test_a_page_in_the_tree_of_an_object_that_is_not_its_own_panics_who_looks_it_up(panic, page_on, kind):
    def program(vm):
        obj, m = held(vm, page_on)
        m.object = vm_object_allocate(vm, 8)
        LOOKUPS[kind](obj)

    assert panic(program).endswith("says it is elsewhere")


@pytest.mark.parametrize("valid", [0, 1])
def test_an_empty_range_is_found_if_any_of_the_page_is_valid(alone, page_on, valid):
    def program(vm):
        obj, m = held(vm, page_on)
        m.valid = valid
        found = lookup.vm_page_lookup_sbusy_try(obj, 3, 0, 0)
        return found is m

    assert bool(valid) is alone(program)


@ALSO
@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_a_lookup_never_returns_a_page_that_has_left_the_object(together, page_on, also, locks, sched):
    def program(vm):
        here, there = vm_object_allocate(vm, 8), vm_object_allocate(vm, 8)
        m = page_on(vm, "active", here, 3)

        def mover():
            vm_page_busy_wait(m, True)
            vm_object_hold(here)
            vm_object_hold(there)
            vm_page_rename(m, there, 5)
            vm_object_drop(there)
            vm_object_drop(here)
            vm_page_wakeup(m)

        def finder():
            for obj, pindex in ((here, 3), (there, 5)):
                vm_object_hold_shared(obj)
                found = lookup.vm_page_lookup_busy_wait(obj, pindex, also)
                if found is not None:
                    vm.machine.check((found.object, found.pindex) == (obj, pindex), "the right page")
                    vm_page_wakeup(found)
                vm_object_drop(obj)

        for fn in (mover, finder, finder):
            vm.machine.spawn(fn)
        vm.machine.join()

    together(program, sched=sched, locks=locks)


# -- soft busy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("valid", "piece", "found"),
    [
        (0xFF, (), True),
        (0x7F, (), False),
        (0x00, (), False),
        (0x03, (0, 1024), True),
        (0x03, (0, 1025), False),
        (0x0C, (1024, 512), True),
    ],
)
def test_a_soft_lookup_finds_a_page_that_is_valid_in_the_range_asked_for(alone, page_on, valid, piece, found):
    def program(vm):
        obj, m = held(vm, page_on)
        m.valid = valid
        assert m.busy_count.peek() == 0
        return lookup.vm_page_lookup_sbusy_try(obj, 3, *piece) is m, m.busy_count.peek()

    assert (found, int(found)) == alone(program)


def test_a_soft_lookup_passes_over_a_fictitious_page(alone, page_on):
    def program(vm):
        obj, m = held(vm, page_on)
        m.flags.setbits(PG_FICTITIOUS)
        return lookup.vm_page_lookup_sbusy_try(obj, 3), m.busy_count.peek()

    assert (None, 0) == alone(program)


@pytest.mark.parametrize(
    ("word", "found"), [(LOCKED, False), (LOCKED | 1, False), (2, True), (SWAPIN, True), (WANTED, True)]
)
def test_a_soft_lookup_passes_over_a_hard_busied_page_and_over_no_other(alone, page_on, word, found):
    def program(vm):
        obj, m = held(vm, page_on, word)
        return lookup.vm_page_lookup_sbusy_try(obj, 3) is m, m.busy_count.peek() - word

    assert (found, int(found)) == alone(program)


@pytest.mark.parametrize("lost", ["content", "reality"])
def test_a_soft_lookup_looks_again_once_it_has_the_page(alone, page_on, lost):
    """Its first look saw a valid, real page, whose owner changes that before the soft busy."""

    def program(vm):
        obj, m = held(vm, page_on)
        vm_object_drop(obj)

        def finder():
            vm_object_hold_shared(obj)
            found = lookup.vm_page_lookup_sbusy_try(obj, 3)
            vm_object_drop(obj)
            return found

        class Turn:  # the owner's turn comes with the first look at the word
            def load(self):
                word.load()
                if lost == "content":
                    vm_page_set_invalid(m, 0, 512)
                else:
                    m.flags.setbits(PG_FICTITIOUS)
                m.busy_count = word
                return word.peek()

        word, m.busy_count = m.busy_count, Turn()
        cpu = vm.machine.spawn(finder)
        cpu.join()
        return cpu.result, m.busy_count.peek()

    assert (None, 0) == alone(program)


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_a_soft_lookup_never_returns_a_page_without_content(together, page_on, locks, sched):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 3)

        def truncator():
            vm_page_busy_wait(m, True)
            vm_page_set_invalid(m, 0, 4096)
            vm_page_wakeup(m)

        def reader():
            vm_object_hold_shared(obj)
            found = lookup.vm_page_lookup_sbusy_try(obj, 3)
            vm_object_drop(obj)
            if found is not None:
                vm.machine.check(found.valid == 0xFF, "all of it is valid")
                vm_page_sbusy_drop(found)

        for fn in (reader, truncator, reader):
            vm.machine.spawn(fn)
        vm.machine.join()
        vm.machine.check(m.peek("busy_count") == 0, "nobody has it any more")

    together(program, sched=sched, locks=locks)


@DEPTHS
def test_parallel_lookups_of_a_page_all_get_it_in_turn(parallel, page_on, locks):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m, turns = page_on(vm, "active", obj, 3), vm.machine.cell(0)

        def finder():
            for _ in range(20):
                vm_object_hold_shared(obj)
                found = lookup.vm_page_lookup_busy_wait(obj, 3, True)
                vm_object_drop(obj)
                assert m is found
                turns.store(turns.load() + 1)
                vm_page_wakeup(found)
                if not vm_page_sbusy_try(m):
                    vm_page_sbusy_drop(m)

        for _ in range(3):
            vm.machine.spawn(finder)
        vm.machine.join()
        return turns.load(), m.peek("busy_count")

    assert (60, 0) == parallel(program, locks=locks)


# -- the next page --------------------------------------------------------------------------------


@HOLDS
@pytest.mark.parametrize(("there", "found"), [([3, 4], 4), ([3, 5], None), ([2, 3], None)])
def test_the_next_page_is_the_one_at_the_next_index(alone, page_on, hold, there, found):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        pages = {n: page_on(vm, "active", obj, n) for n in there}
        hold(obj)
        after = lookup.vm_page_next(pages[3])
        return after is pages.get(found), after is not None and after.busy_count.peek()

    assert (True, found is None and False) == alone(program)


# -- races for the busy ---------------------------------------------------------------------------


def test_a_lookup_that_lost_the_race_for_the_busy_reads_the_word_again(steps, page_on, monkeypatch):
    def prepare(vm):
        obj, m = held(vm, page_on)
        word, tried = type(m.busy_count), []

        def cmpset(self, old, new):
            if self is m.busy_count and not tried:
                tried.append(old)
                self.value += 1  # another CPU soft-busies it
            return cmpset_of(self, old, new)

        cmpset_of = word.cmpset
        monkeypatch.setattr(word, "cmpset", cmpset)
        return [obj]

    rows = steps(prepare, lambda obj: lookup.vm_page_lookup_busy_try(obj, 3, False))
    assert ["load", "cmpset", "load", "cmpset"] == [row.split()[0] for row in rows if "busy_count" in row]
