"""Aging of active pages while the pagedaemon is idle."""

from __future__ import annotations

import pytest

from vmsmp.scenarios._kit import active_page, busied
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import (
    ACT_ADVANCE,
    ACT_INIT,
    PG_REFERENCED,
    vm_page_flag_set,
    vm_page_hold,
    vm_page_unhold,
    vm_page_wire,
)
from vmsmp.vm.vm_pageout import PageStats, vm_pageout_page_stats


def looked_at(vm, prepare=None, act_count=None):
    """Look at an active page; return its activity and its queue."""
    page = active_page(vm, vm_object_allocate(vm, 1), 0)
    if act_count is not None:
        page.publish("act_count", act_count)
    if prepare is not None:
        busied(page, prepare)
    vm_pageout_page_stats(vm, PageStats(), 0)
    return page.peek("act_count"), vm.page.queue_type(page.peek("queue"))


@pytest.mark.parametrize(
    ("prepare", "act_count", "answer"),
    [
        (None, None, (ACT_INIT - 1, "active")),
        (None, 0, (0, "inactive")),
        (vm_page_wire, None, (ACT_INIT, "none")),
        (lambda page: vm_page_flag_set(page, PG_REFERENCED), None, (ACT_INIT + ACT_ADVANCE + 1, "active")),
        (lambda page: vm_page_flag_set(page, PG_REFERENCED), 63, (64, "active")),
    ],
)
def test_a_page_that_was_not_used_loses_its_place_in_the_end(alone, prepare, act_count, answer):
    assert answer == alone(lambda vm: looked_at(vm, prepare, act_count))


def test_a_page_that_is_held_is_left_alone(alone):
    def program(vm):
        page = active_page(vm, vm_object_allocate(vm, 1), 0)
        vm_page_hold(page)
        vm_pageout_page_stats(vm, PageStats(), 0)
        vm_page_unhold(page)
        return page.peek("act_count")

    assert ACT_INIT == alone(program)


@pytest.mark.parametrize(("calls", "aged"), [(1, [1, 0, 0]), (3, [1, 1, 1]), (4, [2, 2, 2])])
def test_a_part_of_a_queue_is_looked_at_and_all_of_it_at_every_fourth_call(alone, calls, aged):
    def program(vm):
        obj = vm_object_allocate(vm, 3)
        pages = [active_page(vm, obj, pindex) for pindex in range(3)]
        stats = PageStats()
        for _ in range(calls):
            vm_pageout_page_stats(vm, stats, 0)
        return [ACT_INIT - page.peek("act_count") for page in pages]

    assert aged == alone(program)
