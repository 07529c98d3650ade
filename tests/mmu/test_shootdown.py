"""TLB shootdown: tables first, then flushes, then answers; and only then is the frame somebody else's."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.library import find_scenario
from vmsmp.mmu.entry import PG_A, PG_M, PG_RW, PG_U, PG_V
from vmsmp.mmu.fault import PageFault
from vmsmp.mmu.shootdown import protect, shoot_down, unmap
from vmsmp.mmu.space import AddressSpace

VA = 0x1000
PAGES = (VA, 2 * VA)


def test_an_unmapping_changes_the_tables_before_anybody_flushes(steps, process):
    told = steps(lambda m, mmu: [process(mmu, {VA: {}})], lambda space: unmap(space, VA))
    assert ["swap table[4][1]", "flush cpu0.tlb", "load P.active", "settled all TLBs"] == told[3:]


def test_every_other_cpu_that_has_the_address_space_loaded_is_told_and_waited_for():
    def program(m):
        mmu = m.mmu(frames=16)
        space, other = AddressSpace(mmu, "P"), AddressSpace(mmu, "Q")
        space.enter(VA, mmu.memory.take("P"))
        users = [m.spawn(which.activate) for which in (space, other, space)]
        for cpu in users:
            cpu.join()
        unmap(space, VA)

    story = vmsmp.replay(program, "v1:program:0:").story
    told = [row.text.strip() for row in story.rows if row.cpu == 0]
    assert ["ipi ipiq of cpu1", "ipi ipiq of cpu3"] == [text for text in told if text.startswith("ipi ")]
    flushed = [row.cpu for row in story.rows if row.text.strip().startswith("flush")]
    assert [0, 1, 3] == sorted(flushed[3:])  # after the three that loaded CR3
    last = max(n for n, text in enumerate(told) if text == "load cpu0.ipiq[3].xindex")
    assert "settled all TLBs" == told[last + 1]


@pytest.mark.parametrize(("stored", "bits"), [(False, PG_A), (True, PG_A | PG_M)])
def test_a_protection_keeps_what_walks_have_set(alone, process, stored, bits):
    def program(m, mmu):
        space = process(mmu, {VA: {}})
        m.curcpu.store(VA, 1) if stored else m.curcpu.load(VA)
        protect(space, VA)
        return space.entry(VA).load() & (PG_RW | PG_A | PG_M)

    assert bits == alone(program)


def test_a_page_that_is_protected_can_be_read_and_not_written(alone, process):
    def program(m, mmu):
        space = process(mmu, {VA: {}})
        m.curcpu.store(VA, 1)
        protect(space, VA)
        with pytest.raises(PageFault) as fault:
            m.curcpu.store(VA, 2)
        return m.curcpu.load(VA), fault.value.code

    assert (1, 7) == alone(program)


def test_where_nothing_is_to_be_taken_away_nobody_flushes(steps, process):
    def act(space):
        assert None is unmap(space, 1 << 46)
        protect(space, 1 << 46)
        protect(space, VA)

    told = steps(lambda m, mmu: [process(mmu, {VA: {"bits": PG_V | PG_U}})], act)
    assert [] == [text for text in told if text.startswith(("flush", "ipi", "settled"))]


def test_the_frame_of_a_page_that_is_unmapped_is_told(alone, process):
    def program(m, mmu):
        space = process(mmu, {VA: {}})
        return unmap(space, VA), unmap(space, VA)

    assert (1, None) == alone(program)


@pytest.mark.parametrize("pcid", [True, False])
def test_a_shootdown_reaches_large_pages_and_numbered_spaces(alone, process, pcid):
    def program(m, mmu):
        space = process(mmu, {}, pcid=3 * pcid)
        space.enter(2 << 20, 512, level=2)
        m.curcpu.load((2 << 20) + 0x5000)
        space.entry(2 << 20, 2).swap(0)
        shoot_down(space, (2 << 20) + 0x5000)
        return len(m.curcpu.mmu.tlb)

    assert 0 == alone(program, pcid=pcid, frames=1024)


# -- to the end -----------------------------------------------------------------------------------


def two_pages(m):
    """One CPU unmaps two pages and gives them away; another one uses each of them twice, until a fault."""
    mmu = m.mmu(frames=8)
    space = AddressSpace(mmu, "P")
    for va in PAGES:
        space.enter(va, mmu.memory.take("P"), PG_V | PG_RW | PG_U | PG_A | PG_M)
    for va in PAGES:  # the upper tables have been walked, too
        for level in (4, 3, 2):
            space.entry(va, level).setbits(PG_A)

    def user():
        space.activate()
        for va in PAGES:
            try:
                for _ in range(2):
                    m.curcpu.load(va)
            except PageFault:
                pass

    def owner():
        for va in PAGES:
            mmu.memory.assign(unmap(space, va), "somebody else")

    m.spawn(user)
    m.spawn(owner)
    m.join()


@pytest.mark.ci
@pytest.mark.timeout(900)
def test_no_order_of_two_cpus_and_two_pages_breaks_the_protocol():
    result = vmsmp.explore(two_pages, sched="dpor", schedules=20_000, stop="never")
    assert [] == [failure.report() for failure in result.failures]
    assert result.exhausted


def test_no_order_of_two_cpus_and_one_page_breaks_the_protocol(monkeypatch):
    monkeypatch.setitem(globals(), "PAGES", (VA,))
    result = vmsmp.explore(two_pages, sched="dpor", schedules=2_000, stop="never")
    assert [] == [failure.report() for failure in result.failures]
    assert result.exhausted


@pytest.mark.parametrize("mutant", ["TB-01", "TB-02", "TB-03"])
def test_without_a_step_of_it_a_systematic_search_finds_the_stale_entry(mutant):
    result = vmsmp.explore(two_pages, sched="dpor", schedules=5_000, mutants=[mutant])
    assert "INV-T1" in result.failure.message


@pytest.mark.parametrize("ident", ["TB-01", "TB-02", "TB-03"])
@pytest.mark.parametrize("sched", ["random", "portfolio"])
def test_without_a_step_of_it_500_schedules_find_the_stale_entry(ident, sched):
    scenario = find_scenario("shootdown_then_reuse")
    failure = vmsmp.explore(scenario, sched=sched, schedules=500, mutants=[ident], seed=11).failure
    report = failure.report()
    assert "INV-T1" in failure.message
    assert " by an entry of its TLB: 0x40" in report
    assert "fill frame[" in report
