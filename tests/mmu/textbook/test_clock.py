"""The CLOCK pager on one CPU, and where it is visible to others."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.mmu.entry import frame_of
from vmsmp.mmu.textbook.clock import ClockPager
from vmsmp.mmu.textbook.entry import Pte


def on_a_machine(program, **options):
    """What `program` returns, run by the boot CPU."""
    told = []
    result = vmsmp.explore(lambda m: told.append(program(m)), schedules=1, **options)
    assert result.failure is None
    return told[0]


def flags(pager, number):
    return Pte(pager.pages[number].peek("pte") & (Pte.P | Pte.A | Pte.D))


def test_a_page_is_zero_until_it_is_written_to():
    def program(m):
        pager = ClockPager(m, 2, 2)
        return pager.load(0), pager.store(0, 5), pager.load(0), pager.faults

    assert (0, None, 5, 1) == on_a_machine(program)


def test_an_access_says_how_often_it_faulted():
    def program(m):
        pager = ClockPager(m, 2, 1)
        return [pager.access(0, 5), pager.access(0), pager.access(1)]

    assert [(5, 1), (5, 0), (0, 1)] == on_a_machine(program)


def test_a_read_sets_a_and_a_write_sets_d():
    def program(m):
        pager = ClockPager(m, 2, 2)
        pager.load(0)
        pager.store(1, 5)
        return flags(pager, 0), flags(pager, 1)

    assert (Pte.P | Pte.A, Pte.P | Pte.A | Pte.D) == on_a_machine(program)


def test_a_page_comes_back_with_what_was_written_to_it():
    def program(m):
        pager = ClockPager(m, 3, 1)
        for number in range(3):
            pager.store(number, 10 + number)
        return [pager.load(number) for number in range(3)], pager.faults

    assert ([10, 11, 12], 6) == on_a_machine(program)


def test_a_clean_page_is_not_written_to_the_disk():
    def program(m):
        pager = ClockPager(m, 2, 1)
        pager.pages[0].on_disk = 3
        pager.load(0)
        pager.frames[0].content.store(4)  # behind the CPU's back: no D
        pager.load(1)
        return pager.load(0)

    assert 3 == on_a_machine(program)


def test_the_hand_clears_what_it_passes_and_takes_what_was_clear():
    def program(m):
        pager = ClockPager(m, 4, 3)
        for number in range(3):
            pager.load(number)
        pager.load(3)  # clears all, and takes the first
        pager.load(2)
        pager.load(0)  # passes none: 1 is clear
        return [frame.page.number for frame in pager.frames], pager.hand, flags(pager, 2)

    assert ([3, 0, 2], 2, Pte.P | Pte.A) == on_a_machine(program)


def test_a_fault_for_a_page_that_is_there_brings_nothing_in():
    def program(m):
        pager = ClockPager(m, 2, 2)
        pager.load(0)
        pager.fault(pager.pages[0])
        return pager.faults, frame_of(pager.pages[0].peek("pte"))

    assert (1, 0) == on_a_machine(program)


def test_after_two_turns_the_hand_takes_a_page_although_it_is_used_all_the_time():
    """Every look of the hand is answered by a use of the page that it has just cleared."""

    def program(m):
        pager = ClockPager(m, 3, 2)
        for number in range(2):
            pager.load(number)

        class Busy:
            def __init__(self, word):
                self.word = word

            def __getattr__(self, name):
                return getattr(self.word, name)

            def clearbits(self, bits):
                old = self.word.clearbits(bits)
                self.word.setbits(bits)
                return old

        for page in pager.pages[:2]:
            page.pte = Busy(page.pte)
        pager.load(2)
        return pager.is_present(pager.pages[2])

    assert on_a_machine(program)


def test_pages_and_frames_say_how_they_stand():
    def program(m):
        pager = ClockPager(m, 2, 2)
        before = pager.frames[0].state(), pager.pages[0].state()
        pager.store(0, 1)
        return before, (pager.frames[0].state(), pager.pages[0].state(), pager.frames[0].name)

    assert (
        ("free", "not present"),
        ("for page[0]", "frame 0 P|A|D", "frame[0]"),
    ) == on_a_machine(program)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
@pytest.mark.parametrize(("kind", "name"), [("pages", "on_disk"), ("frames", "page")])
def test_frames_and_the_disk_are_looked_at_under_the_pager_s_mutex(kind, name, locks):
    def program(m):
        pager = ClockPager(m, 2, 2)
        m.spawn(lambda: getattr(getattr(pager, kind)[0], name))
        m.join()

    failure = vmsmp.explore(program, schedules=1, locks=locks).failure
    klass = kind.removesuffix("s")
    assert ("field-lock", f"{klass}.{name} read without the pager's mutex") == (failure.kind, failure.message)


def test_two_cpus_that_count_in_one_frame_lose_nothing_in_any_order():
    def program(m):
        pager = ClockPager(m, 2, 1)

        def user(me):
            pager.store(me, me + 1)

        m.spawn(user, 0)
        m.spawn(user, 1)
        m.join()
        m.check([pager.load(0), pager.load(1)] == [1, 2], "each has its own")

    result = vmsmp.explore(program, sched="dfs:2", schedules=3_000)
    assert (None, True) == (result.failure, result.exhausted)
