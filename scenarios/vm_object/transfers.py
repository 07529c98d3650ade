"""Transfers that end later, on another CPU, while others free, remove, write to or wait for their pages."""

from functools import partial

from vmsmp import scenario
from vmsmp.scenarios._kit import Space, idle_pages, is_dirty, write_fault
from vmsmp.vm.vm_object import (
    OBJPC_CLUSTER_OK,
    OBJPC_TRY_TO_CACHE,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
    vm_object_page_remove,
    vm_object_pip_add,
    vm_object_pip_wakeup,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import (
    PBUSY_SWAPINPROG,
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_dirty,
    vm_page_lookup_busy_try,
    vm_page_lookup_busy_wait,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_try_to_free,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pageout import vm_pageout_flush
from vmsmp.vm.vm_pager import VM_PAGER_OK, device_attach, device_detach, vm_pager_get_page


def _with_device(m, vm, *programs):
    """Run the device on one CPU and these programs on the others, in turn; detach it when they have ended.

    If there is one CPU, it runs the first program, and transfers end at once.
    """
    users = max(1, m.ncpus - 1)
    left = m.atomic(users, name="users")

    def user(program):
        program()
        if left.fetchadd(-1) == 1:
            device_detach(vm)

    if m.ncpus > 1:
        device_attach(vm)
    for n in range(users):
        m.spawn(user, programs[n % len(programs)])
    m.join()


def _swap_object(vm, size):
    """Return an object of dirty anonymous memory, and its pages; writing them to swap does not wait."""
    vm.sysctl["vm.swap_user_async"] = 1
    obj = vm_object_allocate(vm, size)
    pages = idle_pages(vm, obj, range(size))
    for page in pages:
        vm_page_busy_wait(page, True)
        vm_page_dirty(page)
        vm_page_wakeup(page)
    return obj, pages


def _flush(obj, pages, flags=OBJPC_CLUSTER_OK):
    """Write out those dirty pages of the object that can be busied, each alone, as the pagedaemon does."""
    for page in pages:
        if vm_page_busy_try(page, True):
            continue
        if page.object is obj and page.peek("dirty"):
            vm_pageout_flush([page], flags)
        else:
            vm_page_wakeup(page)


def _swap_is_back(m, vm):
    m.check(vm.pager.vm_swap_size == vm.pager.vm_swap_max, "an object that is gone has no swap")


@scenario(cpus=4, tags={"object", "flush", "io", "reference"})
def flush_against_termination(m):
    """An object is terminated while pages of it are being written out: it waits until the device is done."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj, pages = _swap_object(vm, 2)

    def terminator():
        vm_object_deallocate(obj)

    def writer():
        _flush(obj, pages)

    _with_device(m, vm, *(terminator if n == 0 else writer for n in range(m.ncpus)))
    m.check(obj.freed, "its memory is free")
    _swap_is_back(m, vm)


@scenario(cpus=3, tags={"object", "flush", "io", "pmap"})
def flush_against_stores(m):
    """A page is written out while a process stores to it: no store meanwhile is lost."""
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    obj, (page,) = _swap_object(vm, 1)
    space = Space(vm, obj, 1)
    write_fault(space, page)
    stored = m.cell(-1, name="stored", sloppy="it is asked for when all is over")

    def process(late):
        while late and not (page.busy_count.load() & PBUSY_SWAPINPROG or vm.pager.device.transfers):
            m.pause()  # until the page is being written
        for _ in m.rounds(2):
            transfers = vm.pager.device.transfers
            if space.store(0):
                stored.store(transfers)
            if m.choose(4) == 0:
                space.remove()

    def writer():
        _flush(obj, [page])

    _with_device(m, vm, writer, partial(process, True), partial(process, False))
    if not is_dirty(page):
        m.check(stored.peek() < vm.pager.device.transfers, "a clean page was written after the last store")
    space.end()
    vm_object_deallocate(obj)
    _swap_is_back(m, vm)


@scenario(cpus=4, tags={"object", "flush", "io", "free"})
def flush_against_those_who_free(m):
    """Pages are written out while others would free or remove them: they wait, or leave them."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj, pages = _swap_object(vm, 2)

    def writer():
        _flush(obj, pages, OBJPC_CLUSTER_OK | OBJPC_TRY_TO_CACHE)

    def remover():
        vm_object_page_remove(obj, 0, 1, False)

    def freer():
        for page in pages:
            vm_page_try_to_free(page)

    _with_device(m, vm, remover, writer, freer)
    m.check(pages[0].object is not obj, "a page that was removed is gone")
    vm_object_deallocate(obj)
    _swap_is_back(m, vm)


@scenario(cpus=4, tags={"object", "flush", "io", "busy"})
def flush_among_readers(m):
    """Pages that are written out are read and busied by others, which may wait for the device."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj, pages = _swap_object(vm, 2)

    def writer():
        _flush(obj, pages)

    def reader():
        for page in pages:
            if not vm_page_sbusy_try(page):
                m.yield_()
                vm_page_sbusy_drop(page)

    def owner():
        vm_object_hold_shared(obj)
        page = vm_page_lookup_busy_wait(obj, m.choose(2), bool(m.choose(2)))
        vm_object_drop(obj)
        m.yield_()
        vm_page_wakeup(page)

    _with_device(m, vm, writer, reader, owner)
    m.check(not obj.peek("paging_in_progress"), "nothing is in progress any more")
    vm_object_deallocate(obj)
    _swap_is_back(m, vm)


@scenario(cpus=3, tags={"object", "flush", "io"})
def device_that_fails(m):
    """The device fails: pages stay as dirty as they were, without swap."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj, pages = _swap_object(vm, 2)
    vm.pager.device.failing = True

    def writer():
        _flush(obj, pages)

    _with_device(m, vm, writer)
    m.check(all(page.peek("dirty") for page in pages), "a page that could not be written is dirty")
    m.check(not obj.peek("swblock_count"), "and has no swap")
    vm_object_deallocate(obj)
    _swap_is_back(m, vm)


@scenario(cpus=3, tags={"object", "io", "reference", "busy"}, pages=None)
def read_in_against_termination(m):
    """A page is read from swap while other references are dropped, up to the reader's, the last one."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj, pages = _swap_object(vm, 1)
    vm.sysctl["vm.swap_user_async"] = 0
    _flush(obj, pages)
    vm_object_page_remove(obj, 0, 0, True)
    for _ in range(m.ncpus - 2):
        vm_object_reference_quick(obj)

    def reader():
        vm_object_hold(obj)
        page, busy = vm_page_lookup_busy_try(obj, 0, True)
        if page is None and not busy:
            page = vm_page_alloc(vm, obj, 0, VM_ALLOC_NORMAL)
            vm_object_pip_add(obj, 1)
            m.check(vm_pager_get_page(obj, page) == VM_PAGER_OK, "what was written can be read")
            m.check(page.valid == 0xFF and not page.peek("dirty"), "a page that was read is valid and clean")
            vm_page_wakeup(page)
            vm_object_pip_wakeup(obj)
        elif page is not None and not busy:
            vm_page_wakeup(page)
        vm_object_drop(obj)
        vm_object_deallocate(obj)

    def other():
        vm_object_deallocate(obj)

    _with_device(m, vm, *(reader if n == 0 else other for n in range(m.ncpus)))
    m.check(obj.freed, "its memory is free")
    _swap_is_back(m, vm)
