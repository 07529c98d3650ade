"""Freeing and caching a page."""

from __future__ import annotations

import pytest

import vmsmp
from mappings import entry, map_page, space_of, store, unmap
from page_layer import on
from vmsmp.vm import vm_page as f
from vmsmp.vm.vm_map import VM_PROT_READ, VM_PROT_WRITE
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    PBUSY_LOCKED,
    PBUSY_WANTED,
    PG_CLEANCHK,
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_NEED_COMMIT,
    PG_UNQUEUED,
    PG_WRITEABLE,
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    vm_page_activate,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_hold,
    vm_page_io_start,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_unhold,
    vm_page_wakeup,
    vm_page_wire,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def busied(m):
    vm_page_busy_try(m, False)
    return m


# -- freeing --------------------------------------------------------------------------------------


def test_a_page_known_to_be_zeroed_is_freed_by_the_same_steps(steps, page_on):
    def rows(free):
        return steps(lambda vm: [busied(page_on(vm, "none"))], free)

    assert rows(f.vm_page_free) == rows(f.vm_page_free_zero)


@pytest.mark.parametrize("kind", ["none", "inactive", "active", "cache"])
def test_a_page_freed_is_free_blank_and_in_no_object_from_wherever_it_was(alone, page_on, kind):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = busied(page_on(vm, kind, obj, 3))
        m.dirty = VM_PAGE_BITS_ALL
        f.vm_page_free(m)
        names = ("object", "valid", "dirty", "busy_count")
        return on(m), [m.peek(name) for name in names], obj.rb_memq, vm.meter.count("v_free_count")

    assert ("free", [None, 0, 0, 0], {}, 8) == alone(program)


def test_a_page_freed_is_the_next_one_of_its_colour_to_be_had(alone, page_on):
    def program(vm):
        pages = [busied(page_on(vm, "active", None, n)) for n in range(3)]
        for m in pages:
            f.vm_page_free(m)
        head = vm.page.vm_page_queues[vm.page.PQ_FREE + pages[2].pc].tqh_first
        return head is pages[2], vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL) is pages[2]

    assert (True, True) == alone(program)


def test_held_pages_freed_wait_on_the_hold_queue_in_order(alone, page_on):
    def program(vm):
        pages = [busied(page_on(vm, "active", None, n)) for n in range(3)]
        for m in pages:
            vm_page_hold(m)
            f.vm_page_free(m)
        return [*vm.page.vm_page_queues[vm.page.PQ_HOLD].pages()] == pages, {
            m.busy_count.peek() for m in pages
        }

    assert (True, {0}) == alone(program)


def test_a_held_page_freed_is_not_counted_as_free(alone, page_on):
    def program(vm):
        m = busied(page_on(vm, "none"))
        vm_page_hold(m)
        f.vm_page_free(m)
        return vm.meter.count("v_free_count"), vm.meter.count("v_active_count"), m.object, m.valid

    assert (7, 1, None, 0) == alone(program)


def test_a_free_counts_itself(alone, page_on):
    def program(vm):
        f.vm_page_free(busied(page_on(vm, "none")))
        return vm.mycpu().v_tfree

    assert 1 == alone(program)


def test_a_free_clears_need_commit_and_unqueued(alone, page_on):
    def program(vm):
        m = busied(page_on(vm, "none"))
        m.flags.setbits(PG_NEED_COMMIT | PG_UNQUEUED | PG_CLEANCHK)
        f.vm_page_free(m)
        return on(m), m.flags.peek()

    assert ("free", PG_CLEANCHK) == alone(program)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (PG_MAPPED, "page mapped or not busy"),
        (PG_WRITEABLE, "page still mapped"),
        (PG_MAPPED | PG_WRITEABLE, "page mapped or not busy"),
    ],
)
def test_a_free_believes_flags_that_say_a_page_is_mapped(panic, page_on, flags, message):
    def program(vm):
        m = busied(page_on(vm, "active"))
        m.flags.setbits(flags)  # as if it had been mapped more than once: there is no entry any more
        f.vm_page_free(m)

    assert f"vm_page_free: {message}" == panic(program)


def test_a_free_of_a_page_that_was_never_mapped_does_not_look_for_an_entry(steps, page_on):
    rows = steps(lambda vm: [busied(page_on(vm, "active"))], f.vm_page_free)
    assert [] == [row for row in rows if "interlock_count" in row or "table[" in row]
    assert [] != [row for row in rows if "flags" in row]


def test_a_free_of_a_mapped_page_panics(panic, page_on):
    def program(vm):
        m = busied(page_on(vm, "active"))
        map_page(m, VM_PROT_READ)
        f.vm_page_free(m)

    assert "vm_page_free: page mapped or not busy" == panic(program)


@pytest.mark.parametrize("flags", [PG_MAPPED, PG_WRITEABLE])
def test_a_page_that_is_mapped_while_it_leaves_its_object_panics(panic, page_on, monkeypatch, flags):
    monkeypatch.setattr("vmsmp.vm.vm_page.free.vm_page_remove", lambda m: m.flags.setbits(flags))

    def program(vm):
        f.vm_page_free(busied(page_on(vm, "active")))

    assert "vm_page_free: page still mapped" == panic(program)


@pytest.mark.parametrize("word", [0, 1, PBUSY_WANTED])
def test_a_free_of_a_page_that_is_not_hard_busied_panics(panic, page_on, word):
    def program(vm):
        m = page_on(vm, "active")
        m.busy_count.value = word
        f.vm_page_free(m)

    assert "vm_page_free: page mapped or not busy" == panic(program)


def test_a_free_of_a_page_that_is_soft_busied_too_panics(panic, page_on):
    def program(vm):
        m = busied(page_on(vm, "active"))
        vm_page_io_start(m)
        f.vm_page_free(m)

    assert "vm_page_free: freeing busy or free page" == panic(program)


def test_a_free_of_a_free_page_panics(panic, page_on):
    message = panic(lambda vm: f.vm_page_free(busied(page_on(vm, "free"))))
    assert "vm_page_free: freeing busy or free page" == message


def test_a_free_of_a_wired_page_panics(panic, page_on):
    def program(vm):
        m = busied(page_on(vm, "active"))
        vm_page_wire(m)
        f.vm_page_free(m)

    assert "vm_page_free: freeing wired page" == panic(program)


def test_a_fictitious_page_freed_leaves_its_object_and_goes_to_no_queue(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = busied(page_on(vm, "none", obj, 3))
        m.flags.setbits(PG_FICTITIOUS)
        f.vm_page_free(m)
        return on(m), m.busy_count.peek(), m.object, obj.rb_memq

    assert ("none", 0, None, {}) == alone(program)


def test_a_fictitious_page_on_a_queue_panics_who_frees_it(panic, page_on):
    def program(vm):
        m = busied(page_on(vm, "active"))
        m.flags.setbits(PG_FICTITIOUS)
        f.vm_page_free(m)

    assert "vm_page_free: fictitious page on a queue" == panic(program)


def test_a_free_drops_the_queue_then_the_busy_then_the_page_s_spinlock_and_then_wakes(steps, page_on):
    def prepare(vm):
        m = busied(page_on(vm, "active"))
        m.busy_count.setbits(PBUSY_WANTED)
        return [m]

    rows = steps(prepare, f.vm_page_free)
    last = [
        "acquire pg[7].spin",
        "acquire pq.active[0].spin",
        "release pq.active[0].spin",
        "acquire pq.free[0].spin",
        "release pq.free[0].spin",
        "cmpset pg[7].busy_count",
        "release pg[7].spin",
        "wakeup pg[7]",
    ]
    assert last == [row for row in rows if row in last][-8:]


def test_a_free_takes_the_page_out_of_its_object_before_its_queue(steps, page_on):
    rows = steps(lambda vm: [busied(page_on(vm, "active"))], f.vm_page_free)
    assert rows.index("release obj[0].token") < rows.index("acquire pq.active[0].spin")


def test_a_free_wakes_nobody_who_does_not_want_the_page(steps, page_on):
    assert "wakeup pg[7]" not in steps(lambda vm: [busied(page_on(vm, "active"))], f.vm_page_free)


def test_a_free_tells_those_who_wait_for_memory(alone, page_on):
    def program(vm):
        vm.pageout.vm_pages_waiting.store(3)
        f.vm_page_free(busied(page_on(vm, "active")))
        return vm.pageout.vm_pages_waiting.load()

    assert 0 == alone(program)


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_who_waits_for_a_page_that_is_freed_is_woken(together, page_on, locks, sched):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 3)

        def owner():
            vm_page_busy_wait(m, True)
            if m.object is obj:
                f.vm_page_free(m)
            else:
                vm_page_wakeup(m)

        for _ in range(3):
            vm.machine.spawn(owner)
        vm.machine.join()
        vm.machine.check(on(m) == "free", "one of them freed it")

    together(program, sched=sched, locks=locks, pages=6)


@DEPTHS
def test_parallel_cpus_free_the_pages_that_others_hold(parallel, locks):
    def program(vm):
        def worker():
            for n in range(15):
                m = vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL)
                if m is None:
                    continue
                vm_page_hold(m)
                f.vm_page_free(m)
                vm_page_unhold(m)

        for _ in range(3):
            vm.machine.spawn(worker)
        vm.machine.join()
        return [on(m) for m in vm.page.vm_page_array], vm.meter.count("v_free_count")

    assert (["free"] * 6, 6) == parallel(program, pages=6, locks=locks)


# -- caching --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["none", "inactive", "active"])
def test_a_clean_page_cached_stays_in_its_object_and_may_be_reused(alone, page_on, kind):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = busied(page_on(vm, kind, obj, 3))
        f.vm_page_cache(m)
        return on(m), m.busy_count.peek(), m.valid, obj.rb_memq == {3: m}, vm.meter.count("v_cache_count")

    assert ("cache", 0, VM_PAGE_BITS_ALL, True, 1) == alone(program)


def use(m, how):
    """Have the page used in a way that keeps it out of the cache."""
    if how == "soft":
        vm_page_io_start(m)
    elif how == "wire":
        vm_page_wire(m)
    elif how == "hold":
        vm_page_hold(m)
    elif how == "dirty":
        m.dirty = 1
    else:
        m.flags.setbits({"unqueued": PG_UNQUEUED, "commit": PG_NEED_COMMIT, "fictitious": PG_FICTITIOUS}[how])


@pytest.mark.parametrize("how", ["soft", "wire", "hold", "unqueued", "commit", "fictitious"])
def test_a_page_that_is_used_is_not_cached_and_loses_its_busy_only(alone, page_on, how):
    def program(vm):
        m = busied(page_on(vm, "none" if how in ("unqueued", "fictitious") else "active"))
        use(m, how)
        before = on(m)
        f.vm_page_cache(m)
        return before == on(m), m.busy_count.peek()

    assert (True, how == "soft") == alone(program)


@pytest.mark.parametrize("how", ["soft", "wire", "hold", "unqueued", "commit", "fictitious"])
def test_a_page_that_is_used_is_not_even_unmapped_for_the_cache(alone, page_on, how):
    def program(vm):
        m = busied(page_on(vm, "none"))
        map_page(m, VM_PROT_READ)
        use(m, how)
        f.vm_page_cache(m)
        return entry(m)

    assert "v" == alone(program)


def test_a_cached_page_cached_again_loses_its_busy_only(alone, page_on):
    def program(vm):
        m = busied(page_on(vm, "cache"))
        adds = vm.page.vm_page_queues[m.queue].adds
        f.vm_page_cache(m)
        return on(m), m.busy_count.peek(), vm.page.vm_page_queues[m.queue].adds - adds

    assert ("cache", 0, 0) == alone(program)


def test_a_cached_page_that_is_mapped_panics_who_caches_it_again(panic, page_on):
    def program(vm):
        m = busied(page_on(vm, "cache"))
        m.flags.setbits(PG_MAPPED)
        f.vm_page_cache(m)

    assert "vm_page_cache: cached page is mapped" == panic(program)


def test_a_page_is_unmapped_on_its_way_to_the_cache(alone, page_on):
    def program(vm):
        m = busied(page_on(vm, "active"))
        map_page(m, VM_PROT_READ)
        f.vm_page_cache(m)
        return on(m), entry(m), m.flags.peek() & PG_MAPPED

    assert ("cache", "", 0) == alone(program)


@pytest.mark.parametrize("how", ["dirty", "written"])
def test_a_dirty_page_becomes_inactive_instead(alone, page_on, how):
    def program(vm):
        m = busied(page_on(vm, "active"))
        if how == "dirty":
            m.dirty = 1
        else:
            map_page(m, VM_PROT_READ | VM_PROT_WRITE)
            store(m)  # found out when it is unmapped
        f.vm_page_cache(m)
        return on(m), m.busy_count.peek(), bool(m.dirty), entry(m)

    assert ("inactive", 0, True, "") == alone(program)


def during_the_unmapping(monkeypatch, act):
    """Have `act(m)` happen while the page is being unmapped, which may block."""
    protect = f.vm_page_protect

    def blocking(m, prot):
        protect(m, prot)
        act(m)

    monkeypatch.setattr("vmsmp.vm.vm_page.free.vm_page_protect", blocking)


@pytest.mark.parametrize(
    ("how", "left"),
    [
        ("soft", "active"),
        ("wire", "active"),
        ("hold", "active"),
        ("unqueued", "active"),
        ("commit", "inactive"),
        ("dirty", "inactive"),
    ],
)
def test_a_page_that_comes_to_be_used_while_it_is_unmapped_is_not_cached(
    alone, page_on, monkeypatch, how, left
):
    during_the_unmapping(monkeypatch, lambda m: use(m, how))

    def program(vm):
        m = busied(page_on(vm, "active"))
        map_page(m, VM_PROT_READ)
        f.vm_page_cache(m)
        return on(m), m.busy_count.peek()

    assert (left, how == "soft") == alone(program)


def test_a_page_that_is_mapped_again_while_it_is_unmapped_is_not_cached(alone, page_on, monkeypatch):
    during_the_unmapping(monkeypatch, lambda m: map_page(m, VM_PROT_READ))

    def program(vm):
        m = busied(page_on(vm, "active"))
        map_page(m, VM_PROT_READ)
        f.vm_page_cache(m)
        return on(m), m.busy_count.peek(), entry(m)

    assert ("active", 0, "v") == alone(program)


def test_a_page_that_is_mapped_and_unmapped_again_meanwhile_is_cached(alone, page_on, monkeypatch):
    during_the_unmapping(monkeypatch, lambda m: (map_page(m, VM_PROT_READ), unmap(m)))

    def program(vm):
        m = busied(page_on(vm, "active"))
        map_page(m, VM_PROT_READ)
        f.vm_page_cache(m)
        return on(m), m.flags.peek() & PG_MAPPED

    assert ("cache", 0) == alone(program)


def test_caching_wakes_nobody_who_does_not_want_the_page(steps, page_on):
    assert "wakeup pg[7]" not in steps(lambda vm: [busied(page_on(vm, "active"))], f.vm_page_cache)


def test_a_page_that_is_not_mapped_is_not_unmapped_for_the_cache(alone, page_on, monkeypatch):
    during_the_unmapping(monkeypatch, lambda m: use(m, "dirty"))

    def program(vm):
        m = busied(page_on(vm, "active"))
        f.vm_page_cache(m)
        return on(m)

    assert "cache" == alone(program)


def test_caching_moves_the_page_under_both_spinlocks_and_drops_the_busy_after_them(steps, page_on):
    def prepare(vm):
        m = busied(page_on(vm, "active"))
        m.busy_count.setbits(PBUSY_WANTED)
        return [m]

    rows = steps(prepare, f.vm_page_cache)
    last = [
        "acquire pg[7].spin",
        "acquire pq.active[0].spin",
        "release pq.active[0].spin",
        "acquire pq.cache[0].spin",
        "release pq.cache[0].spin",
        "release pg[7].spin",
        "cmpset pg[7].busy_count",
        "wakeup pg[7]",
    ]
    assert last == [row for row in rows if row in last]


def test_an_allocator_may_meet_a_cached_page_that_is_still_busied():
    outcomes = set()

    def program(m):
        vm = m.boot(pages=1, l2_size=1)
        vm.meter.limits.v_free_reserved = 0
        page = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        got = []
        m.spawn(f.vm_page_cache, page)
        m.spawn(lambda: got.append(vm_page_alloc(vm, None, 1, VM_ALLOC_NORMAL)))
        vm.meter.limits.v_free_reserved = 1
        m.join()
        outcomes.add(("allocated" if got[0] else "none", on(page)))

    vmsmp.explore(program, sched="dfs:2", schedules=5000, check=False)
    assert {("none", "cache"), ("allocated", "none"), ("none", "inactive")} == outcomes


def test_caching_a_page_tells_those_who_wait_for_memory(alone, page_on):
    def program(vm):
        vm.pageout.vm_pages_waiting.store(3)
        f.vm_page_cache(busied(page_on(vm, "active")))
        return vm.pageout.vm_pages_waiting.load()

    assert 0 == alone(program)


# -- trying ---------------------------------------------------------------------------------------


def try_to_cache(m):
    """Busy the page and try to cache it, which drops the busy whatever comes of it."""
    return not vm_page_busy_try(m, True) and f.vm_page_try_to_cache(m)


TRIES = pytest.mark.parametrize(
    ("attempt", "left"),
    [(f.vm_page_try_to_free, "free"), (try_to_cache, "cache")],
    ids=["free", "cache"],
)


@TRIES
def test_a_clean_idle_page_is_taken(alone, page_on, attempt, left):
    def program(vm):
        m = page_on(vm, "active")
        return attempt(m), on(m), m.busy_count.peek()

    assert (True, left, 0) == alone(program)


@TRIES
@pytest.mark.parametrize("word", [PBUSY_LOCKED, 1, PBUSY_LOCKED | 1])
def test_a_busy_page_is_left_alone(alone, page_on, attempt, left, word):
    def program(vm):
        m = page_on(vm, "active")
        m.busy_count.value = word
        return attempt(m), on(m), m.busy_count.peek()

    assert (False, "active", word) == alone(program)


@TRIES
@pytest.mark.parametrize("how", ["wire", "hold", "unqueued", "commit", "fictitious", "dirty"])
def test_a_used_page_is_left_alone_and_mapped(alone, page_on, attempt, left, how):
    def program(vm):
        m = busied(page_on(vm, "active"))
        map_page(m, VM_PROT_READ)
        use(m, how)
        vm_page_wakeup(m)
        return attempt(m), on(m), m.busy_count.peek(), entry(m)

    assert (False, "active", 0, "v") == alone(program)


@TRIES
def test_a_page_written_through_its_mapping_is_dirty_and_left_alone(alone, page_on, attempt, left):
    def program(vm):
        m = busied(page_on(vm, "active"))
        map_page(m, VM_PROT_READ | VM_PROT_WRITE)
        store(m)
        vm_page_wakeup(m)
        return attempt(m), on(m), m.busy_count.peek(), bool(m.dirty), entry(m)

    queue = "active" if left == "free" else "inactive"
    assert (False, queue, 0, True, "vwm") == alone(program)  # and still mapped


def test_a_dirty_page_that_is_not_active_stays_where_it_is_when_it_cannot_be_cached(alone, page_on):
    def program(vm):
        m = busied(page_on(vm, "none"))
        map_page(m, VM_PROT_READ | VM_PROT_WRITE)
        store(m)
        return f.vm_page_try_to_cache(m), on(m), m.busy_count.peek()

    assert (False, "none", 0) == alone(program)


def test_trying_to_cache_a_cached_page_fails_and_drops_the_busy(alone, page_on):
    def program(vm):
        m = busied(page_on(vm, "cache"))
        return f.vm_page_try_to_cache(m), on(m), m.busy_count.peek()

    assert (False, "cache", 0) == alone(program)


@pytest.mark.parametrize("kind", ["free", "hold"])
def test_a_page_that_is_free_or_held_while_free_is_not_freed_again(alone, page_on, kind):
    def program(vm):
        m = page_on(vm, kind)
        if kind == "hold":
            m.hold_count.value = 0  # left there by a free that an unhold met
        return f.vm_page_try_to_free(m), on(m), m.busy_count.peek()

    assert (False, kind, 0) == alone(program)


@pytest.mark.parametrize("how", ["dirty", "commit"])
def test_a_page_dirtied_while_it_is_unmapped_is_not_freed(alone, page_on, monkeypatch, how):
    during_the_unmapping(monkeypatch, lambda m: use(m, how))

    def program(vm):
        m = page_on(vm, "active")
        return f.vm_page_try_to_free(m), on(m), m.busy_count.peek(), m.valid

    assert (False, "active", 0, VM_PAGE_BITS_ALL) == alone(program)


@DEPTHS
@TRIES
@pytest.mark.parametrize("sched", ["random", "pct:3"])
def test_nothing_that_a_process_wrote_is_lost(together, page_on, locks, attempt, left, sched):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 3)
        space = space_of(m)
        stored = vm.machine.atomic(0)

        def process():
            vm_page_busy_wait(m, False)
            if m.object is not obj:
                vm_page_wakeup(m)
                return
            vm_page_activate(m)
            map_page(m, VM_PROT_READ | VM_PROT_WRITE)
            vm_page_wakeup(m)
            if space.store(3):
                stored.store(1)
            space.remove(3)

        vm.machine.spawn(process)
        vm.machine.spawn(attempt, m)
        vm.machine.join()
        if stored.load():
            vm.machine.check(m.object is obj and m.peek("dirty"), "what was written is there")

    together(program, schedules=60, sched=sched, locks=locks, pages=6)


@DEPTHS
def test_a_reader_never_sees_his_page_go(together, page_on, locks):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 3)

        def reader():
            if not vm_page_sbusy_try(m):
                before = m.object, m.valid
                vm.machine.yield_()
                vm.machine.check((m.object, m.valid) == before, "still the same")
                vm_page_sbusy_drop(m)

        def taker():
            if not f.vm_page_try_to_free(m):
                vm_object_hold(obj)
                vm_object_drop(obj)

        for fn in (reader, taker, reader):
            vm.machine.spawn(fn)
        vm.machine.join()

    together(program, schedules=120, locks=locks, pages=2)


# -- the order of looks ---------------------------------------------------------------------------


def looks(rows):
    """What a function looks at before anything else happens, by the names of the page's fields."""
    words = [row.split()[-1].removeprefix("pg[7].") for row in rows]
    first = next(n for n, row in enumerate(rows) if not row.startswith("load pg[7]."))
    return words[:first]


def test_caching_looks_at_flags_busies_wirings_holds_and_the_queue(steps, page_on):
    rows = steps(lambda vm: [busied(page_on(vm, "active"))], f.vm_page_cache)
    assert ["flags", "busy_count", "wire_count", "hold_count", "queue"] == looks(rows)[:5]


def test_a_try_to_cache_looks_at_dirt_holds_wirings_the_queue_and_flags(steps, page_on):
    rows = steps(lambda vm: [busied(page_on(vm, "active"))], f.vm_page_try_to_cache)
    assert ["dirty", "hold_count", "wire_count", "queue", "flags"] == looks(rows)[:5]


def test_a_try_to_free_looks_at_dirt_holds_wirings_flags_and_the_queue(steps, page_on):
    rows = steps(lambda vm: [page_on(vm, "active")], f.vm_page_try_to_free)
    assert ["dirty", "hold_count", "wire_count", "flags", "queue"] == looks(rows[2:])[:5]


def test_a_free_page_s_dirty_bits_go_under_both_spinlocks(steps, page_on):
    rows = steps(lambda vm: [busied(page_on(vm, "active"))], f.vm_page_free)
    order = ["release pq.active[0].spin", "store pg[7].dirty", "load pg[7].wire_count"]
    assert order == [row for row in rows if row in order]
