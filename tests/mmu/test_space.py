"""Address spaces: tables made where they are needed, and the CPUs that have one loaded."""

from __future__ import annotations

import vmsmp
from vmsmp.mmu.entry import PG_U, PG_V
from vmsmp.mmu.space import AddressSpace

VA = 0x1000
FAR = 1 << 46


def test_pages_near_each_other_share_tables_and_others_do_not(alone):
    def program(m, mmu):
        space = AddressSpace(mmu, "P")
        used = []
        for va in (VA, 2 * VA, 1 << 21, 1 << 30, FAR):
            before = mmu.memory.free
            space.enter(va, 0)
            used.append(before - mmu.memory.free)
        return used

    assert [3, 0, 1, 2, 3] == alone(program)


def test_an_entry_is_found_where_there_are_tables(alone):
    def program(m, mmu):
        space = AddressSpace(mmu, "P")
        space.enter(VA, 5, PG_V | PG_U)
        space.enter(1 << 21, 0, level=2)
        words = [
            space.entry(VA),
            space.entry(2 * VA),
            space.entry(FAR),
            space.entry(1 << 21),
            space.entry(1 << 21, 2),
        ]
        return [word and word.state() for word in words]

    assert ["frame 5 ru", "0", None, None, "frame 0 rwuPS"] == alone(program)


def test_tables_that_two_cpus_need_are_made_once():
    def program(m):
        mmu = m.mmu(frames=16)
        space = AddressSpace(mmu, "P")
        m.spawn(space.enter, VA, 10)
        m.spawn(space.enter, 2 * VA, 11)
        m.join()
        m.check(mmu.memory.free == 12, "a root and three tables")
        m.check([mmu.peek(space.root, va).frame for va in (VA, 2 * VA)] == [10, 11], "both are mapped")

    result = vmsmp.explore(program, sched="random", schedules=200)
    assert None is result.failure


def test_a_cpu_counts_before_it_loads_the_tables_and_as_long_as_it_may_use_them(steps):
    def prepare(m, mmu):
        return [AddressSpace(mmu, name) for name in "PQ"]

    def act(one, other):
        one.activate()
        other.activate(one)

    assert [
        "setbits P.active",
        "flush cpu0.tlb",
        "setbits Q.active",
        "flush cpu0.tlb",
        "clearbits P.active",
    ] == steps(prepare, act)


def test_what_an_address_is_can_be_looked_at(alone, process):
    def program(m, mmu):
        space = process(mmu, {VA: {}})
        return space.peek(VA), space.peek(FAR), repr(space), space.cr3

    assert ("0x1000 -> frame[1] rwx user", "0", "P", 0) == alone(program)
