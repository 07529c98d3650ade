"""Pages in and out of objects, active and inactive, valid and dirty bits."""

from __future__ import annotations

import pytest

from page_layer import busied, on
from vmsmp.vm import vm_page as p
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_page import (
    ACT_INIT,
    PBUSY_LOCKED,
    PG_FICTITIOUS,
    PG_RAM,
    PG_REFERENCED,
    PG_UNQUEUED,
    PG_WINATCFLS,
    VM_PAGE_BITS_ALL,
    vm_page_busy_try,
    vm_page_free,
    vm_page_wakeup,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
NO_QUEUE = pytest.mark.parametrize("flag", [PG_FICTITIOUS, PG_UNQUEUED], ids=["fictitious", "unqueued"])


def held_object(vm, size=8):
    obj = vm_object_allocate(vm, size)
    vm_object_hold(obj)
    return obj


# -- into objects ---------------------------------------------------------------------------------


def test_a_page_inserted_is_its_object_s_at_that_index(alone):
    def program(vm):
        obj, m = held_object(vm), busied(vm)
        done = p.vm_page_insert(m, obj, 5)
        return done, m.object is obj, m.pindex, obj.rb_memq == {5: m}, obj.resident_page_count

    assert (True, True, 5, True, 1) == alone(program)


def test_an_insertion_at_a_taken_index_fails_and_leaves_the_page_in_no_object(alone):
    def program(vm):
        obj, there, m = held_object(vm), busied(vm), busied(vm)
        p.vm_page_insert(there, obj, 5)
        done = p.vm_page_insert(m, obj, 5)
        return done, m.object, m.pindex, obj.rb_memq == {5: there}, obj.resident_page_count

    assert (False, None, 0, True, 1) == alone(program)


def test_an_insertion_that_fails_leaves_the_page_busied_and_its_spinlock_free(alone):
    def program(vm):
        obj, there, m = held_object(vm), busied(vm), busied(vm)
        p.vm_page_insert(there, obj, 5)
        p.vm_page_insert(m, obj, 5)
        return m.busy_count.peek(), m.spin.holders

    assert (PBUSY_LOCKED, []) == alone(program)


@pytest.mark.parametrize("hold", [None, vm_object_hold_shared], ids=["not at all", "shared"])
def test_an_insertion_into_an_object_not_held_exclusively_panics(panic, hold):
    def program(vm):
        obj, m = vm_object_allocate(vm, 8), busied(vm)
        if hold:
            hold(obj)
        p.vm_page_insert(m, obj, 5)

    assert "obj: its token is not held exclusively" == panic(program)


def test_an_insertion_of_a_page_that_is_in_an_object_panics(panic):
    def program(vm):
        obj, m = held_object(vm), busied(vm)
        p.vm_page_insert(m, obj, 5)
        p.vm_page_insert(m, obj, 6)

    assert "vm_page_insert: already inserted" == panic(program)


@DEPTHS
def test_of_two_insertions_at_one_index_one_succeeds(together, locks):
    def program(vm):
        obj, done = vm_object_allocate(vm, 8), vm.machine.atomic(0)

        def worker():
            m = busied(vm)
            vm_object_hold(obj)
            inserted = p.vm_page_insert(m, obj, 3)
            vm_object_drop(obj)
            done.fetchadd(inserted)
            if inserted:
                vm_page_wakeup(m)
            else:
                vm_page_free(m)

        vm.machine.spawn(worker)
        vm.machine.spawn(worker)
        vm.machine.join()
        vm.machine.check(done.load() == 1, "one of them is there")

    together(program, locks=locks)


# -- out of objects -------------------------------------------------------------------------------


def test_a_page_removed_is_in_no_object_and_the_object_is_a_generation_older(alone, page_on):
    def program(vm):
        obj = vm_object_allocate(vm, 8)
        m = page_on(vm, "active", obj, 5)
        vm_page_busy_try(m, False)
        before = obj.generation
        p.vm_page_remove(m)
        return m.object, obj.rb_memq, obj.resident_page_count, obj.generation - before

    assert (None, {}, 0, 1) == alone(program)


def test_a_removal_holds_the_object_and_takes_the_page_s_spinlock_inside(steps, page_on):
    def prepare(vm):
        m = page_on(vm, "none")
        vm_page_busy_try(m, False)
        return [m]

    rows = steps(prepare, p.vm_page_remove)
    assert [
        "fetchadd obj[0].hold_count",
        "acquire obj[0].token",
        "acquire pg[7].spin",
        "release pg[7].spin",
        "fetchadd obj[0].hold_count",
        "release obj[0].token",
    ] == [row for row in rows if not row.startswith("load")]


def test_a_removal_leaves_the_page_busied_and_on_its_queue(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        vm_page_busy_try(m, False)
        p.vm_page_remove(m)
        return m.busy_count.peek(), on(m)

    assert (PBUSY_LOCKED, "active") == alone(program)


def test_a_removal_of_a_page_in_no_object_is_nothing(steps):
    assert [] == steps(lambda vm: [busied(vm)], p.vm_page_remove)


def test_a_removal_of_a_page_that_its_object_does_not_have_panics(panic, page_on):
    def program(vm):
        m = page_on(vm, "none")
        vm_page_busy_try(m, False)
        m.object.rb_memq.clear()
        p.vm_page_remove(m)

    assert "obj: RB_REMOVE of a page that is not in its tree" == panic(program)


def test_a_removal_of_a_page_that_is_not_busy_panics(panic, page_on):
    assert "vm_page_remove: page not busy" == panic(lambda vm: p.vm_page_remove(page_on(vm, "none")))


# -- renaming -------------------------------------------------------------------------------------


def renamed(vm, page_on, kind, source_held=vm_object_hold, target_held=vm_object_hold):
    """A busied page of one object, that object, and another: ready to be renamed."""
    source, target = vm_object_allocate(vm, 8), vm_object_allocate(vm, 8)
    m = page_on(vm, kind, source, 2)
    vm_page_busy_try(m, False)
    for obj, hold in ((source, source_held), (target, target_held)):
        if hold:
            hold(obj)
    return m, source, target


def test_a_page_renamed_is_the_other_object_s_and_dirty(alone, page_on):
    def program(vm):
        m, source, target = renamed(vm, page_on, "active")
        p.vm_page_rename(m, target, 6)
        assert target is m.object
        return source.rb_memq, target.rb_memq == {6: m}, m.pindex, m.dirty, m.busy_count.peek()

    assert ({}, True, 6, VM_PAGE_BITS_ALL, PBUSY_LOCKED) == alone(program)


@pytest.mark.parametrize(
    ("kind", "left"),
    [("cache", "inactive"), ("active", "active"), ("inactive", "inactive"), ("none", "none")],
)
def test_a_cached_page_renamed_becomes_inactive_and_others_stay_where_they_are(alone, page_on, kind, left):
    def program(vm):
        m, _, target = renamed(vm, page_on, kind)
        p.vm_page_rename(m, target, 6)
        return on(m), m.dirty

    assert (left, VM_PAGE_BITS_ALL) == alone(program)


@pytest.mark.parametrize("hold", [None, vm_object_hold_shared], ids=["not at all", "shared"])
@pytest.mark.parametrize("which", ["source_held", "target_held"])
def test_a_renaming_without_both_tokens_exclusively_panics(panic, page_on, which, hold):
    def program(vm):
        m, _, target = renamed(vm, page_on, "active", **{which: hold})
        p.vm_page_rename(m, target, 6)

    assert "obj: its token is not held exclusively" == panic(program)


def test_a_renaming_of_a_page_that_is_not_busy_panics(panic, page_on):
    def program(vm):
        m, _, target = renamed(vm, page_on, "active")
        vm_page_wakeup(m)
        p.vm_page_rename(m, target, 6)

    assert "vm_page_rename: page not busy" == panic(program)


def test_a_renaming_to_a_taken_index_panics(panic, page_on):
    def program(vm):
        m, _, target = renamed(vm, page_on, "active")
        page_on(vm, "active", target, 6)
        p.vm_page_rename(m, target, 6)

    assert "vm_page_rename: target exists" == panic(program)


# -- active and inactive --------------------------------------------------------------------------

MOVES = {
    "active": p.vm_page_activate,
    "inactive": p.vm_page_deactivate,
}


@pytest.mark.parametrize("kind", ["none", "inactive", "active", "cache"])
@pytest.mark.parametrize("target", MOVES)
def test_a_page_is_moved_to_the_queue_of_its_colour_from_wherever_it_is(alone, page_on, kind, target):
    def program(vm):
        m = page_on(vm, kind)
        MOVES[target](m)
        pq = vm.page.vm_page_queues[m.queue]
        return on(m), m.queue - pq.base == m.pc, [*pq.pages()] == [m]

    assert (target, True, True) == alone(program, l2_size=4)


@NO_QUEUE
@pytest.mark.parametrize("move", [*MOVES.values(), p.vm_page_dontneed])
def test_a_page_that_must_be_on_no_queue_is_not_moved_to_one(alone, move, flag):
    def program(vm):
        m = busied(vm)
        m.flags.setbits(flag)
        move(m)
        return on(m), m.spin.holders

    assert ("none", []) == alone(program)


@pytest.mark.parametrize("kind", ["inactive", "active"])
@pytest.mark.parametrize(("before", "after"), [(0, ACT_INIT), (ACT_INIT - 1, ACT_INIT), (9, 9)])
def test_activation_gives_a_page_at_least_act_init_credits(alone, page_on, kind, before, after):
    def program(vm):
        m = page_on(vm, kind)
        m.act_count = before
        p.vm_page_activate(m)
        return m.act_count

    assert after == alone(program)


@pytest.mark.parametrize(
    "move", [*MOVES.values(), p.vm_page_dontneed, p.vm_page_unqueue, p.vm_page_unqueue_nowakeup]
)
@pytest.mark.parametrize("kind", ["inactive", "active", "cache"])
def test_a_page_is_moved_under_its_spinlock_and_each_queue_s_inside(steps, page_on, kind, move):
    rows = steps(lambda vm: [page_on(vm, kind)], move)
    locks = [row for row in rows if row.endswith(".spin")]
    page, queues = [row for row in locks if "pg" in row], [row for row in locks if "pq" in row]
    if queues:
        first, last = "acquire pg[7].spin", "release pg[7].spin"
        assert [first, last, first, last] == [*page, locks[0], locks[-1]]
        assert f"acquire pq.{kind}[0].spin" == queues[0]
    taken = [row.split()[1] for row in locks if row.startswith("acquire")]
    given = [row.split()[1] for row in locks if row.startswith("release")]
    assert sorted(taken) == sorted(given)


@pytest.mark.parametrize("kind", ["cache", "inactive"])
def test_activation_of_a_page_that_could_be_had_tells_the_pagedaemon(steps, page_on, kind):
    def prepare(vm):
        m = page_on(vm, kind)
        vm.meter.limits.v_paging_start = 99
        return [m]

    assert (kind == "cache") is ("wakeup vm_pages_needed" in steps(prepare, p.vm_page_activate))


def test_deactivation_of_an_inactive_page_leaves_it_in_its_place(alone, page_on):
    def program(vm):
        pages = [page_on(vm, "inactive", None, n) for n in range(3)]
        p.vm_page_deactivate(pages[0])
        return [*vm.page.vm_page_queues[vm.page.PQ_INACTIVE].pages()] == pages

    assert True is alone(program)


@pytest.mark.parametrize(("credit", "left"), [(3, 2), (1, 0), (0, 0)])
def test_an_inactive_page_not_needed_only_ages(alone, page_on, credit, left):
    def program(vm):
        m = page_on(vm, "inactive")
        m.act_count = credit
        m.flags.setbits(PG_REFERENCED)
        p.vm_page_dontneed(m)
        return on(m), m.act_count, m.flags.peek()

    assert ("inactive", left, PG_REFERENCED) == alone(program)


def test_activation_of_an_active_page_takes_no_lock(steps, page_on):
    rows = steps(lambda vm: [page_on(vm, "active")], p.vm_page_activate)
    assert [] == [row for row in rows if row.startswith("acquire")]


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_page_that_comes_from_the_cache_is_counted_as_reactivated(alone, page_on, move):
    def program(vm):
        before = vm.mycpu().v_reactivated
        move(page_on(vm, "cache"))
        return vm.mycpu().v_reactivated - before

    assert 1 == alone(program)


@DEPTHS
@pytest.mark.parametrize("how", ["unqueued", "active"])
def test_activation_looks_again_under_the_spinlock(alone, page_on, locks, how):
    def program(vm):
        m = page_on(vm, "none")
        m.spin.acquire()
        vm.machine.spawn(p.vm_page_activate, m)
        vm.machine.yield_()  # it has looked, and waits for the spinlock
        if how == "unqueued":
            m.flags.setbits(PG_UNQUEUED)
        else:
            m.queue = vm.page.PQ_ACTIVE + m.pc
        m.spin.release()
        vm.machine.join()
        return on(m), vm.page.vm_page_queues[vm.page.PQ_ACTIVE].adds, m.act_count, m.spin.holders

    assert ("active" if how == "active" else "none", 0, ACT_INIT, []) == alone(program, locks=locks)


def test_deactivation_looks_at_the_flags_again_once_the_page_is_off_its_queue(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        spin = vm.page.vm_page_queues[m.queue].spin
        spin.acquire()
        vm.machine.spawn(p.vm_page_deactivate, m)
        vm.machine.yield_()  # it has looked, and waits for the queue's spinlock
        m.flags.setbits(PG_UNQUEUED)
        spin.release()
        vm.machine.join()
        return on(m), m.spin.holders

    assert ("none", []) == alone(program)


def test_deactivation_clears_winatcfls(alone, page_on):
    def program(vm):
        m = page_on(vm, "active")
        m.flags.setbits(PG_WINATCFLS | PG_RAM)
        p.vm_page_deactivate(m)
        return m.flags.peek()

    assert PG_RAM == alone(program)


def test_deactivated_pages_queue_up_in_order(alone, page_on):
    def program(vm):
        pages = [page_on(vm, "active", None, n) for n in range(3)]
        for m in pages:
            p.vm_page_deactivate(m)
        return [*vm.page.vm_page_queues[vm.page.PQ_INACTIVE].pages()] == pages

    assert True is alone(program)


@pytest.mark.parametrize("athead", [False, True])
def test_a_page_not_needed_becomes_inactive_unused_and_at_the_head_if_asked_for(alone, page_on, athead):
    def program(vm):
        page_on(vm, "inactive")
        m = page_on(vm, "active", None, 1)
        m.flags.setbits(PG_REFERENCED | PG_RAM)
        p.vm_page_dontneed(m, athead=athead)
        return on(m), m.flags.peek(), [*vm.page.vm_page_queues[m.queue].pages()].index(m)

    assert ("inactive", PG_RAM, 0 if athead else 1) == alone(program)


@pytest.mark.parametrize("act", [p.vm_page_unqueue, p.vm_page_unqueue_nowakeup])
def test_a_page_may_be_taken_off_its_queue(alone, page_on, act):
    def program(vm):
        m = page_on(vm, "active")
        act(m)
        return on(m), m.spin.holders, vm.meter.count("v_active_count")

    assert ("none", [], 0) == alone(program)


@pytest.mark.parametrize("kind", ["free", "cache"])
@pytest.mark.parametrize(
    ("act", "told"), [(p.vm_page_unqueue, True), (p.vm_page_unqueue_nowakeup, False)], ids=["", "nowakeup"]
)
def test_taking_a_page_that_could_be_had_off_its_queue_tells_the_pagedaemon(steps, page_on, kind, act, told):
    def prepare(vm):
        m = page_on(vm, kind)
        vm.meter.limits.v_paging_start = 99
        return [m]

    assert told is ("wakeup vm_pages_needed" in steps(prepare, act))


@pytest.mark.parametrize("kind", ["active", "inactive"])
def test_taking_a_page_in_use_off_its_queue_tells_nobody(steps, page_on, kind):
    def prepare(vm):
        m = page_on(vm, kind)
        vm.meter.limits.v_paging_start = 99
        return [m]

    assert "wakeup vm_pages_needed" not in steps(prepare, p.vm_page_unqueue)


# -- valid and dirty ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "size", "bits"),
    [
        (0, 0, 0x00),
        (0, 512, 0x01),
        (0, 513, 0x03),
        (511, 1, 0x01),
        (511, 2, 0x03),
        (512, 512, 0x02),
        (1024, 1024, 0x0C),
        (3584, 512, 0x80),
        (0, 4096, 0xFF),
    ],
)
def test_a_range_s_bits_are_those_of_the_pieces_it_touches(base, size, bits):
    assert bits == p.vm_page_bits(base, size)


@pytest.mark.parametrize(
    ("act", "piece", "valid", "dirty"),
    [
        ("vm_page_set_valid", (512, 512), 0x0F, 0x05),
        ("vm_page_set_valid", (2048, 1024), 0x3F, 0x05),
        ("vm_page_set_valid", (), 0xFF, 0x05),
        ("vm_page_set_validclean", (0, 512), 0x0F, 0x04),
        ("vm_page_set_validclean", (2048, 512), 0x1F, 0x05),
        ("vm_page_set_validdirty", (2048, 512), 0x1F, 0x15),
        ("vm_page_clear_dirty", (0, 512), 0x0F, 0x04),
        ("vm_page_set_invalid", (0, 1024), 0x0C, 0x04),
        ("vm_page_zero_invalid", (), 0xFF, 0x05),
    ],
)
def test_valid_and_dirty_bits_change_in_the_range_and_nowhere_else(alone, act, piece, valid, dirty):
    def program(vm):
        m = busied(vm)
        m.valid, m.dirty = 0x0F, 0x05
        getattr(p, act)(m, *piece)
        return m.valid, m.dirty

    assert (valid, dirty) == alone(program)


@pytest.mark.parametrize(
    ("valid", "base", "size", "expected"),
    [
        (0x0F, 0, 2048, True),
        (0x0F, 0, 2049, False),
        (0x0F, 2048, 512, False),
        (0x0F, 1024, 0, True),  # nothing of it is missing
        (0x00, 0, 0, False),  # a page without content is valid nowhere
        (0xFF, 0, 4096, True),
    ],
)
def test_a_page_is_valid_in_a_range_if_all_of_its_pieces_are(alone, valid, base, size, expected):
    def program(vm):
        m = busied(vm)
        m.valid = valid
        return p.vm_page_is_valid(m, base, size)

    assert expected is alone(program)
