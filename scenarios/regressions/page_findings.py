"""Findings in the kernel's page layer: the model does what vm_page.c does, step for step."""

from vmsmp import scenario
from vmsmp.scenarios._kit import (
    active_page,
    busied,
    busied_page,
    enter_hash,
    give_pages,
    idle_pages,
    queue_of,
    set_limits,
    take_kernel_pages,
    take_pages,
)
from vmsmp.vm.vm_meter import vmstats_rollup
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    ACT_INIT,
    ACT_MAX,
    PAGE_SIZE,
    PG_MAPPEDMULTI,
    PG_REFERENCED,
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    vm_numa_organize,
    vm_numa_organize_finalize,
    vm_page_alloc,
    vm_page_alloczwq,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_flag_set,
    vm_page_free,
    vm_page_freezwq,
    vm_page_grab,
    vm_page_hash_get,
    vm_page_hold,
    vm_page_lookup_busy_wait,
    vm_page_sbusy_drop,
    vm_page_unhold,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
    vm_page_zero_invalid,
    vm_wait,
)
from vmsmp.vm.vm_pageout import (
    PageStats,
    vm_pageout_page_stats,
    vm_pageout_scan_active,
    vm_pageout_scan_hold,
    vm_pageout_scan_inactive,
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
    schedule="v1:hold_try_frees_a_held_object:0:1.5>2,2.43>1",
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


@scenario(
    cpus=2,
    tags={"page", "object", "pageout", "finding"},
    fixed=True,
    schedule="v1:dirty_page_outlives_object:0:",
)
def dirty_page_outlives_object(m):
    """A dirty page that was wired while its object was terminated is never free again.

    The termination takes the wired page out of its object and leaves it to those who wired it.  Their
    last unwiring makes it inactive.  The pagedaemon cannot write it out, since it has no object; it does not
    cache or free it either, since it is dirty.  Each sweep moves it to the tail of its queue.
    Repair `pageout-frees-orphans`: free a dirty page that is in no object; its contents cannot be used.
    """
    vm = m.boot(pages=2, l2_size=1)
    set_limits(vm, v_paging_target2=100)
    obj = vm_object_allocate(vm, 1)
    page = busied_page(vm, obj, 0)
    vm_page_wire(page)
    vm_page_dirty(page)
    vm_page_wakeup(page)

    def user():
        vm_object_deallocate(obj)
        vm_page_busy_wait(page, False)
        vm_page_unwire(page, False)
        vm_page_wakeup(page)

    m.spawn(user, name="user")
    m.spawn(vm_pageout_scan_inactive, vm, 1, name="daemon")
    m.join()


@scenario(
    cpus=1,
    tags={"page", "object", "pageout", "finding"},
    fixed=True,
    schedule="v1:page_without_object_stops_the_kernel:0:",
)
def page_without_object_stops_the_kernel(m):
    """A page that was wired while its object was terminated is active afterwards, and the kernel panics.

    The termination takes the wired page out of its object.  The last unwiring makes it active if it is told
    so, or if the page is to be committed.  `vm_pageout_scan_active` asks the page's object how fast unused
    pages of its kind lose their activity, and only then whether there is an object.
    Repair `aging-asks-for-an-object`: a page in no object loses as much as one of a file.
    """
    vm = m.boot(pages=2, l2_size=1)
    obj = vm_object_allocate(vm, 1)
    page = busied_page(vm, obj, 0)
    vm_page_wire(page)
    vm_page_wakeup(page)

    def daemon():
        vm_object_deallocate(obj)
        busied(page, vm_page_unwire, True)
        m.check(vm_pageout_scan_active(vm) == 1, "a page that nobody needs is deactivated")

    m.spawn(daemon)
    m.join()


@scenario(
    cpus=2,
    tags={"page", "hash", "finding"},
    fixed=True,
    schedule="v1:guess_against_kernel_page:0:1.7>2,2.70>1,1.8>2",
)
def guess_against_kernel_page(m):
    """A lookup in the page hash meets a kernel page as it is freed, and the kernel panics.

    A lookup through the hash reads without a lock that the page is its object's, and is about to soft-busy
    it.  Meanwhile the page is freed and becomes a kernel page, which is not busied.  So the soft busy
    succeeds; the lookup will find another identity and drop it.  Before that, the kernel frees its
    page: `vm_page_freezwq` waits for a hard busy only, and `vm_page_free` panics at the soft one.
    `vm_page_free_contig` waits in the same way.
    Repair `free-waits-for-guesses`: both wait until the page is not soft-busied either.
    """
    vm = m.boot(pages=1, l2_size=1)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, [0], PG_MAPPEDMULTI)
    enter_hash(page)

    def reader():
        found = vm_page_hash_get(vm, obj, 0)
        if found is not None:
            vm_page_sbusy_drop(found)

    def kernel():
        vm_object_hold(obj)
        vm_page_free(vm_page_lookup_busy_wait(obj, 0, True))
        vm_object_drop(obj)
        mine = vm_page_alloczwq(vm, 0, VM_ALLOC_SYSTEM)
        if mine is not None:
            for _ in range(8):
                mine.flags.load()  # uses it for a while
            vm_page_freezwq(mine)

    m.spawn(reader, name="reader")
    m.spawn(kernel, name="kernel")
    m.join()


@scenario(
    cpus=2,
    tags={"page", "alloc", "busy", "finding"},
    fixed=True,
    schedule="v1:grab_of_a_busy_page:f4245:0.44>2",
)
def grab_of_a_busy_page(m):
    """A busy page is grabbed without VM_ALLOC_RETRY, and the kernel faults.

    Without VM_ALLOC_RETRY `vm_page_grab` should return no page once it has slept.  After the sleep for a busy
    page it leaves its loop without a page, and then tests whether that page is valid.
    Repair `grab-gives-up`: return no page, as after a sleep for memory.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, [0])

    def user():
        vm_page_busy_wait(page, True)
        m.yield_()
        vm_page_wakeup(page)

    m.spawn(_grab_and_let_go, obj, name="grabber")
    m.spawn(user, name="user")
    m.join()
    vm_object_deallocate(obj)


@scenario(
    cpus=2,
    tags={"page", "alloc", "finding"},
    fixed=True,
    schedule="v1:grabs_meet_at_an_index:0:1.4>2",
)
def grabs_meet_at_an_index(m):
    """Two CPUs grab a missing page without VM_ALLOC_RETRY, and the kernel panics.

    `vm_page_grab` looks for the page with the object's token shared.  To insert one it needs the token
    exclusively, and releases it for that; it does not look again.  Only with VM_ALLOC_RETRY does it pass
    VM_ALLOC_NULL_OK, which allows for a page that is there by then: without it, the insertion panics.
    Repair `grab-may-lose-a-race`: pass it in any case.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 1)
    m.spawn(_grab_and_let_go, obj, name="grabber")
    m.spawn(_grab_and_let_go, obj, name="other")
    m.join()
    vm_object_deallocate(obj)


@scenario(
    cpus=2,
    tags={"page", "wait", "hold", "finding"},
    fixed=True,
    schedule="v1:unhold_wakes_nobody:0:",
)
def unhold_wakes_nobody(m):
    """A process waits for memory, a held page becomes free by its last unhold, and it goes on waiting.

    A page that is freed while it is held becomes free with the last unhold.  Every free wakes the waiters for
    pages if there are enough; this one, in `vm_page_unhold`, does not.
    Repair `unhold-wakes`: wake them as a free does.
    """
    vm = m.boot(pages=4, l2_size=1)
    set_limits(vm, v_free_min=1)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, [0])
    hoard = take_kernel_pages(vm, 3)
    vmstats_rollup(vm)

    def holder():
        vm_page_busy_wait(page, True)
        vm_page_hold(page)
        vm_page_free(page)
        m.yield_()
        vm_page_unhold(page)

    m.spawn(holder, name="holder")
    m.spawn(vm_wait, vm, 100, name="waiter")
    m.join()
    for kept in hoard:
        vm_page_freezwq(kept)
    vm_object_deallocate(obj)


def _grab_and_let_go(obj):
    """Grab the object's first page, and release it if there is one."""
    page = vm_page_grab(obj, 0, VM_ALLOC_NORMAL)
    if page is not None:
        vm_page_wakeup(page)


@scenario(cpus=1, tags={"page", "hash", "finding"}, fixed=True, schedule="v1:guess_replaces_a_younger_one:0:")
def guess_replaces_a_younger_one(m):
    """A page is entered into the page hash, and a guess is forgotten that is younger than another one.

    `vm_page_hash_enter` is to replace the element of the set that was not used for the longest time.  It
    compares all of them with the first one only, so that it replaces the last one that is older than that.
    Repair `oldest-guess-goes`: compare with the oldest one so far.
    """
    vm = m.boot(pages=4, l2_size=1, hash_size=1, hash_set=4)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, [0], PG_MAPPEDMULTI)
    elements = vm.page.vm_page_hash.set_of(obj, 0)
    for element, age in zip(elements, (1, 9, 5, 0), strict=True):
        element.publish("ticks", m.ticks - age)

    def user():
        enter_hash(page)
        m.check(elements[1].peek("m") is page, "the oldest guess is replaced")

    m.spawn(user)
    m.join()
    vm_object_deallocate(obj)


@scenario(
    cpus=1, tags={"page", "pageout", "finding"}, fixed=True, schedule="v1:activity_passes_its_maximum:0:"
)
def activity_passes_its_maximum(m):
    """A page that is used all the time has less activity than one that is not.

    The pagedaemon adds to the activity of an inactive page that was used, whose field has eight bits, and
    does not compare it with ACT_MAX, as it does for active pages.  A page that is made inactive again and
    again, by an advice for instance, and used, comes to 255 and then to nothing.
    Repair `activity-has-a-maximum`: limit it.
    """
    vm = m.boot(pages=4, l2_size=1)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, [0])
    set_limits(vm, v_paging_target2=4)

    def pagedaemon():
        for _ in range(20):
            busied(page, vm_page_deactivate)
            vm_page_flag_set(page, PG_REFERENCED)
            vm_pageout_scan_inactive(vm)
        m.check(page.peek("act_count") <= ACT_MAX, "the activity of a page keeps within its limit")

    m.spawn(pagedaemon)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=1, tags={"page", "numa", "finding"}, fixed=True, schedule="v1:socket_is_lent_nothing:0:")
def socket_is_lent_nothing(m):
    """One socket has all memory and the other none, and nothing is lent to it.

    `vm_numa_organize_finalize` lends free pages to colours that have less than the mean.  It takes the mean
    of the queues from index 0 on.  That is no queue (PQ_NONE), the first free queue has index 1, and the last
    one is left out.
    Repair `free-queues-have-the-mean`: take the mean of the free queues.
    """
    vm = m.boot(pages=8, l2_size=2, topology=(2, 1, 1))
    vm_numa_organize(vm, 0, 8 * PAGE_SIZE, 1)
    vm_numa_organize_finalize(vm)

    def user():
        lent = [page for page in vm.page.vm_page_array if page.pc == 0]
        m.check(lent, "a socket that has no memory is lent some")

    m.spawn(user)
    m.join()


@scenario(
    cpus=1, tags={"page", "pageout", "finding"}, fixed=True, schedule="v1:colours_age_at_different_speeds:0:"
)
def colours_age_at_different_speeds(m):
    """An idle pagedaemon ages all active pages of one colour every five seconds, and never all of another.

    `vm_pageout_page_stats` looks at a part of a queue, and at all of it once in 20 seconds.  It is called for
    every colour each time, and counts five seconds at each call: every fourth colour is looked at in full,
    and it is always the same ones.
    Repair `intervals-are-those-of-a-colour`: count them once for all colours.
    """
    vm = m.boot(pages=16, l2_size=4)
    obj = vm_object_allocate(vm, 16)
    pages = [active_page(vm, obj, pindex) for pindex in range(8)]

    def pagedaemon():
        stats = PageStats()
        for colour in range(4):
            vm_pageout_page_stats(vm, stats, colour)
        aged = [page.pc for page in pages if page.peek("act_count") < ACT_INIT]
        m.check(len(aged) == len(set(aged)), "no queue is looked at in full before its time")

    m.spawn(pagedaemon)
    m.join()
    vm_object_deallocate(obj)


@scenario(
    cpus=2,
    tags={"hold", "queue", "finding"},
    fixed=True,
    schedule="v1:sweep_stops_at_a_held_page:a6:1.21>2",
)
def sweep_stops_at_a_held_page(m):
    """A page that nobody holds any more is not free as long as another one is held.

    A page whose last hold is dropped while it is being freed stays on the hold queue, and the pagedaemon is
    to find it there.  `vm_pageout_scan_hold` looks at the first page of the queue, and stops if that is held,
    which it may be for as long as a device likes.
    Repair `sweep-passes-held-pages`: look for the first page that is not held.
    """
    vm = m.boot(pages=4, l2_size=1)
    obj = vm_object_allocate(vm, 2)
    kept, page = idle_pages(vm, obj, range(2))
    for one in (kept, page):
        busied(one, vm_page_hold)

    def free(one):
        vm_page_busy_wait(one, True)
        vm_page_free(one)

    free(kept)
    m.spawn(free, page, name="owner")
    m.spawn(vm_page_unhold, page, name="reader")
    m.join()
    vm_pageout_scan_hold(vm, 0)
    m.check(queue_of(page) == "free", "a page that nobody uses or holds is free after a sweep")
    vm_page_unhold(kept)
    vm_object_deallocate(obj)
