"""Writing pages out."""

from __future__ import annotations

import pytest

from mappings import entry, space_of
from page_layer import limit, on, poke
from vmsmp.scenarios._kit import busied_page, file_object, write_fault
from vmsmp.vm.vm_object import OBJPC_SYNC, OBJPC_TRY_TO_CACHE, OBJT_DEAD, OBJT_SWAP, vm_object_allocate
from vmsmp.vm.vm_page import vm_page_busy_wait, vm_page_dirty, vm_page_wakeup
from vmsmp.vm.vm_pageout import flush, vm_pageout_flush
from vmsmp.vm.vm_pager import VM_PAGER_BAD, VM_PAGER_ERROR, VM_PAGER_FAIL, VM_PAGER_OK


def dirty_page(vm, obj, pindex=0):
    page = busied_page(vm, obj, pindex)
    vm_page_dirty(page)
    return page


def end(page):
    """What is left of a page's busies and of its object's activity."""
    obj = page.peek("object")
    return page.peek("busy_count"), obj.peek("paging_in_progress") if obj is not None else 0


@pytest.mark.parametrize(
    ("flags", "queue"), [(OBJPC_SYNC, "none"), (OBJPC_SYNC | OBJPC_TRY_TO_CACHE, "cache")]
)
def test_a_page_of_a_file_is_clean_afterwards(alone, flags, queue):
    def program(vm):
        _vp, obj = file_object(vm, 1)
        page = dirty_page(vm, obj)
        done = vm_pageout_flush([page], flags)
        return done, page.peek("dirty"), end(page), on(page) if page.peek("queue") else "none"

    assert (1, 0, (0, 0), queue) == alone(program)


@pytest.mark.parametrize(("flags", "rights"), [(OBJPC_SYNC, "v"), (OBJPC_SYNC | OBJPC_TRY_TO_CACHE, "")])
def test_processes_may_read_a_page_that_is_written_unless_it_is_to_be_cached(alone, flags, rights):
    def program(vm):
        _vp, obj = file_object(vm, 1)
        page = dirty_page(vm, obj)
        vm_page_wakeup(page)
        write_fault(space_of(page), page)
        vm_page_busy_wait(page, True)
        vm_pageout_flush([page], flags)
        return entry(page)

    assert rights == alone(program)


@pytest.mark.parametrize(
    ("result", "done", "dirty"),
    [(VM_PAGER_OK, 1, 0xFF), (VM_PAGER_BAD, 0, 0), (VM_PAGER_FAIL, 0, 0xFF), (VM_PAGER_ERROR, 0, 0xFF)],
)
def test_what_the_pager_says_decides_what_is_dirty_and_counted(alone, monkeypatch, result, done, dirty):
    monkeypatch.setattr(flush, "vm_pager_put_pages", lambda _obj, pages, _flags: [result for _ in pages])

    def program(vm):
        page = dirty_page(vm, vm_object_allocate(vm, 1))
        return vm_pageout_flush([page], 0), page.peek("dirty"), end(page)

    assert (done, dirty, (0, 0)) == alone(program)


def test_a_pending_page_is_left_to_who_completes_the_transfer(alone):
    def program(vm):
        vm.sysctl["vm.swap_user_async"] = 1
        vm.pager.device.attached = True  # by nobody
        page = dirty_page(vm, vm_object_allocate(vm, 1))
        done = vm_pageout_flush([page], 0)
        return done, page.peek("dirty"), page.busy_count.state(), page.object.peek("paging_in_progress")

    assert (1, 0xFF, "SWAPINPROG|1", 1) == alone(program)


def test_anonymous_memory_is_swap_memory_from_then_on(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 2)
        pages = [dirty_page(vm, obj, n) for n in range(2)]
        done = vm_pageout_flush(pages, 0)
        return done, obj.peek("type"), obj.peek("swblock_count"), [end(page) for page in pages]

    assert (2, OBJT_SWAP, 2, [(0, 0), (0, 0)]) == alone(program)


def test_the_pages_of_a_dead_file_cannot_be_written_now(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 1, objt=OBJT_DEAD)
        page = dirty_page(vm, obj)
        return vm_pageout_flush([page], 0), page.peek("dirty"), end(page)

    assert (0, 0xFF, (0, 0)) == alone(program)


def test_where_pages_are_severely_short_a_page_becomes_inactive(alone):
    def program(vm):
        _vp, obj = file_object(vm, 1)
        page = dirty_page(vm, obj)
        limit(vm, v_free_severe=100)
        vm_pageout_flush([page], OBJPC_SYNC)
        return on(page)

    assert "inactive" == alone(program)


def test_a_page_that_is_not_all_valid_panics(panic):
    def program(vm):
        page = dirty_page(vm, vm_object_allocate(vm, 1))
        poke(page, valid=1)
        vm_pageout_flush([page], 0)

    assert "vm_pageout_flush: partially invalid page" == panic(program)
