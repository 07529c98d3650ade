"""The pageout and the pages of files, which it writes with the vnode locked."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied, file_object, forget_file, is_dirty, queue_of, set_limits
from vmsmp.vm.vm_object import OBJ_MIGHTBEDIRTY, OBJ_WRITEABLE, vm_object_set_flag
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_REFERENCED,
    PG_WINATCFLS,
    vm_page_activate,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_hold,
    vm_page_set_invalid,
    vm_page_undirty,
    vm_page_unhold,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
)
from vmsmp.vm.vm_pageout import vm_pageout_scan_inactive
from vmsmp.vm.vm_pager import vnode_pager_setsize
from vmsmp.vm.vnode import vn_lock, vn_unlock


@scenario(cpus=1, tags={"page", "pageout", "vnode"}, pages=None)
def files_are_laundered_alone(m):
    """A CPU scans dirty pages of a file: they are written out and cached, if nobody needs them."""
    vm = m.boot(pages=16, l2_size=1, object_hash=1, topology=(1, 1, 1))
    vp, obj = file_object(vm, 5, range(5))
    vm_object_set_flag(obj, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
    set_limits(vm, v_paging_target2=1000)

    def scanner():
        pages = [obj.peek("rb_memq")[n] for n in range(5)]
        for page in pages:
            busied(page, vm_page_deactivate)
            busied(page, vm_page_dirty)
            vm_page_flag_clear(page, PG_REFERENCED)
        *others, held, wired = pages
        busied(held, vm_page_hold)
        busied(wired, vm_page_wire)
        written = vm.pager.device.transfers
        m.check(vm_pageout_scan_inactive(vm) == 0, "dirty pages are passed over once")
        m.check(vm_pageout_scan_inactive(vm) == 3, "the next time they are written out, together")
        m.check(vm.pager.device.transfers == written + 3, "each of them once")
        m.check(
            {(queue_of(page), is_dirty(page)) for page in others} == {("cache", False)}, "to be used anew"
        )
        m.check((queue_of(held), is_dirty(held)) == ("inactive", True), "a page that is held stays")
        m.check((queue_of(wired), is_dirty(wired)) == ("none", True), "one that is wired is on no queue")
        vm_page_unhold(held)
        busied(wired, vm_page_unwire, False)
        m.check(queue_of(wired) == "inactive", "until it is not")
        m.check(vm_pageout_scan_inactive(vm, 1) == 3, "both are written at once, and the other is met again")
        m.check(not is_dirty(held) and not is_dirty(wired), "where passes are in vain")
        m.check(vm_pageout_scan_inactive(vm) == 1, "the first is cached by the next scan")
        m.check(not vm.pageout.vnodes_skipped, "the file could always be had")

    m.spawn(scanner)
    m.join()
    forget_file(vp, obj)


@scenario(cpus=2, tags={"page", "pageout", "vnode", "wire", "hold"}, fixed=True, pages=None)
def pages_change_while_their_file_is_waited_for(m):
    """The pageout waits for the vnode of a dirty page; who has it uses the page, cleans it, or frees it."""
    vm = m.boot(pages=16, l2_size=1, object_hash=1, topology=(1, 1, 1))
    vp, obj = file_object(vm, 1, range(1))
    vm_object_set_flag(obj, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
    set_limits(vm, v_paging_target2=1000)
    page = obj.peek("rb_memq")[0]
    busied(page, vm_page_deactivate)
    busied(page, vm_page_dirty)
    vm_page_flag_clear(page, PG_REFERENCED)
    vm_page_flag_set(page, PG_WINATCFLS)
    written = vm.pager.device.transfers
    change = m.choose(8)
    together = m.barrier(2)

    def owner():
        vn_lock(vp)
        together.wait()
        if change == 1:
            busied(page, vm_page_wire)
        elif change == 2:
            busied(page, vm_page_hold)
        elif change == 3:
            busied(page, vm_page_undirty)
        elif change == 4:
            busied(page, vm_page_activate)
        elif change == 5:
            vnode_pager_setsize(vp, 0)
        elif change == 6:
            vm_page_busy_wait(page, True)
        elif change == 7:
            busied(page, vm_page_set_invalid, 0, PAGE_SIZE)
        vn_unlock(vp)
        if change == 6:
            for _ in range(4):
                m.yield_()
            vm_page_wakeup(page)

    def scanner():
        together.wait()
        vm_pageout_scan_inactive(vm)

    m.spawn(owner)
    m.spawn(scanner)
    m.join()
    transfers = vm.pager.device.transfers - written
    m.check(transfers <= (change in (0, 6)), "what somebody uses by then, or needs not be written, is not")
    if change in (0, 6):
        m.check(is_dirty(page) != transfers, "what is written is clean, and nothing else")
    if change == 0:
        m.check((queue_of(page), transfers) == ("cache", 1), "a page that nobody needs is written and cached")
    if change == 1:
        m.check(page.peek("wire_count") == 1, "a page that is wired stays so")
        busied(page, vm_page_unwire, False)
    if change == 2:
        m.check(page.peek("hold_count") == 1, "a page is held as often as somebody holds it")
        vm_page_unhold(page)
    vn_lock(vp)
    vn_unlock(vp)
    if change != 5:
        m.check(page.peek("hold_count") == 0 and queue_of(page) != "none", "it is let go, and on a queue")
    forget_file(vp, obj)
