"""Machines with an MMU: what one CPU does, the steps of that, and an address space to do it in."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.mmu.space import AddressSpace


def equipped(program, sizes, told):
    def run(m):
        told.append(program(m, m.mmu(**{"frames": 16, **sizes})))

    return run


@pytest.fixture
def alone():
    """Run `program(m, mmu)` once with all checkers, every CPU as long as it can; what it returns."""

    def run(program, **sizes):
        told = []
        failure = vmsmp.explore(equipped(program, sizes, told), sched="dfs:0", schedules=1).failure
        assert None is failure, failure.report()
        return told[0]

    return run


@pytest.fixture
def failing():
    """Run `program(m, mmu)` once, which must fail; the failure."""

    def run(program, **sizes):
        failure = vmsmp.explore(equipped(program, sizes, []), sched="dfs:0", schedules=1).failure
        assert None is not failure
        return failure

    return run


@pytest.fixture
def steps():
    """The visible operations of CPU 0 in `act(*prepare(m, mmu))`, in words."""

    def told(prepare, act, **sizes):
        def program(m):
            made = prepare(m, m.mmu(**{"frames": 16, **sizes}))
            m.yield_()
            act(*made)
            m.yield_()

        outcome = vmsmp.replay(program, "v1:program:0:")
        assert None is outcome.failure, outcome.failure.message
        mine = [row.text.strip() for row in outcome.story.rows if row.cpu == 0]
        mine = mine[mine.index("yield") + 1 :]
        return mine[: mine.index("yield")]

    return told


@pytest.fixture
def process():
    """`process(mmu, {va: ...})`: an address space, loaded on the running CPU, with these pages mapped.

    For each address: the keyword arguments of `AddressSpace.enter` besides the frame, which is its own.
    """

    def made(mmu, pages, **options):
        space = AddressSpace(mmu, "P", **options)
        for va, how in pages.items():
            space.enter(va, mmu.memory.take("P"), **how)
        space.activate()
        return space

    return made
