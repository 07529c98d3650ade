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
    PG_RAM,
    PG_SWAPPED,
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_busy_try,
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


# -- reading ahead ----------------------------------------------------------------------------------


def in_swap(vm, blocks, burst):
    """An object, held, of which nothing is in memory, and whose pages have these blocks of swap, or none."""
    vm.pager.swap_burst_read = burst
    obj = made(vm)
    obj.raw_size = len(blocks)
    vm_object_hold(obj)
    for pindex, blk in enumerate(blocks):
        if blk is not None:
            p.swp_pager_meta_build(obj, pindex, blk)
            vm.pager.contents[blk] = {0: f"block {blk}"}
    p.swp_pager_meta_convert(obj)
    return obj


def read(vm, obj, pindex):
    """Read a page in as a fault does; what the pager said."""
    page = vm_page_alloc(vm, obj, pindex, VM_ALLOC_NORMAL)
    said = p.swap_pager_getpage(obj, page)
    vm_page_wakeup(page)
    return said


def there(vm, obj):
    """What is in memory: of each page what it holds, whether reading ended there, and its queue."""
    pages = obj.peek("rb_memq")
    return {
        n: (vm.memory.load(page.phys, 0), bool(page.peek("flags") & PG_RAM), on(page))
        for n, page in sorted(pages.items())
        if page.peek("valid")
    }


@pytest.mark.parametrize(
    ("blocks", "burst", "first", "had"),
    [
        ([4, 5, 6, 7], 0, 0, [0]),
        ([4, 5, 6, 7], 2, 0, [0, 1, 2]),
        ([4, 5, 6, 7], 9, 1, [1, 2, 3]),
        ([4, 5, 9, 10], 9, 0, [0, 1]),
        ([4, None, 6, 7], 9, 0, [0]),
        ([62, 63, 64, 65], 9, 0, [0, 1]),
    ],
    ids=["alone", "burst", "end of object", "another place", "hole", "stripe"],
)
def test_pages_that_are_next_to_each_other_are_read_together(alone, blocks, burst, first, had):
    def program(vm):
        obj = in_swap(vm, blocks, burst)
        said = read(vm, obj, first)
        busy = {page.peek("busy_count") for page in obj.peek("rb_memq").values()}
        return said, busy, obj.peek("paging_in_progress"), there(vm, obj)

    expected = {
        n: (f"block {blocks[n]}", n == had[-1] and len(had) > 1, "none" if n == first else "inactive")
        for n in had
    }
    assert (p.VM_PAGER_OK, {0}, 0, expected) == alone(program, swap_pages=80)


@pytest.mark.parametrize("state", ["valid", "busy"])
def test_reading_ahead_ends_before_what_is_there(alone, state):
    def program(vm):
        obj = in_swap(vm, [4, 5, 6, 7], 9)
        other = busied_page(vm, obj, 2)
        if state == "valid":
            vm_page_wakeup(other)
        said = read(vm, obj, 0)
        read_in = [n for n, (value, *_) in there(vm, obj).items() if value]
        return said, read_in, other.busy_count.state()

    expected = "LOCKED|0" if state == "busy" else "0"
    assert (p.VM_PAGER_OK, [0, 1], expected) == alone(program, swap_pages=80)


def test_where_reading_has_ended_it_goes_on_and_nobody_waits(alone):
    def program(vm):
        obj = in_swap(vm, [4, 5, 6, 7, 8], 1)
        read(vm, obj, 0)
        page = obj.peek("rb_memq")[1]
        vm_page_busy_try(page, True)
        said = p.swap_pager_getpage(obj, page)
        vm_page_wakeup(page)
        return said, there(vm, obj)

    said, pages = alone(program, swap_pages=80)
    assert (p.VM_PAGER_OK, [0, 1, 2, 3]) == (said, sorted(pages))
    assert [1, 3] == [n for n, (_, ends, _) in pages.items() if ends]


@pytest.mark.parametrize(
    ("blocks", "burst"), [([4, 5], 0), ([4, None], 1), ([4], 1)], ids=["not asked for", "no swap", "last"]
)
def test_behind_a_page_that_is_there_nothing_is_read_unless_it_may_be(alone, blocks, burst):
    def program(vm):
        obj = in_swap(vm, blocks, burst)
        page = busied_page(vm, obj, 0)
        return p.swap_pager_getpage(obj, page), sorted(obj.peek("rb_memq"))

    assert (p.VM_PAGER_OK, [0]) == alone(program, swap_pages=80)


def test_pages_that_cannot_be_read_ahead_are_let_go(alone):
    def program(vm):
        obj = in_swap(vm, [4, 5, 6], 9)
        vm.pager.device.failing = True
        said = read(vm, obj, 0)
        pages = obj.peek("rb_memq")
        return said, [(n, pages[n].peek("valid"), pages[n].peek("busy_count")) for n in sorted(pages)]

    assert (p.VM_PAGER_ERROR, [(0, 0, 0), (1, 0, 0), (2, 0, 0)]) == alone(program, swap_pages=80)


def test_a_bad_block_cannot_be_written_and_is_the_next_one_again(alone):
    def program(vm):
        vm.pager.device.bad_blocks.add(0)
        page, _ = written(vm, made(vm))
        return page.peek("dirty"), vm.pager.vm_swap_size, p.swp_pager_getswapspace(vm)

    assert (0xFF, 4, 0) == alone(program, swap_pages=4)


@pytest.mark.parametrize(
    ("free", "count", "failed"),
    [
        ([0, 2, 4, 6, 8], 5, [0, 1, 2, 3, 4]),  # no two of them are adjacent
        ([0, 1, 4, 6, 8], 5, [2, 3, 4]),  # two pages have the first two; for three there is one try
        ([0, 1, 2, 3, 4], 5, []),
        ([0, 1, 2, 3], 5, [2, 3, 4]),
        ([0, 2], 1, []),
    ],
)
def test_pages_are_given_adjacent_blocks_or_are_left(alone, free, count, failed):
    def program(vm):
        obj = made(vm)
        taken = [p.swp_pager_getswapspace(vm) for _ in range(10)]
        for blk in free:
            p.swp_pager_freeswapspace(vm, taken[blk])
        pages = [busied_page(vm, obj, n) for n in range(count)]
        for page in pages:
            vm_page_dirty(page)
            vm_page_io_start(page)
            vm_page_wakeup(page)
        vm_object_pip_add(obj, count)
        answers = p.swap_pager_putpages(obj, pages, 0)
        return [n for n, answer in enumerate(answers) if answer == p.VM_PAGER_FAIL]

    assert failed == alone(program, swap_pages=10, pages=16)
