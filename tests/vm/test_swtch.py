"""Thread switches: in which order a CPU leaves an address space and comes back to it."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp import PINTERLOCKED
from vmsmp.scenarios.pmap_inval import _tables as kit
from vmsmp.sync.thread import curthread
from vmsmp.vm.pmap.pmap import CPULOCK_EXCL
from vmsmp.vm.pmap_inval import pmap_inval_smp
from vmsmp.vm.swtch import (
    cpu_exit_switch,
    cpu_heavy_restore,
    cpu_heavy_switch,
    cpu_lwkt_restore,
    pmap_interlock_wait,
)

MEMORY = {"pages": 24, "l2_size": 1}


def inside(vm):
    """The running CPU's thread, in an address space."""
    space = kit.new_space(vm, "P")
    kit.run_in(vm.machine, space)
    return vm.switch, curthread(vm.machine), vm.mycpu().lwp


def test_a_cpu_begins_with_the_kernel_s_tables(alone):
    def program(vm):
        cpu = vm.machine.spawn(lambda: None)
        return [unit.mmu.cr3 == vm.pmap.kernel_pmap.cr3 for unit in (vm.machine.curcpu, cpu)]

    assert [True, True] == alone(program, **MEMORY)


def test_a_thread_that_is_left_is_active_no_more_before_its_tables_go(steps):
    assert ["clearbits P.pm_active", "flush cpu0.tlb"] == steps(inside, cpu_heavy_switch, **MEMORY)


def test_a_thread_that_is_entered_is_active_before_its_tables_are_loaded(steps):
    def prepare(vm):
        switch, td, lp = inside(vm)
        cpu_heavy_switch(switch, td, lp)
        return td, lp

    rows = steps(prepare, cpu_heavy_restore, **MEMORY)
    assert ["setbits P.pm_active", "load P.pm_active_lock", "flush cpu0.tlb"] == rows


def test_a_thread_that_dies_is_active_until_the_kernel_s_tables_are_loaded(steps):
    assert ["flush cpu0.tlb", "clearbits P.pm_active"] == steps(inside, cpu_exit_switch, **MEMORY)


def test_a_kernel_thread_loads_nothing_that_is_loaded(steps):
    rows = steps(lambda vm: (vm.switch, curthread(vm.machine)), cpu_lwkt_restore, **MEMORY)
    assert [] == rows


def test_a_thread_that_runs_in_no_address_space_is_not_switched(steps):
    def act(vm):
        td = curthread(vm.machine)
        vm.switch.halt(td)
        vm.switch.wake(td)
        vm.switch.enter(td)
        vm.switch.retire(td)

    assert [] == steps(lambda vm: [vm], act, **MEMORY)


def test_a_cpu_that_is_entered_waits_for_the_end_of_an_invalidation(sleeps_or_spins):
    def program(m, vm):
        switch, td, lp = inside(vm)
        cpu_heavy_switch(switch, td, lp)
        lp.lwp_vmspace.vm_pmap.pm_active_lock.value = CPULOCK_EXCL
        cpu_heavy_restore(td, lp)

    assert "livelock" == sleeps_or_spins(program)


def test_without_an_invalidation_nobody_waits(steps):
    rows = steps(lambda vm: [inside(vm)[2].lwp_vmspace.vm_pmap], pmap_interlock_wait, **MEMORY)
    assert ["load P.pm_active_lock"] == rows


@pytest.fixture
def sleeps_or_spins():
    """The kind of failure of `program(m, vm)`, run once."""

    def run(program):
        return vmsmp.explore(
            lambda m: program(m, m.boot(**MEMORY)), sched="dfs:0", schedules=1, check=False
        ).failure.kind

    return run


def sleeper(m, vm, word):
    """Sleep in an address space until the word is set."""
    kit.run_in(m, kit.new_space(vm, "P"))
    kit.touch(m.curcpu.load, kit.PAGES[0])
    while not word.load():
        m.tsleep_interlock(word)
        if not word.load():
            m.tsleep(word, PINTERLOCKED, "idle")
    kit.touch(m.curcpu.load, kit.PAGES[0])


def test_a_sleeping_thread_s_cpu_idles_in_the_kernel_s_address_space(alone):
    def program(vm):
        m = vm.machine
        word = m.atomic(0, name="word")
        cpu = m.spawn(sleeper, m, vm, word)
        vm.inval.optimized_invltlb = 1
        while vm.switch.lwp(1) is None or not vm.switch.lwp(1).away:
            m.yield_()
        m.tsleep_interlock(word)
        m.tsleep(word, PINTERLOCKED, "let it sleep", 1)
        lp = vm.switch.lwp(1)
        idle = (
            lp.lwp_vmspace.vm_pmap.pm_active.peek(),
            cpu.mmu.cr3 == vm.switch.kernel_cr3,
            len(cpu.mmu.tlb),
        )
        flagged = vm.inval.smp_idleinvl_mask.peek()
        word.store(1)
        m.wakeup(word)
        m.join()
        return idle, flagged & 2, vm.inval.smp_idleinvl_mask.peek(), lp.lwp_vmspace

    assert ((0, True, 0), 2, 0, None) == alone(program, check=True, **MEMORY)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_a_sleep_and_a_wakeup_meet_in_any_order(locks):
    def program(m):
        vm = m.boot(**MEMORY)
        word = m.atomic(0, name="word")
        m.spawn(sleeper, m, vm, word)
        word.store(1)
        m.wakeup(word)
        m.join()

    assert None is vmsmp.explore(program, sched="random", schedules=40, locks=locks).failure


@pytest.mark.parametrize(("asked", "flushed"), [(0, False), (1, True)])
def test_a_cpu_flushes_as_it_wakes_up_if_it_was_asked_to(steps, asked, flushed):
    def prepare(vm):
        td = curthread(vm.machine)
        vm.inval.optimized_invltlb = 1
        vm.switch.halt(td)
        vm.inval.smp_idleinvl_reqs.value = asked
        return [td]

    def act(td):
        td.cpu.machine.vm.switch.wake(td)

    rows = steps(prepare, act, **MEMORY)
    told = ["clearbits smp_idleinvl_mask", "clearbits smp_idleinvl_reqs"]
    assert told + ["flush cpu0.tlb"] * flushed == rows


def test_an_interrupt_that_comes_in_the_last_access_of_a_thread_is_taken():
    def program(m):
        vm = m.boot(**MEMORY, guesses=(kit.PAGES[0],))
        space = kit.new_space(vm, "P")

        def user():
            kit.run_in(m, space)

        m.spawn(user)
        pmap_inval_smp(space.vm_pmap, kit.PAGES[0], 1, kit.user_entry(space, 0), 0)
        m.join()

    assert None is vmsmp.explore(program, sched="random", schedules=150).failure


def test_a_cpu_that_comes_into_being_waits_for_the_end_of_invalidations_that_do_not_know_of_it():
    def program(m):
        vm = kit.boot(m)
        kit.map_kernel(vm, 0)
        gone = m.atomic(0, name="gone")

        def owner():
            pmap_inval_smp(vm.pmap.kernel_pmap, kit.KERNEL_PAGES[0], 1, kit.kernel_entry(vm, 0), 0)
            gone.store(1)

        def reader():
            kit.kernel_load(m, 0)
            while not gone.load():
                m.pause()
            m.check(kit.kernel_load(m, 0) is None, "a page that was removed is gone")

        m.spawn(owner)
        m.spawn(reader)
        m.join()

    assert None is vmsmp.explore(program, sched="pct:2", schedules=300).failure
