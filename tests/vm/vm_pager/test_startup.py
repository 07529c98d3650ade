"""What pagers start with."""

from __future__ import annotations


def test_all_of_swap_is_free_and_no_cpu_runs_the_device(alone):
    def program(vm):
        pager = vm.pager
        return pager.vm_swap_size, pager.vm_swap_max, pager.device.attached, pager.dev_pager_object_list

    assert (7, 7, False, []) == alone(program, swap_pages=7)
