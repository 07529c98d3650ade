"""Findings in the kernel's page layer: the model does what vm_page.c does, step for step."""

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
    """A process sleeps for memory that is available, and only its timeout wakes it.

    Memory is short by this CPU's view of the counts; another CPU has freed pages since, saw no waiters,
    and woke no one.  `vm_wait` tests its own view, which only a rollup refreshes, and then sleeps without
    an interlock between test and sleep.  Only the timeout of one second ends the sleep.
    Repair `vm-wait-interlocks`: interlock the sleep and count the waiter first, then roll the counts up
    and test again.
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
    schedule="v1:hold_try_frees_a_held_object:0:1.4>2,2.37>1",
)
def hold_try_frees_a_held_object(m):
    """A failed `vm_object_hold_try` frees an object that another CPU holds, pages and all.

    An allocator wants a cached page and tries its object's token, which a user holds.  The user drops
    the object; the allocator's hold is now the last, so it tests whether the object is dead and
    unreferenced, without the token.  Before the test, the user holds the object again, drops the last
    reference and marks the object dead: the test succeeds, and the object is freed under the terminator,
    which has just begun to remove its pages.  The terminator's own drop frees it a second time.
    Repair `hold-try-frees-once`: a CPU that finds the object dead also checks whether it is held again,
    and only one of two CPUs that find it dead frees it.
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
