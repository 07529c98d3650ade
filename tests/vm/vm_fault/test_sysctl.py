"""The numbers of the fault layer by name."""

from __future__ import annotations

import pytest

from faults import new_process, write


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("vm.debug_fault", "debug_fault"),
        ("vm.debug_cluster", "debug_cluster"),
        ("vm.shared_fault", "vm_shared_fault"),
        ("vm.fault_bypass", "vm_fault_bypass_count"),
        ("vm.prefault_pages", "vm_prefault_pages"),
        ("vm.fast_fault", "vm_fast_fault"),
    ],
)
def test_a_number_is_read_and_changed_by_name(alone, name, attribute):
    def program(vm):
        before = vm.sysctl[name]
        vm.sysctl[name] = before + 3
        return getattr(vm.fault, attribute) - before

    assert 3 == alone(program)


def test_the_counters_of_faults_are_shown(alone):
    def program(vm):
        write(new_process(vm, 1), 0)
        names = ("v_vm_faults", "v_zfod", "v_cow_faults", "v_intrans")
        return [vm.sysctl[f"vm.stats.vm.{name}"] for name in names]

    assert [1, 1, 0, 0] == alone(program)
