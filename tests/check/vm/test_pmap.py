"""Rules of page tables, their locks and their counts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import vmsmp
from tables import MEMORY, Space, at
from vmsmp.check.vm.pmap import (
    broken_active,
    broken_hold,
    broken_placemark,
    freed_in_use,
    interlocked_pages,
    owned_placemarks,
    wrong_counts,
)
from vmsmp.vm.pmap import (
    PLACEMARK,
    PM_NOPLACEMARK,
    PV_HOLD,
    PV_HOLD_LOCKED,
    PV_LOCK,
    pmap_pte,
    pv_get,
)


def told(program):
    """What `program(vm)` returns on a machine with memory."""
    found = []
    failure = vmsmp.explore(
        lambda m: found.append(program(m.boot(**MEMORY))), sched="dfs:0", schedules=1, check=False
    ).failure
    assert None is failure, failure.report()
    return found[0]


def fails(program):
    """The message with which all checkers stop `program(vm)`."""
    result = vmsmp.explore(lambda m: program(m.boot(**MEMORY)), sched="dfs:0", schedules=1)
    return result.failure and result.failure.message


def text(broken):
    return broken and broken.text


@pytest.mark.parametrize(
    ("mark", "owners", "right"),
    [(PM_NOPLACEMARK, 0, True), (5, 1, True), (5, 0, False), (PM_NOPLACEMARK, 1, False), (5, 2, False)],
)
def test_a_placemark_says_whether_it_is_owned(mark, owners, right):
    books = SimpleNamespace(counts=lambda _: {PLACEMARK: owners})
    assert right is (broken_placemark(SimpleNamespace(mark=SimpleNamespace(value=mark)), books) is None)


@pytest.mark.parametrize(
    ("hold", "holds", "locks", "right"),
    [
        (0, 0, 0, True),
        (PV_HOLD_LOCKED | 2, 2, 1, True),
        (2, 2, 1, False),
        (PV_HOLD_LOCKED | 2, 2, 0, False),
        (3, 2, 0, False),
    ],
)
def test_a_pv_entry_says_what_the_books_say(hold, holds, locks, right):
    books = SimpleNamespace(counts=lambda _: {PV_HOLD: holds, PV_LOCK: locks})
    assert right is (broken_hold(SimpleNamespace(pv_hold=SimpleNamespace(value=hold)), books) is None)


@pytest.mark.parametrize(("hold", "pmap", "right"), [(0, None, True), (1, None, False), (0, "a pmap", False)])
def test_memory_of_a_pv_entry_is_given_back_when_nobody_uses_it(hold, pmap, right):
    pv = SimpleNamespace(pv_hold=SimpleNamespace(value=hold), raw_pv_pmap=pmap)
    assert right is (freed_in_use(pv, None) is None)


def test_the_kernel_s_pmap_is_in_use_for_ever():
    def program(vm):
        kernel = vm.pmap.kernel_pmap
        before = broken_active(kernel, None)
        kernel.pm_active.value = 1
        return before, text(broken_active(kernel, None)), broken_active(Space(vm).pmap, None)

    assert (None, "the kernel's pm_active has changed", None) == told(program)


def test_what_is_left_over_is_told():
    def program(vm):
        space = Space(vm)
        _, pmark = pv_get(space.pmap, 5, mark=True)
        space.pages[0].interlock_count.fetchadd(0x100)
        found = [thing for thing, _ in (*owned_placemarks(vm), *interlocked_pages(vm))]
        return found == [pmark, space.pages[0]]

    assert told(program)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda space: None, None),
        (lambda space: space.pmap.resident_count.fetchadd(1), "it counts 6 resident, and there are 5"),
        (lambda space: space.pmap.wired_count.fetchadd(1), "it counts 1 wired, and there are 0"),
        (
            lambda space: space.pmap.raw_pm_pvroot.peekitem(0)[1].raw_pv_m.wire_count.fetchadd(1),
            "the page of pt[0] is wired 3 times, not 2",
        ),
        (
            lambda space: setattr(space.pmap.raw_pm_pvroot.peekitem(3)[1], "raw_pv_m", None),
            "pml4[0] has no page",
        ),
    ],
)
def test_counts_are_those_of_the_entries(spoil, word):
    def program(vm):
        space = Space(vm)
        space.enter()
        spoil(space)
        found = wrong_counts(vm)
        return found and found[1].text

    assert word == told(program)


def test_a_page_cannot_be_mapped_by_hand_behind_a_checker_s_back():
    def program(vm):
        space = Space(vm)
        space.enter()
        pmap_pte(space.pmap, at(0)).swap(0)

    assert fails(program).startswith("INV-R1: pmap")
