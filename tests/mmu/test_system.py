"""The units of a machine: every CPU has its own, over one memory."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.mmu.space import AddressSpace
from vmsmp.mmu.system import pages_from

VA = 0x1000


def test_every_cpu_has_a_unit_whenever_it_was_spawned(alone):
    def program(m, mmu):
        cpus = [m.spawn(lambda: None) for _ in range(3)]
        m.join()
        return [cpu.mmu is mmu.units[cpu.index] for cpu in (m.cpus[0], *cpus)], [
            u.tlb.name for u in mmu.units
        ]

    assert ([True] * 4, ["cpu0.tlb", "cpu1.tlb", "cpu2.tlb", "cpu3.tlb"]) == alone(program)


def test_a_machine_has_one_mmu():
    def program(m):
        m.mmu()
        with pytest.raises(vmsmp.UsageError, match="has an MMU already"):
            m.mmu()

    assert None is vmsmp.explore(program, schedules=1).failure


def test_without_an_mmu_there_are_no_virtual_addresses():
    def program(m):
        with pytest.raises(vmsmp.UsageError, match="has no MMU"):
            m.curcpu.load(VA)

    assert None is vmsmp.explore(program, schedules=1).failure


def test_a_cpu_accesses_memory_itself(alone):
    def program(m, mmu):
        other = m.spawn(lambda: None)
        with pytest.raises(vmsmp.UsageError, match="cpu1 accesses memory itself, and cpu0 cannot"):
            other.store(VA, 1)

    alone(program)


def test_a_cpu_needs_an_address_space(alone):
    def program(m, mmu):
        with pytest.raises(vmsmp.UsageError, match="has not loaded an address space"):
            m.curcpu.load(VA)

    alone(program)


def test_two_machines_do_not_see_each_other(alone):
    def program(m, mmu):
        mmu.memory.assign(3, "P")
        return mmu.memory.owners, alone(lambda _, other: other.memory.owners)

    assert ({3: "P"}, {}) == alone(program)


def test_a_promise_is_one_step(steps):
    assert ["settled all TLBs"] == steps(lambda m, mmu: [mmu], lambda mmu: mmu.settled(0, VA, 3))


def test_looking_at_tables_is_no_step_and_sets_no_bit(steps, process):
    def prepare(m, mmu):
        return mmu, process(mmu, {VA: {}})

    def act(mmu, space):
        assert "0x1000 -> frame[1] rwx user" == str(mmu.peek(space.root, VA))
        assert None is mmu.peek(space.root, 2 * VA)

    assert [] == steps(prepare, act)


@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_cpus_share_memory_and_no_tlb(engine):
    def program(m):
        mmu = m.mmu(frames=16)
        space = AddressSpace(mmu, "P")
        space.enter(VA, mmu.memory.take("P"))

        def turn(n):
            space.activate()
            m.curcpu.store(VA + 512 * n, n)

        for n in range(3):
            m.spawn(turn, n)
        m.join()
        m.check([mmu.memory.peek(1, 512 * n) for n in range(3)] == [0, 1, 2], "every store is there")
        m.check([len(unit.tlb) for unit in mmu.units] == [0, 1, 1, 1], "every CPU has cached the page")

    run = (
        vmsmp.explore(program, schedules=50) if engine == "controlled" else vmsmp.run(program, engine="free")
    )
    assert None is run.failure


def test_pages_are_named_by_their_first_addresses():
    assert [0x1000, 0x2000, 0x3000] == [*pages_from(0x1000, 3)]


def test_a_new_cpu_has_the_first_cr3(alone):
    def program(m, mmu):
        before = m.curcpu.mmu.cr3
        mmu.first_cr3 = 0x5000
        return before, m.spawn(lambda: None).mmu.cr3

    assert (None, 0x5000) == alone(program)


def test_a_promise_is_one_operation_of_which_nobody_is_told(steps):
    assert ["settled all TLBs"] == steps(lambda m, mmu: [mmu], lambda mmu: mmu.promise())
