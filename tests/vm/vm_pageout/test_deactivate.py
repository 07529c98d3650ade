"""The limit of resident pages: which mappings go, what becomes of their pages, and where a scan goes on."""

from __future__ import annotations

import pytest

from faults import mapped, new_process, page_of, store
from maps import at
from vmsmp.vm.pmap import PmapPgscanInfo, pmap_resident_tlnw_count, pmap_ts_referenced
from vmsmp.vm.vm_map import VM_MAX_USER_ADDRESS
from vmsmp.vm.vm_page import (
    PG_REFERENCED,
    PG_UNQUEUED,
    vm_page_busy_try,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_hold,
)
from vmsmp.vm.vm_pageout import vm_pageout_map_deactivate_pages, vm_pageout_mdp_callback

#: The tables of a process whose memory is in one of them.
TABLES = 4


def used(vm, pages=3):
    """The map of a process with so many pages, of which none was used since."""
    map = new_process(vm, pages)
    for page in range(pages):
        store(map, page, page + 1)
        unused(page_of(map, page))
    return map


def unused(m):
    """Forget that the page was used."""
    vm_page_flag_clear(m, PG_REFERENCED)
    pmap_ts_referenced(m)


def look_at(map, m, limit=TABLES):
    """What the callback answers for a page, which it gets busied, and the counts of its scan."""
    assert not vm_page_busy_try(m, True)
    info = PmapPgscanInfo(map.pmap, 0, VM_MAX_USER_ADDRESS, vm_pageout_mdp_callback, limit)
    answer = vm_pageout_mdp_callback(info, at(0), m)
    return answer, info.actioncount, info.cleancount


def queue(m):
    return m.vm.page.queue_type(m.peek("queue"))


@pytest.mark.parametrize(("limit", "left"), [(TABLES, 0), (TABLES + 2, 2), (TABLES + 3, 3), (100, 3)])
def test_mappings_go_until_the_limit_is_kept(alone, limit, left):
    def program(vm):
        vm.pageout.memuse_mode = 1
        map = used(vm)
        vm_pageout_map_deactivate_pages(map, limit)
        return len(mapped(map)), pmap_resident_tlnw_count(map.pmap)

    assert (left, TABLES + left) == alone(program, pages=16)


def test_a_scan_goes_on_where_the_last_one_has_stopped(alone):
    def program(vm):
        vm.pageout.memuse_mode = 1
        map = used(vm)
        vm_pageout_map_deactivate_pages(map, TABLES + 2)
        offset = map.pgout_offset
        return mapped(map), offset == at(0)

    assert ([1, 2], True) == alone(program, pages=16)


def test_a_page_that_was_used_stays_and_is_active(alone):
    def program(vm):
        map = used(vm, 1)
        m = page_of(map, 0)
        vm_page_flag_set(m, PG_REFERENCED)
        told = look_at(map, m)
        return told, mapped(map), queue(m), bool(m.flags.peek() & PG_REFERENCED), m.busy_count.peek()

    assert ((0, 1, 0), [0], "active", False, 0) == alone(program, pages=16)


@pytest.mark.parametrize(
    ("keep", "acted"),
    [
        (vm_page_hold, 0),
        (lambda m: m.wire_count.fetchadd(1), 0),
        (lambda m: vm_page_flag_set(m, PG_UNQUEUED), 0),
        (lambda _m: None, 1),
    ],
    ids=["held", "wired", "unqueued", "nobody"],
)
def test_a_page_that_somebody_keeps_is_left_alone(alone, keep, acted):
    def program(vm):
        vm.pageout.memuse_mode = 1
        map = used(vm, 1)
        m = page_of(map, 0)
        keep(m)
        told = look_at(map, m)
        return told, len(mapped(map)), m.busy_count.peek()

    assert ((0, acted, acted), 1 - acted, 0) == alone(program, pages=16)


@pytest.mark.parametrize(("mode", "where"), [(1, "inactive"), (2, "cache")])
def test_a_page_that_nobody_else_maps_is_deactivated_and_written_if_that_is_asked_for(alone, mode, where):
    def program(vm):
        vm.pageout.memuse_mode = mode
        map = used(vm, 1)
        m = page_of(map, 0)
        return look_at(map, m), queue(m)

    assert ((0, 1, 1), where) == alone(program, pages=16)


def test_a_scan_stops_at_the_limit_and_lets_the_page_go(alone):
    def program(vm):
        map = used(vm, 1)
        m = page_of(map, 0)
        return look_at(map, m, TABLES + 1), len(mapped(map)), m.busy_count.peek()

    assert ((-1, 0, 0), 1, 0) == alone(program, pages=16)
