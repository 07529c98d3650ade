"""How objects and busies end: the last reference, termination among users, and several kinds of waiters."""

from vmsmp import scenario
from vmsmp.scenarios._kit import idle_pages
from vmsmp.vm.vm_object import (
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import (
    PBUSY_MASK,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_free,
    vm_page_lookup_busy_wait,
    vm_page_lookup_sbusy_try,
    vm_page_remove,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_sleep_busy,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
)


@scenario(cpus=4, tags={"page", "object"})
def last_references_go(m):
    """CPUs with a reference each take more and drop them all: only the last drop terminates the object."""
    vm = m.boot(pages=4, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    idle_pages(vm, obj, [0])
    for _ in range(1, m.ncpus):
        vm_object_reference_quick(obj)

    def user():
        if m.choose(2):
            vm_object_reference_quick(obj)
            vm_object_deallocate(obj)
        vm_object_hold_shared(obj)
        page = vm_page_lookup_sbusy_try(obj, 0)
        if page is not None:
            m.check(page.object is obj, "an object that is referenced keeps its pages")
            vm_page_sbusy_drop(page)
        vm_object_drop(obj)
        vm_object_deallocate(obj)

    for _ in range(m.ncpus):
        m.spawn(user)
    m.join()
    m.check(obj.freed, "a dead object that nobody holds is freed")


@scenario(cpus=3, tags={"page", "object", "wire", "busy"})
def terminate_among_users(m):
    """An object is terminated while one page of it is wired and others are busied, read or freed."""
    vm = m.boot(pages=6, l2_size=1, scan_yield=1)
    obj = vm_object_allocate(vm, 4)
    wired, *others = idle_pages(vm, obj, range(3))
    vm_page_busy_wait(wired, True)
    vm_page_wire(wired)
    vm_page_wakeup(wired)

    def terminator():
        vm_object_deallocate(obj)

    def owner():
        """Access a page as the pagedaemon does: by its busy, without a hold on its object."""
        page = others[m.choose(2)]
        if vm_page_busy_try(page, True):
            return
        if page.object is obj and m.choose(2):
            vm_page_free(page)
        else:
            vm_page_wakeup(page)

    def reader():
        page = others[m.choose(2)]
        if vm_page_sbusy_try(page):
            return
        if page.object is obj:
            m.check(page.valid == 0xFF, "a page that is read stays what it is")
        vm_page_sbusy_drop(page)

    for n in range(m.ncpus):
        m.spawn((terminator, owner, reader)[n] if n < 3 else (owner, reader)[n % 2])
    m.join()
    m.check(obj.freed, "a dead object that nobody holds is freed")
    m.check(wired.object is None and wired.peek("wire_count") == 1, "a wired page outlives its object")
    vm_page_busy_wait(wired, True)
    vm_page_unwire(wired, False)
    vm_page_free(wired)


@scenario(cpus=3, tags={"page", "object", "wait"})
def scan_loses_its_next(m):
    """A termination waits for a busy page, and meanwhile the pages around that one are removed and freed."""
    vm = m.boot(pages=6, l2_size=1)
    obj = vm_object_allocate(vm, 4)
    idle_pages(vm, obj, range(4))
    busied = m.atomic(0, name="busied")

    def terminator():
        while busied.load() < m.ncpus - 1:
            m.pause()
        vm_object_deallocate(obj)

    def remover(first):
        vm_object_hold(obj)
        pages = [vm_page_lookup_busy_wait(obj, n, True) for n in range(first, 4, m.ncpus - 1)]
        vm_object_drop(obj)
        busied.fetchadd(1)
        if m.choose(2):
            pages.reverse()
        for page in pages:
            if m.choose(2):
                vm_page_remove(page)
            vm_page_free(page)

    m.spawn(terminator)
    for n in range(m.ncpus - 1):
        m.spawn(remover, n)
    m.join()
    m.check(obj.freed, "a dead object that nobody holds is freed")


@scenario(cpus=4, tags={"page", "busy"})
def hard_over_soft(m):
    """A page is soft- and hard-busied at once, by different CPUs, while others wait for either to end."""
    vm = m.boot(pages=4, l2_size=1)
    (page,) = idle_pages(vm, vm_object_allocate(vm, 1), [0])

    def reader():
        if not vm_page_sbusy_try(page):
            m.yield_()
            vm_page_sbusy_drop(page)

    def owner():
        """Does not mind readers."""
        vm_page_busy_wait(page, False)
        m.yield_()
        vm_page_wakeup(page)

    def alone():
        vm_page_busy_wait(page, True)
        m.check(not page.peek("busy_count") & PBUSY_MASK, "who waited for the readers, too, is without them")
        vm_page_wakeup(page)

    def onlooker():
        vm_page_sleep_busy(page, bool(m.choose(2)))
        if not vm_page_busy_try(page, True):
            vm_page_wakeup(page)

    for n in range(m.ncpus):
        m.spawn((reader, owner, alone, onlooker)[n % 4])
    m.join()
