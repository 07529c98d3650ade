"""The tree of entries: order, neighbours, and keys that are as they are now."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmsmp.vm.vm_map.tree import LONGEST, EntryTree


def entry(start):
    return SimpleNamespace(ba=SimpleNamespace(raw_start=start))


def filled(starts):
    tree = EntryTree()
    entries = {start: entry(start) for start in starts}
    for one in entries.values():
        assert None is tree.insert(one)
    return tree, entries


@settings(deadline=None)
@given(st.sets(st.integers(0, 3000), min_size=1, max_size=40), st.integers(0, 3000))
def test_the_last_entry_at_or_before_an_address_is_found(starts, address):
    tree, entries = filled(starts)
    before = [start for start in starts if start <= address]
    assert tree.at_or_before(address) is (entries[max(before)] if before else None)


@settings(deadline=None)
@given(st.lists(st.integers(0, 200), max_size=60), st.lists(st.integers(0, 200), max_size=60))
def test_entries_come_and_go_in_order(comes, goes):
    tree, there = EntryTree(), {}
    for start in comes:
        one = entry(start)
        assert there.get(start) is tree.insert(one)
        there.setdefault(start, one)
    for start in goes:
        if start in there:
            tree.remove(there.pop(start))
    assert [there[start] for start in sorted(there)] == list(tree)


def test_a_long_tree_is_in_several_lists_and_in_order():
    count = 5 * LONGEST
    tree, entries = filled((7 * n) % count for n in range(count))
    assert [*range(count)] == [one.ba.raw_start for one in tree]
    assert count == len(tree)
    middle = entries[count // 2]
    assert (count // 2 - 1, count // 2 + 1) == (
        tree.prev(middle).ba.raw_start,
        tree.next(middle).ba.raw_start,
    )


def test_the_ends_have_one_neighbour():
    tree, entries = filled([1, 2, 3])
    assert (None, entries[2]) == (tree.prev(entries[1]), tree.next(entries[1]))
    assert (entries[2], None) == (tree.prev(entries[3]), tree.next(entries[3]))
    assert (entries[1], entries[3]) == (tree.first(), tree.last())


def test_an_empty_tree_has_nothing():
    tree = EntryTree()
    assert (None, None, None, 0) == (tree.first(), tree.last(), tree.at_or_before(5), len(tree))


def test_a_key_may_change_while_its_entry_is_in_the_tree():
    tree, entries = filled([10, 20, 30])
    entries[20].ba.raw_start = 15
    tree.moved(entries[20], 20)
    assert entries[20] is tree.at_or_before(17)
    assert entries[30] is tree.next(entries[20])


def test_the_first_key_of_a_list_may_change():
    tree, entries = filled(range(0, 20 * LONGEST, 10))
    starts = [start for start in entries if start % 100 == 50]
    for start in starts:
        entries[start].ba.raw_start = start - 3
        tree.moved(entries[start], start)
    assert [*sorted(one.ba.raw_start for one in entries.values())] == [one.ba.raw_start for one in tree]
    assert all(entries[start] is tree.at_or_before(start - 2) for start in starts)


def test_an_entry_whose_key_is_out_of_order_can_be_removed():
    tree, entries = filled([10, 20, 30])
    entries[20].ba.raw_start = 5
    tree.moved(entries[20], 20)
    tree.remove(entries[20])
    assert [10, 30] == [one.ba.raw_start for one in tree]


def test_an_entry_that_is_not_there_cannot_be_removed():
    tree, _ = filled([10])
    with pytest.raises(LookupError, match="not in the tree"):
        tree.remove(entry(10))
