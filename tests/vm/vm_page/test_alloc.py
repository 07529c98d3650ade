"""Allocation: colours, who may have a page, and what it is like."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from page_layer import held_object, on
from vmsmp.scenarios._kit import set_limits
from vmsmp.vm import vm_page as a
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_hold_shared
from vmsmp.vm.vm_page import (
    PBUSY_LOCKED,
    PG_CLEANCHK,
    PG_RAM,
    VM_ALLOC_CPU,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    VM_ALLOC_NULL_OK,
    VM_ALLOC_QUICK,
    VM_ALLOC_SYSTEM,
    VM_PAGE_BITS_ALL,
    vm_page_free,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
NORMAL, SYSTEM, INTERRUPT = VM_ALLOC_NORMAL, VM_ALLOC_SYSTEM, VM_ALLOC_INTERRUPT


# -- colours --------------------------------------------------------------------------------------


def colour(cpu, pindex=0, obj=0, *, l2_size=64, topology=(2, 2, 2)):
    page = SimpleNamespace(topology=topology, l2_size=l2_size, l2_mask=l2_size - 1)
    vm = SimpleNamespace(page=page)
    return a.vm_get_pg_color(vm, cpu, SimpleNamespace(pg_color=obj), pindex)


@pytest.mark.parametrize(
    ("cpu", "first"), [(1, 0), (2, 8), (3, 16), (4, 24), (5, 32), (6, 40), (7, 48), (8, 56), (9, 0)]
)
def test_a_cpu_s_colours_are_its_thread_s_share_of_its_core_s_share_of_its_socket_s(cpu, first):
    assert [first + n for n in range(8)] == [colour(cpu, n) for n in range(8)]


@pytest.mark.parametrize(
    ("pindex", "objcolor", "within"), [(0, 0, 0), (7, 0, 7), (8, 0, 0), (3, 2, 5), (6, 3, 1), (100, 60, 0)]
)
def test_index_and_object_colour_pick_one_of_a_cpu_s_colours(pindex, objcolor, within):
    assert 32 + within == colour(5, pindex, objcolor)


@pytest.mark.parametrize(
    ("topology", "cpu", "first"),
    [((1, 1, 1), 1, 0), ((4, 1, 1), 3, 32), ((1, 4, 1), 3, 32), ((1, 2, 4), 7, 48), ((1, 8, 8), 2, 1)],
)
def test_colours_are_split_by_sockets_then_cores_then_threads(topology, cpu, first):
    assert first == colour(cpu, topology=topology)


@pytest.mark.parametrize("cpu", range(1, 9))
def test_more_cpus_than_colours_share_them(cpu):
    assert colour(cpu, 1, l2_size=4) in range(4)


def test_a_page_for_no_object_has_the_index_s_colour():
    vm = SimpleNamespace(page=SimpleNamespace(topology=(1, 1, 1), l2_size=8, l2_mask=7))
    assert 5 == a.vm_get_pg_color(vm, 1, None, 13)


@pytest.mark.parametrize(("cpu", "within"), [(1, {0, 1}), (3, {4, 5})])
def test_a_request_for_a_cpu_s_colours_is_served_from_those(alone, cpu, within):
    def program(vm):
        return {a.vm_page_alloc(vm, None, n, NORMAL | VM_ALLOC_CPU(cpu)).pc for n in range(4)}

    assert within == alone(program, pages=64, l2_size=8, topology=(1, 4, 1))


def test_a_request_is_served_from_the_running_cpu_s_colours(alone):
    def program(vm):
        vm.machine.spawn(lambda: None)
        cpu = vm.machine.spawn(lambda: {a.vm_page_alloc(vm, None, n, NORMAL).pc for n in range(4)})
        cpu.join()
        return cpu.result

    assert {2, 3} == alone(program, pages=64, l2_size=8, topology=(1, 4, 1))


# -- gates ----------------------------------------------------------------------------------------

RESERVED, INTERRUPT_MIN = 6, 3


def view(vm, free, cache=0):
    """Have this CPU see that many free and cached pages, with the gates at 6 and 3."""
    set_limits(vm, v_free_reserved=RESERVED, v_interrupt_free_min=INTERRUPT_MIN, v_paging_start=0)
    vm.mycpu().gd_vmstats.v_free_count.value = free
    vm.mycpu().gd_vmstats.v_cache_count.value = cache
    return vm


@pytest.mark.parametrize(
    ("request_", "free", "cache", "served"),
    [
        (NORMAL, 6, 0, True),
        (NORMAL, 5, 0, False),
        (VM_ALLOC_QUICK, 6, 0, True),
        (VM_ALLOC_QUICK, 5, 0, False),
        (SYSTEM, 6, 5, True),
        (SYSTEM, 5, 0, True),
        (SYSTEM, 4, 0, True),
        (SYSTEM, 3, 0, False),
        (SYSTEM, 5, 1, False),
        (NORMAL | SYSTEM, 4, 0, True),
        (NORMAL | SYSTEM, 3, 0, False),
        (INTERRUPT, 1, 0, True),
        (INTERRUPT, 1, 4, True),
        (INTERRUPT, 0, 0, False),
        (NORMAL | INTERRUPT, 1, 0, True),
    ],
)
def test_each_request_stops_at_its_own_mark(alone, request_, free, cache, served):
    def program(vm):
        return a.vm_page_alloc(view(vm, free, cache), None, 0, request_) is not None

    assert served is alone(program)


@pytest.mark.parametrize(("free", "served"), [(4, True), (3, False)])
def test_a_kernel_thread_s_request_is_one_of_the_system_s(alone, free, served):
    def program(vm):
        vm.mycpu().systhread = True
        return a.vm_page_alloc(view(vm, free), None, 0, NORMAL) is not None

    assert served is alone(program)


def test_a_gate_is_judged_by_the_cpu_s_own_view(alone):
    def program(vm):
        view(vm, 5)
        vm.meter.vmstats.v_free_count.value = 100
        return a.vm_page_alloc(vm, None, 0, NORMAL)

    assert None is alone(program)


def test_a_request_refused_counts_a_deficit_and_tells_the_pagedaemon(alone):
    def program(vm):
        set_limits(view(vm, 5), v_paging_start=99)
        a.vm_page_alloc(vm, None, 0, NORMAL)
        return vm.pageout.vm_pageout_deficit.load(), vm.pageout.vm_pages_needed.load()

    assert (1, 1) == alone(program)


@pytest.mark.parametrize(("start", "told"), [(8, 1), (7, 0)])
def test_a_request_served_tells_the_pagedaemon_if_pages_get_short(alone, start, told):
    def program(vm):
        set_limits(vm, v_paging_start=start)
        a.vm_page_alloc(vm, None, 0, NORMAL)
        return vm.pageout.vm_pageout_deficit.load(), vm.pageout.vm_pages_needed.load()

    assert (0, told) == alone(program)


@pytest.mark.parametrize(
    ("request_", "served"),
    [(NORMAL, True), (NORMAL | SYSTEM, True), (SYSTEM, False), (INTERRUPT, False), (VM_ALLOC_QUICK, False)],
)
def test_only_a_normal_request_reuses_cached_pages(alone, request_, served, cached_only):
    def program(vm):
        pages = cached_only(vm)
        m = a.vm_page_alloc(vm, None, 0, request_)
        return m in pages, sum(on(page) == "cache" for page in pages)

    assert (served, 1 if served else 2) == alone(program)


def test_a_cached_page_is_freed_first_and_the_gate_judges_again(alone, cached_only):
    """With a reserve of two, two cached pages must be freed before one may be taken."""

    def program(vm):
        pages = cached_only(vm, 3)
        set_limits(vm, v_free_reserved=2)
        m = a.vm_page_alloc(vm, None, 0, NORMAL)
        return m in pages, sorted(on(page) for page in pages)

    assert (True, ["cache", "free", "none"]) == alone(program)


def test_a_view_that_promises_pages_that_others_took_is_renewed(alone):
    def program(vm):
        def taker():
            while a.vm_page_alloc(vm, None, 0, INTERRUPT) is not None:
                pass

        vm.mycpu()
        vm.machine.spawn(taker).join()
        assert vm.mycpu().gd_vmstats.peek("v_free_count") == 8
        return a.vm_page_alloc(vm, None, 0, NORMAL), vm.mycpu().gd_vmstats.peek("v_free_count")

    assert (None, 0) == alone(program)


# -- the page handed out --------------------------------------------------------------------------


def test_a_page_is_handed_out_busied_unqueued_and_blank(alone):
    def program(vm):
        for m in vm.page.vm_page_array:
            m.flags.setbits(PG_RAM | PG_CLEANCHK)
            m.act_count, m.valid = 7, VM_PAGE_BITS_ALL
        m = a.vm_page_alloc(vm, None, 9, NORMAL)
        names = ("busy_count", "flags", "act_count", "valid", "dirty", "pindex", "object")
        return on(m), [m.peek(name) for name in names]

    assert ("none", [PBUSY_LOCKED, 0, 0, 0, 0, 9, None]) == alone(program)


@pytest.mark.parametrize("word", ["dirty", "queue", "wire_count", "busy_count"])
def test_a_page_selected_that_is_not_blank_panics_the_allocator(panic, monkeypatch, word):
    select = a.vm_page_select_free

    def spoiling(vm, pg_color):
        m = select(vm, pg_color)
        if word in ("dirty", "queue"):
            setattr(m, word, 1)
        else:
            getattr(m, word).fetchadd(1)
        return m

    monkeypatch.setattr("vmsmp.vm.vm_page.alloc.vm_page_select_free", spoiling)
    message = panic(lambda vm: a.vm_page_alloc(vm, None, 0, VM_ALLOC_QUICK))
    words = "page is dirty or on a queue" if word in ("dirty", "queue") else "page is wired or soft-busied"
    assert f"vm_page_alloc: {words}" == message


def test_a_page_for_an_object_is_in_it_at_that_index(alone):
    def program(vm):
        obj = held_object(vm)
        m = a.vm_page_alloc(vm, obj, 5, NORMAL)
        return m.object is obj, m.pindex, obj.rb_memq == {5: m}, obj.resident_page_count

    assert (True, 5, True, 1) == alone(program)


@pytest.mark.parametrize("hold", [None, vm_object_hold_shared], ids=["not at all", "shared"])
def test_an_allocation_for_an_object_not_held_exclusively_panics(panic, hold):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        if hold:
            hold(obj)
        a.vm_page_alloc(vm, obj, 0, NORMAL)

    assert "obj: its token is not held exclusively" == panic(program)


def test_an_allocation_looks_for_the_token_when_it_has_a_page_to_insert(steps):
    rows = steps(lambda vm: [vm, vm_object_allocate(vm, 8), 0, NORMAL], a.vm_page_alloc, ends="check")
    assert ["load pg[7].wire_count", "load pg[7].busy_count"] == rows[-2:]


def test_an_allocation_at_a_taken_index_panics(panic):
    def program(vm):
        obj = held_object(vm)
        for _ in range(2):
            a.vm_page_alloc(vm, obj, 5, NORMAL)

    assert "PAGE RACE" == panic(program)


def test_an_allocation_at_a_taken_index_that_may_fail_gives_its_page_back(alone):
    def program(vm):
        obj = held_object(vm)
        m = a.vm_page_alloc(vm, obj, 5, NORMAL | VM_ALLOC_NULL_OK)
        again = a.vm_page_alloc(vm, obj, 5, NORMAL | VM_ALLOC_NULL_OK)
        return again, obj.rb_memq == {5: m}, vm.meter.count("v_free_count")

    assert (None, True, 7) == alone(program)


def test_an_allocation_at_a_taken_index_tells_the_pagedaemon_as_often_as_any(alone):
    def program(vm):
        set_limits(vm, v_paging_start=9, v_free_min=9)
        vm.pageout.vm_pages_needed.store(2)  # from there on each call is counted
        obj = held_object(vm)
        told = []
        for _ in range(2):
            before = vm.pageout.vm_pages_needed.load()
            a.vm_page_alloc(vm, obj, 5, NORMAL | VM_ALLOC_NULL_OK)
            told.append(vm.pageout.vm_pages_needed.load() - before)
        return told

    first, second = alone(program)
    assert 0 < first == second


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_no_page_is_handed_out_twice(together, locks, sched):
    def program(vm):
        def worker():
            mine = [a.vm_page_alloc(vm, None, n, INTERRUPT) for n in range(2)]
            for m in filter(None, mine):
                vm_page_free(m)

        for _ in range(3):
            vm.machine.spawn(worker)
        vm.machine.join()

    together(program, sched=sched, locks=locks, pages=4)


@DEPTHS
def test_parallel_cpus_allocate_what_there_is_and_give_it_back(parallel, locks):
    def program(vm):
        def worker():
            for n in range(20):
                m = a.vm_page_alloc(vm, None, n, INTERRUPT)
                if m is not None:
                    vm_page_free(m)

        for _ in range(3):
            vm.machine.spawn(worker)
        vm.machine.join()
        return vm.meter.count("v_free_count"), [on(m) for m in vm.page.vm_page_array]

    assert (4, ["free"] * 4) == parallel(program, pages=4, l2_size=2, locks=locks)
