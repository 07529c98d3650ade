"""One pass over the commands: what a CPU does of them, and whether it has to come again."""

from __future__ import annotations

import pytest

from vmsmp.sync.thread import curthread
from vmsmp.vm.pmap_inval import MAX_INVAL_PAGES, VA_ALL, InvalMode, cpu_invlpg, invalidate, pmap_inval_intr

ALL = 0b11


def command(vm, cpu, *, mask, done, ptep=None, mode=InvalMode.INVSTORE):
    """The slot of a CPU with a command of one page in it."""
    info = vm.inval.invinfo(cpu)
    info.raw_va, info.raw_npgs, info.raw_ptep, info.raw_mode = 0x1000, 1, ptep, mode
    info.mask.value, info.done.value = mask, done
    return info


def look(vm, cpumask=ALL):
    """One pass of CPU 0; whether it comes again."""
    vm.machine.spawn(lambda: None)
    vm.machine.join()
    return pmap_inval_intr(vm, curthread(vm.machine), cpumask)


def test_a_command_that_is_not_for_the_cpu_is_left_alone(alone, memory):
    def program(vm):
        info = command(vm, 1, mask=0b11, done=0b10)
        return look(vm), info.mask.value, info.done.value

    assert (False, 0b11, 0b10) == alone(program, **memory)


def test_a_cpu_quiesces_first_and_comes_again(alone, memory):
    def program(vm):
        info = command(vm, 1, mask=0b11, done=0b11)
        return look(vm), info.mask.value, info.done.value

    assert (True, 0b10, 0b11) == alone(program, **memory)


def test_a_cpu_waits_until_the_entry_has_changed(alone, memory):
    def program(vm):
        info = command(vm, 1, mask=0b10, done=0b11, ptep=vm.machine.atomic(5))
        return look(vm), info.mask.value, info.done.value, info.raw_ptep.peek()

    assert (True, 0b10, 0b11, 5) == alone(program, **memory)


@pytest.mark.parametrize(("mask", "entry"), [(0, True), (0, False), (0b10, False)])
def test_a_cpu_flushes_and_is_done_once_there_is_nothing_to_wait_for(alone, memory, mask, entry):
    def program(vm):
        info = command(vm, 1, mask=mask, done=0b11, ptep=vm.machine.atomic(5) if entry else None)
        return look(vm), info.done.value

    assert (False, 0b10) == alone(program, **memory)


@pytest.mark.parametrize("mode", [InvalMode.INVSTORE, InvalMode.INVCMPSET])
def test_the_own_command_waits_for_the_others(alone, memory, mode):
    def program(vm):
        info = command(vm, 0, mask=0b11, done=0b11, ptep=vm.machine.atomic(5), mode=mode)
        return look(vm), info.mask.value, info.raw_ptep.peek()

    assert (True, 0b11, 5) == alone(program, **memory)


def test_the_own_command_is_carried_out_when_all_others_have_come(alone, memory):
    def program(vm):
        info = command(vm, 0, mask=0b01, done=0b11, ptep=vm.machine.atomic(5))
        info.npte = 7
        return look(vm), info.mask.value, info.done.value, info.opte, info.raw_ptep.peek()

    assert (True, 0, 0b11, 5, 7) == alone(program, **memory)


@pytest.mark.parametrize(("expected", "success", "after"), [(5, True, 7), (6, False, 5)])
def test_an_own_command_of_the_other_kind_compares(alone, memory, expected, success, after):
    def program(vm):
        info = command(vm, 0, mask=1, done=1, ptep=vm.machine.atomic(5), mode=InvalMode.INVCMPSET)
        info.opte, info.npte = expected, 7
        return look(vm, 1), info.success, info.raw_ptep.peek()

    assert (True, success, after) == alone(program, **memory)


def test_the_own_command_ends_with_the_own_flush(alone, memory):
    def program(vm):
        info = command(vm, 0, mask=0, done=0b01)
        return look(vm), info.raw_mode, info.done.value

    assert (False, InvalMode.INVDONE, 0) == alone(program, **memory)


@pytest.mark.parametrize(
    ("va", "npgs", "flushes"),
    [(0x1000, 1, 1), (0x1000, 3, 3), (0x1000, MAX_INVAL_PAGES, 128), (0x1000, 129, 1), (VA_ALL, 1, 1)],
)
def test_too_many_pages_are_flushed_all_together(steps, memory, va, npgs, flushes):
    rows = steps(lambda vm: [curthread(vm.machine), va, npgs], invalidate, **memory)
    assert ["flush cpu0.tlb"] * flushes == rows


def test_a_flush_of_one_page_leaves_the_others(alone, kit, memory):
    def program(vm):
        m = vm.machine
        kit.run_in(m, kit.new_space(vm, "P"))
        for va in kit.PAGES[:2]:
            kit.touch(m.curcpu.load, va)
        cpu_invlpg(curthread(m), kit.PAGES[0])
        return [entry.va for _, entry in m.curcpu.mmu.tlb.entries()]

    assert [0x401000] == alone(program, check=True, **memory)
