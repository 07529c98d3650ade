"""Entries: the bits at their places, the entry of an address, what is reserved."""

from __future__ import annotations

import pytest

from vmsmp.mmu import entry
from vmsmp.mmu.entry import (
    ENTRIES,
    PG_A,
    PG_G,
    PG_M,
    PG_NX,
    PG_PS,
    PG_RW,
    PG_U,
    PG_V,
    base_of,
    canonical,
    entry_format,
    frame_of,
    index_of,
    is_leaf,
    key_of,
    make_entry,
    reserved_bits,
    shift_of,
)

#: As the processor's manual numbers them.
BITS = {"V": 0, "RW": 1, "U": 2, "PWT": 3, "PCD": 4, "A": 5, "M": 6, "PS": 7, "G": 8, "NX": 63}


@pytest.mark.parametrize(("name", "number"), BITS.items())
def test_a_bit_is_where_the_manual_has_it(name, number):
    assert 1 << number == getattr(entry, f"PG_{name}")


@pytest.mark.parametrize(
    ("level", "reach"),
    [(1, 4 << 10), (2, 2 << 20), (3, 1 << 30), (4, 512 << 30)],
    ids=["PT", "PD", "PDP", "PML4"],
)
def test_an_entry_of_a_level_covers_so_many_bytes(level, reach):
    assert reach == 1 << shift_of(level)


@pytest.mark.parametrize(
    ("va", "indexes"),
    [
        (0, (0, 0, 0, 0)),
        (0x0000_7FFF_FFFF_FFFF, (255, 511, 511, 511)),
        (0xFFFF_8000_0000_0000, (256, 0, 0, 0)),
        (0x40_1234, (0, 0, 2, 1)),
        (1 << 39 | 2 << 30 | 3 << 21 | 4 << 12 | 5, (1, 2, 3, 4)),
    ],
)
def test_an_address_has_nine_bits_for_each_level(va, indexes):
    assert indexes == tuple(index_of(va, level) for level in (4, 3, 2, 1))


@pytest.mark.parametrize(("level", "base"), [(1, 0x4060_5000), (2, 0x4060_0000), (3, 0x4000_0000)])
def test_a_page_begins_where_its_level_says(level, base):
    assert base == base_of(0x4060_5432, level)


@pytest.mark.parametrize(
    ("va", "is_one"),
    [
        (0, True),
        ((1 << 47) - 1, True),
        (1 << 47, False),
        (0xFFFF_7FFF_FFFF_FFFF, False),
        (0xFFFF_8000_0000_0000, True),
        ((1 << 64) - 1, True),
        (1 << 64, False),
        (-1, False),
    ],
)
def test_the_upper_bits_of_an_address_are_all_alike(va, is_one):
    assert is_one is canonical(va)


def test_an_entry_gives_back_what_it_was_made_of():
    pte = make_entry(0xAB_CDEF, PG_V | PG_NX, key=13)
    assert (0xAB_CDEF, 13, PG_V | PG_NX) == (frame_of(pte), key_of(pte), pte & (PG_V | PG_NX | PG_RW))


@pytest.mark.parametrize(
    ("level", "bits", "leaf"),
    [(1, 0, True), (1, PG_PS, True), (2, 0, False), (2, PG_PS, True), (3, PG_PS, True), (4, PG_PS, False)],
)
def test_a_page_is_mapped_at_the_lowest_level_or_by_a_large_entry(level, bits, leaf):
    assert leaf is is_leaf(PG_V | bits, level)


@pytest.mark.parametrize(
    ("level", "pte", "nxe", "reserved"),
    [
        (4, PG_PS, True, PG_PS),
        (3, PG_PS, True, 0),
        (3, PG_PS | 1 << 12, True, 0),
        (3, PG_PS | 1 << 13, True, 1 << 13),
        (3, PG_PS | 1 << 29 | 1 << 30, True, 1 << 29),
        (2, PG_PS | 1 << 20 | 1 << 21, True, 1 << 20),
        (2, 1 << 13, True, 0),
        (1, PG_PS, True, 0),
        (1, PG_NX, True, 0),
        (1, PG_NX, False, PG_NX),
    ],
)
def test_some_bits_have_to_be_clear(level, pte, nxe, reserved):
    assert reserved == reserved_bits(PG_V | pte, level, nxe=nxe)


@pytest.mark.parametrize(
    ("pte", "told"),
    [
        (0, "0"),
        (0x1000, "not present"),
        (make_entry(7, PG_V), "frame 7 r"),
        (make_entry(7, PG_V | PG_RW | PG_U | PG_A | PG_M), "frame 7 rwuAM"),
        (make_entry(512, PG_V | PG_PS | PG_G | PG_NX, key=3), "frame 512 rPSGxd key 3"),
    ],
)
def test_a_report_shows_an_entry_in_letters(pte, told):
    assert told == entry_format(pte)


def test_a_table_fills_a_frame():
    assert entry.PAGE_SIZE == ENTRIES * 8 == entry.PIECES * 512
