"""Caches: by which addresses they look, and what homonyms and synonyms do to them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmsmp.mmu.textbook.cache import LINE_BYTES, Cache, Kind, homonym_is_seen, synonym_is_stale
from vmsmp.mmu.textbook.paging import PAGE_BYTES

SIZE = 16 * 1024


@pytest.mark.parametrize(("kind", "seen"), [(Kind.VIVT, True), (Kind.VIPT, False), (Kind.PIPT, False)])
@pytest.mark.parametrize("ways", [1, 4])
def test_a_homonym_hits_only_where_the_tag_is_virtual(kind, seen, ways):
    assert seen == homonym_is_seen(kind, SIZE, ways)


@pytest.mark.parametrize(
    ("kind", "ways", "stale"),
    [
        (Kind.VIVT, 1, True),
        (Kind.VIVT, 4, True),
        (Kind.VIPT, 1, True),
        (Kind.VIPT, 2, True),
        (Kind.VIPT, 4, False),
        (Kind.PIPT, 1, False),
    ],
)
def test_a_synonym_is_stale_where_it_has_a_copy_of_its_own(kind, ways, stale):
    assert stale == synonym_is_stale(kind, SIZE, ways)


@pytest.mark.parametrize("ways", [1, 2, 4])
def test_with_pages_of_one_colour_a_physically_tagged_cache_has_one_copy(ways):
    assert not synonym_is_stale(Kind.VIPT, SIZE, ways, coloured=True)


def test_colours_help_a_virtually_tagged_cache_only_while_a_set_has_one_line():
    assert [False, True] == [synonym_is_stale(Kind.VIVT, SIZE, ways, coloured=True) for ways in (1, 4)]


@pytest.mark.parametrize(
    ("kind", "ways", "colours"), [(Kind.VIVT, 1, 4), (Kind.VIPT, 2, 2), (Kind.VIPT, 4, 1), (Kind.PIPT, 1, 1)]
)
def test_a_cache_has_as_many_colours_as_pages_fit_a_way(kind, ways, colours):
    assert colours == Cache(kind, SIZE, ways, {}).colours


def test_a_dirty_line_is_written_back_when_it_leaves():
    cache = Cache(Kind.PIPT, LINE_BYTES, 1, {})
    cache.write(0, 0, 5)
    assert {} == cache.memory
    cache.read(LINE_BYTES, LINE_BYTES)
    assert {0: 5} == cache.memory


def test_a_flush_writes_back_and_forgets():
    cache = Cache(Kind.VIVT, SIZE, 4, {})
    cache.write(0, PAGE_BYTES, 5)
    cache.flush()
    assert ({PAGE_BYTES // LINE_BYTES: 5}, 0) == (cache.memory, cache.copies(PAGE_BYTES))


def test_the_line_unused_for_longest_leaves_its_set():
    cache = Cache(Kind.PIPT, 2 * LINE_BYTES, 2, {})
    for line in (0, 1, 0, 2):
        cache.read(line * LINE_BYTES, line * LINE_BYTES)
    assert [1, 0, 1] == [cache.copies(line * LINE_BYTES) for line in range(3)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9) | st.none()), max_size=40),
    st.sampled_from([(Kind.PIPT, 4 * LINE_BYTES, 2), (Kind.VIPT, PAGE_BYTES, 1), (Kind.VIPT, SIZE, 4)]),
)
def test_a_cache_without_synonym_trouble_is_memory(accesses, design):
    """Any page may be mapped to any frame: two pages of one frame are read and written."""
    kind, size, ways = design
    cache, memory = Cache(kind, size, ways, {}), {}
    for page, frame, value in accesses:
        virtual, physical = page * PAGE_BYTES, frame * PAGE_BYTES
        if value is None:
            assert memory.get(frame, 0) == cache.read(virtual, physical)
        else:
            cache.write(virtual, physical, value)
            memory[frame] = value
