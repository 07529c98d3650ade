"""The pagedaemon's scans over the queues."""

from __future__ import annotations

import pytest

from mappings import accessed, entry, map_page, store
from page_layer import intact, limit, on, wanting
from vmsmp.scenarios._kit import is_dirty
from vmsmp.vm import vm_pageout as d
from vmsmp.vm.pmap import pmap_clear_reference
from vmsmp.vm.vm_object import (
    OBJ_DEAD,
    OBJT_DEFAULT,
    OBJT_VNODE,
    vm_object_allocate,
    vm_object_drop,
    vm_object_hold,
)
from vmsmp.vm.vm_page import (
    ACT_ADVANCE,
    ACT_INIT,
    PBUSY_LOCKED,
    PG_NEED_COMMIT,
    PG_REFERENCED,
    PG_SWAPPED,
    PG_WINATCFLS,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    vm_page_activate,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_free,
    vm_page_hold,
    vm_page_remove,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_unhold,
    vm_page_wakeup,
    vm_page_wire,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


# -- the hold queues ------------------------------------------------------------------------------


def test_pages_that_nobody_holds_any_more_are_swept_to_the_free_queue(alone, page_on):
    def program(vm):
        pages = [page_on(vm, "hold", None, n) for n in range(4)]
        for m in pages[::2]:
            m.hold_count.value = 0  # a free met the last unhold
        return d.vm_pageout_free_hold(vm), [on(m) for m in pages], intact(vm)

    assert (2, ["free", "hold", "free", "hold"], True) == alone(program)


@pytest.mark.parametrize(
    ("held", "turns", "queues"),
    [
        ((), 1, ["free", "hold", "hold"]),
        ((), 3, ["free", "free", "free"]),
        ((1,), 3, ["free", "hold", "hold"]),  # the second page keeps the third one
        ((0,), 3, ["hold", "hold", "hold"]),
    ],
)
def test_a_turn_looks_at_the_first_page_of_a_hold_queue(alone, page_on, held, turns, queues):
    def program(vm):
        pages = [page_on(vm, "hold", None, n) for n in range(3)]
        for n, m in enumerate(pages):
            if n not in held:
                m.hold_count.value = 0
        for _ in range(turns):
            d.vm_pageout_scan_hold(vm, 0)
        return [on(m) for m in pages], intact(vm)

    assert (queues, True) == alone(program)


def test_a_turn_leaves_an_empty_hold_queue_alone(steps):
    assert 2 == len(steps(lambda vm: [vm, 0], d.vm_pageout_scan_hold))


def test_the_sweep_visits_every_colour(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        pages = [page_on(vm, "none", obj, n) for n in range(4)]
        for m in pages:
            vm_page_busy_try(m, False)
            vm_page_hold(m)
            vm_page_free(m)
            m.hold_count.value = 0
        return d.vm_pageout_free_hold(vm), {m.pc for m in pages}, {on(m) for m in pages}

    assert (4, {0, 1, 2, 3}, {"free"}) == alone(program, l2_size=4, topology=(1, 1, 1))


def test_the_sweep_holds_the_queue_s_spinlock_but_while_a_page_changes_queues(steps, page_on):
    def prepare(vm):
        page_on(vm, "hold").hold_count.value = 0
        return [vm]

    rows = steps(prepare, d.vm_pageout_free_hold)
    assert [
        "acquire pq.hold[0].spin",
        "try pg[7].spin",
        "release pq.hold[0].spin",
        "acquire pq.free[0].spin",
        "release pq.free[0].spin",
        "release pg[7].spin",
        "acquire pq.hold[0].spin",
        "release pq.hold[0].spin",
    ] == [row for row in rows if row.endswith(".spin")]


def test_the_sweep_passes_over_a_page_whose_spinlock_another_has(alone, page_on):
    def program(vm):
        one, other = page_on(vm, "hold"), page_on(vm, "hold", None, 1)
        one.hold_count.value = other.hold_count.value = 0
        one.spin.acquire()
        vm.machine.spawn(d.vm_pageout_free_hold, vm).join()
        return on(one), on(other)

    assert ("hold", "free") == alone(program)


@DEPTHS
def test_the_sweep_and_the_last_unhold_free_the_page_once(together, page_on, locks):
    def program(vm):
        m = page_on(vm, "none")
        held = vm.machine.atomic(0)

        def holder():
            vm_page_hold(m)
            held.store(1)
            while held.load() < 2:
                vm.machine.pause()
            vm_page_unhold(m)

        def owner():
            vm_page_busy_wait(m, True)
            while not held.load():
                vm.machine.pause()
            vm_page_free(m)
            held.store(2)

        for fn in (holder, owner, lambda: d.vm_pageout_free_hold(vm)):
            vm.machine.spawn(fn)
        vm.machine.join()
        d.vm_pageout_free_hold(vm)
        vm.machine.check(on(m) == "free", "it is free in the end")

    together(program, schedules=120, locks=locks, pages=2)


# -- active pages ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "credit", "left", "after"),
    [
        (True, 3, "active", 7),
        (True, 0, "active", 4),
        (True, 62, "active", 64),
        (False, 3, "active", 2),
        (False, 1, "inactive", 0),
        (False, 0, "inactive", 0),
    ],
)
def test_an_active_page_gains_credit_if_it_was_used_and_is_inactive_without_credit(
    alone, page_on, used, credit, left, after
):
    def program(vm):
        m = page_on(vm, "active")
        m.act_count = credit
        if used:
            m.flags.setbits(PG_REFERENCED)
        done = d.vm_pageout_scan_active(vm)
        return done, on(m), m.act_count, m.flags.peek(), m.busy_count.peek(), intact(vm)

    assert (left == "inactive", left, after, 0, 0, True) == alone(program)


def used_by_a_process(vm, page_on, kind):
    """A page that a process has mapped and used."""
    m = page_on(vm, kind)
    vm_page_busy_try(m, False)
    map_page(m)
    vm_page_wakeup(m)
    return m


@pytest.mark.parametrize("referenced", [False, True])
def test_an_active_page_gains_credit_for_each_mapping_that_was_used(alone, page_on, referenced):
    def program(vm):
        m = used_by_a_process(vm, page_on, "active")
        m.act_count = 3
        m.flags.setbits(PG_REFERENCED * referenced)
        d.vm_pageout_scan_active(vm)
        return on(m), m.act_count, accessed(m)

    assert ("active", 3 + ACT_ADVANCE + 1 + referenced, False) == alone(program)


def unused(page_on, vm, act_count):
    """An active page that nobody has used."""
    m = page_on(vm, "active")
    m.act_count = act_count
    return m


def test_an_active_page_that_no_object_needs_is_inactive_at_once(alone, page_on):
    def program(vm):
        m = unused(page_on, vm, 60)
        m.flags.setbits(PG_REFERENCED)
        m.object.ref_count.value = 0
        done = d.vm_pageout_scan_active(vm)
        return done, on(m), m.act_count, m.flags.peek()

    assert (1, "inactive", 59, 0) == alone(program)


def test_an_active_page_that_is_in_no_object_stops_the_kernel(panic, page_on):
    def program(vm):
        leave_object(unused(page_on, vm, 60))
        d.vm_pageout_scan_active(vm)

    assert "vm_pageout_scan_active: page fault: the page is in no object" == panic(program)


@pytest.mark.parametrize(("kind", "left"), [("anonymous", 7), ("file", 4)])
def test_a_page_loses_activity_by_its_kind(alone, page_on, kind, left):
    def program(vm):
        vm.sysctl["vm.anonmem_decline"], vm.sysctl["vm.filemem_decline"] = 3, 6
        m = unused(page_on, vm, 10)
        if kind == "file":
            m.object.publish("type", OBJT_VNODE)
        done = d.vm_pageout_scan_active(vm)
        m.object.publish("type", OBJT_DEFAULT)
        return done, on(m), m.act_count

    assert (0, "active", left) == alone(program)


@pytest.mark.parametrize(("passes", "where"), [(0, "active"), (4, "active"), (5, "inactive")])
def test_the_more_passes_there_were_the_more_activity_a_page_needs(alone, page_on, passes, where):
    def program(vm):
        m = unused(page_on, vm, 6)
        return d.vm_pageout_scan_active(vm, passes), on(m)

    assert (int(where == "inactive"), where) == alone(program)


@pytest.mark.parametrize(
    ("short", "dirty", "where", "mapped"),
    [(0, 0, "inactive", True), (1, 0, "cache", False), (1, 1, "inactive", False)],
)
def test_if_pages_are_short_a_clean_one_is_cached_at_once(alone, page_on, short, dirty, where, mapped):
    def program(vm):
        m = used_by_a_process(vm, page_on, "active")
        pmap_clear_reference(m)
        m.act_count, m.dirty = 1, dirty
        done = d.vm_pageout_scan_active(vm, 0, short)
        return done, on(m), bool(entry(m))

    assert (1, where, mapped) == alone(program)


def test_a_page_whose_object_nobody_references_is_unmapped_and_not_cached(alone, page_on):
    def program(vm):
        m = used_by_a_process(vm, page_on, "active")
        m.object.ref_count.value = 0
        return d.vm_pageout_scan_active(vm), on(m), entry(m)

    assert (1, "inactive", "") == alone(program)


def test_a_page_to_be_committed_is_not_cached(alone, page_on):
    def program(vm):
        m = unused(page_on, vm, 1)
        m.flags.setbits(PG_NEED_COMMIT)
        return d.vm_pageout_scan_active(vm, 0, 1), on(m)

    assert (1, "inactive") == alone(program)


def test_no_more_pages_are_cached_than_are_missing(alone, page_on):
    def program(vm):
        pages = [page_on(vm, "active", None, n) for n in range(3)]
        for m in pages:
            m.act_count = 0
        return d.vm_pageout_scan_active(vm, 0, 2), sorted(on(m) for m in pages)

    assert (3, ["cache", "cache", "inactive"]) == alone(program)


@pytest.mark.parametrize(("used", "order"), [(True, [1, 0]), (False, [1, 0])])
def test_an_active_page_that_stays_goes_to_the_tail(alone, page_on, used, order):
    def program(vm):
        pages = [page_on(vm, "active", None, n) for n in range(2)]
        pages[0].flags.setbits(PG_REFERENCED * used)
        vm_page_busy_try(pages[1], False)
        d.vm_pageout_scan_active(vm)
        there = [m.phys for m in vm.page.vm_page_queues[vm.page.PQ_ACTIVE].pages()]
        return [there.index(m.phys) for m in pages]

    assert order == alone(program)


def leave_object(m):
    """Take a page out of its object, as a termination does with a wired one."""
    vm_object_hold(m.object)
    vm_page_busy_try(m, False)
    obj = m.object
    vm_page_remove(m)
    vm_page_wakeup(m)
    vm_object_drop(obj)


def spare(m, how):
    """Have the page used in a way that keeps the pageout's hands off it."""
    if how == "busy":
        m.busy_count.setbits(PBUSY_LOCKED)
    elif how == "soft busy":
        m.busy_count.fetchadd(1)
    elif how == "held":
        vm_page_hold(m)
    else:
        vm_page_busy_try(m, False)
        vm_page_wire(m)
        vm_page_wakeup(m)


@pytest.mark.parametrize("how", ["busy", "soft busy"])
def test_an_active_page_that_is_busy_is_left_alone(alone, page_on, how):
    def program(vm):
        m, other = page_on(vm, "active"), page_on(vm, "active", None, 1)
        m.act_count = other.act_count = 0
        spare(m, how)
        before = m.busy_count.peek()
        d.vm_pageout_scan_active(vm)
        return on(m), on(other), m.busy_count.peek() == before

    assert ("active", "inactive", True) == alone(program)


@pytest.mark.parametrize("kind", ["active", "inactive"])
def test_a_wired_page_leaves_its_queue(alone, page_on, kind):
    def program(vm):
        m = page_on(vm, kind)
        m.act_count = 0
        spare(m, "wired")
        done = getattr(d, f"vm_pageout_scan_{kind}")(wanting(vm))
        return done, on(m), m.busy_count.peek(), m.object is not None, intact(vm)

    assert (0, "none", 0, True, True) == alone(program)


def test_an_active_page_ages_though_it_is_held(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        m.act_count = 0
        spare(m, "held")
        d.vm_pageout_scan_active(vm)
        return on(m)

    assert "inactive" == alone(program)


# -- inactive pages -------------------------------------------------------------------------------


def scanned(vm, m):
    done = d.vm_pageout_scan_inactive(wanting(vm))
    assert intact(vm)
    assert m.busy_count.peek() == 0
    return done, on(m)


def test_a_clean_inactive_page_is_cached(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        return scanned(vm, m), m.valid

    assert ((1, "cache"), VM_PAGE_BITS_ALL) == alone(program)


def test_an_inactive_page_that_was_used_becomes_active(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        m.flags.setbits(PG_REFERENCED)
        return scanned(vm, m), m.flags.peek(), m.act_count

    assert ((0, "active"), 0, ACT_INIT + ACT_ADVANCE + 1) == alone(program)


@pytest.mark.parametrize("referenced", [False, True])
def test_an_inactive_page_of_which_a_mapping_was_used_becomes_active(alone, page_on, referenced):
    def program(vm):
        m = used_by_a_process(vm, page_on, "inactive")
        m.flags.setbits(PG_REFERENCED * referenced)
        return scanned(vm, m), m.flags.peek() & PG_REFERENCED, m.act_count, accessed(m)

    credit = ACT_INIT + ACT_ADVANCE + 1 + referenced
    assert ((0, "active"), 0, credit, False) == alone(program)


def test_an_inactive_page_whose_mapping_was_used_is_cached_if_nobody_references_its_object(alone, page_on):
    def program(vm):
        m = used_by_a_process(vm, page_on, "inactive")
        m.object.ref_count.value = 0
        return scanned(vm, m)

    assert (1, "cache") == alone(program)


def test_an_inactive_page_that_was_used_is_cached_if_nobody_references_its_object(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        m.flags.setbits(PG_REFERENCED)
        m.object.ref_count.value = 0
        return scanned(vm, m), m.flags.peek()

    assert ((1, "cache"), 0) == alone(program)


@pytest.mark.parametrize("dirty", [0, 1])
def test_an_inactive_page_that_is_not_valid_is_freed(alone, page_on, dirty):
    def program(vm):
        m = page_on(vm, "inactive")
        m.valid, m.dirty = 0, dirty
        obj = m.object
        return scanned(vm, m), obj.resident_page_count

    assert ((1, "free"), 0) == alone(program)


def test_a_clean_and_valid_page_in_no_object_is_cached(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        leave_object(m)
        return scanned(vm, m), m.valid

    assert ((1, "cache"), VM_PAGE_BITS_ALL) == alone(program)


@pytest.mark.parametrize("how", ["in no object", "in a dead one"])
def test_a_dirty_page_that_nobody_can_write_out_stays(alone, page_on, how):
    def program(vm):
        m = page_on(vm, "inactive")
        m.dirty = 1
        if how == "in no object":
            leave_object(m)
        else:
            m.object.flags.setbits(OBJ_DEAD)
        return scanned(vm, m), m.dirty

    assert ((0, "inactive"), VM_PAGE_BITS_ALL) == alone(program)


def test_a_page_with_some_dirty_blocks_becomes_dirty_altogether(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        m.dirty = 1
        m.flags.setbits(PG_NEED_COMMIT)
        m.object.flags.setbits(OBJ_DEAD)
        return scanned(vm, m), m.dirty

    assert ((0, "inactive"), VM_PAGE_BITS_ALL) == alone(program)


@pytest.mark.parametrize("how", ["dirty", "written"])
def test_a_dirty_inactive_page_is_passed_over_once_and_then_laundered_and_cached(alone, page_on, how):
    def program(vm):
        m = page_on(vm, "inactive")
        vm_page_busy_try(m, False)
        if how == "dirty":
            m.dirty = 1
        else:
            map_page(m)
            store(m)
            pmap_clear_reference(m)
        vm_page_wakeup(m)
        first = scanned(vm, m), is_dirty(m)
        return first, scanned(vm, m), m.dirty, entry(m)

    assert (((0, "inactive"), True), (1, "cache"), 0, "") == alone(program)


def test_where_passes_are_in_vain_a_dirty_page_is_laundered_at_once(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        m.dirty = 1
        return d.vm_pageout_scan_inactive(wanting(vm), 1), on(m), m.dirty

    assert (1, "inactive", 0) == alone(program)


def test_what_is_laundered_is_in_swap(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        vm.memory.poke(m.phys, 0, "written")
        m.dirty = 1
        d.vm_pageout_scan_inactive(wanting(vm), 1)
        (block,) = m.object.peek("swblock_root").values()
        return vm.pager.contents[block][0], bool(m.flags.peek() & PG_SWAPPED)

    assert ("written", True) == alone(program)


@pytest.mark.parametrize(
    ("passes", "most", "written"), [(0, 16, 2), (0, 15, 1), (0, 1 << 14, 1), (9, 1 << 14, 16), (2000, 64, 5)]
)
def test_a_scan_writes_its_share_of_pages(alone, page_on, passes, most, written):
    def program(vm):
        vm.sysctl["vm.max_launder"] = most
        for _ in range(17):
            m = page_on(vm, "inactive", vm_object_allocate(vm, 1))
            m.dirty = 1
            m.flags.setbits(PG_WINATCFLS)
        return d.vm_pageout_scan_inactive(wanting(vm), passes)

    assert written == alone(program, pages=24)


@pytest.mark.parametrize(("mode", "laps"), [(2, [0, 1]), (3, [1])])
def test_the_mode_of_use_takes_the_lap_away(alone, page_on, mode, laps):
    def program(vm):
        vm.sysctl["vm.pageout_memuse_mode"] = mode
        page_on(vm, "inactive").dirty = 1
        wanting(vm)
        return [d.vm_pageout_scan_inactive(vm) for _ in laps]

    assert laps == alone(program)


def test_a_page_that_an_allocator_put_aside_is_freed(alone):
    def program(vm):
        m = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        vm_page_deactivate(m)
        vm_page_wakeup(m)
        return scanned(vm, m)

    assert (1, "free") == alone(program)


def test_a_page_that_an_allocator_put_out_of_its_way_is_free_after_a_scan(together, page_on):
    def program(vm):
        m = vm.page.vm_page_array[1]

        def meddler():
            if not vm_page_busy_try(m, True):
                vm_page_wakeup(m)

        def user():
            page = vm_page_alloc(vm, None, 0, VM_ALLOC_INTERRUPT)
            if page is not None:
                vm_page_free(page)

        vm.machine.spawn(meddler)
        vm.machine.spawn(user)
        vm.machine.join()
        d.vm_pageout_scan_inactive(wanting(vm))
        vm.machine.check([on(page) for page in vm.page.vm_page_array] == ["free"] * 2, "all are free again")

    together(program, sched="dfs:2", schedules=400, pages=2)


def test_an_inactive_page_with_a_commit_pending_stays(alone, page_on):
    def program(vm):
        m = page_on(vm, "inactive")
        m.flags.setbits(PG_NEED_COMMIT)
        return scanned(vm, m)

    assert (0, "inactive") == alone(program)


@pytest.mark.parametrize("how", ["busy", "soft busy", "held"])
def test_an_inactive_page_in_use_is_left_alone(alone, page_on, how):
    def program(vm):
        m, other = page_on(vm, "inactive"), page_on(vm, "inactive", None, 1)
        spare(m, how)
        before = m.busy_count.peek()
        done = d.vm_pageout_scan_inactive(wanting(vm))
        return done, on(m), on(other), m.busy_count.peek() == before, intact(vm)

    assert (1, "inactive", "cache", True, True) == alone(program)


def test_an_inactive_page_in_use_goes_to_the_tail(alone, page_on):
    def program(vm):
        pages = [page_on(vm, "inactive", None, n) for n in range(3)]
        spare(pages[0], "held")
        pages[1].flags.setbits(PG_NEED_COMMIT)
        pages[2].flags.setbits(PG_NEED_COMMIT)
        d.vm_pageout_scan_inactive(wanting(vm))
        order = [m.phys for m in vm.page.vm_page_queues[vm.page.PQ_INACTIVE].pages()]
        return [order.index(m.phys) for m in pages], intact(vm)

    assert ([0, 1, 2], True) == alone(program)


@pytest.mark.parametrize("kind", ["inactive", "active"])
def test_a_scan_gives_back_every_lock_that_it_takes(steps, page_on, kind):
    def prepare(vm):
        for n in range(3):
            page_on(vm, kind, None, n).act_count = 0
        spare(page_on(vm, kind, None, 3), "held")
        return [wanting(vm)]

    rows = steps(prepare, getattr(d, f"vm_pageout_scan_{kind}"))
    taken = [row.split()[-1] for row in rows if row.startswith(("acquire", "request"))]
    given = [row.split()[-1] for row in rows if row.startswith("release")]
    assert sorted(taken) == sorted(given)


def test_a_scan_stops_when_it_has_gained_enough(alone, page_on):
    def program(vm):
        for n in range(5):
            page_on(vm, "inactive", None, n)
        limit(vm, v_paging_target2=3 + 2)  # three are free, two more will do
        done = d.vm_pageout_scan_inactive(vm)
        return done, vm.meter.count("v_cache_count"), vm.meter.count("v_inactive_count"), intact(vm)

    assert (2, 2, 3, True) == alone(program)


def test_a_scan_visits_each_page_once(alone, page_on):
    def program(vm):
        pages = [page_on(vm, "active", None, n) for n in range(5)]
        for m in pages:
            m.act_count = 3
        d.vm_pageout_scan_active(vm)
        return [m.act_count for m in pages]

    assert [2] * 5 == alone(program)


def test_a_scan_of_an_empty_queue_takes_no_lock(steps):
    rows = steps(lambda vm: [vm], d.vm_pageout_scan_active, l2_size=2)
    assert ["load pq.active[0].tqh_first", "load pq.active[1].tqh_first"] == rows


# -- cached pages ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("minimum", "freed"), [(5, 0), (6, 1), (7, 2), (99, 3)])
def test_cached_pages_are_freed_while_free_ones_alone_are_short(alone, page_on, minimum, freed):
    def program(vm):
        for n in range(3):
            page_on(vm, "cache", None, n)
        limit(vm, v_free_min=minimum)
        return d.vm_pageout_scan_cache(vm), vm.meter.count("v_free_count"), vm.meter.count("v_cache_count")

    assert (freed, 5 + freed, 3 - freed) == alone(program)


@pytest.mark.parametrize("kind", ["cache", "inactive"])
def test_a_page_that_may_still_be_written_is_protected_before_it_is_freed(alone, page_on, kind):
    def program(vm):
        m = page_on(vm, kind)
        vm_page_busy_try(m, False)
        map_page(m)
        pmap_clear_reference(m)
        if kind == "inactive":  # such a page is freed if it is not valid
            m.valid = 0
        vm_page_wakeup(m)
        limit(vm, v_free_min=99, v_paging_target2=99)
        done = d.vm_pageout_scan_cache(vm) if kind == "cache" else d.vm_pageout_scan_inactive(vm)
        return done, on(m), entry(m)

    assert (1, "free", "") == alone(program)


# -- the tail of a queue --------------------------------------------------------------------------


@pytest.mark.parametrize(("base", "order"), [("PQ_INACTIVE", [1, 0]), ("PQ_ACTIVE", [0, 1])])
def test_a_page_goes_to_the_tail_of_the_queue_of_the_type_that_is_meant(alone, page_on, base, order):
    def program(vm):
        pages = [page_on(vm, "inactive", None, n) for n in range(2)]
        vm_page_busy_try(pages[0], False)
        d.vm_page_requeue(pages[0], getattr(vm.page, base))
        there = [m.phys for m in vm.page.vm_page_queues[vm.page.PQ_INACTIVE].pages()]
        return [there.index(m.phys) for m in pages], pages[0].spin_held(), intact(vm)

    assert (order, False, True) == alone(program)


# -- among others ---------------------------------------------------------------------------------


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_scans_keep_their_place_while_pages_move(together, page_on, locks, sched):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        pages = [page_on(vm, "active", obj, n) for n in range(3)]
        for m in pages:
            m.act_count = 0

        def mover():
            for m in pages:
                if not vm_page_busy_try(m, True):
                    if m.object is obj:
                        vm_page_deactivate(m)
                        vm_page_activate(m)
                    vm_page_wakeup(m)

        def scanner():
            d.vm_pageout_scan_active(vm)

        for fn in (mover, scanner, scanner):
            vm.machine.spawn(fn)
        vm.machine.join()
        vm.machine.check(intact(vm), "no marker is left")

    together(program, sched=sched, locks=locks, pages=4)


@DEPTHS
def test_the_pageout_does_not_take_a_page_from_its_reader(together, page_on, locks):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "inactive", obj, 3)
        wanting(vm)

        def reader():
            if not vm_page_sbusy_try(m):
                before = m.object, m.valid
                vm.machine.yield_()
                vm.machine.check((m.object, m.valid) == before, "still the same")
                vm_page_sbusy_drop(m)

        for fn in (reader, lambda: d.vm_pageout_scan_inactive(vm), lambda: d.vm_pageout_scan_cache(vm)):
            vm.machine.spawn(fn)
        vm.machine.join()

    together(program, schedules=100, locks=locks, pages=2)


def test_a_marker_is_gone_with_its_scan(alone, page_on):
    def program(vm):
        page_on(vm, "inactive")
        d.vm_pageout_scan_inactive(wanting(vm))
        return vm.page.markers

    assert [] == alone(program)
