"""What tables say of an address: the entries read, where they stop, and the rights that they make."""

from __future__ import annotations

import dataclasses

import pytest

from vmsmp.mmu.entry import PG_G, PG_NX, PG_PS, PG_RW, PG_U, PG_V, index_of, make_entry
from vmsmp.mmu.fault import PGEX_P, PGEX_RSV
from vmsmp.mmu.walk import Translation, combine, walk_tables

VA = 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12 | 5
ALL = PG_V | PG_RW | PG_U


def tables(*entries):
    """Tables in frames 1, 2, 3 and 4 whose entries for VA are these, root first; and what was read."""
    words = {(level_frame, index_of(VA, 5 - level_frame)): pte for level_frame, pte in enumerate(entries, 1)}
    asked = []

    def read(frame, index):
        asked.append((frame, index))
        return words.get((frame, index), 0)

    return read, asked


def found(*entries, nxe=True):
    read, _ = tables(*entries)
    walked = walk_tables(read, 1, VA, nxe=nxe)
    assert walked.wrong is None
    return combine(1, VA, walked.steps, nxe=nxe)


def chain(leaf, upper=ALL):
    """Three tables, and the leaf."""
    return (*(make_entry(frame, upper) for frame in (2, 3, 4)), leaf)


def test_a_walk_reads_one_entry_of_each_level_from_the_root_on():
    read, asked = tables(*chain(make_entry(9)))
    walked = walk_tables(read, 1, VA, nxe=True)
    assert [(1, 1), (2, 2), (3, 3), (4, 4)] == asked
    assert [4, 3, 2, 1] == [step.level for step in walked.steps]


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_walk_stops_at_an_entry_that_is_not_present(level):
    entries = list(chain(make_entry(9)))
    entries[level] &= ~PG_V
    entries[level] |= PG_NX | PG_PS  # all other bits are ignored
    read, asked = tables(*entries)
    assert 0 == walk_tables(read, 1, VA, nxe=False).wrong
    assert level + 1 == len(asked)


@pytest.mark.parametrize(
    ("level", "bits"), [(0, PG_PS), (1, PG_PS | 1 << 13), (2, PG_PS | 1 << 20), (3, PG_NX)]
)
def test_a_walk_stops_at_a_reserved_bit(level, bits):
    entries = list(chain(make_entry(9)))
    entries[level] |= bits
    read, asked = tables(*entries)
    assert PGEX_P | PGEX_RSV == walk_tables(read, 1, VA, nxe=False).wrong
    assert level + 1 == len(asked)


@pytest.mark.parametrize(
    ("upper", "leaf", "rights"),
    [
        (ALL, ALL, (True, True, True)),
        (ALL, PG_V, (False, False, True)),
        (PG_V | PG_U, ALL, (False, True, True)),
        (PG_V | PG_RW, ALL, (True, False, True)),
        (ALL | PG_NX, ALL, (True, True, False)),
        (ALL, ALL | PG_NX, (True, True, False)),
    ],
)
def test_a_right_is_what_all_levels_give(upper, leaf, rights):
    made = found(*chain(make_entry(9, leaf), upper))
    assert rights == (made.writeable, made.user, made.executable)


def test_execution_is_never_forbidden_where_the_bit_means_nothing():
    read, _ = tables(*chain(make_entry(9)))
    steps = tuple(
        dataclasses.replace(step, value=step.value | PG_NX)
        for step in walk_tables(read, 1, VA, nxe=False).steps
    )
    assert combine(1, VA, steps, nxe=False).executable


@pytest.mark.parametrize(
    ("entries", "level", "base", "frame"),
    [
        (chain(make_entry(9)), 1, VA & ~0xFFF, 9),
        ((make_entry(2), make_entry(3), make_entry(512, ALL | PG_PS)), 2, VA & ~0x1F_FFFF, 512 + 4),
        ((make_entry(2), make_entry(1 << 18, ALL | PG_PS)), 3, VA & ~0x3FFF_FFFF, (1 << 18) + 3 * 512 + 4),
    ],
    ids=["4 KiB", "2 MiB", "1 GiB"],
)
def test_a_page_is_as_large_as_the_level_of_its_entry(entries, level, base, frame):
    made = found(*entries)
    assert (level, base, frame) == (made.level, made.va, made.frame_at(VA))


def test_the_memory_type_of_a_large_page_is_no_part_of_its_frame():
    assert 512 == found(make_entry(2), make_entry(3), make_entry(512, ALL | PG_PS | 1 << 12)).frame


@pytest.mark.parametrize(("bits", "key"), [(ALL, 0), (ALL | PG_G, 15)])
def test_global_and_the_key_are_the_leaf_s(bits, key):
    made = found(*chain(make_entry(9, bits, key), ALL | PG_G))
    assert (bool(bits & PG_G), key) == (made.everywhere, made.key)


# -- comparing -----------------------------------------------------------------------------------


def translation(**how):
    given = {"root": 1, "va": 0x20_0000, "level": 1, "frame": 7, "key": 0, "everywhere": False}
    rights = {"writeable": False, "user": True, "executable": True}
    return Translation(**{**given, **rights, **how})


LARGE = translation(level=2, frame=512, writeable=True)


@pytest.mark.parametrize(
    ("one", "other", "is_within"),
    [
        (translation(), translation(), True),
        (translation(), None, False),
        (translation(), translation(writeable=True), True),
        (translation(writeable=True), translation(), False),
        (translation(), translation(user=False), False),
        (translation(user=False), translation(), True),
        (translation(), translation(executable=False), False),
        (translation(), translation(frame=8), False),
        (translation(), translation(key=1), False),
        (translation(), translation(va=0x20_1000), False),
        (translation(dirty=True), translation(), True),
        (translation(va=0x20_3000, frame=515), LARGE, True),
        (translation(va=0x20_3000, frame=516), LARGE, False),
        (LARGE, translation(frame=512, writeable=True), False),
    ],
)
def test_one_is_within_another_if_that_gives_all_of_it(one, other, is_within):
    assert is_within is one.within(other)


def test_a_part_of_a_large_page_is_a_small_one():
    assert translation(va=0x20_3000, frame=515, writeable=True) == LARGE.at(0x20_3456)


def test_a_large_page_covers_its_addresses():
    assert (True, True, False) == (LARGE.covers(0x20_0000), LARGE.covers(0x3F_FFFF), LARGE.covers(0x40_0000))


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (translation(), "0x200000 -> frame[7] r-x user"),
        (translation(writeable=True, executable=False, dirty=True), "0x200000 -> frame[7] rw- user dirty"),
        (translation(user=False, everywhere=True, key=2), "0x200000 -> frame[7] r-x global key 2"),
    ],
)
def test_a_translation_tells_page_frame_and_rights(one, told):
    assert told == str(one)
