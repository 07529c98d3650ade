"""The switches of the protocol by name."""

from __future__ import annotations

import pytest

DEFAULTS = {
    "machdep.pmap_inval_force_allcpus": 0,
    "machdep.pmap_inval_force_nonopt": 0,
    "machdep.optimized_invltlb": 0,
    "machdep.all_but_self_ipi_enable": 1,
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_switch_has_the_kernel_s_default_and_can_be_set(alone, name):
    def program(vm):
        before = vm.sysctl[name]
        vm.sysctl[name] = 2
        return before, vm.sysctl[name]

    assert (DEFAULTS[name], 2) == alone(program)
