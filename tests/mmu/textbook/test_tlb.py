"""The TLB: hits, replacement, tags, global entries, flushes, and the bits that a hit may not skip."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmsmp.mmu.fault import LOAD, STORE
from vmsmp.mmu.textbook.entry import Pte
from vmsmp.mmu.textbook.paging import FOUR_LEVELS, PAGE_BYTES, PageFault, PageTable
from vmsmp.mmu.textbook.tlb import AddressSpace, Cpu, Tlb


def space(asid, frames, permissions="rw-", flags=0):
    table = PageTable(FOUR_LEVELS)
    for page, frame in frames.items():
        table.map(page * PAGE_BYTES, frame, permissions, flags=flags)
    return AddressSpace(asid, table)


def cpu_in(where, capacity=4, *, tagged=True, flushes=False):
    return Cpu(Tlb(capacity, tagged=tagged), where, flushes=flushes)


def frames(cpu, pages, access=LOAD):
    return [cpu.access(page * PAGE_BYTES, access).physical // PAGE_BYTES for page in pages]


def test_the_second_access_to_a_page_hits_and_costs_one_reference():
    cpu = cpu_in(space(1, {0: 7}))
    answers = [cpu.access(0x10), cpu.access(0x20)]
    assert [(False, 5, 0x7010), (True, 1, 0x7020)] == [(a.hit, a.references, a.physical) for a in answers]
    assert (1, 1, 0.5) == (cpu.hits, cpu.misses, cpu.hit_ratio)


def test_a_cpu_that_did_nothing_has_no_hits():
    assert 0.0 == cpu_in(space(1, {})).hit_ratio


def test_the_translation_unused_for_longest_makes_room():
    cpu = cpu_in(space(1, {n: n for n in range(3)}), capacity=2)
    frames(cpu, [0, 1, 0, 2])
    assert [0, 2] == [one.page for one in cpu.tlb.entries()]


@pytest.mark.parametrize(
    ("options", "second"),
    [({"tagged": False}, 7), ({"tagged": False, "flushes": True}, 8), ({"tagged": True}, 8)],
)
def test_a_homonym_is_told_apart_by_a_tag_or_a_flush(options, second):
    one, other = space(1, {0: 7}), space(2, {0: 8})
    cpu = cpu_in(one, **options)
    assert [7] == frames(cpu, [0])
    cpu.switch(other)
    assert [second] == frames(cpu, [0])


def test_with_tags_translations_survive_a_switch_and_back():
    one, other = space(1, {0: 7}), space(2, {0: 8})
    cpu = cpu_in(one)
    for where in (one, other, one, other):
        cpu.switch(where)
        frames(cpu, [0])
    assert (2, 2) == (cpu.hits, cpu.misses)


@pytest.mark.parametrize("tagged", [True, False])
def test_a_global_translation_hits_in_every_space_and_survives_a_flush(tagged):
    one, other = space(1, {0: 7}, flags=Pte.G), space(2, {0: 7}, flags=Pte.G)
    cpu = cpu_in(one, tagged=tagged, flushes=True)
    frames(cpu, [0])
    cpu.switch(other)
    assert cpu.access(0).hit
    cpu.tlb.flush(all_of_them=True)
    assert () == cpu.tlb.entries()


def test_a_stale_translation_is_used_until_it_is_flushed():
    where = space(1, {0: 7})
    cpu = cpu_in(where)
    frames(cpu, [0])
    where.table.map(0, 8)
    assert [7] == frames(cpu, [0])
    cpu.tlb.flush_page(0)
    assert [8] == frames(cpu, [0])


def test_the_first_write_walks_so_that_d_is_set():
    where = space(1, {0: 7})
    cpu = cpu_in(where)
    frames(cpu, [0])
    assert not where.table.walk(0).entry & Pte.D
    assert [False, True] == [cpu.access(0, STORE).hit for _ in range(2)]
    assert where.table.walk(0).entry & Pte.D


def test_a_refused_access_walks_again_and_forgets_the_translation():
    where = space(1, {0: 7}, "r--")
    cpu = cpu_in(where)
    frames(cpu, [0])
    with pytest.raises(PageFault):
        cpu.access(0, STORE)
    assert () == cpu.tlb.entries()
    where.table.map(0, 7, "rw-")
    assert [7] == frames(cpu, [0], STORE)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), max_size=40),
    st.integers(1, 4),
    st.sampled_from([{"tagged": True}, {"tagged": False, "flushes": True}]),
)
def test_a_tlb_that_is_kept_right_never_changes_an_answer(visits, capacity, options):
    spaces = [space(n, {page: 10 * n + page for page in range(6)}) for n in range(2)]
    cpu = cpu_in(spaces[0], capacity, **options)
    for n, page in visits:
        cpu.switch(spaces[n])
        assert [10 * n + page] == frames(cpu, [page])
        assert len(cpu.tlb.entries()) <= capacity
