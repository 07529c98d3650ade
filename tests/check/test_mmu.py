"""The checker of translations: what it calls wrong, and what it leaves alone."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.mmu.entry import PG_A, PG_M, PG_RW, PG_U, PG_V
from vmsmp.mmu.fault import PageFault
from vmsmp.mmu.space import AddressSpace
from vmsmp.mmu.unit import CR3_NOFLUSH

VA = 0x1000


def judged(act, **sizes):
    """The failure of `act(m, mmu, space)` on one CPU, which has cached a page of `space` for stores."""

    def program(m):
        mmu = m.mmu(**{"frames": 1024, **sizes})
        space = AddressSpace(mmu, "P")
        space.enter(VA, mmu.memory.take("P"))
        space.activate()
        m.curcpu.store(VA, "mine")
        act(m, mmu, space)

    return vmsmp.explore(program, sched="dfs:0", schedules=1).failure


def change(mmu, space, pte):
    """The tables change, nobody flushes, and somebody promises that all have."""
    space.entry(VA).store(pte)
    mmu.settled(space.root, VA)


OURS = 1 << 12


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize(
    ("pte", "stores", "loads"),
    [
        (0, "INV-T1", "INV-T1"),
        (OURS | PG_RW | PG_U, "INV-T1", "INV-T1"),
        (OURS | PG_V | PG_U, "INV-T1", None),
        (OURS | PG_V | PG_RW, "INV-T1", "INV-T1"),
        (9 << 12 | PG_V | PG_RW | PG_U, "INV-T1", "INV-T1"),
        (OURS | PG_V | PG_RW | PG_U | 1 << 59, "INV-T1", "INV-T1"),
        (OURS | PG_V | PG_RW | PG_U, None, None),
        (OURS | PG_V | PG_RW | PG_U | PG_A, None, None),
    ],
    ids=["gone", "not present", "read-only", "the kernel's", "elsewhere", "another key", "clean", "accessed"],
)
def test_a_use_may_be_no_more_than_the_tables_gave_when_the_flush_was_done(pte, stores, loads, write):
    def act(m, mmu, space):
        change(mmu, space, pte)
        m.curcpu.store(VA, "more") if write else m.curcpu.load(VA)

    failure, wrong = judged(act), stores if write else loads
    assert wrong == (failure and failure.message[:6])
    if wrong:
        assert "check" == failure.kind


def test_a_fetch_may_be_no_more_either():
    def act(m, mmu, space):
        m.curcpu.mmu.fetch(VA)
        change(mmu, space, OURS | PG_V | PG_RW | PG_U | 1 << 63)
        m.curcpu.load(VA)
        m.curcpu.mmu.fetch(VA)

    failure = judged(act)
    assert "fetches from 0x1000" in failure.facts[0]


def test_the_report_has_the_stale_entry_and_who_promised():
    failure = judged(lambda m, mmu, space: (change(mmu, space, 0), m.curcpu.load(VA)))
    stale, promise = failure.facts
    entry = "0x1000 -> frame[1] rwx user dirty"
    fill = next(row.step for row in failure.story.rows if row.text.startswith("fill"))
    done = next(row.step for row in failure.story.rows if row.text.startswith("settled"))
    assert f"cpu0 loads from 0x1000 by an entry of its TLB: {entry}, filled at step {fill}" == stale
    assert f"cpu0 promised at step {done} that nobody uses more than the tables said: nothing" == promise


def test_a_stale_entry_may_be_used_until_somebody_says_that_it_is_flushed():
    def act(m, mmu, space):
        space.entry(VA).store(0)
        m.curcpu.store(VA, "still")

    assert None is judged(act)


def test_a_stale_entry_that_nobody_uses_harms_nobody():
    assert None is judged(lambda m, mmu, space: change(mmu, space, 0))


def test_a_promise_about_other_pages_or_tables_is_none_about_this_one():
    def act(m, mmu, space):
        space.entry(VA).store(0)
        mmu.settled(space.root, 2 * VA, 5)
        mmu.settled(space.root + 1, VA)
        m.curcpu.load(VA)

    assert None is judged(act)


@pytest.mark.parametrize(("pages", "wrong"), [(1, False), (2, True)])
def test_a_promise_about_several_pages_is_one_about_each(pages, wrong):
    def act(m, mmu, space):
        space.entry(VA).store(0)
        mmu.settled(space.root, 0, pages)
        m.curcpu.load(VA)

    assert wrong is (judged(act) is not None)


def test_what_is_mapped_again_and_walked_again_is_good():
    def act(m, mmu, space):
        change(mmu, space, 0)
        space.entry(VA).store(OURS | PG_V | PG_RW | PG_U)
        m.curcpu.mmu.invlpg(VA)
        m.curcpu.store(VA, "again")

    assert None is judged(act)


def test_a_part_of_a_large_page_can_be_lost():
    large = 2 << 20

    def act(m, mmu, space, used):
        space.enter(large, 512, level=2)
        m.curcpu.load(large)
        space.entry(large, 2).store(0)
        mmu.settled(space.root, large + VA)
        m.curcpu.load(large + used)

    assert None is judged(lambda m, mmu, space: act(m, mmu, space, 0))
    assert "INV-T1" in judged(lambda m, mmu, space: act(m, mmu, space, VA)).message


# -- frames ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owners", "wrong"),
    [([None], True), (["Q"], True), (["P"], False), ([None, "P"], True), (["Q", "P"], True), ([], False)],
)
def test_a_frame_that_was_given_away_is_not_used_by_an_old_entry(owners, wrong):
    def act(m, mmu, space):
        for owner in owners:
            mmu.memory.assign(1, owner)
        m.curcpu.load(VA)

    failure = judged(act)
    assert (wrong or None) is (failure and failure.message.startswith("INV-T5"))
    if failure:
        assert "use-after-free" == failure.kind
        last = f"to {owners[-1] or 'nobody'} at step"
        assert last in failure.facts[1]


def test_a_frame_of_nobody_s_is_not_used_even_if_the_tables_name_it():
    def act(m, mmu, space):
        mmu.memory.give(1)
        m.curcpu.mmu.invlpg(VA)
        m.curcpu.load(VA)

    assert "INV-T5" in judged(act).message


def test_a_frame_may_be_used_by_who_was_given_it():
    def act(m, mmu, space):
        mmu.memory.assign(1, "Q")
        m.curcpu.mmu.invlpg(VA)
        m.curcpu.load(VA)

    assert None is judged(act)


def test_frames_that_never_had_an_owner_are_not_judged():
    def act(m, mmu, space):
        space.enter(2 * VA, 900)
        m.curcpu.load(2 * VA)

    assert None is judged(act)


# -- address spaces -------------------------------------------------------------------------------


@pytest.mark.parametrize("everywhere", [True, False])
def test_an_entry_of_another_address_space_is_used_only_if_it_is_global(everywhere):
    def act(m, mmu, space):
        other = AddressSpace(mmu, "Q")
        for one in (space, other):
            one.enter(5 * VA, mmu.memory.take(one.name), PG_V | PG_U | everywhere << 8)
        m.curcpu.load(5 * VA)
        m.curcpu.mmu.load_cr3(other.cr3 | CR3_NOFLUSH)  # both have number 0
        m.curcpu.load(5 * VA)

    failure = judged(act, pcid=True)
    assert (None if everywhere else "INV-T2") == (failure and failure.message[:6])


# -- walks under way ------------------------------------------------------------------------------


def overtaken(m, again):
    """A walk reads an entry; before it fills, the entry is gone, and somebody promises that for all CPUs."""
    mmu = m.mmu(frames=16)
    space = AddressSpace(mmu, "P")
    space.enter(VA, mmu.memory.take("P"), PG_V | PG_RW | PG_U | PG_A | PG_M)

    def user():
        space.activate()
        try:
            m.curcpu.load(VA)
        except PageFault:
            pass

    def forgets():
        old = space.entry(VA).swap(0)
        mmu.settled(space.root, VA)
        if again:
            space.entry(VA).store(old)

    m.spawn(user)
    m.spawn(forgets)
    m.join()


@pytest.mark.parametrize("again", [True, False])
def test_an_entry_that_was_read_before_the_flush_was_done_is_stale_when_it_comes(again):
    def program(m):
        overtaken(m, again)

    rows = vmsmp.replay(program, "v1:program:0:").story.rows
    mine = [row.text.split()[0] for row in rows if row.cpu == 1]
    outcome = vmsmp.replay(program, f"v1:program:0:1.{mine.index('fill')}>2")
    assert "INV-T1" in outcome.failure.message
    rows = [row.text.split()[0] for row in outcome.story.rows]
    assert rows.index("swap") < rows.index("settled") < rows.index("fill")


def test_an_entry_that_was_given_again_before_it_was_read_is_good():
    def program(m):
        overtaken(m, True)

    rows = vmsmp.replay(program, "v1:program:0:").story.rows
    mine = [row.text.split()[0] for row in rows if row.cpu == 1]
    outcome = vmsmp.replay(program, f"v1:program:0:1.{mine.index('load') + 3}>2")
    assert None is outcome.failure
    rows = [row.text.split()[0] for row in outcome.story.rows if row.cpu]
    assert rows.index("load") < rows.index("settled") < rows.index("fill")


def test_the_free_engine_is_judged_too():
    def program(m):
        mmu = m.mmu(frames=16)
        space = AddressSpace(mmu, "P")
        space.enter(VA, mmu.memory.take("P"))

        def user():
            space.activate()
            m.curcpu.load(VA)
            change(mmu, space, 0)
            m.curcpu.load(VA)

        m.spawn(user)
        m.join()

    assert "INV-T1" in vmsmp.run(program, engine="free").failure.message
