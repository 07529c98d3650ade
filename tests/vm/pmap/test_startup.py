"""The pmaps of a machine, and the kernel's boot tables."""

from __future__ import annotations

from tables import MEMORY
from vmsmp.vm.pmap import ALL_CPUS
from vmsmp.vm.pmap.entries import vtopte
from vmsmp.vm.vm_map import VM_MIN_KERNEL_ADDRESS


def test_the_kernel_s_tables_lie_behind_the_pages_and_reach_its_first_addresses(alone):
    def program(vm):
        kernel = vm.pmap.kernel_pmap
        word = vtopte(vm, VM_MIN_KERNEL_ADDRESS + 5 * 4096)
        return kernel.root, kernel.peek("pm_active"), word is vm.memory.word(27, 5), kernel.name

    assert (24, ALL_CPUS, True, "kernel_pmap") == alone(program, **MEMORY)


def test_pmaps_have_names(alone):
    assert ("pmap[1]", "child") == alone(
        lambda vm: (vm.pmap.make().name, vm.pmap.make("child").name), **MEMORY
    )
