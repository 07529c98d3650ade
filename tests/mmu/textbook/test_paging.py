"""Page tables of any layout: how addresses are cut, what a walk reads and sets, what tables cost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmsmp.mmu.fault import Access
from vmsmp.mmu.textbook.entry import FaultCode, Pte
from vmsmp.mmu.textbook.paging import (
    FLAT,
    FOUR_LEVELS,
    PAGE_BYTES,
    TWO_LEVELS,
    PageFault,
    PageTable,
)

LAYOUTS = pytest.mark.parametrize("layout", [FLAT, TWO_LEVELS, FOUR_LEVELS], ids=["flat", "two", "four"])


@pytest.mark.parametrize(
    ("layout", "address", "parts"),
    [
        (FLAT, 0xABCDE123, ((0xABCDE,), 0x123)),
        (TWO_LEVELS, 0xFFC01FFF, ((1023, 1), 0xFFF)),
        (FOUR_LEVELS, 0x8040_2010_0001, ((256, 256, 256, 256), 1)),
        (FOUR_LEVELS, 0xFFFF_FFFF_FFFF, ((511, 511, 511, 511), 0xFFF)),
    ],
)
def test_an_address_is_cut_into_an_index_a_level_and_an_offset(layout, address, parts):
    assert parts == layout.split(address)


@LAYOUTS
def test_a_walk_finds_what_was_mapped_and_keeps_the_offset(layout):
    table = PageTable(layout)
    table.map(0x123000, 77)
    walk = table.walk(0x123456)
    assert (77 * PAGE_BYTES + 0x456, len(layout.levels)) == (walk.physical, walk.references)


@LAYOUTS
def test_a_walk_of_nothing_stops_where_a_table_is_missing(layout):
    walk = PageTable(layout).walk(0x123456)
    assert (0, 1) == (walk.entry, walk.references)


@LAYOUTS
def test_what_is_not_mapped_faults_and_the_address_is_told(layout):
    table = PageTable(layout)
    table.map(0, 1)
    table.unmap(0)
    with pytest.raises(PageFault) as caught:
        table.translate(0x10, Access(write=True))
    assert (0x10, FaultCode.WR | FaultCode.US) == (caught.value.address, caught.value.code)
    assert "page fault at 0x10, error code 0x6" == str(caught.value)


def test_unmapping_what_is_not_there_does_nothing():
    table = PageTable(FOUR_LEVELS)
    table.unmap(0x5000)
    assert (1, 0, 0, 0) == table.tables()


@LAYOUTS
def test_a_read_marks_the_page_accessed_and_a_write_dirty(layout):
    table = PageTable(layout)
    table.map(0, 1)
    assert Pte.A == table.translate(0).entry & (Pte.A | Pte.D)
    assert Pte.A | Pte.D == table.translate(0, Access(write=True)).entry & (Pte.A | Pte.D)
    assert Pte.A | Pte.D == table.walk(0).entry & (Pte.A | Pte.D)


def test_a_refused_access_marks_nothing():
    table = PageTable(FOUR_LEVELS)
    table.map(0, 1, "r--")
    with pytest.raises(PageFault):
        table.translate(0, Access(write=True))
    assert 0 == table.walk(0).entry & (Pte.A | Pte.D)


def test_a_walk_alone_marks_nothing():
    table = PageTable(TWO_LEVELS)
    table.map(0, 1)
    table.walk(0)
    assert 0 == table.walk(0).entry & Pte.A


def test_a_key_is_looked_at():
    table = PageTable(FLAT)
    table.map(0, 1, flags=1 << 59)
    with pytest.raises(PageFault, match="error code 0x25"):
        table.translate(0, pkru=0b01 << 2)


@pytest.mark.parametrize(
    ("layout", "pages", "tables", "taken"),
    [
        (FLAT, [], (1,), 4 << 20),
        (TWO_LEVELS, [], (1, 0), 4096),
        (TWO_LEVELS, [0, 1023], (1, 1), 8192),
        (TWO_LEVELS, [0, 1024], (1, 2), 12288),
        (FOUR_LEVELS, [0], (1, 1, 1, 1), 16384),
        (FOUR_LEVELS, [0, 512], (1, 1, 1, 2), 20480),
        (FOUR_LEVELS, [0, 1 << 35], (1, 2, 2, 2), 28672),
    ],
)
def test_tables_are_made_where_pages_are_mapped(layout, pages, tables, taken):
    table = PageTable(layout)
    for page in pages:
        table.map(page * PAGE_BYTES, 1)
    assert (tables, taken) == (table.tables(), table.bytes)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from([FLAT, TWO_LEVELS, FOUR_LEVELS]),
    st.lists(st.tuples(st.booleans(), st.integers(0, 3000), st.integers(0, 1 << 20)), max_size=40),
)
def test_a_table_does_what_a_dictionary_does(layout, calls):
    table, wanted = PageTable(layout), {}
    for mapped, page, frame in calls:
        if mapped:
            table.map(page * PAGE_BYTES, frame)
            wanted[page] = frame
        else:
            table.unmap(page * PAGE_BYTES)
            wanted.pop(page, None)
    for _, page, _ in calls:
        entry = table.walk(page * PAGE_BYTES).entry
        assert wanted.get(page) == (table.walk(page * PAGE_BYTES).physical // PAGE_BYTES if entry else None)
