"""The buddy allocator on one CPU: zones, splits, merges, and what is refused."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.mmu.textbook.buddy import MAX_ORDER, BuddyMemory, zone_ranges


def on_a_machine(program, **options):
    """What `program` returns, run by the boot CPU."""
    told = []
    result = vmsmp.explore(lambda m: told.append(program(m)), schedules=1, **options)
    assert result.failure is None
    return told[0]


def blocks(memory):
    return [block for zone in memory.zones for block in zone.free_blocks()]


# -- zones ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "zones"),
    [
        (1024, [("DMA", 0, 1024)]),
        (4096, [("DMA", 0, 4096)]),
        (5000, [("DMA", 0, 4096), ("DMA32", 4096, 5000)]),
        (1 << 21, [("DMA", 0, 4096), ("DMA32", 4096, 1 << 20), ("NORMAL", 1 << 20, 1 << 21)]),
    ],
)
def test_a_pc_has_the_zones_that_its_memory_reaches(frames, zones):
    assert zones == zone_ranges(frames)


@pytest.mark.parametrize(
    ("frames", "free"),
    [
        (1, [(0, 0)]),
        (7, [(6, 0), (4, 1), (0, 2)]),
        (1024, [(0, MAX_ORDER)]),
        (2050, [(2048, 1), (0, MAX_ORDER), (1024, MAX_ORDER)]),
    ],
)
def test_a_new_zone_is_cut_into_the_largest_blocks_that_fit(frames, free):
    assert free == on_a_machine(lambda m: blocks(BuddyMemory(m, frames, {"NORMAL": None})))


def test_a_zone_that_begins_in_the_middle_has_aligned_blocks_only():
    found = on_a_machine(lambda m: blocks(BuddyMemory(m, 16, {"DMA": 6, "NORMAL": None})))
    assert [(4, 1), (0, 2), (6, 1), (8, 3)] == found


def test_a_request_is_served_by_the_highest_zone_and_then_by_those_below():
    def program(m):
        memory = BuddyMemory(m, 12, {"DMA": 4, "DMA32": 8, "NORMAL": None})
        return [memory.alloc(2) for _ in range(4)]

    assert [8, 4, 0, None] == on_a_machine(program)


def test_a_request_for_a_zone_is_never_served_by_one_above():
    def program(m):
        memory = BuddyMemory(m, 12, {"DMA": 4, "DMA32": 8, "NORMAL": None})
        return [memory.alloc(2, "DMA32"), memory.alloc(2, "DMA32"), memory.alloc(0, "DMA32")]

    assert [4, 0, None] == on_a_machine(program)


# -- blocks ---------------------------------------------------------------------------------------


def test_a_block_is_split_down_to_the_order_asked_for():
    """The textbook's 256 KiB segment and its request for 21 KB: halves of 128, 64 and 32 KiB are left."""

    def program(m):
        memory = BuddyMemory(m, 64, {"NORMAL": None})
        return memory.alloc(3), blocks(memory)

    assert (0, [(8, 3), (16, 4), (32, 5)]) == on_a_machine(program)


def test_the_smallest_block_that_fits_is_taken():
    def program(m):
        memory = BuddyMemory(m, 16, {"NORMAL": None})
        taken = [memory.alloc(1), memory.alloc(2)]
        return taken, memory.alloc(0), memory.alloc(1)

    assert ([0, 4], 2, 8) == on_a_machine(program)


def test_a_block_that_is_freed_merges_all_the_way_up():
    def program(m):
        memory = BuddyMemory(m, 16, {"NORMAL": None})
        taken = [memory.alloc(0) for _ in range(16)]
        for block in taken[::2] + taken[1::2]:
            memory.free(block)
        return sorted(taken), blocks(memory)

    assert ([*range(16)], [(0, 4)]) == on_a_machine(program)


def test_a_block_does_not_merge_with_a_buddy_that_is_split():
    def program(m):
        memory = BuddyMemory(m, 8, {"NORMAL": None})
        first, _second = memory.alloc(2), memory.alloc(0)
        memory.free(first)
        return blocks(memory)

    assert [(5, 0), (6, 1), (0, 2)] == on_a_machine(program)


def test_a_block_does_not_merge_across_the_end_of_its_zone():
    def program(m):
        memory = BuddyMemory(m, 8, {"DMA": 4, "NORMAL": None})
        for block in [memory.alloc(2), memory.alloc(2)]:
            memory.free(block)
        return blocks(memory)

    assert [(0, 2), (4, 2)] == on_a_machine(program)


def test_a_request_larger_than_any_block_is_refused_although_frames_are_free():
    def program(m):
        memory = BuddyMemory(m, 4, {"NORMAL": None})
        keep = [memory.alloc(0) for _ in range(4)]
        memory.free(keep[0])
        memory.free(keep[2])
        return memory.alloc(1), memory.zones[0].peek("nr_free"), memory.unusable(1), memory.unusable(0)

    assert (None, 2, 1.0, 0.0) == on_a_machine(program)


def test_memory_without_a_free_frame_has_none_that_cannot_be_used():
    def program(m):
        memory = BuddyMemory(m, 2, {"NORMAL": None})
        memory.alloc(1)
        return memory.unusable(0)

    assert 0.0 == on_a_machine(program)


@pytest.mark.parametrize("block", [1, 2])
def test_only_a_block_that_was_given_out_can_be_freed(block):
    def program(m):
        memory = BuddyMemory(m, 4, {"NORMAL": None})
        memory.alloc(1)
        memory.free(block)

    failure = vmsmp.explore(program, schedules=1).failure
    assert "panic: the block that is freed was not given out" in failure.message


def test_a_zone_says_what_it_has():
    def program(m):
        memory = BuddyMemory(m, 8, {"NORMAL": None})
        memory.alloc(0)
        return memory.zones[0].name, memory.zones[0].state()

    counts = "1 1 1" + " 0" * (MAX_ORDER - 2)
    assert ("zone[NORMAL]", f"7 frames free, blocks by order: {counts}") == on_a_machine(program)


# -- locks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("locks", ["atomic", "exact"])
@pytest.mark.parametrize("name", ["free_area", "given"])
def test_the_lists_of_a_zone_are_read_under_its_lock(name, locks):
    def program(m):
        memory = BuddyMemory(m, 4, {"NORMAL": None})
        m.spawn(lambda: getattr(memory.zones[0], name))
        m.join()

    failure = vmsmp.explore(program, schedules=1, locks=locks).failure
    assert ("field-lock", f"zone.{name} read without the zone's spinlock") == (failure.kind, failure.message)


def test_one_cpu_after_another_finds_every_frame():
    result = vmsmp.explore(two_users, sched="dpor", schedules=10_000)
    assert (None, True) == (result.failure, result.exhausted)


def two_users(m):
    memory = BuddyMemory(m, 2, {"NORMAL": None})

    def user():
        block = memory.alloc(0)
        m.check(block is not None, "there is a frame for each")
        memory.free(block)

    m.spawn(user)
    m.spawn(user)
    m.join()
