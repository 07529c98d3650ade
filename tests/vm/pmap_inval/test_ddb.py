"""What the debugger shows of invalidations."""

from __future__ import annotations

from vmsmp.mmu.ddb import show_tlb
from vmsmp.vm.pmap_inval import pmap_inval_print


def test_masks_and_every_cpu_s_part_are_shown(alone, memory):
    def program(vm):
        vm.machine.spawn(lambda: None)
        vm.machine.join()
        vm.inval.gd_xinvaltlb[1] = 2
        vm.machine.cpus[1].latched = True
        vm.inval.smp_invmask.value = 2
        shown = pmap_inval_print(vm)
        vm.machine.cpus[1].latched = False
        return shown

    masks, boot, other = alone(program, **memory)
    assert masks.startswith("smp_invmask 0b10, smp_invltlb_mask 0b0, smp_smurf_mask 0b0")
    assert "cpu0: free" == boot
    assert "cpu1: free, in the handler and asked once more, an IPI is latched" == other


def test_the_tlb_of_a_cpu_that_runs_an_address_space_is_shown(alone, kit, memory):
    def program(vm):
        space = kit.new_space(vm, "P")
        kit.run_in(vm.machine, space)
        kit.touch(vm.machine.curcpu.load, kit.PAGES[0])
        kit.user_entry(space, 0).value = 0
        return show_tlb(vm.mmu, "0").splitlines(), f"{space.vm_pmap.cr3:#x}"

    (head, entry), cr3 = alone(program, **memory)
    assert f"cr3 {cr3}" in head
    assert entry.endswith("STALE: the tables say 0")
