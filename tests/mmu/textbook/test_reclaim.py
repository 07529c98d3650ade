"""Reclaim: the order, what is passed by, and the end."""

from __future__ import annotations

import pytest

from vmsmp.mmu.textbook.reclaim import Frame, Freed, Holds, Means, Memory, OutOfMemory


def memory_of(*frames, swap=0, free=0):
    memory = Memory(len(frames) + free, swap)
    for frame in frames:
        memory.allocate(frame)
    return memory


def file(process="p", **what):
    return Frame(Holds.FILE, process, **what)


def anonymous(process="p", **what):
    return Frame(Holds.ANONYMOUS, process, **what)


CACHE = Holds.CACHE


def test_files_go_before_anonymous_pages_before_caches_before_processes():
    memory = memory_of(anonymous(), Frame(CACHE), file(dirty=True), file(), anonymous("q"), swap=2)
    assert [
        Freed(Means.WRITE_BACK, "p", 1),
        Freed(Means.DROP, "p", 1),
        Freed(Means.SWAP_OUT, "p", 1),
        Freed(Means.SWAP_OUT, "q", 1),
        Freed(Means.SHRINK, "", 1),
    ] == [memory.reclaim() for _ in range(5)]
    assert (5, {"p": 1, "q": 1}, 0) == (memory.free, memory.swapped, memory.free_slots)


def test_without_room_on_swap_anonymous_pages_stay():
    memory = memory_of(anonymous(), Frame(CACHE))
    assert Freed(Means.SHRINK, "", 1) == memory.reclaim()


def test_a_locked_page_is_passed_by():
    memory = memory_of(file(locked=True), anonymous(locked=True), file("q"), swap=5)
    assert [Freed(Means.DROP, "q", 1), Freed(Means.KILL, "p", 2)] == [memory.reclaim() for _ in range(2)]


def test_of_one_kind_what_was_used_longest_ago_goes_first():
    memory = memory_of(file("a"), file("b"), file("a"))
    assert ["a", "b", "a"] == [memory.reclaim().process for _ in range(3)]


def test_the_process_with_the_most_pages_is_killed_swap_included():
    memory = memory_of(anonymous("big"), anonymous("big"), anonymous("mid"), anonymous("mid"), swap=1)
    assert [Freed(Means.SWAP_OUT, "big", 1), Freed(Means.KILL, "big", 1)] == [
        memory.reclaim() for _ in range(2)
    ]
    assert ({}, 2, {"mid": 2}) == (memory.swapped, memory.free, memory.sizes())


def test_a_killed_process_gives_its_swap_back():
    memory = memory_of(anonymous("a"), anonymous("a"), swap=1)
    memory.reclaim()
    memory.reclaim()
    assert (1, 2) == (memory.free_slots, memory.free)


def test_a_victim_with_nothing_in_memory_is_followed_by_another():
    memory = memory_of(anonymous("a"), anonymous("a"), anonymous("b", locked=True), swap=2)
    assert [Means.SWAP_OUT, Means.SWAP_OUT] == [memory.reclaim().means for _ in range(2)]
    assert Freed(Means.KILL, "b", 1) == memory.reclaim()


def test_with_nobody_left_to_kill_memory_is_out():
    memory = Memory(1, 0)
    memory.allocate(Frame(CACHE, locked=True))
    with pytest.raises(OutOfMemory, match="nobody to kill"):
        memory.allocate(anonymous())


def test_an_allocation_reclaims_one_frame_if_none_is_free():
    memory = memory_of(file(), free=1)
    assert [True, True, True] == [memory.allocate(anonymous("q")) for _ in range(2)] + [
        memory.used[0].process == "q"
    ]
    assert [Freed(Means.DROP, "p", 1)] == memory.log


def test_a_process_that_is_killed_for_its_own_request_gets_nothing():
    memory = memory_of(anonymous("hog"), anonymous("hog"))
    assert (False, 2) == (memory.allocate(anonymous("hog")), memory.free)
