"""Hard and soft busy: trying, waiting, waking, and the page's flags."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from vmsmp.vm import vm_page as b
from vmsmp.vm.vm_page import (
    HARD,
    PBUSY_LOCKED,
    PBUSY_SWAPINPROG,
    PBUSY_WANTED,
    PG_CLEANCHK,
    PG_RAM,
    PG_REFERENCED,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
ALSO = pytest.mark.parametrize("also", [False, True], ids=["hard", "also soft"])
LOCKED, WANTED, SWAPIN = PBUSY_LOCKED, PBUSY_WANTED, PBUSY_SWAPINPROG
WORDS = [
    0,
    1,
    2,
    WANTED,
    SWAPIN,
    WANTED | 1,
    SWAPIN | 1,
    SWAPIN | WANTED,
    LOCKED,
    LOCKED | 1,
    LOCKED | WANTED,
]


def words(*expected):
    """Each word that a page may have, with what is expected of it."""
    assert len(WORDS) == len(expected)
    ids = ["-".join(name for name, bit in NAMES if word & bit) or "0" for word in WORDS]
    ids = [f"{name}-{word & 3}" for name, word in zip(ids, WORDS, strict=True)]
    return pytest.mark.parametrize(("word", "expected"), [*zip(WORDS, expected, strict=True)], ids=ids)


NAMES = [("locked", LOCKED), ("wanted", WANTED), ("swapin", SWAPIN)]


def page(vm, word=0):
    """A page with that busy_count, whoever made it so."""
    m = vm.page.vm_page_array[0]
    m.busy_count.value = word
    return m


# -- trying ---------------------------------------------------------------------------------------


@words(False, False, False, False, False, False, False, False, True, True, True)
def test_a_try_fails_for_a_page_that_is_hard_busied(alone, word, expected):
    assert expected is alone(lambda vm: b.vm_page_busy_try(page(vm, word), False))


@words(False, True, True, False, False, True, True, False, True, True, True)
def test_a_try_for_the_page_alone_fails_for_soft_busies_too_but_not_for_other_bits(alone, word, expected):
    assert expected is alone(lambda vm: b.vm_page_busy_try(page(vm, word), True))


@ALSO
@pytest.mark.parametrize("word", WORDS)
def test_a_try_adds_the_hard_busy_and_nothing_else_or_changes_nothing(alone, word, also):
    def program(vm):
        m = page(vm, word)
        failed = b.vm_page_busy_try(m, also)
        return m.busy_count.peek() == (word if failed else word | LOCKED)

    assert True is alone(program)


def test_a_try_that_fails_writes_nothing(steps):
    rows = steps(lambda vm: [page(vm, LOCKED)], lambda m: b.vm_page_busy_try(m, True))
    assert ["load pg[0].busy_count"] == rows


@pytest.mark.parametrize(
    ("attempt", "change"), [(lambda m: b.vm_page_busy_try(m, False), LOCKED), (b.vm_page_sbusy_try, 1)]
)
def test_a_try_that_loses_a_race_reads_the_word_again(raced_word, attempt, change):
    word = raced_word(0, SWAPIN)
    assert not attempt(SimpleNamespace(busy_count=word, took=lambda _share: None))
    assert [(0, change), (SWAPIN, SWAPIN | change)] == word.tried


@pytest.mark.parametrize("attempt", [lambda m: b.vm_page_busy_try(m, False), b.vm_page_sbusy_try])
def test_a_try_that_loses_a_race_to_a_hard_busy_fails(raced_word, attempt):
    word = raced_word(0, LOCKED)
    assert attempt(SimpleNamespace(busy_count=word))
    assert 1 == len(word.tried)


@ALSO
@DEPTHS
def test_of_two_tries_one_succeeds(together, page_on, also, locks):
    def program(vm):
        m, tried, won = page_on(vm, "active"), vm.machine.atomic(0), vm.machine.atomic(0)

        def trier():
            failed = b.vm_page_busy_try(m, also)
            won.fetchadd(not failed)
            tried.fetchadd(1)
            while not failed and tried.load() < 2:
                vm.machine.pause()
            if not failed:
                b.vm_page_wakeup(m)

        vm.machine.spawn(trier)
        vm.machine.spawn(trier)
        vm.machine.join()
        vm.machine.check(won.load() == 1, "one of them has it")

    together(program, sched="dfs:2", schedules=200, locks=locks)


def test_a_try_for_the_page_alone_and_a_soft_busy_never_both_succeed(together, page_on):
    def program(vm):
        m = page_on(vm, "active")

        def owner():
            if not b.vm_page_busy_try(m, True):
                vm.machine.check(m.peek("busy_count") & 0xFFFF == 0, "nobody soft-busies it with me")
                vm.machine.yield_()
                vm.machine.check(m.peek("busy_count") & 0xFFFF == 0, "nobody soft-busies it with me")
                b.vm_page_wakeup(m)

        def reader():
            if not b.vm_page_sbusy_try(m):
                b.vm_page_sbusy_drop(m)

        vm.machine.spawn(owner)
        vm.machine.spawn(reader)
        vm.machine.join()

    together(program, sched="dfs", schedules=500)


# -- waiting --------------------------------------------------------------------------------------


@words(False, False, False, False, False, False, False, False, True, True, True)
def test_a_wait_sleeps_for_a_page_that_is_hard_busied(sleeps, word, expected):
    assert expected is sleeps(lambda vm: b.vm_page_busy_wait(page(vm, word), False))


@words(False, True, True, True, True, True, True, True, True, True, True)
def test_a_wait_for_the_page_alone_sleeps_for_any_bit_of_the_word(sleeps, word, expected):
    assert expected is sleeps(lambda vm: b.vm_page_busy_wait(page(vm, word), True))


@words(False, False, False, False, False, False, False, False, True, True, True)
def test_sleep_busy_sleeps_for_a_page_that_is_hard_busied(sleeps, word, expected):
    assert expected is sleeps(lambda vm: b.vm_page_sleep_busy(page(vm, word), False))


@words(False, True, True, False, False, True, True, False, True, True, True)
def test_sleep_busy_for_the_page_alone_sleeps_for_soft_busies_but_not_for_other_bits(sleeps, word, expected):
    assert expected is sleeps(lambda vm: b.vm_page_sleep_busy(page(vm, word), True))


@pytest.mark.parametrize("word", [0, 1, WANTED, SWAPIN])
def test_a_wait_adds_the_hard_busy_and_nothing_else(alone, word):
    def program(vm):
        m = page(vm, word)
        b.vm_page_busy_wait(m, False)
        return m.busy_count.peek()

    assert word | LOCKED == alone(program)


@pytest.mark.parametrize("word", [0, WANTED, SWAPIN])
def test_sleep_busy_of_a_page_that_is_not_busy_says_so_and_busies_nothing(alone, word):
    def program(vm):
        m = page(vm, word)
        return b.vm_page_sleep_busy(m, True), m.busy_count.peek()

    assert (False, word) == alone(program)


@pytest.mark.parametrize("wait", [b.vm_page_busy_wait, b.vm_page_sleep_busy])
def test_who_waits_announces_its_sleep_publishes_its_want_marks_the_page_used_and_sleeps(steps, wait):
    rows = steps(lambda vm: [page(vm, LOCKED)], lambda m: wait(m, False), ends="deadlock")
    assert [
        "load pg[0].busy_count",
        "interlock pg[0]",
        "cmpset pg[0].busy_count",
        "setbits pg[0].flags",
        "sleep pg[0]",
    ] == rows[:5]


@pytest.mark.parametrize("wait", [b.vm_page_busy_wait, b.vm_page_sleep_busy])
def test_who_sleeps_for_a_page_has_set_wanted_and_referenced(alone, wait):
    def program(vm):
        m = page(vm)
        b.vm_page_busy_try(m, False)
        vm.machine.spawn(wait, m, False)
        vm.machine.yield_()
        seen = m.busy_count.peek(), m.flags.peek()
        b.vm_page_wakeup(m)
        vm.machine.join()
        return seen

    assert (LOCKED | WANTED, PG_REFERENCED) == alone(program)


def test_who_waited_has_the_hard_busy_once_its_owner_gave_it_back(alone):
    def program(vm):
        m = page(vm)
        b.vm_page_busy_try(m, False)
        waiter = vm.machine.spawn(b.vm_page_busy_wait, m, False)
        vm.machine.yield_()
        b.vm_page_wakeup(m)
        waiter.join()
        return m.busy_count.peek(), [(cpu is waiter, share) for cpu, share in m.holders]

    assert (LOCKED, [(True, HARD)]) == alone(program)


def test_sleep_busy_sleeps_once_even_if_the_page_is_busy_again(alone):
    def program(vm):
        m = page(vm)
        b.vm_page_busy_try(m, False)
        sleeper = vm.machine.spawn(b.vm_page_sleep_busy, m, False)
        vm.machine.yield_()
        b.vm_page_wakeup(m)
        b.vm_page_busy_try(m, False)
        sleeper.join()
        return sleeper.result, m.busy_count.peek()

    assert (True, LOCKED) == alone(program)


def test_sleep_busy_tests_again_if_the_word_changed_before_its_want(steps):
    def prepare(vm):
        m = page(vm, LOCKED)
        interlock = vm.machine.tsleep_interlock

        def changing(ident):
            interlock(ident)
            m.busy_count.value = LOCKED | 1
            vm.machine.tsleep_interlock = interlock

        vm.machine.tsleep_interlock = changing
        return [m]

    rows = steps(prepare, lambda m: b.vm_page_sleep_busy(m, False), ends="deadlock")
    assert [
        "load pg[0].busy_count",
        "interlock pg[0]",
        "cmpset failed pg[0].busy_count",
        "load pg[0].busy_count",
        "interlock pg[0]",
        "cmpset pg[0].busy_count",
        "setbits pg[0].flags",
        "sleep pg[0]",
    ] == rows[:8]


def test_sleep_busy_may_leave_without_a_sleep_if_the_busy_went_before_its_want(alone):
    def program(vm):
        m = page(vm, LOCKED)
        interlock = vm.machine.tsleep_interlock

        def releasing(ident):
            interlock(ident)
            m.busy_count.value = 0

        vm.machine.tsleep_interlock = releasing
        return b.vm_page_sleep_busy(m, False), m.busy_count.peek(), m.flags.peek() & PG_REFERENCED

    assert (False, 0, 0) == alone(program)


def test_a_want_that_came_too_late_is_not_slept_on(together, page_on):
    """The owner lets go between the waiter's look and its cmpset, in some order of steps."""

    def program(vm):
        m = page_on(vm, "active")

        def worker():
            b.vm_page_busy_wait(m, False)
            b.vm_page_wakeup(m)

        vm.machine.spawn(worker)
        vm.machine.spawn(worker)
        vm.machine.join()
        vm.machine.check(m.peek("busy_count") == 0, "nobody wants it any more")

    together(program, sched="dfs:2", schedules=600)


@ALSO
@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_everybody_who_waits_gets_the_page_in_turn(together, page_on, also, locks, sched):
    def program(vm):
        m, turns, inside = page_on(vm, "active"), vm.machine.atomic(0), vm.machine.atomic(0)

        def worker():
            b.vm_page_busy_wait(m, also)
            vm.machine.check(inside.fetchadd(1) == 0, "one owner")
            turns.fetchadd(1)
            inside.fetchadd(-1)
            b.vm_page_wakeup(m)

        for _ in range(3):
            vm.machine.spawn(worker)
        vm.machine.join()
        vm.machine.check(turns.load() == 3, "all had it")

    together(program, sched=sched, locks=locks)


@DEPTHS
def test_who_waits_for_the_page_alone_gets_it_when_the_last_reader_leaves(together, page_on, locks):
    def program(vm):
        m = page_on(vm, "active")

        def reader():
            if not b.vm_page_sbusy_try(m):
                b.vm_page_sbusy_drop(m)

        def owner():
            b.vm_page_busy_wait(m, True)
            vm.machine.check(m.peek("busy_count") & ~WANTED == LOCKED, "alone")
            b.vm_page_wakeup(m)

        for fn in (reader, owner, reader):
            vm.machine.spawn(fn)
        vm.machine.join()

    together(program, schedules=150, locks=locks)


@DEPTHS
def test_parallel_cpus_hand_the_hard_busy_about_and_nobody_sleeps_for_ever(parallel, locks):
    def program(vm):
        m, turns = page(vm), vm.machine.cell(0)

        def worker():
            for _ in range(30):
                b.vm_page_busy_wait(m, True)
                turns.store(turns.load() + 1)
                b.vm_page_wakeup(m)

        for _ in range(3):
            vm.machine.spawn(worker)
        vm.machine.join()
        return turns.load(), m.peek("busy_count")

    assert (90, 0) == parallel(program, locks=locks)


# -- letting go -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "left"),
    [(LOCKED, 0), (LOCKED | WANTED, 0), (LOCKED | 2, 2), (LOCKED | WANTED | SWAPIN | 1, SWAPIN | 1)],
)
def test_wakeup_takes_the_hard_busy_and_the_want_and_leaves_the_rest(alone, word, left):
    def program(vm):
        m = page(vm, word)
        b.vm_page_wakeup(m)
        return m.busy_count.peek()

    assert left == alone(program)


@pytest.mark.parametrize("word", [0, 1, WANTED, SWAPIN])
def test_wakeup_of_a_page_that_is_not_busy_panics(panic, word):
    assert "vm_page_wakeup: page not busy" == panic(lambda vm: b.vm_page_wakeup(page(vm, word)))


@pytest.mark.parametrize(
    ("act", "word", "woken"),
    [
        (b.vm_page_wakeup, LOCKED, False),
        (b.vm_page_wakeup, LOCKED | 1, False),
        (b.vm_page_wakeup, LOCKED | WANTED, True),
        (b.vm_page_wakeup, LOCKED | WANTED | 1, True),
        (b.vm_page_flash, LOCKED, False),
        (b.vm_page_flash, LOCKED | WANTED, True),
        (b.vm_page_flash, WANTED, True),
        (b.vm_page_io_finish, LOCKED | WANTED | 1, False),  # the vm_page_wakeup that must follow does
        (b.vm_page_sbusy_drop, 1, False),
        (b.vm_page_sbusy_drop, WANTED | 1, True),
        (b.vm_page_sbusy_drop, WANTED | 2, False),
        (b.vm_page_sbusy_drop, WANTED | LOCKED | 1, False),
        (b.vm_page_sbusy_drop, WANTED | SWAPIN | 1, False),
    ],
)
def test_those_who_want_the_page_are_woken_by_whom_they_wait_for(steps, act, word, woken):
    rows = steps(lambda vm: [page(vm, word)], act)
    assert woken is ("wakeup pg[0]" in rows)


def test_wakeup_drops_the_busy_before_it_wakes(steps):
    rows = steps(lambda vm: [page(vm, LOCKED | WANTED)], b.vm_page_wakeup)
    assert ["cmpset pg[0].busy_count", "wakeup pg[0]"] == rows[-2:]


def test_the_last_reader_takes_the_want_back_before_it_wakes(steps):
    rows = steps(lambda vm: [page(vm, WANTED | 1)], b.vm_page_sbusy_drop)
    assert ["fetchadd pg[0].busy_count", "clearbits pg[0].busy_count", "wakeup pg[0]"] == rows


@pytest.mark.parametrize("word", [LOCKED | 1, SWAPIN | 2, 0])
def test_a_flash_of_a_page_that_nobody_wants_writes_nothing(steps, word):
    assert ["load pg[0].busy_count"] == steps(lambda vm: [page(vm, word)], b.vm_page_flash)


@pytest.mark.parametrize("word", [LOCKED, SWAPIN, 3])
def test_a_flash_takes_the_want_and_leaves_the_busies(alone, word):
    def program(vm):
        m = page(vm, word | WANTED)
        b.vm_page_flash(m)
        return m.busy_count.peek()

    assert word == alone(program)


@pytest.mark.parametrize("change", [b.vm_page_sbusy_hold, b.vm_page_sbusy_drop])
def test_a_flash_takes_the_want_though_the_busies_change_meanwhile(steps, change):
    def prepare(vm):
        m = page(vm, WANTED | 2)

        class Turn:  # another CPU's turn comes with the first look at the word
            def load(self):
                seen, m.busy_count = word.load(), word
                change(m)
                return seen

        word, m.busy_count = m.busy_count, Turn()
        return [m]

    rows = steps(prepare, b.vm_page_flash)
    assert ["clearbits pg[0].busy_count", "wakeup pg[0]"] == rows[-2:]


def test_a_flash_that_saw_a_want_wakes_even_if_the_want_is_gone_by_then(steps):
    def prepare(vm):
        m = page(vm, WANTED | 1)

        class Turn:
            def load(self):
                seen, m.busy_count = word.load(), word
                word.value = 0
                return seen

        word, m.busy_count = m.busy_count, Turn()
        return [m]

    assert ["clearbits pg[0].busy_count", "wakeup pg[0]"] == steps(prepare, b.vm_page_flash)[-2:]


# -- soft busy ------------------------------------------------------------------------------------


@words(False, False, False, False, False, False, False, False, True, True, True)
def test_a_soft_busy_fails_for_a_page_that_is_hard_busied_and_for_no_other(alone, word, expected):
    def program(vm):
        m = page(vm, word)
        failed = b.vm_page_sbusy_try(m)
        assert word + (not failed) == m.busy_count.peek()
        return failed

    assert expected is alone(program)


def test_a_soft_busy_that_fails_never_shows_in_the_count(steps):
    assert ["load pg[0].busy_count"] == steps(lambda vm: [page(vm, LOCKED)], b.vm_page_sbusy_try)


@pytest.mark.parametrize("word", [1, LOCKED, LOCKED | 2])
def test_who_busies_a_page_may_add_a_soft_busy(alone, word):
    def program(vm):
        m = page(vm, word)
        b.vm_page_sbusy_hold(m)
        return m.busy_count.peek()

    assert word + 1 == alone(program)


@pytest.mark.parametrize("word", [1, 3, LOCKED | 1, SWAPIN | 2])
def test_dropping_a_soft_busy_takes_one_and_leaves_the_bits(alone, word):
    def program(vm):
        m = page(vm, word)
        b.vm_page_sbusy_drop(m)
        return m.busy_count.peek()

    assert word - 1 == alone(program)


def test_a_soft_busy_added_is_one_more_to_give_back(together, page_on):
    def program(vm):
        m = page_on(vm, "active")
        b.vm_page_sbusy_try(m)
        b.vm_page_sbusy_hold(m)
        b.vm_page_sbusy_drop(m)
        vm.machine.check(len(m.holders) == 1, "one is left")
        b.vm_page_sbusy_drop(m)

    together(program, schedules=1)


@pytest.mark.parametrize("word", [0, LOCKED, SWAPIN])
def test_dropping_a_soft_busy_that_nobody_has_panics(panic, word):
    message = panic(lambda vm: b.vm_page_sbusy_drop(page(vm, word)))
    assert "vm_page_sbusy_drop: page not soft-busied" == message


def test_i_o_starts_on_a_hard_busied_page_with_a_soft_busy(alone):
    def program(vm):
        m = page(vm, LOCKED)
        b.vm_page_io_start(m)
        return m.busy_count.peek()

    assert LOCKED | 1 == alone(program)


@pytest.mark.parametrize("word", [0, 1, WANTED])
def test_i_o_that_starts_on_a_page_not_hard_busied_panics(panic, word):
    assert "vm_page_io_start: page not busy" == panic(lambda vm: b.vm_page_io_start(page(vm, word)))


def test_i_o_that_ends_takes_its_soft_busy_and_leaves_the_want(alone):
    def program(vm):
        m = page(vm, LOCKED | WANTED | 2)
        b.vm_page_io_finish(m)
        return m.busy_count.peek()

    assert LOCKED | WANTED | 1 == alone(program)


@pytest.mark.parametrize("word", [LOCKED, LOCKED | WANTED])
def test_i_o_that_ends_on_a_page_without_soft_busy_panics(panic, word):
    assert "vm_page_io_finish: page not soft-busied" == panic(lambda vm: b.vm_page_io_finish(page(vm, word)))


@DEPTHS
def test_who_waits_for_i_o_is_woken_by_the_wakeup_after_its_end(together, page_on, locks):
    def program(vm):
        m = page_on(vm, "active")
        b.vm_page_busy_try(m, False)
        b.vm_page_io_start(m)

        def waiter():
            b.vm_page_busy_wait(m, True)
            b.vm_page_wakeup(m)

        vm.machine.spawn(waiter)
        b.vm_page_wakeup(m)
        b.vm_page_busy_wait(m, False)
        b.vm_page_io_finish(m)
        b.vm_page_wakeup(m)
        vm.machine.join()

    together(program, schedules=100, locks=locks)


# -- flags ----------------------------------------------------------------------------------------


def test_setting_and_clearing_a_flag_leaves_the_others(alone):
    def program(vm):
        m = page(vm)
        b.vm_page_flag_set(m, PG_RAM | PG_CLEANCHK)
        b.vm_page_flag_set(m, PG_REFERENCED)
        b.vm_page_flag_clear(m, PG_CLEANCHK)
        return m.flags.peek()

    assert PG_RAM | PG_REFERENCED == alone(program)


def test_no_flag_set_at_the_same_time_as_another_is_lost(together, page_on):
    def program(vm):
        m = page_on(vm, "active")

        def setter(bit):
            b.vm_page_flag_set(m, bit)
            b.vm_page_flag_clear(m, PG_RAM)

        vm.machine.spawn(setter, PG_REFERENCED)
        vm.machine.spawn(setter, PG_CLEANCHK)
        vm.machine.join()
        vm.machine.check(m.peek("flags") == PG_REFERENCED | PG_CLEANCHK, "both stay")

    together(program, sched="dfs", schedules=300)
