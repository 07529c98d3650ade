"""Histories: the results of page operations, checked against sequential specifications.

Each operation is recorded from its call to its return.  At the end there must be an order of the
operations, consistent with real time, in which the specification gives the same results.
"""

from vmsmp import scenario
from vmsmp.check.linearize import History
from vmsmp.check.specs import Allocator, PageQueue, Residency
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_page import (
    PG_MAPPEDMULTI,
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_busy_wait,
    vm_page_free,
    vm_page_hash_enter,
    vm_page_hash_get,
    vm_page_insert,
    vm_page_lookup,
    vm_page_remove,
    vm_page_sbusy_drop,
    vm_page_select_free,
    vm_page_wakeup,
)


@scenario(cpus=3, tags={"page", "queue", "history"}, pages=None)
def free_queue_history(m):
    """The free queue of one colour is a stack: pages are freed to its head and taken from there."""
    vm = m.boot(pages=3, l2_size=1)
    history = History(m)
    for page in list(vm.page.vm_page_queues[vm.page.PQ_FREE].pages()):
        with history.operation("insert_tail", "free", page.name):
            pass  # the page is there from the start

    def user():
        for _ in m.rounds(3):
            with history.operation("take_first", "free") as op:
                page = vm_page_select_free(vm, 0)
                op.result = page and page.name
            if page is not None:
                with history.operation("insert_head", "free", page.name):
                    vm_page_free(page)

    for _ in range(m.ncpus):
        m.spawn(user)
    m.join()
    history.judge(PageQueue())


@scenario(cpus=3, tags={"page", "alloc", "history"})
def allocation_history(m):
    """An allocated page has one owner until it is freed; an allocation may fail although pages are free."""
    vm = m.boot(pages=5, l2_size=2)
    history = History(m)

    def user(me):
        for n in m.rounds(2):
            pages = []
            for k in range(2):
                with history.operation("alloc") as op:
                    page = vm_page_alloc(vm, None, me + n + k, VM_ALLOC_NORMAL)
                    op.result = page and page.name
                pages += [page] if page is not None else []
            for page in pages:
                with history.operation("free", page.name):
                    vm_page_free(page)

    for n in range(m.ncpus):
        m.spawn(user, n)
    m.join()
    history.judge(Allocator([page.name for page in vm.page.vm_page_array], may_fail=True))


@scenario(cpus=3, tags={"page", "lookup", "hash", "history"})
def residency_history(m):
    """A page is inserted and removed; lookups find it if it is there, the page hash may also miss it."""
    vm = m.boot(pages=4, l2_size=1, hash_size=1, hash_set=1)
    obj = vm_object_allocate(vm, 4)
    history = History(m)
    place = ("obj", 0)

    def owner():
        page = vm_page_select_free(vm, 0)
        if page is None:
            return
        page.flags.setbits(PG_MAPPEDMULTI)
        for _ in m.rounds(3):
            vm_object_hold(obj)
            with history.operation("insert", *place, page.name) as op:
                op.result = vm_page_insert(page, obj, 0)
            vm_page_hash_enter(page)
            vm_page_wakeup(page)
            vm_object_drop(obj)
            vm_page_busy_wait(page, True)
            with history.operation("remove", *place):
                vm_page_remove(page)
        vm_page_free(page)

    def reader():
        for _ in m.rounds(3):
            vm_object_hold_shared(obj)
            with history.operation("lookup", *place) as op:
                found = vm_page_lookup(obj, 0)
                op.result = found and found.name
            vm_object_drop(obj)

    def guesser():
        for _ in m.rounds(12):
            with history.operation("lookup_hint", *place) as op:
                found = vm_page_hash_get(vm, obj, 0)
                op.result = found and found.name
            if found is not None:
                vm_page_sbusy_drop(found)

    m.spawn(owner)
    for n in range(1, m.ncpus):
        m.spawn(reader if n % 2 == 0 else guesser)
    m.join()
    history.judge(Residency())
