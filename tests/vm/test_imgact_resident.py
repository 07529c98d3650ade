"""Resident programs: who may be one, who runs it, and how it is forgotten."""

from __future__ import annotations

import pytest

from vmsmp.scenarios._kit import run_in
from vmsmp.sync.errno import EEXIST, ENOENT
from vmsmp.vm import vm_map as v
from vmsmp.vm.imgact_resident import exec_resident_imgact, exec_sys_register, exec_sys_unregister
from vmsmp.vm.vm_map import KERN_SUCCESS, VM_MAX_USER_ADDRESS
from vmsmp.vm.vnode import getnewvnode

SMALL = {"pages": 24, "maxssiz": 0x10000, "sgrowsiz": 0x2000}


def process(vm):
    """The process of the running CPU, with one page of memory."""
    vmspace = v.vmspace_alloc(vm, 0, VM_MAX_USER_ADDRESS)
    v.vm_map_find(vmspace.vm_map, 0x10000, 4096, 4096, False, v.Mapping(prot=3, max=7))
    run_in(vm, vmspace)
    return vm.mycpu().proc


def starts(vmspace):
    """Where the entries of an address space begin."""
    return [entry.ba.peek("start") for entry in vmspace.vm_map.peek("rb_root")]


def test_a_program_is_resident_once(alone):
    def program(vm):
        p, text = process(vm), getnewvnode(vm, "text")
        answers = exec_sys_register(p, text), exec_sys_register(p, text)
        (resident,) = vm.residents.exec_res_list
        return answers, resident.vr_id, starts(resident.vr_vmspace), vm.residents.exec_list_lock.held()

    assert ((0, EEXIST), 1, [0x10000], False) == alone(program, **SMALL)


def test_who_runs_a_resident_program_gets_a_copy_and_a_stack(alone):
    def program(vm):
        text = getnewvnode(vm, "text")
        exec_sys_register(process(vm), text)
        p = process(vm)
        v.vm_map_remove(p.p_vmspace.vm_map, 0, VM_MAX_USER_ADDRESS)
        rv = exec_resident_imgact(p, text)
        (resident,) = vm.residents.exec_res_list
        return rv, len(starts(p.p_vmspace)), starts(p.p_vmspace)[0], resident.vr_refs.peek()

    assert (KERN_SUCCESS, 2, 0x10000, 0) == alone(program, **SMALL)


def test_a_program_that_is_not_resident_is_not_run(alone):
    def program(vm):
        p = process(vm)
        before = p.p_vmspace
        return exec_resident_imgact(p, getnewvnode(vm, "text")), p.p_vmspace is before

    assert (None, True) == alone(program, **SMALL)


@pytest.mark.parametrize(("number", "answer", "left"), [(1, 0, 0), (2, ENOENT, 1)])
def test_a_program_is_forgotten_by_its_number_with_its_memory(alone, number, answer, left):
    def program(vm):
        exec_sys_register(process(vm), getnewvnode(vm, "text"))
        (resident,) = vm.residents.exec_res_list
        space = resident.vr_vmspace
        said = exec_sys_unregister(vm, number)
        return said, len(vm.residents.exec_res_list), space.freed, vm.residents.exec_list_lock.held()

    assert (answer, left, not left, False) == alone(program, **SMALL)


def test_a_program_that_is_being_run_is_forgotten_later(alone):
    def program(vm):
        exec_sys_register(process(vm), getnewvnode(vm, "text"))
        (resident,) = vm.residents.exec_res_list
        resident.vr_refs.store(1)
        cpu = vm.machine.spawn(exec_sys_unregister, vm, 1)
        vm.machine.tsleep("a while", 0, "", 5)
        there = len(vm.residents.exec_res_list)
        resident.vr_refs.store(0)
        cpu.join()
        return there, cpu.result

    assert (1, 0) == alone(program, **SMALL)
