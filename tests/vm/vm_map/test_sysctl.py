"""The numbers of maps, by name."""

from __future__ import annotations

import pytest

from vmsmp.errors import UsageError

SWITCHES = {
    "vm.randomize_mmap": 0,
    "vm.map_relock_enable": 1,
    "vm.map_partition_enable": 1,
    "vm.map_backing_limit": 5,
    "vm.map_backing_shadow_test": 1,
}


@pytest.mark.parametrize(("name", "value"), SWITCHES.items())
def test_a_switch_has_the_kernel_s_default_and_can_be_changed(alone, name, value):
    def program(vm):
        before = vm.sysctl[name]
        vm.sysctl[name] = 7
        return before, vm.sysctl[name]

    assert (value, 7) == alone(program)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kern.maxssiz", 512 << 20),
        ("kern.sgrowsiz", 128 << 10),
        ("kern.maxdsiz", 32 << 30),
        ("vm.kvm_size", (1 << 43) - 4096),
        ("vm.kvm_free", (1 << 43) - 4096),
    ],
)
def test_a_size_is_shown_and_stays(alone, name, value):
    def program(vm):
        with pytest.raises(UsageError, match="read-only"):
            vm.sysctl[name] = 1
        return vm.sysctl[name]

    assert value == alone(program)


def test_a_tunable_is_chosen_at_boot(alone):
    assert 8192 == alone(lambda vm: vm.sysctl["kern.sgrowsiz"], sgrowsiz=8192)
