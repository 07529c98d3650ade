"""The oracle of user memory: what it calls wrong, and what it leaves alone."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.scenarios._kit import Space, at, idle_pages
from vmsmp.scenarios.pmap_inval import _tables as tables
from vmsmp.vm.observer import ContentsDropped, VmObserver, contents_dropped
from vmsmp.vm.pmap import (
    PG_MANAGED,
    pmap_copy_page,
    pmap_pte,
    pmap_pte_pindex,
    pmap_zero_page,
    pv_get,
    pv_placemarker_wakeup,
)
from vmsmp.vm.pmap_inval import pmap_inval_smp
from vmsmp.vm.vm_map import MAP_ENTRY_COW, MAP_ENTRY_NEEDS_COPY, VM_PROT_READ, VM_PROT_RW
from vmsmp.vm.vm_object import MADV_FREE, vm_object_allocate, vm_object_madvise, vm_object_page_remove
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    vm_page_alloczwq,
    vm_page_freezwq,
    vm_page_wakeup,
)

MEMORY = {"pages": 32, "l2_size": 1}


def judged(act, spaces=1):
    """The failure of `act(m, vm, page, *spaces)` on one CPU, which runs in the first of the spaces.

    All map the same page of one object.
    """

    def program(m):
        vm = m.boot(**MEMORY)
        obj = vm_object_allocate(vm, 1)
        (page,) = idle_pages(vm, obj, [0])
        made = [Space(vm, obj, 1) for n in range(spaces)]
        for space in made:
            space.fault(page, 0)
        made[0].load(vm)
        act(m, vm, page, *made)

    return vmsmp.explore(program, sched="dfs:0", schedules=1).failure


@pytest.fixture
def alone():
    """Run `program(vm)` once, and return what it returns."""

    def run(program):
        told = []
        failure = vmsmp.explore(
            lambda m: told.append(program(m.boot(pages=16, l2_size=1))), sched="dfs:0", schedules=1
        ).failure
        assert None is failure, failure.report()
        return told[0]

    return run


def kind(failure):
    return failure and failure.message.partition(":")[0]


def test_what_was_stored_comes_back():
    def act(m, vm, page, space):
        m.curcpu.store(at(0), "old")
        m.curcpu.store(at(0), "new")
        m.curcpu.store(at(0) + 512, "beside it")
        m.check(m.curcpu.load(at(0)) == "new", "the last one")

    assert None is judged(act)


def test_a_store_that_is_lost_is_noticed():
    def act(m, vm, page, space):
        m.curcpu.store(at(0), "mine")
        vm.memory.poke(page.phys, 0, 0)
        m.curcpu.load(at(0))

    failure = judged(act)
    assert "INV-UM1" == kind(failure)
    assert "stored 'mine' there at step" in failure.facts[1]


def test_other_address_spaces_that_share_the_page_see_what_was_stored():
    def act(m, vm, page, one, other):
        m.curcpu.store(at(0), "shared")
        other.load(vm)
        m.curcpu.load(at(0))
        m.curcpu.store(at(0), "again")
        one.load(vm)
        m.curcpu.load(at(0))

    assert None is judged(act, 2)


def test_an_address_space_that_sees_another_page_instead_is_noticed():
    def act(m, vm, page, one, other):
        m.curcpu.store(at(0), "shared")
        _name_instead(vm, other, vm_page_alloczwq(vm, 0, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM))
        other.load(vm)
        m.curcpu.load(at(0))

    assert "INV-UM1" == kind(judged(act, 2))


def _name_instead(vm, space, wrong):
    """Have the entry of a space's first page name a wrong page."""
    entry = vm.memory.word(*_leaf(space))
    entry.value = entry.value & 0xFFF | wrong.phys << 12


def _leaf(space):
    """Where the entry of a space's first page is."""
    name = pmap_pte(space.pmap, at(0)).name
    table, index = name.removeprefix("table[").removesuffix("]").split("][")
    return int(table), int(index)


@pytest.mark.parametrize("right", [True, False])
def test_a_copy_on_write_leaves_what_it_was_made_of(right):
    def act(m, vm, page, one, other):
        m.curcpu.store(at(0), "before")
        one.remove()
        one.fault(page, 0, VM_PROT_READ)  # what is behind a copy is written to by nobody
        other.remove()
        copy = other.shadow(vm)
        pmap_copy_page(vm, page.phys, copy.phys)
        other.fault(copy, 0)
        if not right:
            _name_instead(vm, other, page)
        other.load(vm)
        m.curcpu.load(at(0))
        m.curcpu.store(at(0), "the copy's")
        one.load(vm)
        m.curcpu.load(at(0))

    assert (None if right else "INV-UM1") == kind(judged(act, 2))


def copied_first(space):
    space.entry.raw_eflags |= MAP_ENTRY_NEEDS_COPY | MAP_ENTRY_COW


def closed(space):
    space.entry.raw_protection = VM_PROT_READ


def open_again(space):
    space.entry.raw_eflags &= ~(MAP_ENTRY_NEEDS_COPY | MAP_ENTRY_COW)
    space.entry.raw_protection = VM_PROT_RW


@pytest.mark.parametrize(("forbid", "rule"), [(copied_first, "INV-C1"), (closed, "INV-M7")])
@pytest.mark.parametrize("stores", [True, False])
def test_a_store_by_what_the_tlb_still_has_is_noticed_where_none_may_be(forbid, rule, stores):
    def act(m, vm, page, space):
        m.curcpu.store(at(0), "before")
        forbid(space)  # without the shootdown that has to come first
        if stores:
            m.curcpu.store(at(0), "after")
        m.curcpu.load(at(0))
        open_again(space)

    assert (rule if stores else None) == kind(judged(act))


def test_a_store_is_let_pass_while_somebody_changes_the_map():
    def act(m, vm, page, space):
        with space.vmspace.vm_map.lock:
            closed(space)
            m.curcpu.store(at(0), "at the last moment")
            open_again(space)

    assert None is judged(act)


def test_a_store_to_an_address_that_no_entry_has_for_the_moment_is_known():
    def act(m, vm, page, space):
        m.curcpu.store(at(0), "before")
        end = space.entry.ba.raw_end
        space.entry.ba.raw_end = at(0)  # as while an entry is cut
        m.curcpu.store(at(0), "after")
        space.entry.ba.raw_end = end
        m.curcpu.load(at(0))

    assert None is judged(act)


def test_a_page_is_not_judged_whose_contents_were_dropped():
    def act(m, vm, page, space):
        m.curcpu.store(at(0), "mine")
        vm_object_madvise(page.object, 0, 1, MADV_FREE)
        vm.memory.poke(page.phys, 0, 0)
        m.curcpu.load(at(0))

    assert None is judged(act)


@pytest.mark.parametrize("end", [1, 0, 2])
def test_a_page_is_not_judged_while_its_contents_are_dropped(end):
    def act(m, vm, page, space):
        m.curcpu.store(at(0), "mine")
        contents_dropped(page.object, 0, end, done=False)
        vm.memory.poke(page.phys, 0, 0)
        m.curcpu.load(at(0))
        m.curcpu.store(at(0), "meanwhile")
        vm.memory.poke(page.phys, 0, 0)
        contents_dropped(page.object, 0, end, done=True)
        m.curcpu.load(at(0))

    assert None is judged(act)


def test_pages_beside_those_that_are_dropped_are_judged():
    def act(m, vm, page, space):
        m.curcpu.store(at(0), "mine")
        contents_dropped(page.object, 1, 0, done=False)
        vm.memory.poke(page.phys, 0, 0)
        m.curcpu.load(at(0))

    assert "INV-UM1" == kind(judged(act))


def test_a_removal_of_pages_drops_their_contents(alone):
    """Those that are told are kept by an observer of its own."""

    class Told(VmObserver):
        def __init__(self):
            self.seen = []

        def event(self, cpu, event):
            if isinstance(event, ContentsDropped):
                self.seen.append(event[1:])

    def program(vm):
        told = Told()
        vm.hooks.event = (*vm.hooks.event, told.event)
        obj = vm_object_allocate(vm, 4)
        idle_pages(vm, obj, range(4))
        vm_object_page_remove(obj, 1, 3, False)
        vm_object_madvise(obj, 0, 1, MADV_FREE)
        return told.seen

    assert [(1, 3, False), (1, 3, True), (0, 1, False), (0, 1, True)] == alone(program)


@pytest.mark.parametrize("how", ["nothing", "zero", "store", "copy of one", "copy of a zero"])
def test_a_page_is_zeroed_before_its_next_owner_reads_it(how):
    def act(m, vm, page, space):
        flags = VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM
        used, other = vm_page_alloczwq(vm, 0, flags), vm_page_alloczwq(vm, 0, flags)
        vm.memory.store(used.phys, 0, "a secret")
        vm_page_freezwq(used)
        while vm_page_alloczwq(vm, 0, flags) is not used:
            pass
        if how == "zero":
            pmap_zero_page(vm, used.phys)
        elif how == "store":
            vm.memory.store(used.phys, 0, "new")
        elif how == "copy of a zero":
            pmap_copy_page(vm, other.phys, used.phys)
        elif how == "copy of one":
            pmap_copy_page(vm, used.phys, other.phys)
            used = other
        pte = vm.memory.word(*_leaf(space))
        _, pmark = pv_get(space.pmap, pmap_pte_pindex(at(0)), mark=True)
        pmap_inval_smp(space.pmap, at(0), 1, pte, pte.value & 0xFFF & ~PG_MANAGED | used.phys << 12)
        pv_placemarker_wakeup(pmark)
        m.curcpu.load(at(0))

    wrong = how in ("nothing", "copy of one")
    assert ("INV-UM2" if wrong else None) == kind(judged(act))


def test_an_address_that_no_map_knows_is_not_judged():
    def act(m, vm, page, space):
        other = tables.new_space(vm, "other", 1)
        tables.run_in(m, other)
        m.curcpu.store(tables.PAGES[0], "mine")
        vm.memory.poke(tables.user_entry(other, 0).peek() >> 12, 0, 0)
        m.curcpu.load(tables.PAGES[0])

    assert None is judged(act)


def test_a_page_that_may_only_be_read_is_judged_too():
    def act(m, vm, page, space):
        m.curcpu.store(at(0), "mine")
        space.fault(page, 0, VM_PROT_READ)
        vm.memory.poke(page.phys, 0, "another")
        m.curcpu.load(at(0))
        vm_page_wakeup(page)

    assert "INV-UM1" == kind(judged(act))
