"""Drawn programs over the pages of one object, on drawn schedules: faithful, none of them fails.

And with a guard removed one does, and shrinks to a few operations with a preemption or two.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import kernel
import vmsmp
from vmsmp.engine.options import Options
from vmsmp.hypothesis_support import check, programs, schedules
from vmsmp.scenarios._kit import Space
from vmsmp.vm.vm_map import VM_PROT_NONE, VM_PROT_READ
from vmsmp.vm.vm_page import vm_page_alloc, vm_page_free, vm_page_lookup

#: Indexes of the object; the first two have pages to begin with.
SIZE = 3
#: With the page tables of the address space that maps them.
PAGES = 5 + 4


def pages(m):
    """An object with two pages."""
    vm = m.boot(pages=PAGES, l2_size=1, adj_limit=2, hash_size=4)
    world = SimpleNamespace(m=m, vm=vm, obj=kernel.vm_object_allocate(vm, SIZE))
    world.space = Space(vm, world.obj, SIZE).with_tables()
    for n in range(2):
        fill(world, n)
    return world


def busied(world, n, also=True):
    """The object's page at that index, hard-busied, or None."""
    kernel.vm_object_hold_shared(world.obj)
    page = kernel.vm_page_lookup_busy_wait(world.obj, n, also)
    kernel.vm_object_drop(world.obj)
    return page


def fill(world, n):
    """See to it that there is a valid page."""
    kernel.vm_object_hold(world.obj)
    page = kernel.vm_page_lookup_busy_wait(world.obj, n, True)
    if page is None:
        page = vm_page_alloc(world.vm, world.obj, n, kernel.VM_ALLOC_NORMAL)
    if page is not None:
        kernel.vm_page_zero_invalid(page)
        kernel.vm_page_activate(page)
        kernel.vm_page_wakeup(page)
    kernel.vm_object_drop(world.obj)


def free(world, n):
    page = busied(world, n)
    if page is not None and page.wire_count.load():
        kernel.vm_page_wakeup(page)
    elif page is not None:
        kernel.vm_page_protect(page, VM_PROT_NONE)
        vm_page_free(page)


def free_held(world, n):
    """Free the page while holding it; the last holder sends it on."""
    page = busied(world, n)
    if page is not None:
        kernel.vm_page_hold(page)
        if page.wire_count.load():
            kernel.vm_page_wakeup(page)
        else:
            kernel.vm_page_protect(page, VM_PROT_NONE)
            vm_page_free(page)
        kernel.vm_page_unhold(page)


def hold(world, n):
    page = busied(world, n, also=False)
    if page is not None:
        kernel.vm_page_hold(page)
        kernel.vm_page_wakeup(page)
        kernel.vm_page_unhold(page)


def wire(world, n, activate):
    page = busied(world, n)
    if page is not None:
        kernel.vm_page_wire(page)
        kernel.vm_page_wakeup(page)
        kernel.vm_page_wire_quick(page)
        for _ in range(2):
            if kernel.vm_page_unwire_quick(page):
                kernel.vm_page_busy_wait(page, False)
                kernel.vm_page_unwire(page, activate)
                kernel.vm_page_wakeup(page)


def move_queue(world, n, deed):
    page = busied(world, n)
    if page is not None:
        deed(page)
        kernel.vm_page_wakeup(page)


def cache(world, n):
    page = busied(world, n)
    if page is not None:
        kernel.vm_page_cache(page)


def reclaim(world, n, deed):
    """Free or cache the page if nobody uses it; the token keeps it the object's."""
    kernel.vm_object_hold(world.obj)
    page = vm_page_lookup(world.obj, n)
    if page is not None:
        deed(page)
    kernel.vm_object_drop(world.obj)


def try_to_cache(page):
    """Cache the page if nobody uses it."""
    if not kernel.vm_page_busy_try(page, True):
        kernel.vm_page_try_to_cache(page)


def reclaim_any(world, phys):
    """Free a page of the array, whatever it is by now, if nobody uses it."""
    kernel.vm_page_try_to_free(world.vm.page.vm_page_array[phys])


def touch(world, n):
    """Map the page, write to it, unmap it."""
    page = busied(world, n)
    if page is not None:
        kernel.vm_page_activate(page)
        with world.space.locked():
            world.space.enter(page, n)
        kernel.vm_page_wakeup(page)
        world.space.store(n)
        world.space.remove(n)


def launder(world, n):
    page = busied(world, n)
    if page is not None:
        kernel.vm_page_protect(page, VM_PROT_READ)
        kernel.vm_page_undirty(page)
        kernel.vm_page_deactivate(page)
        kernel.vm_page_wakeup(page)


def read(world, n):
    kernel.vm_object_hold_shared(world.obj)
    page = kernel.vm_page_lookup_sbusy_try(world.obj, n)
    kernel.vm_object_drop(world.obj)
    if page is not None:
        assert page.valid == kernel.VM_PAGE_BITS_ALL
        kernel.vm_page_sbusy_drop(page)


def read_by_hash(world, n):
    page = kernel.vm_page_hash_get(world.vm, world.obj, n)
    if page is not None:
        assert page.object is world.obj
        assert page.pindex == n
        kernel.vm_page_sbusy_drop(page)


def rename(world, n, to):
    """Rename the page, if the other index is free."""
    kernel.vm_object_hold(world.obj)
    page, busy = kernel.vm_page_lookup_busy_try(world.obj, n, True)
    if page is not None and not busy:
        if vm_page_lookup(world.obj, to) is None:
            kernel.vm_page_rename(page, world.obj, to)
            kernel.vm_page_activate(page)
        kernel.vm_page_wakeup(page)
    kernel.vm_object_drop(world.obj)


def take(world):
    """Allocate a page for no object and free it."""
    page = vm_page_alloc(world.vm, None, 0, kernel.VM_ALLOC_NORMAL)
    if page is not None:
        assert 0 == page.hold_count.load()
        vm_page_free(page)


def sweep(world):
    kernel.vm_pageout_free_hold(world.vm)


def scan(world, which):
    which(world.vm)


def nothing_is_left(world):
    """After sweeps and scans, and when the object and who maps it are gone, all pages are free."""
    kernel.vm_pageout_free_hold(world.vm)
    for _ in range(PAGES):  # a scan stops as soon as it has gained enough
        kernel.vm_pageout_scan_inactive(world.vm)
    world.space.end()
    world.vm.map.vmspaces.reclaim()
    kernel.vm_object_deallocate(world.obj)
    assert world.obj.freed
    assert ["free"] * PAGES == [world.vm.page.queue_type(page.queue) for page in world.vm.page.vm_page_array]


N = st.integers(0, SIZE - 1)
QUEUES = st.sampled_from([kernel.vm_page_activate, kernel.vm_page_deactivate, kernel.vm_page_dontneed])
OPERATIONS = [
    sweep,
    take,
    (fill, N),
    (free, N),
    (hold, N),
    (free_held, N),
    (read, N),
    (cache, N),
    (touch, N),
    (launder, N),
    (read_by_hash, N),
    (wire, N, st.booleans()),
    (rename, N, N),
    (move_queue, N, QUEUES),
    (reclaim, N, st.sampled_from([kernel.vm_page_try_to_free, try_to_cache])),
    (reclaim_any, st.integers(0, PAGES - 1)),
    (scan, st.sampled_from([kernel.vm_pageout_scan_active, kernel.vm_pageout_scan_inactive])),
]
DRAWN_ONCE = settings(derandomize=True, database=None, deadline=None, max_examples=80)


@st.composite
def runs(draw, operations, options=None, **bounds):
    """A program of these operations, and a schedule of it."""
    program = draw(programs(pages, operations, finish=nothing_is_left, **bounds))
    return program, draw(schedules(program, options=options))


@pytest.mark.ci
@pytest.mark.parametrize(("cpus", "max_ops"), [(2, 4), (3, 2)])
def test_no_drawn_program_breaks_a_rule_of_the_page_layer(cpus, max_ops):
    @DRAWN_ONCE
    @given(runs(OPERATIONS, cpus=cpus, max_ops=max_ops))
    def run(drawn):
        check(*drawn)

    run()


# -- with a guard removed -------------------------------------------------------------------------

FIRST = st.just(0)


def smallest_failure(operations, mutant):
    """The smallest program and schedule that fail with the mutant."""

    def fails(drawn):
        try:
            check(*drawn)
        except AssertionError:
            return True
        return False

    drawn = runs(operations, Options(mutants=frozenset({mutant})), cpus=2, max_ops=2)
    bounds = settings(database=None, deadline=None, max_examples=3000)
    return find(drawn, fails, settings=bounds, random=Random(0))


@pytest.mark.ci
@pytest.mark.parametrize(
    ("mutant", "operations"),
    [
        ("HL-06", [(free, FIRST), (fill, FIRST), (hold, FIRST)]),
        ("BZ-06", [(read, FIRST), (free, FIRST), (fill, FIRST)]),
    ],
)
def test_a_missing_guard_shrinks_to_few_operations_and_preemptions(mutant, operations):
    program, schedule = smallest_failure(operations, mutant)
    faithful = replace(schedule, options=Options())
    assert len(program) <= 3, f"{program} along {schedule}"
    assert len(schedule) <= 3, f"{program} along {schedule}"
    assert vmsmp.replay(program, faithful).ok, f"{program} along {schedule}"
