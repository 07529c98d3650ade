"""The numbers of the fault layer as a machine boots."""

from __future__ import annotations


def test_faults_boot_with_the_kernel_s_defaults(alone):
    def program(vm):
        faults = vm.fault
        return (
            faults.debug_fault,
            faults.debug_cluster,
            faults.vm_shared_fault,
            faults.vm_fault_bypass_count,
            faults.vm_prefault_pages,
            faults.vm_fast_fault,
        )

    assert (0, 0, 1, 1, 8, 1) == alone(program)
