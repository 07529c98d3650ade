"""More memory for entries comes out of the kernel's map."""

from __future__ import annotations

from maps import floored, layout, put
from vmsmp.vm.vm_map import VM_SUBSYS_ZALLOC, vm_map_entry_reserve, vm_map_lock
from vmsmp.vm.vm_map.mapentzone import ENTRY_SIZE
from vmsmp.vm.vm_page import PAGE_SIZE

EMPTY = {"map_entries": 0, "map_entry_cache": (20, 8)}
PER_PAGE = PAGE_SIZE // ENTRY_SIZE


def test_an_empty_zone_maps_a_page_of_the_kernel_s_addresses(alone):
    def program(vm):
        vm_map_entry_reserve(vm, 4)
        kernel = vm.map.kernel_map
        return [
            (entry.peek("id"), entry.ba.peek("object").name, entry.ba.peek("offset") - kernel.min_addr)
            for entry in kernel.peek("rb_root")
        ]

    assert [(VM_SUBSYS_ZALLOC, "kernel_object", 2**64 - 2**43 - (2**64 - 2**43))] == alone(program, **EMPTY)


def test_a_page_holds_so_many_entries_of_which_the_cpu_gets_some_at_once(alone):
    def program(vm):
        vm_map_entry_reserve(vm, 4)
        zone, gd = vm.map.mapentzone, vm.map.supply()
        return gd.gd_vme_base + zone.zfreecnt + sum(zone.zpcpu.values()) + vm.map.kernel_map.peek("nentries")

    assert 20 + PER_PAGE == alone(program, **EMPTY)


def test_a_map_works_on_an_empty_zone(alone):
    def program(vm):
        map = floored(vm)
        return put(map, 2, 1), layout(map)

    assert (0, [(2, 1, 3, False)]) == alone(program, **EMPTY)


def test_a_refill_under_the_kernel_map_s_lock_is_a_deadlock_with_oneself(panic):
    def program(vm):
        vm_map_lock(vm.map.kernel_map)
        vm_map_entry_reserve(vm, 4)

    assert "locking against myself" in panic(program, **EMPTY)
