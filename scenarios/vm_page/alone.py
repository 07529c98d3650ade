"""One CPU and its pages: what is made zero, and at which numbers of free pages something happens."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_pages, set_limits, take_pages
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    pagedaemon_wakeup,
    vm_page_alloc,
    vm_page_free,
    vm_page_wakeup,
    vm_page_zero_invalid,
    vm_wait,
)


@scenario(cpus=1, tags={"page", "contents"}, pages=None)
def parts_are_made_zero(m):
    """What is not valid of a page is made zero, and the rest stays: of all, of parts and of nothing."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 1)

    def user():
        vm_object_hold(obj)
        page = vm_page_alloc(vm, obj, 0, VM_ALLOC_NORMAL)
        vm_object_drop(obj)
        for valid in (0, VM_PAGE_BITS_ALL, 0b00000001, 0b10000000, 0b01100101, 0b10011010):
            for setvalid in (False, True):
                vm.memory.write_pieces(page.phys, dict.fromkeys(range(8), "x"))
                page.publish("valid", valid)
                vm_page_zero_invalid(page, setvalid)
                left = vm.memory.read_pieces(page.phys)
                kept = [n for n in range(8) if left.get(n, 0) == "x"]
                m.check(kept == [n for n in range(8) if valid >> n & 1], "what is valid stays, and no more")
                after = VM_PAGE_BITS_ALL if setvalid else valid
                m.check(page.peek("valid") == after, "all of it is valid then, if that was asked for")
        vm_page_wakeup(page)

    m.spawn(user)
    m.join()
    vm_object_deallocate(obj)


@scenario(cpus=1, tags={"page", "alloc", "pageout", "wait"}, pages=None)
def limits_of_free_pages(m):
    """A CPU allocates and frees at the limits: who is refused, who waits, and what the pagers are told."""
    vm = m.boot(pages=12, l2_size=1, object_hash=1)
    pageout = vm.pageout
    needed, waiting = pageout.vm_pages_needed, pageout.vm_pageout_pages_needed

    def free():
        return vm.mycpu().gd_vmstats.peek("v_free_count")

    def reserved():
        """Allocate down to the reserve."""
        set_limits(vm, v_free_reserved=free() - 1)
        taken = take_pages(vm, 3)
        m.check([page is not None for page in taken] == [True, True, False], "the reserve is left alone")
        set_limits(vm, v_free_reserved=0)
        give_pages(taken[:2])

    def told():
        """Tell the pagedaemon that pages are short."""
        there = free()
        for start, least, before, after in (
            (there, 0, 0, 0),
            (there + 1, 0, 0, 1),
            (there + 1, 0, 1, 1),
            (there + 1, there, 2, 2),
            (there + 1, there + 1, 1, 1),
            (there + 1, there + 1, 2, 3),
        ):
            set_limits(vm, v_paging_start=start, v_free_min=least)
            needed.store(before)
            pagedaemon_wakeup(vm)
            m.check(needed.load() == after, "who needs pages is counted once there are too few")
        set_limits(vm, v_paging_start=0, v_free_min=0)

    def waits():
        """Wait for pages, as nice as one is."""
        there = free()
        for least, wait, nice, before, after in (
            (there, 0, 0, 0, 0),
            (there + 1, 0, 0, 0, 1),
            (there + 1, 0, 0, 1, 2),
            (there + 1, 0, 0, 2, 2),
            (there - 3, there + 6, 0, 0, 0),
            (there - 3, there + 40, -20, 0, 0),
            (there - 9, there + 32, 0, 0, 1),
        ):
            set_limits(vm, v_free_min=least, v_paging_wait=wait)
            vm.mycpu().nice = nice
            needed.store(before)
            pageout.vm_pages_waiting.store(0)
            vm_wait(vm, 1)
            m.check(needed.load() == after, "who waits for pages asks for them, unless two have")
        set_limits(vm, v_free_min=0, v_paging_wait=0)

    def itself():
        """The pagedaemon waits, and counts what it has freed meanwhile."""
        pageout.pagethread = m.curcpu
        total = vm.meter.vmstats
        set_limits(vm, v_free_min=free() + 1)
        counted, began = total.v_free_count.load(), m.ticks
        pages = take_pages(vm, 1)
        vm_wait(vm, 1)
        m.check(
            m.ticks > began and total.v_free_count.load() < counted, "the clock rolls counts up meanwhile"
        )
        give_pages(pages)
        set_limits(vm, v_free_min=0)
        pageout.pagethread = None
        waiting.store(0)

    def pagers():
        """Free pages for a pager that waits."""
        pages = take_pages(vm, 3)
        set_limits(vm, v_pageout_free_min=free() + 2)
        for left in (1, 0, 0):
            waiting.store(1)
            vm_page_free(pages.pop())
            m.check(waiting.load() == left, "a pager waits until there are as many as it needs")
        waiting.store(0)

    def user():
        reserved()
        told()
        waits()
        itself()
        pagers()
        needed.store(0)
        pageout.vm_pages_waiting.store(0)

    m.spawn(user)
    m.join()
