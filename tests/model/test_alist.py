"""The alist against a set of free blocks: any sequence of calls, compared after each."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from alists import alist_of, free_blocks
from vmsmp.vm.subr_alist import ALIST_BLOCK_NONE, Meta, alist_alloc, alist_free, alist_free_info

SIZES = st.sampled_from([1, 20, 32, 33, 64, 500, 512, 513, 1100])


def rounded(count):
    """The power of two that a request takes, for its alignment."""
    return max(1 << (count - 1).bit_length(), 256 if count > 256 else 1)


def lowest(free, count, limit):
    """The lowest aligned run of free blocks that is long enough, or none."""
    if rounded(count) >= limit:
        return ALIST_BLOCK_NONE
    for first in range(0, limit, rounded(count)):
        if free.issuperset(range(first, first + rounded(count))):
            return first
    return ALIST_BLOCK_NONE


class AlistAgainstSet(RuleBasedStateMachine):
    """Searches from block 0 find the lowest run; a search from elsewhere may miss one, and hide it."""

    @initialize(blocks=SIZES)
    def made(self, blocks):
        self.bl = alist_of(blocks)
        self.blocks = blocks
        self.free = {*range(blocks)}
        self.hidden = False

    def take(self, blk, count):
        assert self.free.issuperset(range(blk, blk + count))
        self.free -= {*range(blk, blk + count)}

    @rule(count=st.integers(1, 80) | st.sampled_from([128, 200, 256, 257, 512]))
    def alloc(self, count):
        blk = alist_alloc(self.bl, 0, count)
        wanted = lowest(self.free, count, self.bl.bl_radix)
        if self.hidden:
            assert blk == ALIST_BLOCK_NONE or blk % rounded(count) == 0
        else:
            assert wanted == blk
        if blk != ALIST_BLOCK_NONE:
            self.take(blk, count)

    @precondition(lambda self: self.blocks > 40)
    @rule(data=st.data(), count=st.sampled_from([1, 2, 4, 8, 32]))
    def alloc_from(self, data, count):
        start = data.draw(st.integers(0, self.blocks - 1))
        blk = alist_alloc(self.bl, start, count)
        self.hidden |= start > 0 or blk == ALIST_BLOCK_NONE
        if blk == ALIST_BLOCK_NONE:
            return
        assert start <= blk
        assert 0 == blk % count
        self.take(blk, count)

    @precondition(lambda self: len(self.free) < self.blocks)
    @rule(data=st.data())
    def free_some(self, data):
        used = sorted({*range(self.blocks)} - self.free)
        first = data.draw(st.sampled_from(used))
        most = next((n for n in range(1, self.blocks) if first + n in self.free), self.blocks)
        count = data.draw(st.integers(1, min(most, self.blocks - first)))
        alist_free(self.bl, first, count)
        self.free |= {*range(first, first + count)}

    @invariant()
    def it_agrees(self):
        assert len(self.free) == self.bl.bl_free
        assert self.free == free_blocks(self.bl)

    @invariant()
    def what_it_shows_is_free(self):
        free, first, count = alist_free_info(self.bl)
        assert len(self.free) == free
        assert self.free.issuperset(range(first, first + count))
        assert bool(self.free) == bool(count)

    @invariant()
    def no_child_is_half_free(self):
        assert 0 == broken_states(self.bl.bl_root)


def broken_states(node):
    """Children of the reserved state, or some of whose blocks are said to be free though none or all are."""
    if not isinstance(node, Meta):
        return 0
    found = 0
    for n in range(16):
        child = node.child(n)
        if node.state(n) == 2:
            found += 1
        elif node.state(n) == 1:
            found += not 0 < child.free_blocks() < node.unit
            found += broken_states(child)
    return found


@pytest.mark.parametrize("examples", [60, pytest.param(1500, marks=pytest.mark.ci)])
def test_an_alist_does_what_a_set_of_free_blocks_does(examples):
    run_state_machine_as_test(
        AlistAgainstSet,
        settings=settings(max_examples=examples, stateful_step_count=40, deadline=None, derandomize=True),
    )
