"""What a pager says."""

from __future__ import annotations

from vmsmp.vm.vm_pager import result


def test_the_words_have_the_kernel_s_values():
    names = ("OK", "BAD", "FAIL", "PEND", "ERROR", "AGAIN")
    assert [*range(6)] == [getattr(result, f"VM_PAGER_{name}") for name in names]
