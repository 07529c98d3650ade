"""One CPU's cache of translations: found, replaced, flushed."""

from __future__ import annotations

import pytest

from vmsmp.mmu.tlb import Tlb
from vmsmp.mmu.walk import Translation


def page(va, *, level=1, everywhere=False, frame=0):
    return Translation(
        root=1,
        va=va,
        level=level,
        frame=frame,
        writeable=True,
        user=True,
        executable=True,
        everywhere=everywhere,
        key=0,
    )


def filled(*entries, capacity=64, victim=lambda count: 0):
    """A TLB with these entries: (number of the address space, translation)."""
    tlb = Tlb("tlb", capacity, victim)
    for number, entry in entries:
        tlb.fill(number, entry)
    return tlb


A, B = page(0x1000), page(0x2000)
GLOBAL = page(0x9000, everywhere=True)


def pages(tlb):
    return [(number, entry.va) for number, entry in tlb.entries()]


def test_an_entry_serves_the_addresses_of_its_page_in_its_address_space():
    tlb = filled((1, A))
    assert (A, A, None, None) == tuple(
        tlb.find(n, va) for n, va in [(1, 0x1000), (1, 0x1FFF), (1, 0x2000), (2, 0x1000)]
    )


def test_a_global_entry_serves_every_address_space():
    tlb = filled((1, GLOBAL))
    assert (GLOBAL, GLOBAL) == (tlb.find(1, 0x9000), tlb.find(2, 0x9000))


@pytest.mark.parametrize(("level", "size"), [(2, 2 << 20), (3, 1 << 30)])
def test_a_large_entry_serves_its_whole_page(level, size):
    tlb = filled((0, page(size, level=level)))
    assert (True, True, False) == tuple(tlb.find(0, va) is not None for va in (size, 2 * size - 1, 2 * size))


def test_where_a_small_and_a_large_entry_are_the_small_one_is_found():
    small = page(0x20_0000)
    tlb = filled((0, page(0x20_0000, level=2)), (0, small))
    assert small is tlb.find(0, 0x20_0000)


def test_lookups_and_hits_are_counted():
    tlb = filled((0, A))
    for va in (0x1000, 0x1000, 0x5000):
        tlb.find(0, va)
    assert (3, 2) == (tlb.lookups, tlb.hits)


def test_asking_what_it_holds_is_no_use():
    tlb = filled((0, A), (0, B))
    assert (True, False, 0) == (tlb.holds(0, 0x1000), tlb.holds(1, 0x1000), tlb.lookups)
    assert [(0, 0x1000), (0, 0x2000)] == pages(tlb)


def test_a_full_one_gives_up_what_was_used_longest_ago():
    tlb = filled((0, A), (0, B), capacity=2)
    tlb.find(0, 0x1000)
    tlb.fill(0, page(0x3000))
    assert [(0, 0x1000), (0, 0x3000)] == pages(tlb)


def test_which_one_gives_way_may_be_drawn():
    asked = []
    tlb = filled((0, A), (0, B), capacity=2, victim=lambda count: asked.append(count) or 1)
    tlb.fill(0, page(0x3000))
    assert ([2], [(0, 0x1000), (0, 0x3000)]) == (asked, pages(tlb))


def test_a_page_that_is_filled_again_takes_no_more_room():
    tlb = filled((0, A), (0, B), capacity=2)
    tlb.fill(0, page(0x1000, frame=9))
    assert (2, 9) == (len(tlb), tlb.find(0, 0x1000).frame)


BOTH = ((1, A), (1, B), (2, A), (2, GLOBAL), (1, page(0, level=2)))


@pytest.mark.parametrize(
    ("do", "left"),
    [
        (lambda tlb: tlb.invalidate(1, 0x1234), [(1, 0x2000), (2, 0x1000), (-1, 0x9000)]),
        (lambda tlb: tlb.invalidate(1, 0x9000), [(1, 0x1000), (1, 0x2000), (2, 0x1000)]),
        (
            lambda tlb: tlb.invalidate(2, 0x9000, everywhere=False),
            [(1, 0x1000), (1, 0x2000), (2, 0x1000), (-1, 0x9000), (1, 0)],
        ),
        (lambda tlb: tlb.flush(), [(-1, 0x9000)]),
        (lambda tlb: tlb.flush(1), [(2, 0x1000), (-1, 0x9000)]),
        (lambda tlb: tlb.flush(everywhere=True), []),
        (lambda tlb: tlb.flush(2, everywhere=True), [(1, 0x1000), (1, 0x2000), (1, 0)]),
    ],
    ids=["page", "global page", "page of a space", "all", "a space", "everything", "a space and global"],
)
def test_a_flush_takes_what_it_names_and_nothing_else(do, left):
    tlb = filled(*BOTH)
    do(tlb)
    assert left == pages(tlb)


def test_a_report_shows_what_was_used_last():
    assert "empty" == filled().state()
    shown = filled(*((0, page(n << 12)) for n in range(6))).state()
    assert shown.startswith("0x5000 -> frame[0]")
    assert shown.endswith(" and 2 more")
