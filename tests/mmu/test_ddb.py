"""What the debugger shows of the hardware: it only looks."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.mmu.ddb import show_pte, show_tlb
from vmsmp.mmu.entry import PG_G, PG_RW, PG_U, PG_V

VA = 0x1000


def loaded(process):
    def prepare(m, mmu):
        space = process(mmu, {VA: {}, 2 * VA: {"bits": PG_V | PG_U | PG_G}})
        m.curcpu.store(VA, 1)
        m.curcpu.load(2 * VA)
        return mmu, space

    return prepare


def test_a_tlb_is_shown_with_its_registers_the_entry_used_last_first(alone, process):
    def program(m, mmu):
        loaded(process)(m, mmu)
        return show_tlb(mmu).splitlines()

    assert [
        "cpu0: cr3 0x0, cr2 0x0, 2 of 64 entries",
        "   all  0x2000 -> frame[5] r-x user global",
        "     0  0x1000 -> frame[1] rwx user dirty",
    ] == alone(program)


def test_an_entry_that_the_tables_do_not_give_any_more_is_called_stale(alone, process):
    def program(m, mmu):
        _, space = loaded(process)(m, mmu)
        space.entry(VA).clearbits(PG_RW)
        space.entry(2 * VA).store(0)
        return show_tlb(mmu, "0").splitlines()[1:]

    one, other = alone(program)
    assert one.endswith("  STALE: the tables say 0")
    assert other.endswith("  STALE: the tables say 0x1000 -> frame[1] r-x user")


def test_entries_are_shown_level_by_level_down_to_where_a_walk_stops(alone, process):
    def program(m, mmu):
        loaded(process)(m, mmu)
        return show_pte(mmu, "0x1000").splitlines(), show_pte(mmu, str(1 << 30)).splitlines()

    whole, stopped = alone(program)
    assert [
        "0x1000 in the tables of frame[0]",
        "  PML4 frame[0][0]  0x0000000000002027  frame 2 rwuA",
        "  PDP  frame[2][0]  0x0000000000003027  frame 3 rwuA",
        "  PD   frame[3][0]  0x0000000000004027  frame 4 rwuA",
        "  PT   frame[4][1]  0x0000000000001067  frame 1 rwuAM",
    ] == whole
    assert "  PDP  frame[2][1]  0x0000000000000000  0" == stopped[-1]


def test_a_reserved_bit_is_told(alone, process):
    def program(m, mmu):
        process(mmu, {VA: {"bits": PG_V | 1 << 63}})
        return show_pte(mmu, "0x1000").splitlines()[0]

    assert "0x1000 in the tables of frame[0], a reserved bit is set" == alone(program, nxe=False)


def test_where_nothing_is_loaded_there_are_no_entries(alone):
    assert "no CPU has loaded an address space" == alone(lambda m, mmu: show_pte(mmu, "0"))
    assert "cpu0: cr3 not loaded, cr2 0x0, 0 of 64 entries" == alone(lambda m, mmu: show_tlb(mmu))


@pytest.mark.parametrize(
    ("show", "argument", "told"),
    [
        (show_tlb, "1", "ddb: there is no CPU '1': this machine has 1"),
        (show_tlb, "x", "ddb: there is no CPU 'x': this machine has 1"),
        (show_pte, None, "ddb: '' is not an address"),
        (show_pte, "VA", "ddb: 'VA' is not an address"),
        (show_pte, "0x800000000000", "ddb: '0x800000000000' is not an address"),
    ],
)
def test_what_there_is_not_is_refused(alone, show, argument, told):
    def program(m, mmu):
        with pytest.raises(vmsmp.UsageError) as refused:
            show(mmu, argument)
        return str(refused.value)

    assert told == alone(program)


def test_looking_is_no_step_of_the_run_and_no_use_of_an_entry(steps, process):
    def act(mmu, space):
        before = mmu.units[0].tlb.entries(), mmu.units[0].tlb.lookups
        show_tlb(mmu)
        show_pte(mmu, "0x1000")
        assert before == (mmu.units[0].tlb.entries(), mmu.units[0].tlb.lookups)

    assert [] == steps(loaded(process), act)
