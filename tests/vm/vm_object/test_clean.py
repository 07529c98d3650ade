"""Writing the dirty pages of a file's object out."""

from __future__ import annotations

import pytest

from page_layer import made, poke
from vmsmp.mmu.entry import PG_M, PG_RW
from vmsmp.scenarios._kit import Space, file_object, idle_pages, mappings, write_fault
from vmsmp.vm import vm_object as o
from vmsmp.vm.vm_object import clean
from vmsmp.vm.vm_page import (
    PG_CLEANCHK,
    PG_NEED_COMMIT,
    PG_NOSYNC,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_dirty,
    vm_page_flag_set,
    vm_page_wakeup,
)
from vmsmp.vm.vnode import VOBJDIRTY

BOTH = o.OBJ_WRITEABLE | o.OBJ_MIGHTBEDIRTY


def dirty(page):
    vm_page_busy_wait(page, True)
    vm_page_dirty(page)
    vm_page_wakeup(page)


def dirty_file(vm, pages):
    _vp, obj = file_object(vm, pages)
    made_dirty = idle_pages(vm, obj, range(pages))
    for page in made_dirty:
        dirty(page)
    return obj, made_dirty


def left(pages):
    """What is to be written yet."""
    return [n for n, page in enumerate(pages) if page.peek("dirty")]


@pytest.fixture
def flushed(monkeypatch):
    """The clusters that are written, by index."""
    clusters = []
    flush = clean.vm_pageout_flush

    def told(mc, flags):
        clusters.append(([page.pindex for page in mc], flags))
        return flush(mc, flags)

    monkeypatch.setattr(clean, "vm_pageout_flush", told)
    return clusters


def test_a_file_that_was_cleaned_has_nothing_to_write_and_says_so(alone):
    def program(vm):
        obj, pages = dirty_file(vm, 3)
        o.vm_object_page_clean(obj, 0, 0, o.OBJPC_SYNC)
        flags = obj.peek("flags"), obj.peek("handle").peek("v_flag") & VOBJDIRTY
        return (
            left(pages),
            flags,
            [page.peek("flags") & PG_CLEANCHK for page in pages],
            obj.peek("hold_count"),
        )

    assert ([], (0, 0), [0, 0, 0], 0) == alone(program)


def test_mappings_lose_the_right_to_write_and_tell_what_was_stored(alone):
    def program(vm):
        _vp, obj = file_object(vm, 1)
        (page,) = idle_pages(vm, obj, [0])
        space = Space(vm, obj, 1)
        write_fault(space, page)
        poke(page, dirty=0)
        space.store(0)
        before = vm.pager.device.transfers
        o.vm_object_page_clean(obj, 0, 0, o.OBJPC_SYNC)
        return mappings(page, PG_RW | PG_M), page.peek("dirty"), vm.pager.device.transfers - before

    assert (0, 0, 1) == alone(program)


@pytest.mark.parametrize(("objt", "flags"), [(o.OBJT_DEFAULT, BOTH), (o.OBJT_VNODE, o.OBJ_WRITEABLE)])
def test_memory_and_files_that_are_not_known_to_be_dirty_are_left_alone(alone, objt, flags):
    def program(vm):
        obj = o.vm_object_allocate(vm, 1, objt=objt)
        pages = idle_pages(vm, obj, [0])
        poke(pages[0], dirty=0xFF)
        obj.flags.value = flags
        o.vm_object_page_clean(obj, 0, 0, o.OBJPC_SYNC)
        return left(pages), obj.peek("flags")

    assert ([0], flags) == alone(program)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (0, o.OBJPC_CLUSTER_OK),
        (o.OBJPC_SYNC, o.OBJPC_SYNC),
        (o.OBJPC_INVAL, o.OBJPC_SYNC | o.OBJPC_INVAL),
        (o.OBJPC_NOSYNC, o.OBJPC_CLUSTER_OK),
    ],
)
def test_the_pager_is_told_whether_to_wait(alone, flushed, asked, given):
    def program(vm):
        obj, _pages = dirty_file(vm, 2)
        o.vm_object_page_clean(obj, 0, 0, asked)

    alone(program)
    assert [([0, 1], given)] == flushed


def test_pages_are_written_in_clusters_of_an_aligned_group(alone, flushed):
    def program(vm):
        _vp, obj = file_object(vm, 80)
        for page in idle_pages(vm, obj, [1, 2, 5, 62, 63, 64, 65]):
            dirty(page)
        o.vm_object_page_clean(obj, 0, 0, o.OBJPC_SYNC)

    alone(program, pages=16)
    assert [[1, 2], [5], [62, 63], [64, 65]] == [indexes for indexes, _ in flushed]


def test_a_page_that_is_not_to_be_synced_is_left_and_keeps_the_file_dirty(alone):
    def program(vm):
        obj, pages = dirty_file(vm, 130)
        vm_page_flag_set(pages[65], PG_NOSYNC)
        for n in (64, 66):
            poke(pages[n], dirty=0)
        o.vm_object_page_clean(obj, 0, 0, o.OBJPC_NOSYNC)
        return left(pages), obj.peek("flags") & BOTH

    assert ([65], BOTH) == alone(program, pages=140)


def test_a_commit_that_is_needed_is_a_reason_to_write(alone, flushed):
    def program(vm):
        obj, pages = dirty_file(vm, 1)
        poke(pages[0], dirty=0)
        vm_page_flag_set(pages[0], PG_NEED_COMMIT)
        o.vm_object_page_clean(obj, 0, 0, o.OBJPC_SYNC)

    alone(program)
    assert [[0]] == [indexes for indexes, _ in flushed]


def test_a_cached_page_is_passed_over_and_ends_a_cluster(alone, flushed):
    def program(vm):
        obj, pages = dirty_file(vm, 3)
        vm_page_busy_wait(pages[1], True)
        poke(pages[1], dirty=0)
        vm_page_cache(pages[1])
        o.vm_object_page_clean(obj, 0, 0, o.OBJPC_SYNC)

    alone(program)
    assert [[0], [2]] == [indexes for indexes, _ in flushed]


def test_pages_that_are_not_marked_are_written_if_marks_are_ignored(alone, flushed):
    def program(vm):
        obj, pages = dirty_file(vm, 3)
        o.vm_object_hold(obj)
        vm_page_busy_wait(pages[1], True)
        o.vm_object_page_collect_flush(obj, pages[1], o.OBJPC_SYNC | o.OBJPC_IGNORE_CLEANCHK)
        vm_page_busy_wait(pages[1], True)
        o.vm_object_page_collect_flush(obj, pages[1], o.OBJPC_SYNC)
        o.vm_object_drop(obj)

    alone(program)
    assert [[0, 1, 2], [1]] == [indexes for indexes, _ in flushed]


def test_a_busy_page_is_waited_for_and_the_file_stays_known_to_be_dirty(together):
    def program(vm):
        obj, pages = dirty_file(vm, 1)

        def owner():
            if not vm_page_busy_try(pages[0], True):
                vm.machine.yield_()
                vm_page_wakeup(pages[0])

        vm.machine.spawn(owner)
        vm.machine.spawn(o.vm_object_page_clean, obj, 0, 0, o.OBJPC_SYNC)
        vm.machine.join()
        vm.machine.check(not pages[0].peek("dirty"), "it was written")

    together(program)


def test_an_object_is_marked_while_it_is_cleaned(alone, monkeypatch):
    seen = []
    collect = clean.vm_object_page_collect_flush

    def told(obj, m, flags):
        seen.append(bool(obj.peek("flags") & o.OBJ_CLEANING))
        collect(obj, m, flags)

    monkeypatch.setattr(clean, "vm_object_page_collect_flush", told)

    def program(vm):
        obj, _pages = dirty_file(vm, 1)
        o.vm_object_page_clean(obj, 0, 0, o.OBJPC_SYNC)
        return obj.peek("flags") & o.OBJ_CLEANING

    assert 0 == alone(program)
    assert [True] == seen


def test_cleaning_the_pages_around_one_needs_the_token(panic):
    def program(vm):
        obj = made(vm)
        (page,) = idle_pages(vm, obj, [0])
        vm_page_busy_wait(page, True)
        o.vm_object_page_collect_flush(obj, page, 0)

    assert "obj: its token is not held" == panic(program)


def test_all_pages_are_written_of_an_object_that_has_become_empty(alone, flushed):
    def program(vm):
        obj, _pages = dirty_file(vm, 2)
        obj.publish("size", 0)
        o.vm_object_page_clean(obj, 0, 0, o.OBJPC_SYNC)
        return obj.flags.peek() & BOTH

    assert 0 == alone(program)
    assert [[0], [1]] == [indexes for indexes, _ in flushed]
