"""The rule of the CLOCK pager: a page is in one frame, and the frame is for it."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.mmu.entry import make_entry
from vmsmp.mmu.textbook.clock import ClockPager
from vmsmp.mmu.textbook.entry import Pte


def failure_of(spoil):
    """What is said when `spoil` does something to a pager whose page 0 is in frame 0."""

    def program(m):
        pager = ClockPager(m, 2, 2)
        pager.load(0)
        spoil(pager)
        m.yield_()

    return vmsmp.explore(program, schedules=1).failure


def also_in_frame_1(pager):
    pager.frames[1].page = pager.pages[0]
    pager.pages[0].pte.setbits(int(Pte.D))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda pager: pager.pages[1].pte.store(make_entry(0, int(Pte.P))),
            "INV-CK1: page: it is mapped to a frame that is for another page",
        ),
        (
            lambda pager: pager.pages[1].pte.setbits(int(Pte.A)),
            "INV-CK1: page: it is marked as used, and not present",
        ),
        (also_in_frame_1, "INV-CK1: page: it is in two frames"),
    ],
)
def test_a_page_that_is_not_in_its_frame_alone_is_told(spoil, message):
    failure = failure_of(spoil)
    assert ("accounting", message) == (failure.kind, failure.message)


def test_a_page_that_comes_and_goes_is_no_failure():
    def turns(pager):
        for n in (1, 0, 1):
            pager.store(n, n)

    assert failure_of(turns) is None
