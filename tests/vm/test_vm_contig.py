"""Runs of pages from anywhere: which are found, what happens to their pages, how room is made."""

from __future__ import annotations

import pytest

from mappings import map_page, store
from vmsmp.scenarios._kit import file_object
from vmsmp.vm.pmap import pmap_kextract, pmap_kvtom
from vmsmp.vm.vm_contig import (
    M_WAITOK,
    M_ZERO,
    NO_RUN,
    contigfree,
    contigmalloc,
    contigmalloc_map,
    kmem_alloc_contig,
    vm_contig_pg_alloc,
    vm_contig_pg_clean,
    vm_contig_pg_free,
    vm_contig_pg_kmap,
)
from vmsmp.vm.vm_kern import kmem_alloc_pageable, kmem_suballoc
from vmsmp.vm.vm_map import VM_SUBSYS_CONTIG
from vmsmp.vm.vm_meter import vmstats_rollup
from vmsmp.vm.vm_object import OBJT_PHYS
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_MARKER,
    PG_NEED_COMMIT,
    VM_PAGE_BITS_ALL,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_flag_set,
    vm_page_hold,
    vm_page_wakeup,
    vm_page_wire,
)

TOP = 1 << 30


def run(vm, pages, low=0, high=TOP, alignment=PAGE_SIZE, boundary=0, flags=0):
    return vm_contig_pg_alloc(vm, pages * PAGE_SIZE, low, high, alignment, boundary, flags)


def use(vm, phys, how):
    """Do something to a free page that keeps it out of runs."""
    page = vm.page.vm_page_array[phys]
    if how == "busy":
        vm_page_busy_wait(page, True)
    elif how == "soft-busy":
        page.busy_count.value += 1
    elif how == "hold":
        page.hold_count.value += 1
    elif how == "wire":
        page.wire_count.value += 1
    else:
        page.flags.value |= PG_NEED_COMMIT


# -- finding a run --------------------------------------------------------------------------------


def test_the_lowest_run_is_taken(alone):
    assert [0, 2, 5] == alone(lambda vm: [run(vm, n) for n in (2, 3, 1)], check=True)


def test_the_pages_of_a_run_are_wired_valid_and_nobody_s(alone):
    def program(vm):
        start = run(vm, 2)
        return {
            (m.queue, m.peek("wire_count"), m.peek("busy_count"), m.object, m.peek("valid"), m.peek("flags"))
            for m in vm.page.vm_page_array[start : start + 2]
        }

    assert {(0, 1, 0, None, VM_PAGE_BITS_ALL, 0)} == alone(program)


def test_they_are_counted_as_wired_and_not_as_free(alone):
    def program(vm):
        run(vm, 3)
        return vm.meter.count("v_wire_count"), vm.meter.count("v_free_count")

    assert (3, 5) == alone(program, check=True)


@pytest.mark.parametrize("how", ["busy", "soft-busy", "hold", "wire", "commit"])
@pytest.mark.parametrize(("used", "start"), [(0, 1), (1, 2)])
def test_a_page_that_is_used_is_in_no_run(alone, how, used, start):
    def program(vm):
        use(vm, used, how)
        return run(vm, 2)

    assert start == alone(program)


@pytest.mark.parametrize(
    ("limits", "start"),
    [
        ({"low": PAGE_SIZE}, 1),
        ({"low": 3 * PAGE_SIZE - 1}, 3),
        ({"alignment": 4 * PAGE_SIZE, "low": 1}, 4),
        ({"boundary": 2 * PAGE_SIZE, "low": 1}, 2),
        ({"boundary": 4 * PAGE_SIZE, "low": 1}, 1),
        ({"high": 2 * PAGE_SIZE}, 0),
        ({"high": 2 * PAGE_SIZE - 1}, NO_RUN),
        ({"low": 6 * PAGE_SIZE, "high": 8 * PAGE_SIZE}, 6),
        ({"low": 7 * PAGE_SIZE, "high": 8 * PAGE_SIZE}, NO_RUN),
        ({"alignment": 0, "low": 1}, NO_RUN),
    ],
)
def test_a_run_is_where_it_may_be(alone, limits, start):
    assert start == alone(lambda vm: run(vm, 2, **limits), check=True)


def test_a_request_in_bytes_is_rounded_up(alone):
    def program(vm):
        vm_contig_pg_alloc(vm, PAGE_SIZE + 1, 0, TOP, PAGE_SIZE, 0, 0)
        return vm.meter.count("v_wire_count")

    assert 2 == alone(program)


@pytest.mark.parametrize(
    ("size", "alignment", "boundary", "words"),
    [
        (0, 4096, 0, "size must not be 0"),
        (4096, 3, 0, "alignment must be a power of 2"),
        (4096, 4096, 12288, "boundary must be a power of 2"),
    ],
)
def test_requests_that_cannot_be_are_panics(panic, size, alignment, boundary, words):
    message = panic(lambda vm: vm_contig_pg_alloc(vm, size, 0, TOP, alignment, boundary, 0))
    assert f"vm_contig_pg_alloc: {words}" == message


def test_low_memory_is_asked_first(alone):
    def program(vm):
        return run(vm, 2), run(vm, 3), vm.sysctl["vm.dma_free_pages"]

    assert (0, 4, 2) == alone(program, low_pages=4, check=True)


def test_a_cached_page_is_freed_and_taken(alone, page_on):
    def program(vm):
        page = page_on(vm, "cache")
        return page.phys, run(vm, 8), page.object, vm.meter.count("v_cache_count")

    _, *rest = alone(program, check=True)
    assert [0, None, 0] == rest


def test_a_run_does_not_go_on_over_a_page_that_is_on_no_queue(alone):
    def program(vm):
        page = vm.page.vm_page_array[1]
        page.fields["queue"].poke(page, 0)
        start = run(vm, 2)
        page.fields["queue"].poke(page, 1)
        return start, vm.meter.count("v_wire_count")

    assert (2, 2) == alone(program)


# -- giving it back -------------------------------------------------------------------------------


def test_a_run_becomes_free_pages(alone):
    def program(vm):
        vm_contig_pg_free(vm, run(vm, 3), 3 * PAGE_SIZE - 5)
        return vm.meter.count("v_free_count"), vm.meter.count("v_wire_count")

    assert (8, 0) == alone(program, check=True)


def test_nothing_is_not_given_back(panic):
    assert "vm_contig_pg_free: size must not be 0" == panic(lambda vm: vm_contig_pg_free(vm, 0, 0))


# -- making room ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("flags", "found"), [(0, False), (M_WAITOK, True)])
@pytest.mark.parametrize("kind", ["active"])
def test_active_pages_are_cleaned_for_who_may_wait(alone, page_on, kind, flags, found):
    def program(vm):
        page_on(vm, kind)
        vmstats_rollup(vm)
        return run(vm, 8, flags=flags) != NO_RUN

    assert found == alone(program, check=True)


def test_inactive_pages_are_cleaned_for_all(alone, page_on):
    def program(vm):
        page_on(vm, "inactive")
        vmstats_rollup(vm)
        return run(vm, 8)

    assert 0 == alone(program, check=True)


def test_no_more_pages_are_cleaned_than_the_global_count_says(alone, page_on):
    def program(vm):
        page_on(vm, "inactive")
        return run(vm, 8)

    assert NO_RUN == alone(program)


def inactive(vm, page_on, how):
    """An inactive page in that state."""
    m = page_on(vm, "inactive")
    vm_page_busy_wait(m, True)
    if how == "hold":
        vm_page_hold(m)
    if how == "wire":
        vm_page_wire(m)
    if how == "commit":
        vm_page_flag_set(m, PG_NEED_COMMIT)
    if how == "written":
        map_page(m)
        store(m)
    if how != "busy":
        vm_page_wakeup(m)
    return m


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("idle", "cache"),
        ("hold", "inactive"),
        ("wire", "inactive"),
        ("commit", "inactive"),
        ("busy", "inactive"),
        ("written", "inactive"),
    ],
)
def test_clean_idle_pages_are_cached(alone, page_on, how, kind):
    def program(vm):
        m = inactive(vm, page_on, how)
        vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, 10)
        return vm.page.queue_type(m.peek("queue"))

    assert kind == alone(program)


def test_a_written_page_is_laundered_and_cached_the_next_time(alone, page_on):
    def program(vm):
        m = inactive(vm, page_on, "written")
        told = []
        for _ in range(2):
            vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, 10)
            told.append((m.peek("dirty"), vm.page.queue_type(m.peek("queue"))))
        return told

    assert [(0, "inactive"), (0, "cache")] == alone(program, check=True)


def test_a_file_is_written_out_as_a_whole_with_its_vnode_locked(alone):
    def program(vm):
        vp, obj = file_object(vm, 2, range(2))
        pages = list(obj.raw_rb_memq.values())
        for m in pages:
            vm_page_busy_wait(m, True)
            vm_page_dirty(m)
            vm_page_wakeup(m)
        vm_page_deactivate(pages[0])
        vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, 1)
        return [m.peek("dirty") for m in pages], bool(vp.v_lock.holders), obj.hold_count.peek()

    assert ([0, 0], False, 0) == alone(program, check=True)


def test_a_dirty_page_of_neither_file_nor_anonymous_memory_is_left(alone, page_on):
    def program(vm):
        m = inactive(vm, page_on, "idle")
        m.dirty = VM_PAGE_BITS_ALL
        m.object.type = OBJT_PHYS
        vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, 1)
        return m.peek("dirty"), m.busy_count.peek(), vm.page.queue_type(m.peek("queue"))

    assert (VM_PAGE_BITS_ALL, 0, "inactive") == alone(program)


@pytest.mark.parametrize(("count", "cached"), [(0, 0), (1, 1), (2, 2), (9, 3)])
def test_as_many_pages_are_looked_at_as_asked(alone, page_on, count, cached):
    def program(vm):
        for _ in range(3):
            page_on(vm, "inactive")
        vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, count)
        return vm.meter.count("v_cache_count")

    assert cached == alone(program, check=True)


def test_pages_of_other_colours_than_the_first_are_left_alone(alone, page_on):
    """The kernel's own: the type of a page's queue is compared with the index of the queue."""

    def program(vm):
        pages = [page_on(vm, "inactive") for _ in range(4)]
        for colour in range(2):
            vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE + colour, 10)
        return sorted((m.pc, vm.page.queue_type(m.peek("queue"))) for m in pages)

    assert {(0, "cache"), (1, "inactive")} == set(alone(program, l2_size=2, check=True))


def test_the_marker_is_gone_afterwards(alone, page_on):
    def program(vm):
        page_on(vm, "inactive")
        vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, 10)
        return [m for pq in vm.page.vm_page_queues[1:] for m in pq.pages() if m.peek("flags") & PG_MARKER]

    assert [] == alone(program, check=True)


def test_another_scan_s_marker_is_passed_by(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        pq = vm.page.vm_page_queues[m.peek("queue")]
        other = vm.page.marker(PG_MARKER)
        other.queue = pq.index
        other.tqe_next, m.tqe_prev, pq.tqh_first = m, other, other
        vm_contig_pg_clean(vm, pq.index, 10)
        return vm.page.queue_type(m.peek("queue")), other.peek("busy_count"), pq.peek("tqh_first") is other

    assert ("cache", 0, True) == alone(program)


# -- in the kernel's map --------------------------------------------------------------------------


def malloc(vm, pages, alignment=PAGE_SIZE):
    return contigmalloc(vm, pages * PAGE_SIZE, M_WAITOK, 0, TOP, alignment, 0)


def test_contiguous_memory_is_mapped_at_addresses_of_the_kernel_s_map(alone):
    def program(vm):
        addr = malloc(vm, 3)
        entry = vm.map.kernel_map.peek("rb_root").first()
        pages = [pmap_kvtom(vm, addr + n * PAGE_SIZE).phys for n in range(3)]
        return (entry.ba.peek("start"), entry.peek("id"), entry.ba.peek("object")) == (
            addr,
            VM_SUBSYS_CONTIG,
            None,
        ), [page - pages[0] for page in pages]

    assert (True, [0, 1, 2]) == alone(program)


def test_what_is_freed_leaves_neither_addresses_nor_mappings_nor_wired_pages(alone):
    def program(vm):
        addr = malloc(vm, 2)
        m = pmap_kvtom(vm, addr)
        contigfree(vm, addr, 2 * PAGE_SIZE)
        kernel_map = vm.map.kernel_map
        mapped = pmap_kextract(vm, addr), pmap_kextract(vm, addr + PAGE_SIZE)
        return kernel_map.peek("nentries"), mapped, m.peek("wire_count"), run(vm, 8)

    assert (0, (0, 0), 0, 0) == alone(program)


@pytest.mark.parametrize(
    "allocate",
    [
        lambda vm, n: contigmalloc(vm, n, M_WAITOK, 0, 8 * PAGE_SIZE, PAGE_SIZE, 0),
        lambda vm, n: kmem_alloc_contig(vm, n, 0, 8 * PAGE_SIZE, 1),
    ],
    ids=["contigmalloc", "kmem_alloc_contig"],
)
def test_there_is_no_address_without_memory(alone, allocate):
    assert (0, 0) == alone(lambda vm: (allocate(vm, 9 * PAGE_SIZE), vm.map.kernel_map.peek("nentries")))


def test_a_run_is_looked_at_beyond_the_end_of_memory(panic):
    message = panic(lambda vm: run(vm, 2, low=7 * PAGE_SIZE, high=9 * PAGE_SIZE))
    assert "vm_contig_pg_alloc: page fault: behind the end of vm_page_array" == message


@pytest.mark.parametrize(("flags", "left"), [(M_WAITOK, "left"), (M_WAITOK | M_ZERO, 0)])
def test_memory_is_zero_if_that_is_asked_for(alone, flags, left):
    def program(vm):
        for m in vm.page.vm_page_array:
            vm.memory.poke(m.phys, 0, "left")
        addr = contigmalloc(vm, 2 * PAGE_SIZE, flags, 0, TOP, PAGE_SIZE, 0)
        return [vm.memory.peek(pmap_kextract(vm, addr + n * PAGE_SIZE) // PAGE_SIZE) for n in range(2)]

    assert [left, left] == alone(program)


def test_memory_without_addresses_is_given_back(alone):
    def program(vm):
        submap = kmem_suballoc(vm.map.kernel_map, 2 * PAGE_SIZE)
        kmem_alloc_pageable(submap, PAGE_SIZE, VM_SUBSYS_CONTIG)
        addr = contigmalloc_map(vm, 2 * PAGE_SIZE, M_WAITOK, 0, TOP, PAGE_SIZE, 0, submap)
        return addr, run(vm, 8)

    assert (0, 0) == alone(program)


def test_what_is_mapped_nowhere_cannot_be_freed(panic):
    assert "vtopte: the kernel has no page table for 0x0" == panic(lambda vm: contigfree(vm, 0, PAGE_SIZE))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda vm: contigfree(vm, 0, 0), "contigfree"),
        (lambda vm: vm_contig_pg_kmap(vm, 0, 0, vm.map.kernel_map), "vm_contig_pg_kmap"),
    ],
)
def test_nothing_cannot_be_mapped_or_freed(panic, call, name):
    assert f"{name}: size must not be 0" == panic(call)


def test_a_marker_is_gone_with_its_scan(alone):
    def program(vm):
        vm_contig_pg_clean(vm, vm.page.PQ_INACTIVE, 4)
        return vm.page.markers

    assert [] == alone(program)
