"""The kernel's own memory: addresses with pages and without, maps inside the kernel's, and waiting."""

from __future__ import annotations

import pytest

import vmsmp
from page_layer import on
from vmsmp.vm import vm_kern as k
from vmsmp.vm.vm_map import (
    KM_CPU_SHIFT,
    KM_CPU_SPEC,
    KM_KRESERVE,
    MAP_ENTRY_KSTACK,
    MAP_ENTRY_NOFAULT,
    VM_MAPTYPE_SUBMAP,
    VM_SUBSYS_KMALLOC,
    VM_SUBSYS_STACK,
)

PAGE = 4096
DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def entry_of(map, addr):
    return map.peek("rb_root").at_or_before(addr)


def alloc(vm, size=2 * PAGE, kmflags=0):
    return k.kmem_alloc3(vm.map.kernel_map, size, VM_SUBSYS_KMALLOC, kmflags)


@pytest.mark.parametrize("kmflags", [0, KM_KRESERVE])
def test_memory_has_wired_entries_and_zeroed_pages_of_the_kernel_s_object(alone, kmflags):
    def program(vm):
        addr = alloc(vm, PAGE + 1, kmflags)
        entry = entry_of(vm.map.kernel_map, addr)
        obj = vm.objects.kernel_object
        pages = [obj.peek("rb_memq")[addr // PAGE + n] for n in (0, 1)]
        return (
            (entry.ba.peek("end") - addr, entry.ba.peek("object") is obj, entry.ba.peek("offset") == addr),
            (entry.peek("wired_count"), entry.peek("id")),
            [(m.peek("valid"), m.peek("wire_count"), on(m)) for m in pages],
            vm.map.supply().reserved(),
        )

    found = alone(program)
    assert ((2 * PAGE, True, True), (1, VM_SUBSYS_KMALLOC), [(0xFF, 1, "active")] * 2, 0) == found


def test_a_stack_has_a_guard_without_a_page(alone):
    def program(vm):
        addr = k.kmem_alloc_stack(vm.map.kernel_map, 3 * PAGE, 0)
        entry = entry_of(vm.map.kernel_map, addr)
        pages = vm.objects.kernel_object.peek("rb_memq")
        there = [addr // PAGE + n in pages for n in range(3)]
        return entry.peek("eflags"), entry.peek("id"), there

    assert (MAP_ENTRY_KSTACK, VM_SUBSYS_STACK, [False, True, True]) == alone(program)


def test_pages_can_be_asked_for_of_a_cpu_s_colour(alone, monkeypatch):
    def program(vm):
        flags = []
        real = k.vm_page_grab

        def grab(obj, pindex, how):
            flags.append(how)
            return real(obj, pindex, how)

        monkeypatch.setattr("vmsmp.vm.vm_kern.vm_page_grab", grab)
        alloc(vm, PAGE, KM_CPU_SPEC | 3 << KM_CPU_SHIFT)
        return flags

    assert [k.VM_ALLOC_CPU(3)] == [flags & k.VM_ALLOC_CPU(3) for flags in alone(program)]


def test_freed_memory_is_gone_with_its_pages(alone):
    def program(vm):
        addr = alloc(vm)
        k.kmem_free(vm.map.kernel_map, addr + 100, PAGE)
        obj = vm.objects.kernel_object
        return vm.map.kernel_map.peek("nentries"), obj.peek("resident_page_count"), obj.peek("ref_count")

    assert (0, 0, 1) == alone(program)


def test_addresses_alone_have_neither_object_nor_pages(alone):
    def program(vm):
        map = vm.map.kernel_map
        first = k.kmem_alloc_pageable(map, PAGE, 1)
        second = k.kmem_alloc_nofault(map, PAGE, 1, 1 << 20)
        entries = entry_of(map, first), entry_of(map, second)
        return [entry.ba.peek("object") for entry in entries], entries[1].peek("eflags"), second % (1 << 20)

    assert ([None, None], MAP_ENTRY_NOFAULT, 0) == alone(program)


@pytest.mark.parametrize("call", [k.kmem_alloc, k.kmem_alloc_pageable, k.kmem_alloc_wait])
def test_what_is_larger_than_the_map_is_refused(alone, call):
    def program(vm):
        submap = k.kmem_suballoc(vm.map.kernel_map, 2 * PAGE)
        answer = call(submap, 3 * PAGE, 1)
        return answer, submap.lock.held(), vm.map.supply().reserved(), submap.peek("nentries")

    assert (0, False, 0, 0) == alone(program)


def test_swap_backed_memory_goes_with_its_object(alone):
    def program(vm):
        kp = k.kmem_alloc_swapbacked(vm, PAGE + 1, 1)
        obj = kp.object
        there = kp.size, obj.peek("size"), entry_of(kp.map, kp.data).ba.peek("object") is obj
        k.kmem_free_swapbacked(kp)
        return there, obj.freed, kp.data, kp.object, vm.map.kernel_map.peek("nentries")

    assert ((2 * PAGE, 2, True), True, 0, None, 0) == alone(program)


def test_without_room_for_it_its_object_goes_at_once(alone):
    def program(vm):
        submap = k.kmem_suballoc(vm.map.kernel_map, PAGE)
        kp = k.kmem_alloc_swapbacked(vm, 2 * PAGE, 1, submap)
        return kp, [obj.freed for obj in vm.objects], vm.console

    kp, freed, console = alone(program)
    assert (None, [True], ["kmem_alloc_swapbacked: 8192 bytes failed"]) == (kp, freed, console)


def test_a_submap_covers_its_part_of_the_map_that_it_is_in(alone):
    def program(vm):
        kernel_map = vm.map.kernel_map
        submap = k.kmem_suballoc(kernel_map, PAGE + 1, "buffer_map")
        entry = entry_of(kernel_map, submap.min_addr)
        return (
            submap.name,
            submap.max_addr - submap.min_addr,
            submap.pmap is kernel_map.pmap,
            entry.peek("maptype") == VM_MAPTYPE_SUBMAP and entry.ba.peek("object") is submap,
            submap.system_map,
        )

    assert ("buffer_map", 2 * PAGE, True, True, 0) == alone(program)


def test_a_submap_without_room_for_it_panics(panic):
    def program(vm):
        k.kmem_suballoc(k.kmem_suballoc(vm.map.kernel_map, PAGE), 2 * PAGE)

    assert "kmem_suballoc" == panic(program)


def test_who_waits_for_room_gets_what_is_freed(alone):
    def program(vm):
        submap = k.kmem_suballoc(vm.map.kernel_map, PAGE)
        first = k.kmem_alloc_wait(submap, PAGE, 1)
        waiter = vm.machine.spawn(k.kmem_alloc_wait, submap, PAGE, 1)
        for _ in range(20):
            vm.machine.yield_()
        k.kmem_free_wakeup(submap, first, PAGE)
        waiter.join()
        return waiter.result == first, submap.peek("nentries")

    assert (True, 1) == alone(program)


def test_who_waits_for_what_nobody_frees_waits_for_good(sleeps):
    def program(vm):
        submap = k.kmem_suballoc(vm.map.kernel_map, PAGE)
        k.kmem_alloc_wait(submap, PAGE, 1)
        k.kmem_alloc_wait(submap, PAGE, 1)

    assert True is sleeps(program)


def test_the_pages_are_there_before_the_range_is_wired(alone):
    def program(vm):
        seen = []
        obj = vm.objects.kernel_object
        vm.map.fault = lambda _map, va, *_: seen.append(va // PAGE in obj.peek("rb_memq")) or 0
        alloc(vm)
        return seen

    assert [True, True] == alone(program)


@DEPTHS
def test_two_cpus_have_different_memory(together, locks):
    def program(vm):
        got = []

        def user():
            addr = alloc(vm, PAGE)
            vm.machine.check(addr not in got, "it is nobody else's")
            got.append(addr)

        for _ in range(2):
            vm.machine.spawn(user)
        vm.machine.join()

    together(program, locks=locks, repairs=["simplify-asks-the-next"])


def test_a_wakeup_between_the_look_and_the_sleep_is_missed_as_in_the_kernel():
    def program(m):
        vm = m.boot(pages=8, l2_size=1)
        submap = k.kmem_suballoc(vm.map.kernel_map, PAGE)

        def user():
            k.kmem_free_wakeup(submap, k.kmem_alloc_wait(submap, PAGE, 1), PAGE)

        m.spawn(user)
        m.spawn(user)
        m.join()

    kinds = {
        repaired: (failure := vmsmp.explore(program, schedules=400, repairs=repaired).failure)
        and failure.kind
        for repaired in ((), ("kmem-alloc-wait-interlocks",))
    }
    assert {(): "lost-wakeup", ("kmem-alloc-wait-interlocks",): None} == kinds


def test_memory_of_low_pages_is_wired_and_counts_from_the_lowest_address(alone):
    def program(vm):
        kernel_map = vm.map.kernel_map
        addr = k.kmem_alloc_attr(kernel_map, 2 * PAGE, 1, 0, 0, 0, 0)
        entry = kernel_map.peek("rb_root").first()
        pages = vm.objects.kernel_object.peek("rb_memq")
        return entry.ba.peek("offset") == addr - kernel_map.min_addr, entry.peek("wired_count"), [*pages]

    assert (True, 1, [0, 1]) == alone(program, low_pages=4)


def test_low_pages_that_run_out_leave_what_was_allocated(alone):
    def program(vm):
        kernel_map = vm.map.kernel_map
        got = k.kmem_alloc_attr(kernel_map, 5 * PAGE, 1, 0, 0, 0, 0)
        return got, kernel_map.peek("nentries"), vm.objects.kernel_object.peek("resident_page_count")

    assert (0, 1, 4) == alone(program, low_pages=4)


def test_memory_of_low_pages_needs_addresses(alone):
    assert 0 == alone(lambda vm: k.kmem_alloc_attr(vm.map.kernel_map, 1 << 43, 1, 0, 0, 0, 0), low_pages=4)
