"""The IPI: to whom it goes, that it is taken anywhere, and flushes of everything."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.sync.thread import cpu_disable_intr, cpu_enable_intr, crit_enter, crit_exit, curthread
from vmsmp.vm.pmap_inval import pmap_inval_smp, smp_invltlb, smp_smurf_fetchset, smp_smurf_idleinvlclr


def kernel_command(vm, kit):
    """Take a page of the kernel away."""
    return pmap_inval_smp(vm.pmap.kernel_pmap, kit.KERNEL_PAGES[0], 1, kit.kernel_entry(vm, 0), 0)


def test_an_ipi_that_is_under_way_is_not_sent_again(alone, memory):
    def program(vm):
        first = smp_smurf_fetchset(vm.inval, 0b0110)
        second = smp_smurf_fetchset(vm.inval, 0b0011)
        return first, second, vm.inval.smp_smurf_mask.peek()

    assert (0b0110, 0b0001, 0b0111) == alone(program, **memory)


@pytest.mark.parametrize(("switch", "left", "asked"), [(0, 0b111, 0), (1, 0b101, 0b111)])
def test_idle_cpus_are_spared_where_that_is_switched_on(alone, memory, switch, left, asked):
    def program(vm):
        vm.sysctl["machdep.optimized_invltlb"] = switch
        vm.inval.smp_idleinvl_mask.value = 0b010
        return smp_smurf_idleinvlclr(vm.inval, 0b111), vm.inval.smp_idleinvl_reqs.peek()

    assert (left, asked) == alone(program, **memory)


@pytest.mark.parametrize("broadcast", [0, 1, 2])
def test_an_ipi_to_all_is_one_where_that_is_switched_on(traced, kit, broadcast):
    def program(m, vm):
        vm.sysctl["machdep.all_but_self_ipi_enable"] = broadcast
        m.spawn(m.yield_)
        m.spawn(kernel_command, vm, kit)
        m.join()

    sent = [row for row in traced(program, cpu=2) if row.startswith("ipi ")]
    assert (1 if broadcast else 2) == len(sent)


@pytest.mark.parametrize("spinning", [False, True])
def test_a_cpu_answers_in_a_critical_section(kit, spinning):
    def program(m):
        vm = m.boot(pages=24, l2_size=1)
        kit.map_kernel(vm, 0)
        word, spin = m.atomic(0, name="word"), m.spinlock("lock")

        def target():
            crit_enter(curthread(m))
            word.store(1)
            if spinning:
                spin.acquire()
                spin.release()
            while word.load() != 2:
                m.pause()
            crit_exit(curthread(m))

        def owner():
            spin.acquire()
            while not word.load():
                m.pause()
            kernel_command(vm, kit)
            spin.release()
            word.store(2)

        m.spawn(target)
        m.spawn(owner)
        m.join()

    for locks in ("atomic", "exact"):
        assert None is vmsmp.explore(program, sched="random", schedules=30, locks=locks).failure


def test_a_cpu_with_interrupts_disabled_answers_when_it_enables_them(kit):
    def program(m):
        vm = m.boot(pages=24, l2_size=1)
        kit.map_kernel(vm, 0)
        word, done = m.atomic(0, name="word"), []

        def target():
            td = curthread(m)
            cpu_disable_intr(td)
            word.store(1)
            for _ in range(20):
                m.yield_()
                m.check(not done, "nobody answers for a CPU with interrupts disabled")
            cpu_enable_intr(td)
            m.check(not td.cpu.latched, "an interrupt that has come is taken at once")

        def owner():
            while not word.load():
                m.pause()
            kernel_command(vm, kit)
            done.append(1)

        m.spawn(target)
        m.spawn(owner)
        m.join()
        m.check(done, "the command ends")

    assert None is vmsmp.explore(program, sched="random", schedules=30).failure


def test_a_cpu_that_has_ended_or_not_begun_answers_too(kit):
    def program(m):
        vm = m.boot(pages=24, l2_size=1)
        kit.map_kernel(vm, 0)
        for _ in range(2):
            m.spawn(lambda: None)
        m.spawn(kernel_command, vm, kit)
        m.join()

    assert None is vmsmp.explore(program, sched="random", schedules=30).failure


def test_parallel_cpus_answer_each_other(kit, parallel, memory):
    def program(vm):
        m = vm.machine
        kit.map_kernel(vm, *range(3))

        def owner(n):
            pmap_inval_smp(vm.pmap.kernel_pmap, kit.KERNEL_PAGES[n], 1, kit.kernel_entry(vm, n), 0)

        for n in range(3):
            m.spawn(owner, n)
        m.join()
        return [kit.kernel_entry(vm, n).peek() for n in range(3)]

    assert [0, 0, 0] == parallel(program, **memory)


def test_a_flush_of_everything_waits_for_all_others_and_spares_the_own_tlb(alone, kit, memory):
    def program(vm):
        m = vm.machine
        kit.map_kernel(vm, 0)
        ready = m.atomic(0, name="ready")

        def other():
            kit.kernel_load(m, 0)
            ready.store(1)
            while ready.load() == 1:
                m.pause()

        cpu = m.spawn(other)
        while not ready.load():
            m.pause()
        kit.kernel_load(m, 0)
        smp_invltlb(vm)
        sizes = len(m.curcpu.mmu.tlb), len(cpu.mmu.tlb)
        ready.store(2)
        return sizes, vm.inval.smp_invltlb_mask.peek(), vm.inval.v_smpinvltlb[0]

    assert ((1, 0), 0, 1) == alone(program, check=True, **memory)
