"""Writing pages to swap and reading them back."""

from __future__ import annotations

import pytest

from page_layer import limit, made, on
from vmsmp.scenarios._kit import busied_page
from vmsmp.vm import vm_pager as p
from vmsmp.vm.vm_object import (
    OBJPC_TRY_TO_CACHE,
    vm_object_drop,
    vm_object_hold,
    vm_object_page_remove,
    vm_object_pip_add,
)
from vmsmp.vm.vm_page import (
    PG_SWAPPED,
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_dirty,
    vm_page_io_start,
    vm_page_wakeup,
)


def written(vm, obj, flags=0):
    """A dirty page of the object, put to swap; and what the pager said."""
    page = busied_page(vm, obj, 0)
    vm_page_dirty(page)
    vm_page_io_start(page)
    vm_page_wakeup(page)
    vm_object_pip_add(obj, 1)
    return page, p.swap_pager_putpages(obj, [page], flags)


def end(page):
    return page.peek("dirty"), bool(page.peek("flags") & PG_SWAPPED), page.peek("busy_count")


def test_a_page_that_is_written_is_clean_and_has_swap(alone):
    def program(vm):
        obj = made(vm)
        page, said = written(vm, obj)
        return said, end(page), obj.peek("paging_in_progress"), sorted(obj.peek("swblock_root"))

    assert ([p.VM_PAGER_PEND], (0, True, 0), 0, [0]) == alone(program)


def test_a_page_that_cannot_be_written_is_dirty_active_and_without_swap(alone):
    def program(vm):
        vm.pager.device.failing = True
        obj = made(vm)
        page, said = written(vm, obj)
        return said, end(page), on(page), obj.peek("paging_in_progress"), obj.peek("swblock_root")

    assert ([p.VM_PAGER_PEND], (0xFF, False, 0), "active", 0, {}) == alone(program)


def test_without_swap_nothing_is_begun(alone):
    def program(vm):
        obj = made(vm)
        page, said = written(vm, obj)
        return said, page.peek("busy_count"), obj.peek("paging_in_progress")

    assert ([p.VM_PAGER_FAIL], 1, 1) == alone(program, swap_pages=0)


@pytest.mark.parametrize(
    ("flags", "short", "queue"), [(OBJPC_TRY_TO_CACHE, 0, "cache"), (0, 100, "inactive")]
)
def test_a_written_page_is_cached_if_asked_for_and_inactive_if_pages_are_short(alone, flags, short, queue):
    def program(vm):
        limit(vm, v_free_severe=short)
        page, _ = written(vm, made(vm), flags)
        return on(page)

    assert queue == alone(program)


@pytest.mark.parametrize(
    ("user_async", "pager", "waits"), [(0, False, True), (1, False, False), (0, True, False)]
)
def test_only_the_pagedaemon_leaves_a_write_to_the_device_unless_all_may(alone, user_async, pager, waits):
    def program(vm):
        vm.sysctl["vm.swap_user_async"] = user_async
        if pager:
            vm.pageout.pagethread = vm.engine.current
        vm.pager.device.attached = True  # by nobody
        page, _ = written(vm, made(vm))
        return not page.peek("busy_count")

    assert waits is alone(program)


@pytest.mark.parametrize(
    ("failing", "said", "valid"), [(False, p.VM_PAGER_OK, 0xFF), (True, p.VM_PAGER_ERROR, 0)]
)
def test_a_page_is_read_back_or_left_invalid_and_stays_busied(alone, failing, said, valid):
    def program(vm):
        obj = made(vm)
        written(vm, obj)
        vm_object_page_remove(obj, 0, 0, True)
        vm.pager.device.failing = failing
        vm_object_hold(obj)
        page = vm_page_alloc(vm, obj, 0, VM_ALLOC_NORMAL)
        result = p.swap_pager_getpage(obj, page)
        state = page.peek("valid"), page.busy_count.state(), obj.peek("paging_in_progress")
        vm_page_wakeup(page)
        vm_object_drop(obj)
        return result, state

    assert (said, (valid, "LOCKED|0", 0)) == alone(program)


def test_a_page_that_was_never_written_is_not_read(alone):
    def program(vm):
        obj = made(vm)
        vm_object_hold(obj)
        return p.swap_pager_getpage(obj, vm_page_alloc(vm, obj, 0, VM_ALLOC_NORMAL))

    assert p.VM_PAGER_FAIL == alone(program)


def test_pages_of_another_object_are_refused(panic):
    def program(vm):
        page = busied_page(vm, made(vm), 0)
        p.swap_pager_putpages(made(vm), [page], 0)

    assert "swap_pager_putpages: object mismatch" == panic(program)


def test_the_reader_is_woken_by_the_device(together):
    def program(vm):
        obj = made(vm)
        written(vm, obj)
        vm_object_page_remove(obj, 0, 0, True)

        def reader():
            vm_object_hold(obj)
            page = vm_page_alloc(vm, obj, 0, VM_ALLOC_NORMAL)
            vm.machine.check(p.swap_pager_getpage(obj, page) == p.VM_PAGER_OK, "it was read")
            vm_page_wakeup(page)
            vm_object_drop(obj)
            p.device_detach(vm)

        p.device_attach(vm)
        vm.machine.spawn(reader)
        vm.machine.join()

    together(program)
