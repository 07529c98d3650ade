"""The alist: aligned runs, hints that follow failures, and frees of any part."""

from __future__ import annotations

import pytest

import vmsmp
from alists import HOME, Panic, alist_of, free_blocks
from vmsmp.vm.subr_alist import (
    ALIST_BLOCK_NONE,
    ALIST_RECORDS_65536,
    Alist,
    alist_alloc,
    alist_create,
    alist_free,
    alist_free_info,
    alist_init,
)


def used(blocks, *runs):
    """A list in which these runs are allocated."""
    bl = alist_of(blocks, free=False)
    at = 0
    for first, count in [*runs, (blocks, 0)]:
        if first > at:
            alist_free(bl, at, first - at)
        at = first + count
    return bl


# -- making one -----------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [1, 20, 32, 33, 512, 513, 4096])
def test_a_new_list_has_no_free_block(blocks):
    bl = alist_create(HOME, blocks)
    assert (0, ALIST_BLOCK_NONE, (0, 0, 0)) == (bl.bl_free, alist_alloc(bl, 0, 1), alist_free_info(bl))


@pytest.mark.parametrize(
    ("blocks", "radix", "records"),
    [(1, 32, 1), (32, 32, 1), (33, 512, 4), (512, 512, 17), (513, 8192, 36), (65536, 131072, 2186)],
)
def test_the_root_covers_all_blocks_and_the_array_has_the_nodes_that_there_are(blocks, radix, records):
    bl = alist_create(HOME, blocks)
    assert (blocks, radix, records) == (bl.bl_blocks, bl.bl_radix, bl.bl_rootblks)


def test_the_kernel_s_own_records_suffice_for_65536_blocks():
    alist_init(Alist(HOME), 65536, ALIST_RECORDS_65536)


def test_too_few_records_are_a_panic():
    with pytest.raises(Panic, match="too few records"):
        alist_init(Alist(HOME), 65536, 2185)


# -- allocating -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16, 32, 64, 512, 1024])
def test_the_lowest_run_is_taken(count):
    bl = used(4096, (0, 1))
    assert (count, 4096 - 1 - count) == (alist_alloc(bl, 0, count), bl.bl_free)


@pytest.mark.parametrize("count", [2, 16, 32, 128, 512])
def test_a_run_is_aligned_to_its_length(count):
    bl = used(4096, (0, 1), (count + 1, 1))
    assert 2 * count == alist_alloc(bl, 0, count)


@pytest.mark.parametrize(("start", "blk"), [(1, 2), (8, 8), (31, 32), (33, 34), (511, 512), (1000, 1000)])
def test_a_run_begins_no_earlier_than_asked(start, blk):
    assert blk == alist_alloc(alist_of(4096), start, 2)


@pytest.mark.parametrize(("blocks", "count"), [(32, 32), (20, 32), (512, 512), (32, 64)])
def test_a_run_as_long_as_the_root_is_never_given(blocks, count):
    bl = alist_of(blocks)
    assert (ALIST_BLOCK_NONE, blocks) == (alist_alloc(bl, 0, count), bl.bl_free)


@pytest.mark.parametrize(
    ("count", "left"), [(3, {0, 1, 2}), (5, {*range(5)}), (33, {*range(33)}), (257, {*range(257)})]
)
def test_of_another_size_the_rest_of_the_next_power_of_two_stays_free(count, left):
    bl = alist_of(4096)
    assert 0 == alist_alloc(bl, 0, count)
    assert left == {*range(4096)} - free_blocks(bl)


def test_of_another_size_the_whole_power_of_two_must_be_there():
    bl = used(32, (4, 28))
    assert ALIST_BLOCK_NONE == alist_alloc(bl, 0, 5)


def test_nothing_is_no_request():
    with pytest.raises(Panic, match="no blocks asked for"):
        alist_alloc(alist_of(32), 0, 0)


# -- hints ----------------------------------------------------------------------------------------


def test_a_leaf_that_has_no_run_of_two_says_so():
    bl = used(32, *((n, 1) for n in range(0, 32, 2)))
    assert (32, ALIST_BLOCK_NONE, 1) == (
        bl.bl_root.bm_bighint,
        alist_alloc(bl, 0, 2),
        bl.bl_root.bm_bighint,
    )


def test_a_meta_node_that_fails_hints_at_half_of_what_was_asked_for():
    bl = used(512, *((n, 32) for n in range(0, 512, 64)))
    assert (ALIST_BLOCK_NONE, 32) == (alist_alloc(bl, 0, 64), bl.bl_root.bm_bighint)


def test_a_search_from_above_the_base_leaves_the_hint_of_a_meta_node_alone():
    bl = used(512, (256, 256))
    assert (ALIST_BLOCK_NONE, 512) == (alist_alloc(bl, 300, 32), bl.bl_root.bm_bighint)


def test_a_search_that_begins_inside_a_leaf_hides_what_lies_below_it():
    """The kernel's own: `start` is reduced before it is compared with the base of the leaf."""
    bl = used(64, (0, 32), (36, 28))
    assert ALIST_BLOCK_NONE == alist_alloc(bl, 40, 1)
    assert {32, 33, 34, 35} == free_blocks(bl)
    assert ALIST_BLOCK_NONE == alist_alloc(bl, 0, 1)


def test_in_the_first_leaf_nothing_is_hidden():
    bl = used(32, (4, 28))
    assert (ALIST_BLOCK_NONE, 0) == (alist_alloc(bl, 8, 1), alist_alloc(bl, 0, 1))


def test_a_free_into_a_leaf_lets_it_be_searched_again():
    bl = used(64, (0, 64))
    assert ALIST_BLOCK_NONE == alist_alloc(bl, 0, 1)
    alist_free(bl, 40, 1)
    assert 40 == alist_alloc(bl, 0, 1)


# -- freeing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [20, 32, 33, 513, 4096])
def test_what_is_freed_block_by_block_can_be_allocated_as_a_whole(blocks):
    bl = alist_create(HOME, blocks)
    for n in range(blocks):
        alist_free(bl, n, 1)
    assert ([(0, blocks)], blocks) == ([*bl.free_runs()], bl.bl_free)


@pytest.mark.parametrize(("first", "count"), [(0, 1), (5, 40), (31, 2), (32, 32), (100, 1000), (0, 4096)])
def test_a_run_of_any_alignment_comes_back(first, count):
    bl = used(4096, (first, count))
    assert 4096 - count == bl.bl_free
    alist_free(bl, first, count)
    assert ([(0, 4096)], 4096) == ([*bl.free_runs()], bl.bl_free)


@pytest.mark.parametrize(("first", "count"), [(4096, 1), (4090, 7), (-1, 1)])
def test_blocks_that_there_are_not_cannot_be_freed(first, count):
    with pytest.raises(Panic, match="beyond the end"):
        alist_free(used(4096, (0, 4096)), first, count)


def test_a_free_block_cannot_be_freed():
    bl = used(64, (1, 63))
    with pytest.raises(Panic, match="freeing free block"):
        alist_free(bl, 0, 1)


@pytest.mark.parametrize("taken", [(0, 1), (1, 31)])
def test_a_child_with_free_blocks_cannot_be_freed_as_a_whole(taken):
    with pytest.raises(Panic, match="freeing free blocks"):
        alist_free(used(64, taken), 0, 32)


# -- looking --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "taken", "info"),
    [
        (32, [], (32, 31, 1)),
        (32, [(30, 2)], (30, 29, 1)),
        (512, [], (512, 480, 32)),
        (512, [(511, 1)], (511, 510, 1)),
        (513, [], (513, 512, 1)),
        (4096, [], (4096, 3584, 512)),
        (4096, [(4095, 1)], (4095, 4094, 1)),
        (4096, [(3584, 512)], (3584, 3072, 512)),
        (64, [(0, 64)], (0, 0, 0)),
    ],
)
def test_the_highest_free_child_is_shown(blocks, taken, info):
    assert info == alist_free_info(used(blocks, *taken))


def test_a_list_says_how_much_of_it_is_free():
    assert "28 of 32 blocks free" == used(32, (0, 4)).state()


# -- its lock -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bl_free", "bl_root"])
@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_the_tree_is_read_under_the_list_s_spinlock(name, locks):
    told = []

    def reader(bl):
        with bl.spin:
            told.append(alist_alloc(bl, 0, 1))
        getattr(bl, name)

    def program(m):
        pool = m.boot(pages=1).pool(Alist)
        pool.guard()
        bl = pool.make(_name="blocks")
        alist_init(bl, 32, 1)
        m.spawn(reader, bl)
        m.join()

    failure = vmsmp.explore(program, schedules=1, locks=locks).failure
    assert (ALIST_BLOCK_NONE, "field-lock") == (told[0], failure.kind)
    assert failure.message == f"blocks.{name} read without the alist's spinlock"
