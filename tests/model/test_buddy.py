"""The buddy allocator against a set of free frames: alone after each call, many CPUs by their history."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import vmsmp
from vmsmp.check.linearize import History
from vmsmp.check.specs import BuddyBlocks
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.hypothesis_support import check, programs, schedules
from vmsmp.mmu.textbook.buddy import MAX_ORDER, BuddyMemory

ENDS = {"DMA": 16, "DMA32": 40, "NORMAL": None}
FRAMES = 100
#: A call: the order to allocate and in which zone, or which block of those in use to free.
CALLS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["DMA", "DMA32", None])) | st.integers(0, 40), max_size=60
)


def aligned(free, block, order):
    return block % (1 << order) == 0 and free >= {*range(block, block + (1 << order))}


def wanted(free, zones, order):
    """The lowest of the smallest maximal runs of free frames that fit, in the first zone that has one."""
    for zone in zones:
        mine = free & {*range(zone.first, zone.end)}
        for fits in range(order, MAX_ORDER + 1):
            for block in sorted(mine):
                parent = block & ~(1 << fits)
                if aligned(mine, block, fits) and (fits == MAX_ORDER or not aligned(mine, parent, fits + 1)):
                    return block
    return None


def laws(memory, free, given_out):
    """No overlap, merged as far as it goes, and nothing lost."""
    found = [block for zone in memory.zones for block in zone.free_blocks()]
    frames = [frame for block, order in found for frame in range(block, block + (1 << order))]
    assert sorted(free) == sorted(frames)
    assert len(frames) + sum(1 << order for order in given_out.values()) == FRAMES
    for block, order in found:
        zone = memory.zone_of(block)
        buddy = block ^ 1 << order
        inside = zone.first <= min(block, buddy) and max(block, buddy) + (1 << order) <= zone.end
        assert order == MAX_ORDER or not inside or (buddy, order) not in found


@pytest.mark.parametrize("examples", [40, pytest.param(1000, marks=pytest.mark.ci)])
def test_any_sequence_of_calls_keeps_the_laws_of_a_buddy_allocator(examples):
    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(CALLS)
    def follow(calls):
        def program(m):
            memory = BuddyMemory(m, FRAMES, ENDS)
            free, given_out = {*range(FRAMES)}, {}
            for call in calls:
                if isinstance(call, tuple):
                    order, name = call
                    top = [zone.name for zone in memory.zones].index(f"zone[{name or 'NORMAL'}]")
                    block = memory.alloc(order, name)
                    assert wanted(free, memory.zones[top::-1], order) == block
                    if block is not None:
                        given_out[block] = order
                        free -= {*range(block, block + (1 << order))}
                elif given_out:
                    block = sorted(given_out)[call % len(given_out)]
                    memory.free(block)
                    free |= {*range(block, block + (1 << given_out.pop(block)))}
                laws(memory, free, given_out)

        failure = vmsmp.explore(program, schedules=1).failure
        assert failure is None, failure.report()

    follow()


def zones_of_eight(m):
    """Two zones, a history, and what each CPU has been given."""
    memory = BuddyMemory(m, 8, {"DMA": 4, "NORMAL": None})
    return SimpleNamespace(m=m, memory=memory, history=History(m), kept=defaultdict(list))


def take(world, order):
    with world.history.operation("alloc", order) as op:
        op.result = block = world.memory.alloc(order)
    if block is not None:
        world.kept[world.m.curcpu.index].append((block, order))


def give(world, first):
    kept = world.kept[world.m.curcpu.index]
    if kept:
        block, order = kept.pop(0 if first else -1)
        with world.history.operation("free", block, order):
            world.memory.free(block)


def some_order_explains_it(world):
    zones = [(zone.name, zone.first, zone.end) for zone in reversed(world.memory.zones)]
    assert world.history.judge(BuddyBlocks(zones, MAX_ORDER, may_fail=True)).ok


DRAWN = programs(
    zones_of_eight,
    [(take, st.integers(0, 2)), (give, st.booleans())],
    cpus=3,
    finish=some_order_explains_it,
)


@pytest.mark.parametrize("examples", [40, pytest.param(1000, marks=pytest.mark.ci)])
def test_what_many_cpus_are_answered_fits_some_order_of_their_calls(examples):
    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(st.data())
    def follow(data):
        program = data.draw(DRAWN)
        check(program, data.draw(schedules(program)))

    follow()


@pytest.mark.ci
def test_blocks_that_overlap_are_found_by_the_answers_alone_and_shrink_to_a_few_calls():
    """A block merges with a buddy that is given out: no checker is needed to see it."""
    options = Options(mutants=frozenset({"BD-03"}))

    def fails(program):
        failure = vmsmp.replay(program, Schedule(program.__name__, 0, (), options), check=False).failure
        return failure is not None and failure.kind == "linearizability"

    program = find(DRAWN, fails, settings=settings(max_examples=2000, derandomize=True, deadline=None))
    assert 5 >= len(program)
