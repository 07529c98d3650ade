"""What the sysctls of pages say."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.vm.vm_page import PAGE_SIZE, vm_page_alloc_contig

LOW = {"pages": 16, "l2_size": 1, "low_pages": 4, "dma_pages": 2}


def test_the_reserve_is_told_in_bytes(alone):
    assert 2 * PAGE_SIZE == alone(lambda vm: vm.sysctl["vm.dma_reserved"], **LOW)


def test_the_free_pages_are_what_the_alist_has(alone):
    def program(vm):
        before = vm.sysctl["vm.dma_free_pages"]
        vm_page_alloc_contig(vm, 0, 0, 0, 0, PAGE_SIZE)
        return before, vm.sysctl["vm.dma_free_pages"]

    assert (4, 3) == alone(program, **LOW)


@pytest.mark.parametrize("name", ["vm.dma_reserved", "vm.dma_free_pages"])
def test_without_low_pages_there_is_nothing(alone, name):
    assert 0 == alone(lambda vm: vm.sysctl[name])


@pytest.mark.parametrize("name", ["vm.dma_reserved", "vm.dma_free_pages"])
def test_they_cannot_be_written(alone, name):
    with pytest.raises(vmsmp.UsageError, match="read-only"):
        alone(lambda vm: vm.sysctl.__setitem__(name, 1))
