"""Findings of the kernel's own in the page layer: the model does what vm_page.c does, step for step."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_pages, set_limits, take_kernel_pages, take_pages
from vmsmp.vm.vm_meter import vmstats_rollup
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    vm_page_alloc,
    vm_page_cache,
    vm_page_free,
    vm_page_freezwq,
    vm_page_zero_invalid,
    vm_wait,
)


@scenario(
    cpus=2,
    tags={"page", "wait", "finding"},
    fixed=True,
    schedule="v1:vm_wait_misses_a_free:0:",
)
def vm_wait_misses_a_free(m):
    """A process sleeps for memory that is there, and nobody will wake it before its time is up.

    Memory is short by this CPU's view of the counts; another CPU has given pages back since, saw that
    nobody waited, and woke nobody.  `vm_wait` tests its own view, which only a rollup renews, and then
    sleeps with no interlock between test and sleep.  The timeout of a second is the only way out.
    Repair `vm-wait-interlocks`: the sleep is announced and the wait counted first, then the counts are
    rolled up and tested again.
    """
    vm = m.boot(pages=4, l2_size=1)
    set_limits(vm, v_free_min=2)
    hoard = take_kernel_pages(vm, 3)
    vmstats_rollup(vm)

    def giver():
        for page in hoard:
            vm_page_freezwq(page)

    def waiter():
        for _ in range(5):
            vm_wait(vm, 100)

    m.spawn(giver, name="giver")
    m.spawn(waiter, name="waiter")
    m.join()


@scenario(
    cpus=2,
    tags={"page", "object", "finding"},
    fixed=True,
    schedule="v1:hold_try_frees_a_held_object:0:1.4>2,2.17>1",
)
def hold_try_frees_a_held_object(m):
    """A failed `vm_object_hold_try` frees an object that another CPU holds, pages and all.

    An allocator wants a cached page and tries its object's token, which a user has.  The user drops
    the object; the allocator's hold is the last then, so it goes on to ask whether the object is dead
    and unreferenced, without the token.  Before it asks, the user holds the object again, drops the last
    reference and marks the object dead: the answer is yes, and the object is freed under the terminator,
    who has just begun to take its pages out.  The terminator's own drop frees it once more.
    Repair `hold-try-frees-once`: who finds the object dead also sees whether it is held again, and one
    of two who find it dead frees it.
    """
    vm = m.boot(pages=3, l2_size=1)
    obj = vm_object_allocate(vm, 4)
    vm_object_hold(obj)
    page = vm_page_alloc(vm, obj, 0, VM_ALLOC_NORMAL)
    vm_page_zero_invalid(page)
    vm_page_cache(page)
    vm_object_drop(obj)
    filler = take_pages(vm, 2, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM)

    def user():
        vm_object_hold(obj)
        vm_object_drop(obj)
        vm_object_deallocate(obj)

    def allocator():
        page = vm_page_alloc(vm, None, 9, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM)
        if page is not None:
            vm_page_free(page)

    m.spawn(user, name="user")
    m.spawn(allocator, name="allocator")
    m.join()
    give_pages(filler)
