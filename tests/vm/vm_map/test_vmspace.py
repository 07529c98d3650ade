"""Address spaces: who refers to one, who holds one, and how it ends."""

from __future__ import annotations

import pytest

from vmsmp.scenarios._kit import leave, run_in
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_map import VM_REF_DELETED, VMSPACE_EXIT1, VMSPACE_EXIT2

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
SPACE = 1 << 30


def space(vm):
    """An address space with one anonymous page."""
    vmspace = v.vmspace_alloc(vm, 0, SPACE)
    v.vm_map_find(vmspace.vm_map, 0x10000, 4096, 4096, False, v.Mapping(prot=3, max=7))
    return vmspace


def counts(vmspace):
    return vmspace.peek("vm_refcnt"), vmspace.peek("vm_holdcnt")


def test_a_new_address_space_has_one_reference_and_its_hold_and_an_empty_map(alone):
    def program(vm):
        vmspace = v.vmspace_alloc(vm, 4096, SPACE)
        map = vmspace.vm_map
        bounds = (map.min_addr, map.max_addr, map.peek("nentries"))
        return counts(vmspace), bounds, map.pmap is vmspace.vm_pmap, map.token.held()

    assert ((1, 1), (4096, SPACE, 0), True, False) == alone(program)


def test_a_hold_is_counted_before_the_token_is_taken(steps):
    rows = steps(lambda vm: [space(vm)], v.vmspace_hold)
    assert ["fetchadd vmspace", "acquire vmspace"] == [row.split("[")[0] for row in rows]


def test_the_last_hold_asks_for_references_after_it_has_gone(steps):
    def prepare(vm):
        vmspace = space(vm)
        vmspace.vm_holdcnt.value = 1
        return [vmspace]

    rows = steps(prepare, v.vmspace_drop_notoken)
    assert ["fetchadd", "load"] == [row.split()[0] for row in rows]
    assert "vm_refcnt" in rows[1]


def test_a_hold_of_several_is_dropped_in_one_step(steps):
    def prepare(vm):
        vmspace = space(vm)
        v.vmspace_hold(vmspace)
        vmspace.vm_map.token.release()
        return [vmspace]

    assert 1 == len(steps(prepare, v.vmspace_drop_notoken))


@pytest.mark.parametrize(
    ("refs", "told"), [(1, 1), (3, 3), (0, 0), (VM_REF_DELETED, -1), (VM_REF_DELETED | 1, -1)]
)
def test_references_are_told_as_a_number_or_as_gone(alone, refs, told):
    def program(vm):
        vmspace = space(vm)
        vmspace.vm_refcnt.value = refs
        return v.vmspace_getrefs(vmspace)

    assert told == alone(program)


def test_a_reference_comes_and_goes_with_its_hold(alone):
    def program(vm):
        vmspace = space(vm)
        v.vmspace_ref(vmspace)
        more = counts(vmspace)
        v.vmspace_rel(vmspace)
        return more, counts(vmspace), vmspace.vm_map.peek("nentries")

    assert ((2, 2), (1, 1), 1) == alone(program)


def test_a_reference_to_what_has_lost_its_last_one_panics(panic):
    def program(vm):
        vmspace = space(vm)
        vmspace.vm_refcnt.value = VM_REF_DELETED
        v.vmspace_ref(vmspace)

    assert "vmspace_ref: vmspace without references" == panic(program)


def test_the_last_reference_empties_the_map_and_the_last_hold_frees_it(alone):
    def program(vm):
        vmspace = space(vm)
        v.vmspace_hold(vmspace)
        vmspace.vm_map.token.release()
        v.vmspace_rel(vmspace)
        first = counts(vmspace), vmspace.peek("vm_flags"), vmspace.vm_map.peek("nentries"), vmspace.freed
        v.vmspace_drop_notoken(vmspace)
        return first, (counts(vmspace), vmspace.peek("vm_flags"), vmspace.freed, vmspace.vm_map.freed)

    first, second = alone(program)
    assert ((VM_REF_DELETED, 1), VMSPACE_EXIT1, 0, False) == first
    assert ((VM_REF_DELETED, 0), VMSPACE_EXIT1 | VMSPACE_EXIT2, True, True) == second


def test_what_is_mapped_between_the_stages_is_removed_by_the_second(alone):
    def program(vm):
        vmspace = space(vm)
        v.vmspace_hold(vmspace)
        vmspace.vm_map.token.release()
        v.vmspace_rel(vmspace)
        v.vm_map_find(vmspace.vm_map, 0x10000, 4096, 4096, False, v.Mapping(prot=3, max=7))
        late = vmspace.vm_map.peek("nentries")
        v.vmspace_drop_notoken(vmspace)
        return late, vmspace.vm_map.peek("nentries")

    assert (1, 0) == alone(program)


@pytest.mark.parametrize(
    ("wired", "order"), [(0, ["pmap_remove", "map"]), (1, ["map", "pmap_remove"])], ids=["idle", "wired"]
)
def test_the_map_of_wired_pages_goes_before_their_mappings(alone, monkeypatch, wired, order):
    def program(vm):
        vmspace = space(vm)
        did = []

        def remove(map, *_):
            did.append("map")
            vmspace.vm_pmap.wired_count.value = 0

        monkeypatch.setattr("vmsmp.vm.vm_map.vmspace.vm_map_remove", remove)
        monkeypatch.setattr("vmsmp.vm.vm_map.vmspace.pmap_remove_pages", lambda *_: did.append("pmap_remove"))
        vmspace.vm_pmap.wired_count.value = wired
        v.vmspace_hold(vmspace)
        vmspace.vm_map.token.release()
        v.vmspace_rel(vmspace)
        return did

    assert order == alone(program)


@pytest.mark.parametrize(
    ("flags", "final", "text"),
    [
        (VMSPACE_EXIT1, 0, "VMSPACE_EXIT1 is set"),
        (0, 1, "VMSPACE_EXIT1 is clear or VMSPACE_EXIT2 is set"),
        (VMSPACE_EXIT1 | VMSPACE_EXIT2, 1, "VMSPACE_EXIT1 is clear or VMSPACE_EXIT2 is set"),
    ],
)
def test_a_stage_out_of_turn_panics(panic, flags, final, text):
    def program(vm):
        vmspace = space(vm)
        vmspace.vm_flags = flags
        v.vmspace_terminate(vmspace, final)

    assert f"vmspace_terminate: {text}" == panic(program)


def test_the_memory_of_a_wired_address_space_cannot_be_used_anew(panic):
    def program(vm):
        vmspace = space(vm)
        vmspace.vm_pmap.wired_count.value = 2
        v.vmspace_rel(vmspace)

    assert "pmap_release: something is left in the pmap" == panic(program)


def test_an_exiting_process_keeps_a_hold_until_it_is_reaped(alone):
    def program(vm):
        vmspace = space(vm)
        p = vm.mycpu().proc
        run_in(vm, vmspace)
        v.vmspace_relexit(vmspace)
        leave(vm)
        exited = counts(vmspace), vmspace.freed, p.p_vmspace is vmspace
        v.vmspace_exitfree(p)
        return exited, vmspace.freed, p.p_vmspace

    assert (((VM_REF_DELETED, 1), False, True), True, None) == alone(program)


def test_memory_is_used_anew_as_long_as_there_is_room_for_it(alone):
    def program(vm):
        cache = vm.map.vmspaces
        spaces = [v.vmspace_alloc(vm, 0, SPACE) for _ in range(6)]
        made = cache.created
        for vmspace in spaces:
            v.vmspace_rel(vmspace)
        kept = len(cache.cached), cache.created
        v.vmspace_alloc(vm, 0, SPACE)
        return made, kept, (len(cache.cached), cache.created)

    assert (6, (4, 4), (3, 4)) == alone(program)


def test_memory_that_is_referenced_is_not_given_back_to_the_system(panic):
    assert "vmspace_dtor: vm_refcnt != VM_REF_DELETED" == panic(lambda vm: v.vmspace_dtor(space(vm)))


@DEPTHS
def test_references_and_holds_of_several_end_it_once(together, locks):
    def program(vm):
        vmspace = space(vm)
        v.vmspace_ref(vmspace)

        def user():
            v.vmspace_hold(vmspace)
            v.vmspace_drop(vmspace)
            v.vmspace_rel(vmspace)

        for _ in range(2):
            vm.machine.spawn(user)
        vm.machine.join()
        vm.machine.check(vmspace.freed, "its memory is free")

    together(program, locks=locks)
