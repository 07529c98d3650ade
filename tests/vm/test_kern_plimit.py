"""The limit of a stack."""

from __future__ import annotations

import pytest

from vmsmp.vm.kern_plimit import setrlimit_stack
from vmsmp.vm.vm_map import USRSTACK, VM_MAX_USER_ADDRESS, exec_new_vmspace, vmspace_alloc
from vmsmp.vm.vm_page import PAGE_SIZE as PAGE


@pytest.mark.parametrize(
    ("limits", "rights"),
    [
        ([8 * PAGE], [3] * 4),
        ([8 * PAGE, 8 * PAGE], [3] * 4),
        ([8 * PAGE, 2 * PAGE], [0, 0, 3, 3]),
        ([8 * PAGE, 2 * PAGE, 3 * PAGE], [0, 7, 3, 3]),
        ([8 * PAGE + 100, 2 * PAGE + 50], [0, 0, 3, 3]),
        ([8 * PAGE, 2 * PAGE + 50], [0, 0, 3, 3]),
    ],
)
def test_a_stack_can_be_used_within_its_limit(alone, limits, rights):
    def program(vm):
        p = vm.mycpu().proc
        vmspace = vmspace_alloc(vm, 0, VM_MAX_USER_ADDRESS)
        p.publish("p_vmspace", vmspace)
        exec_new_vmspace(p)
        p.publish("rlim_stack", limits[0])
        for limit in limits[1:]:
            setrlimit_stack(p, limit)
        tree = vmspace.vm_map.raw_rb_root
        return [tree.at_or_before(USRSTACK - page * PAGE).peek("protection") for page in (4, 3, 2, 1)]

    assert rights == alone(program)
