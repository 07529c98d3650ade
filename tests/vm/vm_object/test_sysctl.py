"""The sysctls of objects and of swap."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("name", ["vm.object_debug", "vm.swap_user_async", "vm.swap_burst_read"])
def test_a_number_may_be_changed(alone, name):
    def program(vm):
        before = vm.sysctl[name]
        vm.sysctl[name] = 3
        return before, vm.sysctl[name]

    assert (0, 3) == alone(program)


def test_swap_says_how_large_it_is_and_what_of_it_is_free(alone):
    def program(vm):
        vm.pager.vm_swap_size -= 1
        return vm.sysctl["vm.swap_size"], vm.sysctl["vm.swap_free"]

    assert (5, 4) == alone(program, swap_pages=5)
