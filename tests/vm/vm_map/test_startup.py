"""What maps a machine has from the start."""

from __future__ import annotations

from vmsmp.vm.vm_map import VM_MAX_KERNEL_ADDRESS, VM_MIN_KERNEL_ADDRESS


def test_the_kernel_has_an_empty_map_of_its_addresses(alone):
    def program(vm):
        map = vm.map.kernel_map
        return map.name, map.min_addr, map.max_addr, map.peek("nentries"), map.system_map, map.pmap.name

    assert ("kernel_map", VM_MIN_KERNEL_ADDRESS, VM_MAX_KERNEL_ADDRESS, 0, 1, "kernel_pmap") == alone(program)


def test_the_boot_cpu_has_more_entries_than_the_others(alone):
    def program(vm):
        lengths = [vm.map.supply().gd_vme_base]
        vm.machine.spawn(lambda: lengths.append(vm.map.supply().gd_vme_base))
        vm.machine.join()
        return lengths

    assert [257, 8] == alone(program)


def test_booting_has_no_visible_step(steps):
    assert [] == steps(lambda vm: (vm,), lambda vm: vm.map.supply())
