"""Invalidations: who has to answer, in which order things happen, and what comes back."""

from __future__ import annotations

import pytest

from vmsmp.mmu.entry import PG_RW
from vmsmp.vm.pmap import pmap_maybethreaded
from vmsmp.vm.pmap_inval import (
    VA_ALL,
    pmap_inval_done,
    pmap_inval_init,
    pmap_inval_smp,
    pmap_inval_smp_cmpset,
)

LOCKED = [
    "load P.pm_active_lock",
    "cmpset P.pm_active_lock",
    "fetchadd P.pm_invgen",
]
DONE = ["fetchadd P.pm_invgen", "clearbits P.pm_active_lock", "settled all TLBs"]


def alone_with(kit, m, space):
    """CPU 1 runs in the address space; nobody else does."""
    kit.run_in(m, space)


def invalidates(m, kit, space):
    """A CPU that runs in a space takes a mapping of it away, between two yields."""

    def cpu():
        kit.run_in(m, space)
        m.yield_()
        pmap_inval_smp(space.vm_pmap, kit.PAGES[0], 1, kit.user_entry(space, 0), 0)
        m.yield_()

    m.spawn(cpu)
    m.join()


def between_yields(rows):
    rows = rows[rows.index("yield") + 1 :]
    return rows[: rows.index("yield")]


def test_a_cpu_that_is_alone_with_a_pmap_changes_the_entry_and_flushes_without_a_lock(traced, kit):
    def program(m, vm):
        space = kit.new_space(vm, "P")
        invalidates(m, kit, space)

    rows = between_yields(traced(program))
    assert [
        "load P.pm_active",
        "load P.pm_flags",
        "swap table[19][0]",
        "flush cpu1.tlb",
        "settled all TLBs",
    ] == rows


def test_a_pmap_that_a_second_thread_may_use_is_kept_from_coming_into_use_meanwhile(traced, kit):
    def program(m, vm):
        space = kit.new_space(vm, "P")
        pmap_maybethreaded(space.vm_pmap)
        invalidates(m, kit, space)

    rows = between_yields(traced(program))
    steps = ["swap table[19][0]", "flush cpu1.tlb"]
    assert ["load P.pm_active", "load P.pm_flags", *LOCKED, *steps, *DONE] == rows


def test_the_mask_is_sampled_under_the_lock_and_the_command_is_live_once_it_is_filled_in(traced, kit):
    def program(m, vm):
        space = kit.new_space(vm, "P")
        m.spawn(pmap_inval_smp, space.vm_pmap, kit.PAGES[0], 1, kit.user_entry(space, 0), 0)
        m.join()

    rows = traced(program)
    assert [
        "start cpu1",
        "load P.pm_active",
        *LOCKED,
        "load invinfo[1].done",
        "setbits smp_invmask",
        "store invinfo[1].va",
        "load P.pm_active",
        "store invinfo[1].mask",
        "store invinfo[1].done",
    ] == rows[:11]
    assert ["clearbits smp_invmask", *DONE] == rows[-4:]


def test_a_user_of_the_pmap_quiesces_before_the_entry_changes_and_flushes_after(kit):
    import vmsmp

    def program(m):
        vm = m.boot(pages=24, l2_size=1)
        space = kit.new_space(vm, "P")
        go = m.atomic(0, name="go")

        def user():
            kit.run_in(m, space)
            go.store(1)
            while go.load() == 1:
                m.pause()

        def owner():
            while not go.load():
                m.pause()
            pmap_inval_smp(space.vm_pmap, kit.PAGES[0], 1, kit.user_entry(space, 0), 0)
            go.store(2)

        m.spawn(user)
        m.spawn(owner)
        m.join()

    story = vmsmp.replay(program, "v1:program:0:").story
    rows = [(row.cpu, row.text.strip()) for row in story.rows]
    swapped = rows.index((2, "swap table[19][0]"))
    quiesced = rows.index((1, "clearbits invinfo[2].mask"))
    flushed = rows.index((1, "flush cpu1.tlb"), swapped)
    finished = rows.index((1, "clearbits invinfo[2].done"))
    assert quiesced < swapped < flushed < finished
    assert (1, "resume cpu1") in rows[:quiesced] or (1, "pause") in rows[:quiesced]


@pytest.mark.parametrize("force", [0, 1])
def test_what_the_entry_was_comes_back(alone, kit, memory, force):
    def program(vm):
        vm.sysctl["machdep.pmap_inval_force_nonopt"] = force
        space = kit.new_space(vm, "P")
        kit.run_in(vm.machine, space)
        pte = kit.user_entry(space, 0)
        before = pte.peek()
        return pmap_inval_smp(space.vm_pmap, kit.PAGES[0], 1, pte, before & ~PG_RW) == before, (
            pte.peek() == before & ~PG_RW
        )

    assert (True, True) == alone(program, check=True, **memory)


@pytest.mark.parametrize("force", [0, 1])
@pytest.mark.parametrize("same", [True, False])
def test_an_entry_changes_only_if_it_is_what_was_expected(alone, kit, memory, same, force):
    def program(vm):
        vm.sysctl["machdep.pmap_inval_force_nonopt"] = force
        space = kit.new_space(vm, "P")
        kit.run_in(vm.machine, space)
        pte = kit.user_entry(space, 0)
        before = pte.peek()
        done = pmap_inval_smp_cmpset(space.vm_pmap, kit.PAGES[0], pte, before if same else before + 1, 0)
        return done, pte.peek() == (0 if same else before)

    assert (same, True) == alone(program, check=True, **memory)


def test_without_an_entry_the_pages_are_only_flushed(alone, kit, memory):
    def program(vm):
        m = vm.machine
        space = kit.new_space(vm, "P")
        kit.run_in(m, space)
        kit.touch(m.curcpu.load, kit.PAGES[0])
        there = len(m.curcpu.mmu.tlb)
        assert 0 == pmap_inval_smp(space.vm_pmap, VA_ALL, 1, None, 0)
        return there, len(m.curcpu.mmu.tlb), kit.user_entry(space, 0).peek() != 0

    assert (1, 0, True) == alone(program, check=True, **memory)


def test_a_second_invalidation_waits_for_the_first_one_s_end(waits, kit):
    def program(m, vm):
        space = kit.new_space(vm, "P")
        pmap_inval_init(space.vm_pmap)
        m.spawn(pmap_inval_smp, space.vm_pmap, kit.PAGES[0], 1, kit.user_entry(space, 0), 0)
        m.join()

    assert "livelock" == waits(program).kind


def test_the_kernel_s_pmap_has_no_lock(alone, memory):
    def program(vm):
        kernel = vm.pmap.kernel_pmap
        td = vm.machine.curcpu
        pmap_inval_init(kernel)
        pmap_inval_init(kernel)
        inside = td.td.td_critcount
        pmap_inval_done(kernel)
        pmap_inval_done(kernel)
        return kernel.pm_active_lock.peek(), kernel.pm_invgen.peek(), inside, td.td.td_critcount

    assert (0, 0, 2, 0) == alone(program, check=True, **memory)


def test_a_slot_that_is_in_use_is_waited_for(waits, kit):
    def program(m, vm):
        space = kit.new_space(vm, "P")
        vm.inval.invinfo(1).done.value = 1
        m.spawn(pmap_inval_smp, space.vm_pmap, kit.PAGES[0], 1, kit.user_entry(space, 0), 0)
        m.join()

    assert "livelock" == waits(program).kind


def test_all_cpus_have_to_answer_if_that_is_asked_for(traced, kit):
    def program(m, vm):
        vm.sysctl["machdep.pmap_inval_force_allcpus"] = 1
        space = kit.new_space(vm, "P")
        m.spawn(pmap_inval_smp, space.vm_pmap, kit.PAGES[0], 1, kit.user_entry(space, 0), 0)
        m.join()

    assert "flush cpu0.tlb" in traced(program, cpu=0)
