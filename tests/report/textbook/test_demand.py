"""The chapter of demand paging: what the kernel's own faults come to, beside the lecture's figures."""

from __future__ import annotations

import pytest

from vmsmp.report.textbook.demand import READ_THEN_WRITE, WRITE_THEN_READ, kernel_counts
from vmsmp.vm.pmap import pmap_remove
from vmsmp.vm.vm_fault import vm_fault


@pytest.mark.parametrize(
    ("program", "minor"), [(READ_THEN_WRITE, [89] * 4), (WRITE_THEN_READ, [90] * 4)], ids=["read", "write"]
)
def test_dragonfly_takes_a_fault_for_the_first_access_of_a_page_alone(program, minor):
    assert [(count, 0) for count in minor] == kernel_counts(program)


def test_a_page_whose_mapping_is_lost_faults_once_more(monkeypatch):
    def of_the_next(map, vaddr, prot, flags):
        rv = vm_fault(map, vaddr, prot, flags)
        pmap_remove(map.pmap, map.min_addr, vaddr)
        return rv

    monkeypatch.setattr("vmsmp.vm.trap.vm_fault", of_the_next)
    assert (87 + 2 + 1, 0) == kernel_counts(READ_THEN_WRITE)[-1]
