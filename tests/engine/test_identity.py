"""Identities: by creation, by block and by name."""

from __future__ import annotations

import pytest

from vmsmp.engine import ops
from vmsmp.engine.identity import FIRST_BLOCK, FIRST_NAMED, Blocks, Identities


@pytest.fixture
def two():
    """Identities of a machine with two CPUs."""
    made = Identities()
    made.made += [None], [None]
    return made


def letters(n):
    return "abcdefgh"[n]


def test_the_first_object_of_a_cpu_has_number_one(two):
    assert ops.identity(1, 1) == two.enroll(1, "thing")


def test_what_was_enrolled_is_found(two):
    assert "thing" == two.find(two.enroll(1, "thing"))


def test_number_zero_is_nobody(two):
    assert None is two.find(0)


@pytest.mark.parametrize("ident", [ops.identity(1, 1), ops.identity(7, 1), ops.identity(1, FIRST_BLOCK)])
def test_what_nobody_made_is_not_found(two, ident):
    assert None is two.find(ident)


def test_a_reserved_identity_is_found_by_its_finder(two):
    first = two.reserve(1, 8, letters)
    assert ["a", "h"] == [two.find(first), two.find(first + (7 << ops.CPU_BITS))]


def test_a_block_ends_where_the_next_begins(two):
    first = two.reserve(1, 3, letters)
    assert first + (3 << ops.CPU_BITS) == two.reserve(1, 1, letters)


def test_two_cpus_blocks_do_not_meet(two):
    assert 1 == abs(two.reserve(0, 8, letters) - two.reserve(1, 8, letters))


@pytest.mark.parametrize(("n", "expected"), [(0, 0), (2, 2), (3, 0), (4, 1)])
def test_an_identity_knows_its_place_in_its_block(two, n, expected):
    first = two.reserve(1, 3, letters)
    two.reserve(1, 2, letters)
    assert (letters, expected) == two.block_of(first + (n << ops.CPU_BITS))


@pytest.mark.parametrize("ident", [0, ops.identity(1, 1), FIRST_NAMED, ops.identity(0, FIRST_BLOCK)])
def test_an_identity_that_nobody_reserved_is_in_no_block(two, ident):
    two.reserve(1, 3, letters)
    assert None is two.block_of(ident)


def test_the_number_after_the_last_block_is_in_none():
    blocks = Blocks()
    first = blocks.reserve(3, letters)
    assert None is blocks.block_of(first + 3)


def test_each_of_many_blocks_is_found_by_its_own_finder():
    blocks = Blocks()
    firsts = [blocks.reserve(5, lambda n, block=block: (block, n)) for block in range(1_000)]
    found = [blocks.block_of(first + 4) for first in firsts]
    assert [(block, 4) for block in range(1_000)] == [finder(n) for finder, n in found]


def test_a_name_has_one_identity(two):
    assert two.identify("bed") == two.identify("bed")


def test_a_name_is_found_by_its_identity(two):
    assert "bed" == two.find(two.identify("bed")).name


def test_a_name_that_nobody_asked_for_is_not_found(two):
    assert None is two.find(FIRST_NAMED | 1)


def test_names_are_above_all_that_can_be_reserved(two):
    assert two.identify("bed") >= FIRST_NAMED > ops.identity(63, FIRST_BLOCK)


def test_a_walk_gives_what_was_made_one_by_one(two):
    two.enroll(1, "b")
    two.enroll(0, "a")
    two.reserve(0, 8, letters)
    assert ["a", "b"] == list(two)


def test_a_machine_s_cpus_make_identities_of_their_own(controlled):
    seen = []

    def program(m):
        m.spawn(lambda: seen.append(m.enroll("other")))
        m.join()
        seen.append(m.enroll("thing"))

    controlled(program)
    assert [ops.identity(1, 1), ops.identity(0, 2)] == seen
