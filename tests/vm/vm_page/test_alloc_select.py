"""Allocation: which page of a queue is taken, and which is put out of the way."""

from __future__ import annotations

import pytest

from mappings import RW, entry, mapped
from page_layer import move, on
from vmsmp.vm import vm_page as a
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_hold
from vmsmp.vm.vm_page import (
    PBUSY_LOCKED,
    PBUSY_WANTED,
    PG_MAPPED,
    PG_NEED_COMMIT,
    PG_UNQUEUED,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    vm_page_hold,
    vm_page_wakeup,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
NORMAL, SYSTEM, INTERRUPT = VM_ALLOC_NORMAL, VM_ALLOC_SYSTEM, VM_ALLOC_INTERRUPT


# -- selecting ------------------------------------------------------------------------------------

SELECTS = {
    "free": lambda vm: a.vm_page_select_free(vm, 0),
    "cache": lambda vm: a.vm_page_select_cache(vm, 0),
    "both": lambda vm: a.vm_page_select_free_or_cache(vm, 0)[0],
}
#: Sizes with which a search of both types gets to the cached pages.
BOTH = {"l2_size": 2, "set_assoc_mask": 0}


@pytest.mark.parametrize(("select", "kind"), [("free", "free"), ("cache", "cache"), ("both", "cache")])
def test_a_page_selected_is_off_its_queue_hard_busied_and_not_locked(alone, page_on, select, kind, exhaust):
    def program(vm):
        m = page_on(vm, kind)
        if kind == "cache":
            exhaust(vm)
        assert SELECTS[select](vm) is m
        return on(m), m.busy_count.peek(), m.spin.holders

    assert ("none", PBUSY_LOCKED, []) == alone(program, **BOTH)


def test_a_cached_page_selected_is_still_in_its_object(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        page_on(vm, "cache", obj, 3)
        m = a.vm_page_select_cache(vm, 0)
        return m.object is obj, m.pindex

    assert (True, 3) == alone(program)


@pytest.mark.parametrize(("kind", "base"), [("free", "PQ_FREE"), ("cache", "PQ_CACHE")])
def test_a_selection_of_both_says_where_the_page_came_from(alone, page_on, kind, base, exhaust):
    def program(vm):
        page_on(vm, "cache")
        if kind == "cache":
            exhaust(vm)
        return a.vm_page_select_free_or_cache(vm, 0)[1] == getattr(vm.page, base)

    assert True is alone(program, **BOTH)


def test_a_selection_that_finds_nothing_says_so(alone, exhaust):
    def program(vm):
        exhaust(vm)
        return [select(vm) for select in SELECTS.values()], a.vm_page_select_free_or_cache(vm, 0)

    assert ([None] * 3, (None, 0)) == alone(program)


@pytest.mark.parametrize("select", ["free", "cache"])
def test_a_page_is_busied_while_its_spinlock_is_still_held_and_its_queue_s_is_not(steps, page_on, select):
    rows = steps(lambda vm: (page_on(vm, select), vm)[1:], SELECTS[select])
    order = [f"release pq.{select}[0].spin", "cmpset pg[7].busy_count", "release pg[7].spin"]
    assert order == [row for row in rows if row in order]


@pytest.mark.parametrize("word", [PBUSY_LOCKED, 1])
@pytest.mark.parametrize("select", ["free", "cache"])
def test_a_page_that_somebody_busies_is_put_out_of_the_way(alone, page_on, select, word):
    def program(vm):
        if select == "cache":
            page_on(vm, "cache"), page_on(vm, "cache")
        m = vm.page.vm_page_queues[getattr(vm.page, f"PQ_{select.upper()}")].tqh_first
        other = m.tqe_next
        m.busy_count.value = word
        return SELECTS[select](vm) is other, on(m), m.busy_count.peek(), m.spin.holders

    assert (True, "inactive", word, []) == alone(program, pages=2)


@pytest.mark.parametrize("select", ["free", "both"])
@pytest.mark.parametrize("what", ["unqueued", "need commit", "held", "wired"])
def test_a_free_page_that_somebody_uses_panics_the_allocator(panic, page_on, what, select):
    def program(vm):
        m = page_on(vm, "free")
        if what == "held":
            m.hold_count.value = 1
        elif what == "wired":
            m.wire_count.value = 1
        else:
            m.flags.setbits(PG_UNQUEUED if what == "unqueued" else PG_NEED_COMMIT)
        SELECTS[select](vm)

    words = "page is held or wired" if what in ("held", "wired") else "page has flags it must not have"
    assert f"vm_page_select_free: {words}" == panic(program)


def spoil(m, how):
    if how == "held":
        vm_page_hold(m)
    elif how == "wired":
        m.wire_count.value = 1
    elif how == "dirty":
        m.dirty = 1
    else:
        m.flags.setbits(PG_NEED_COMMIT)


@pytest.mark.parametrize("select", ["cache", "both"])
@pytest.mark.parametrize("how", ["held", "wired", "dirty", "need commit"])
def test_a_cached_page_that_is_no_longer_to_be_reused_becomes_inactive(alone, page_on, select, how, exhaust):
    def program(vm):
        m, other = page_on(vm, "cache"), page_on(vm, "cache", None, 1)
        exhaust(vm)
        spoil(m, how)
        return SELECTS[select](vm) is other, on(m), m.busy_count.peek(), m.spin.holders

    assert (True, "inactive", 0, []) == alone(program, **BOTH)


@pytest.mark.parametrize("select", ["cache", "both"])
def test_a_cached_page_that_is_mapped_is_reused(alone, page_on, select, exhaust):
    def program(vm):
        m = page_on(vm, "cache")
        exhaust(vm)
        m.flags.setbits(PG_MAPPED)
        return SELECTS[select](vm) is m, on(m)

    assert (True, "none") == alone(program, check=False, **BOTH)


@pytest.mark.parametrize(("select", "kind"), [("cache", "cache"), ("both", "cache"), ("both", "free")])
def test_a_search_for_either_type_busies_the_page_while_it_is_still_on_its_queue(
    steps, page_on, select, kind, exhaust
):
    def prepare(vm):
        if kind == "cache":
            page_on(vm, "cache")
            exhaust(vm)
        return [vm]

    rows = steps(prepare, SELECTS[select], **BOTH)
    busy = next(n for n, row in enumerate(rows) if row.startswith("cmpset"))
    counted = next(n for n, row in enumerate(rows) if row.startswith("fetchadd"))
    assert (select == "both") is (busy < counted)


def test_who_wants_a_cached_page_that_is_not_reused_is_woken(steps, page_on):
    def prepare(vm):
        m = page_on(vm, "cache")
        m.busy_count.value = PBUSY_WANTED
        spoil(m, "held")
        return [vm]

    rows = steps(prepare, SELECTS["cache"])
    assert ["release pg[7].spin", "wakeup pg[7]"] == [row for row in rows if "pg[7]" in row][-2:]


def test_a_cached_page_that_is_dirty_where_it_is_not_valid_panics_the_allocator(panic, cached_only):
    def program(vm):
        (m, *_) = cached_only(vm)
        m.valid, m.dirty = 0x01, 0x02
        a.vm_page_alloc(vm, None, 0, NORMAL)

    assert "vm_page_alloc: cached page is dirty" == panic(program)


# -- reusing cached pages -------------------------------------------------------------------------


def test_a_cached_page_in_no_object_is_reused(alone, cached_only):
    def program(vm):
        (m,) = cached_only(vm, 1)
        obj = m.object
        obj.rb_memq.clear()
        m.object = None
        return a.vm_page_alloc(vm, None, 0, NORMAL) is m

    assert True is alone(program)


def test_a_cached_page_leaves_its_object(alone, page_on, exhaust):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "cache", obj, 3)
        exhaust(vm)
        taken = a.vm_page_alloc(vm, None, 0, NORMAL)
        return taken is m, m.object, obj.rb_memq, obj.hold_count.peek(), obj.token.holders

    assert (True, None, {}, 0, []) == alone(program)


def test_a_cached_page_that_may_still_be_written_is_protected_first(alone, page_on, exhaust):
    def program(vm):
        m = mapped(vm, page_on, RW)  # by a process that looked it up meanwhile
        move(m, vm.page.PQ_CACHE + m.pc)
        vm_page_wakeup(m)
        exhaust(vm)
        return a.vm_page_alloc(vm, None, 0, NORMAL) is m, entry(m)

    assert (True, "") == alone(program)


@DEPTHS
def test_a_cached_page_whose_object_is_contended_becomes_inactive_and_is_not_waited_for(
    alone, page_on, locks, exhaust
):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "cache", obj, 3)
        exhaust(vm)
        vm_object_hold(obj)
        cpu = vm.machine.spawn(a.vm_page_alloc, vm, None, 0, NORMAL)
        cpu.join()
        return cpu.result, on(m), m.busy_count.peek(), m.object is obj, obj.hold_count.peek()

    assert (None, "inactive", 0, True, 1) == alone(program, locks=locks)


def test_a_cached_page_that_must_not_be_on_a_queue_panics_its_finder(panic, page_on):
    def program(vm):
        page_on(vm, "cache").flags.setbits(PG_UNQUEUED)
        a.vm_page_select_cache(vm, 0)

    assert "vm_page_select_cache: page must not be on a queue" == panic(program)


def test_a_free_page_is_asked_for_flags_holds_and_wirings_under_its_spinlock(steps):
    rows = steps(lambda vm: [vm], lambda vm: a.vm_page_select_free(vm, 0))
    asked = [f"load pg[7].{word}" for word in ("flags", "hold_count", "wire_count")]
    assert [*asked, "release pg[7].spin"] == rows[-4:]


def test_a_cached_page_is_asked_for_what_others_may_change_before_its_spinlock_goes(steps, page_on):
    def prepare(vm):
        page_on(vm, "cache")
        return [vm]

    rows = steps(prepare, lambda vm: a.vm_page_select_cache(vm, 0))
    words = ("hold_count", "wire_count", "dirty")
    asked = [f"load pg[7].{word}" for word in words]
    assert ["cmpset pg[7].busy_count", *asked, "release pg[7].spin"] == rows[-5:]
