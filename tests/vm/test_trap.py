"""Faults as the processor reports them, and what a process or the kernel is told."""

from __future__ import annotations

import pytest

from faults import new_process, read
from maps import ANON, at
from vmsmp.mmu.fault import Access, PageFault
from vmsmp.sync.thread import curthread
from vmsmp.vm import trap as t
from vmsmp.vm.trap import FATAL, SEGV_ACCERR, SEGV_MAPERR, SIGBUS, SIGSEGV, Trapframe, trap, trap_pfault
from vmsmp.vm.vm_kern import kmem_alloc_pageable
from vmsmp.vm.vm_map import VM_MIN_KERNEL_ADDRESS, VM_PROT_READ

#: What the kernel says of its own accesses.
KERNEL = {"usermode": False}


def mapped(vm, prot=VM_PROT_READ):
    new_process(vm, 1, ANON._replace(prot=prot))
    return vm


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        (Trapframe(at(0)), 0),
        (Trapframe(at(0), write=True), SIGBUS),
        (Trapframe(at(0), fetch=True), SIGBUS),
        (Trapframe(at(9)), SIGSEGV),
        (Trapframe(VM_MIN_KERNEL_ADDRESS), SIGSEGV),
        (Trapframe(at(0), **KERNEL), FATAL),
        (Trapframe(at(0), **KERNEL, onfault=True), 0),
        (Trapframe(at(0), **KERNEL, onfault=True, smap=True), FATAL),
        (Trapframe(at(9), **KERNEL, onfault=True), 0),
        (Trapframe(at(9), **KERNEL), FATAL),
        (Trapframe(VM_MIN_KERNEL_ADDRESS + (1 << 30), **KERNEL), FATAL),
    ],
)
def test_what_becomes_of_an_access(alone, frame, answer):
    assert answer == alone(lambda vm: trap_pfault(mapped(vm), frame))


def test_an_interrupt_does_not_fault_users_memory_in(alone):
    def program(vm):
        mapped(vm)
        curthread(vm.machine).gd_intr_nesting_level = 1
        answer = trap_pfault(vm, Trapframe(at(0), **KERNEL, onfault=True))
        curthread(vm.machine).gd_intr_nesting_level = 0
        return answer

    assert FATAL == alone(program)


@pytest.mark.parametrize(("usermode", "answer"), [(True, SIGSEGV), (False, FATAL)])
def test_who_has_no_address_space_has_no_memory(alone, usermode, answer):
    assert answer == alone(lambda vm: trap_pfault(vm, Trapframe(at(0), usermode=usermode)))


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (Trapframe(at(0)), None),
        (Trapframe(at(0), write=True), (SIGSEGV, SEGV_ACCERR)),
        (Trapframe(at(9)), (SIGSEGV, SEGV_MAPERR)),
    ],
)
def test_a_process_is_told_by_the_code_whether_there_was_nothing(alone, frame, told):
    assert told == alone(lambda vm: trap(mapped(vm), frame))


def test_the_kernel_cannot_go_on_without_a_handler(panic):
    assert f"trap: page fault at {at(9):#x}" == panic(
        lambda vm: trap(mapped(vm), Trapframe(at(9), usermode=False))
    )


def test_a_fault_leaves_the_tokens_as_they_were(panic, monkeypatch):
    def greedy(map, *_):
        map.token.acquire()
        return read(map, 0)

    def program(vm):
        mapped(vm)
        monkeypatch.setattr(t, "vm_fault", greedy)
        trap(vm, Trapframe(at(0)))

    assert "trap_pfault: held tokens" == panic(program)


@pytest.mark.parametrize("page", [0, 9])
def test_an_access_is_made_again_or_raises_the_fault_with_its_signal(alone, page):
    def program(vm):
        mapped(vm)
        cpu = vm.machine.curcpu
        try:
            return cpu.load(at(page))
        except PageFault as fault:
            return fault.va, fault.signal

    assert (0 if page == 0 else (at(9), (SIGSEGV, SEGV_MAPERR))) == alone(program)


def test_the_kernel_s_own_address_without_an_object_is_a_panic(panic):
    def program(vm):
        address = kmem_alloc_pageable(vm.map.kernel_map, 4096, 0)
        vm.machine.curcpu.mmu.access(address, Access(user=False))

    assert "vm_fault: unrecoverable fault in a map entry without an object" == panic(program)
