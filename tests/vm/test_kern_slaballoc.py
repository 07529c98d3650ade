"""Memory for the kernel's allocator: wired and mapped from the start, and gone as a whole."""

from __future__ import annotations

import pytest

from vmsmp.vm.kern_slaballoc import kmem_slab_alloc, kmem_slab_free
from vmsmp.vm.pmap import pmap_kvtom
from vmsmp.vm.vm_map import M_NOWAIT, M_NULLOK, M_USE_RESERVE, M_WAITOK
from vmsmp.vm.vm_page import PAGE_SIZE


def slab(vm, pages, flags=M_WAITOK):
    return kmem_slab_alloc(vm, pages * PAGE_SIZE, PAGE_SIZE, flags)


def test_the_pages_are_there_wired_mapped_and_not_busied(alone):
    def program(vm):
        addr = slab(vm, 2)
        entry = vm.map.kernel_map.peek("rb_root").first()
        pages = vm.objects.kernel_object.peek("rb_memq").values()
        mapped = [pmap_kvtom(vm, addr + n * PAGE_SIZE).peek("pindex") - addr // PAGE_SIZE for n in (0, 1)]
        return (
            entry.peek("wired_count"),
            [(m.peek("wire_count"), m.peek("busy_count"), m.peek("valid")) for m in pages],
            mapped,
            vm.pmap.kernel_pmap.peek("wired_count"),
        )

    assert (1, [(1, 0, 255)] * 2, [0, 1], 2) == alone(program, check=True)


def test_what_is_freed_leaves_nothing(alone):
    def program(vm):
        addr = slab(vm, 3)
        pages = [*vm.objects.kernel_object.peek("rb_memq").values()]
        kmem_slab_free(vm, addr, 3 * PAGE_SIZE)
        kernel_map = vm.map.kernel_map
        left = kernel_map.peek("nentries"), vm.objects.kernel_object.peek("resident_page_count")
        return left, [m.peek("wire_count") for m in pages], vm.pmap.kernel_pmap.peek("wired_count")

    assert ((0, 0), [0, 0, 0], 0) == alone(program, check=True)


@pytest.mark.parametrize("flags", [M_NOWAIT | M_USE_RESERVE, M_NOWAIT | M_USE_RESERVE | M_NULLOK])
def test_who_may_not_wait_gets_nothing_and_leaves_nothing(alone, flags):
    def program(vm):
        kernel_map = vm.map.kernel_map
        got = slab(vm, 9, flags)
        return got, kernel_map.peek("nentries"), vm.objects.kernel_object.peek("resident_page_count")

    assert (0, 0, 0) == alone(program, check=True)


def test_a_request_must_say_whether_it_may_wait(panic):
    assert "kmem_slab_alloc: bad flags 00000400" == panic(lambda vm: slab(vm, 1, M_NULLOK))


def test_addresses_that_run_out_are_told_only_to_who_asks(alone, panic):
    size = 1 << 43
    assert 0 == alone(lambda vm: kmem_slab_alloc(vm, size, PAGE_SIZE, M_WAITOK | M_NULLOK))
    text = panic(lambda vm: kmem_slab_alloc(vm, size, PAGE_SIZE, M_WAITOK))
    assert "kmem_slab_alloc(): kernel_map ran out of space!" == text
