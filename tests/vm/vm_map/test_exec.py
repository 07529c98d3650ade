"""Another address space for a process: an empty one, a copy of another, or one that it shares no longer."""

from __future__ import annotations

import pytest

from vmsmp.scenarios._kit import run_in
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_map import KERN_SUCCESS, USRSTACK, VM_MAX_USER_ADDRESS, VM_PROT_ALL, VM_PROT_RW

SPACE = 1 << 30
SMALL = {"pages": 8, "maxssiz": 0x10000, "sgrowsiz": 0x2000}


def space(vm, top=SPACE):
    """An address space with one anonymous page, in which the process of the running CPU is."""
    vmspace = v.vmspace_alloc(vm, 0, top)
    v.vm_map_find(vmspace.vm_map, 0x10000, 4096, 4096, False, v.Mapping(prot=3, max=7))
    run_in(vm, vmspace)
    return vmspace


def counts(vmspace):
    return vmspace.peek("vm_refcnt"), vmspace.peek("vm_holdcnt")


def ranges(vmspace):
    return [(e.ba.peek("start"), e.ba.peek("end")) for e in vmspace.vm_map.peek("rb_root")]


def test_exec_gives_a_process_an_empty_address_space_of_the_same_bounds_and_figures(alone):
    def program(vm):
        old = space(vm)
        old.vm_ssize, old.vm_daddr = 7, 0x4000
        p = vm.mycpu().proc
        v.vmspace_exec(p)
        new = p.p_vmspace
        return old.freed, new is old, new.vm_map.max_addr, new.vm_ssize, new.vm_daddr, counts(new)

    assert (True, False, SPACE, 7, 0x4000, (1, 1)) == alone(program)


def test_exec_of_a_resident_program_gives_a_copy_of_its_address_space(alone):
    def program(vm):
        resident, old = space(vm), space(vm)
        resident.vm_daddr = 0x8000
        p = vm.mycpu().proc
        v.vmspace_exec(p, resident)
        new = p.p_vmspace
        return old.freed, new is resident, new.vm_daddr, ranges(new), counts(new), counts(resident)

    assert (True, False, 0x8000, [(0x10000, 0x11000)], (1, 1), (1, 1)) == alone(program)


def test_the_process_is_in_the_new_address_space_before_the_old_one_is_given_back(steps):
    def prepare(vm):
        space(vm)
        return [vm.mycpu().proc]

    rows = steps(prepare, v.vmspace_exec)
    done = [name for row in rows for name in ("proc.p_vmspace", "vmspace[0].vm_refcnt") if name in row]
    assert ["proc.p_vmspace"] * 3 + ["vmspace[0].vm_refcnt"] == done[:4]


@pytest.mark.parametrize(("refs", "own"), [(1, True), (2, False)])
def test_only_who_shares_an_address_space_gets_another(alone, refs, own):
    def program(vm):
        old = space(vm)
        for _ in range(refs - 1):
            v.vmspace_ref(old)
        p = vm.mycpu().proc
        v.vmspace_unshare(p)
        new = p.p_vmspace
        return new is old, counts(new), counts(old), ranges(new), old.vm_map.token.held()

    assert (own, (1, 1), (1, 1), [(0x10000, 0x11000)], False) == alone(program)


@pytest.mark.parametrize(("refs", "same"), [(1, True), (2, False)])
def test_a_new_program_begins_with_a_stack_alone(alone, refs, same):
    def program(vm):
        old = space(vm, VM_MAX_USER_ADDRESS)
        for _ in range(refs - 1):
            v.vmspace_ref(old)
        p = vm.mycpu().proc
        rv = v.exec_new_vmspace(p)
        new = p.p_vmspace
        stack = new.vm_map.peek("rb_root").first()
        told = (new is old, ranges(new), stack.peek("protection"), stack.peek("max_protection"))
        return rv, told, (new.vm_ssize, new.vm_maxsaddr), stack.peek("aux"), len(ranges(old))

    rv, told, figures, room, left = alone(program, **SMALL)
    assert KERN_SUCCESS == rv
    assert (same, [(USRSTACK - 0x2000, USRSTACK)], VM_PROT_RW, VM_PROT_ALL) == told
    assert ((2, USRSTACK - 0x10000), 0xE000, 1) == (figures, room, left)


def test_a_resident_program_begins_with_its_copy_and_a_stack(alone):
    def program(vm):
        resident, old = space(vm, VM_MAX_USER_ADDRESS), space(vm, VM_MAX_USER_ADDRESS)
        p = vm.mycpu().proc
        return v.exec_new_vmspace(p, resident), old.freed, ranges(p.p_vmspace)

    stack = (USRSTACK - 0x2000, USRSTACK)
    assert (KERN_SUCCESS, True, [(0x10000, 0x11000), stack]) == alone(program, **SMALL)


def test_a_stack_that_has_no_room_is_told(alone):
    def program(vm):
        space(vm)
        return v.exec_new_vmspace(vm.mycpu().proc)

    assert KERN_SUCCESS != alone(program, **SMALL)
