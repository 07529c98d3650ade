"""The checker of invalidations: what it calls wrong, and what it leaves alone."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.mmu.entry import PG_A, PG_M, PG_RW, make_entry
from vmsmp.scenarios.pmap_inval import _tables as kit
from vmsmp.vm.observer import Invalidated, TablesChanged
from vmsmp.vm.pmap_inval import VA_ALL, InvalMode, pmap_inval_smp
from vmsmp.vm.vm_page import vm_page_freezwq

VA = kit.PAGES[0]


def judged(act, pages=24):
    """The failure of `act(m, vm, space)` on one CPU, which has cached a page of `space` for stores."""

    def program(m):
        vm = kit.boot(m, pages)
        space = kit.new_space(vm, "P", 2)
        kit.run_in(m, space)
        kit.touch(m.curcpu.store, VA, "mine")
        act(m, vm, space)

    return vmsmp.explore(program, sched="dfs:0", schedules=1).failure


def say(vm, *events):
    """Tell the checkers so."""
    for event in events:
        for hook in vm.hooks.event:
            hook(vm.machine.curcpu, event)


def change(vm, space, pte, *, va=VA, npgs=1, returned=True):
    """The entry changes, and nobody flushes; the invalidation is said to have returned or not."""
    kit.user_entry(space, 0).store(pte)
    pmap = space.vm_pmap
    say(vm, TablesChanged(pmap, va, npgs, 0), *[Invalidated(pmap)] * returned)


def load(m):
    return kit.touch(m.curcpu.load, VA)


def store(m):
    return kit.touch(m.curcpu.store, VA, "more")


@pytest.mark.parametrize(
    ("take", "loads", "stores"),
    [
        (lambda _: 0, True, True),
        (lambda pte: pte & ~PG_RW, False, True),
        (lambda pte: pte & ~(PG_A | PG_M), False, False),
        (lambda _: make_entry(9), True, True),
    ],
    ids=["gone", "read-only", "clean", "elsewhere"],
)
@pytest.mark.parametrize("use", [load, store])
def test_nothing_is_used_that_a_change_has_taken_away(take, loads, stores, use):
    def act(m, vm, space):
        change(vm, space, take(kit.user_entry(space, 0).peek()))
        use(m)

    failure, wrong = judged(act), loads if use is load else stores
    assert wrong == (failure is not None)
    if wrong:
        assert ("check", "INV-T1") == (failure.kind, failure.message[:6])
        assert "changed the tables at step" in failure.facts[1]


def test_an_invalidation_that_has_not_returned_takes_nothing_away_yet():
    assert None is judged(lambda m, vm, space: (change(vm, space, 0, returned=False), load(m)))


@pytest.mark.parametrize(("va", "npgs", "wrong"), [(VA_ALL, 1, True), (0, 8, False), (VA - 4096, 2, True)])
def test_a_change_is_of_its_pages(va, npgs, wrong):
    failure = judged(lambda m, vm, space: (change(vm, space, 0, va=va, npgs=npgs), load(m)))
    assert wrong == (failure is not None)


def test_a_page_that_the_tables_give_again_may_be_used():
    def act(m, vm, space):
        pte = kit.user_entry(space, 0).peek()
        change(vm, space, 0)
        kit.user_entry(space, 0).store(pte)
        load(m)

    assert None is judged(act)


def test_an_entry_that_was_filled_after_the_change_is_no_stale_one():
    def act(m, vm, space):
        pte = kit.user_entry(space, 0).peek()
        change(vm, space, 0)
        m.curcpu.mmu.invltlb()
        kit.user_entry(space, 0).store(pte)
        load(m)
        kit.user_entry(space, 0).store(0)
        load(m)

    assert None is judged(act)


def test_a_change_during_a_walk_takes_away_what_the_walk_has_read():
    def program(m):
        vm = kit.boot(m)
        space = kit.new_space(vm, "P", 1)
        pte = kit.user_entry(space, 0)

        def user():
            kit.run_in(m, space)
            load(m)
            load(m)

        def owner():
            pte.store(0)
            say(vm, TablesChanged(space.vm_pmap, VA, 1, 0), Invalidated(space.vm_pmap))

        m.spawn(user)
        m.spawn(owner)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=200, stop="never")
    assert {"check: INV-T1: a translation is used after its invalidation has returned"} == set(result.counts)


def test_a_kernel_page_is_taken_away_in_every_address_space():
    def act(m, vm, space):
        kit.map_kernel(vm, 0)
        kernel = vm.pmap.kernel_pmap
        top = kit.index_of(kit.KERNEL_PAGES[0], 4)
        vm.memory.word(space.vm_pmap.root, top).value = vm.memory.peek_entry(kernel.root, top)
        kit.kernel_load(m, 0)
        kit.kernel_entry(vm, 0).store(0)
        say(vm, TablesChanged(kernel, kit.KERNEL_PAGES[0], 1, 0), Invalidated(kernel))
        kit.kernel_load(m, 0)

    assert "INV-T1" == judged(act).message[:6]


@pytest.mark.parametrize(("freed", "again"), [(True, False), (True, True), (False, False)])
def test_a_page_that_is_free_or_somebody_else_s_is_not_used(freed, again):
    def act(m, vm, space):
        page = vm.page.vm_page_array[kit.user_entry(space, 0).peek() >> 12]
        if freed:
            vm_page_freezwq(page)
        if again:
            while kit.new_page(vm) is not page:
                pass
        load(m)

    failure = judged(act, pages=16)
    assert freed == (failure is not None)
    if freed:
        assert "use-after-free: INV-P2" == failure.signature[:22]
        assert ("was allocated anew" if again else "is on a free queue") in failure.facts[1]


def test_a_user_s_address_is_used_by_an_active_cpu_only():
    def act(m, vm, space):
        space.vm_pmap.pm_active.value &= ~1
        load(m)

    assert "INV-T4" == judged(act).message[:6]


def test_an_entry_changes_while_all_others_are_in_the_handler():
    def act(m, vm, space):
        m.spawn(m.yield_)
        say(vm, TablesChanged(space.vm_pmap, VA, 1, 0b11))

    assert "INV-T3" == judged(act).message[:6]


def test_a_command_in_progress_is_one_of_a_critical_section():
    def act(m, vm, space):
        info = vm.inval.invinfo(0)
        info.mode = InvalMode.INVSTORE
        info.done.store(0)
        m.yield_()

    assert "accounting: INV-T6" == judged(act).signature[:18]


def test_a_command_that_somebody_has_not_finished_with_is_left_over():
    failure = judged(lambda m, vm, space: vm.inval.invinfo(0).done.setbits(2))
    assert "leak: INV-T6" == failure.signature[:12]


def test_an_invalidation_of_the_kernel_s_own_breaks_nothing():
    def act(m, vm, space):
        old = pmap_inval_smp(space.vm_pmap, VA, 1, kit.user_entry(space, 0), 0)
        kit.reuse(vm, old)
        load(m)

    assert None is judged(act)
