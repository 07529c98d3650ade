"""One CPU and the pagers: written data is read back, missing data is reported, and everything is freed."""

from vmsmp import scenario
from vmsmp.mmu.entry import PG_RW
from vmsmp.scenarios._kit import (
    Space,
    busied,
    busied_page,
    contents,
    end_of_file,
    file_object,
    idle_pages,
    mappings,
    queue_of,
    set_limits,
    write_fault,
)
from vmsmp.vm.vm_map import VM_PROT_ALL, VM_PROT_RW
from vmsmp.vm.vm_object import (
    OBJ_DEAD,
    OBJPC_CLUSTER_OK,
    OBJPC_SYNC,
    OBJPC_TRY_TO_CACHE,
    OBJT_DEAD,
    OBJT_DEFAULT,
    OBJT_PHYS,
    OBJT_SWAP,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_page_remove,
    vm_object_pip_add,
    vm_object_pip_wakeup,
)
from vmsmp.vm.vm_page import (
    DEV_BSIZE,
    PAGE_SIZE,
    PBUSY_LOCKED,
    PBUSY_SWAPINPROG,
    PG_NEED_COMMIT,
    PG_SWAPPED,
    PG_UNQUEUED,
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    vm_page_activate,
    vm_page_alloc,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_free,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_set_invalid,
    vm_page_set_validdirty,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
)
from vmsmp.vm.vm_pageout import vm_pageout_flush
from vmsmp.vm.vm_pager import (
    VM_PAGER_AGAIN,
    VM_PAGER_BAD,
    VM_PAGER_ERROR,
    VM_PAGER_FAIL,
    VM_PAGER_OK,
    cdev_pager_allocate,
    cdev_pager_lookup,
    dev_pager_alloc,
    swap_pager_freespace,
    swap_pager_freespace_all,
    swap_pager_unswapped,
    swp_pager_meta_ctl,
    transfer,
    vinitvmio,
    vm_pager_get_page,
    vm_pager_has_page,
    vm_pager_put_pages,
    vnode_pager_alloc,
    vnode_pager_dealloc,
    vnode_pager_freepage,
    vnode_pager_getpage,
    vnode_pager_haspage,
    vnode_pager_putpages,
    vnode_pager_reference,
)
from vmsmp.vm.vnode import VOBJBUF, VRECLAIMED, VTEXT, getnewvnode, vclrflags, vrele, vsetflags


def _soiled(page, value):
    """Write to a page, which counts as used then, and leave it hard-busied."""
    vm_page_busy_wait(page, True)
    vm_page_activate(page)
    page.vm.memory.store(page.phys, 0, value)
    vm_page_dirty(page)
    return page


def _read(obj, pindex, dirty=0):
    """Have the pager read in a page that is not resident; return the pager's result, and the page.

    `dirty` bytes of it are dirty before.
    """
    vm_object_hold(obj)
    page = vm_page_alloc(obj.vm, obj, pindex, VM_ALLOC_NORMAL)
    vm_page_set_validdirty(page, 0, dirty)
    vm_object_pip_add(obj, 1)
    said = vm_pager_get_page(obj, page)
    vm_object_pip_wakeup(obj)
    vm_object_drop(obj)
    return said, page


def _let_go(page):
    vm_page_busy_wait(page, True)
    vm_page_free(page)


def _has(obj):
    """The pages that the pager has."""
    return [pindex for pindex in range(4) if vm_pager_has_page(obj, pindex)]


@scenario(cpus=1, tags={"object", "io", "flush", "swap"}, pages=None)
def swap_alone(m):
    """A CPU writes pages to a swap of three blocks and reads them: which have a block, and which do not."""
    vm = m.boot(pages=16, l2_size=1, object_hash=1, swap_pages=3)
    pager = vm.pager
    obj = vm_object_allocate(vm, 4)
    pages = idle_pages(vm, obj, range(4))
    space = Space(vm, obj, 4)

    def states():
        """For each page: whether it is dirty, and whether it is marked as in swap; none may be busied."""
        m.check(not any(page.peek("busy_count") for page in pages), "a transfer that is over keeps no page")
        m.check(not obj.peek("paging_in_progress"), "nor is the object's activity left")
        m.check(pager.vm_swap_size + obj.peek("swblock_count") == 3, "a block is free or somebody's")
        return [(bool(page.peek("dirty")), bool(page.peek("flags") & PG_SWAPPED)) for page in pages]

    def written():
        for page in pages[:2]:
            write_fault(space, page)
        m.check(obj.peek("type") == OBJT_DEFAULT, "memory that was never written has no swap")
        many = [_soiled(page, 10 + n) for n, page in enumerate(pages)]
        m.check(vm_pageout_flush(many[:1], OBJPC_SYNC) == 1, "a page is written")
        m.check(
            (obj.peek("type"), mappings(pages[0]), mappings(pages[0], PG_RW)) == (OBJT_SWAP, 1, 0),
            "it may be read meanwhile",
        )
        m.check(vm_pageout_flush(many[1:3], OBJPC_SYNC | OBJPC_TRY_TO_CACHE) == 2, "while there is swap")
        m.check(vm_pageout_flush(many[3:], OBJPC_SYNC | OBJPC_TRY_TO_CACHE) == 0, "and no longer")
        m.check(
            (mappings(pages[1]), queue_of(pages[1])) == (0, "cache"), "a page that is cached is not mapped"
        )
        m.check(
            states() == [(False, True), (False, True), (False, True), (True, False)],
            "who was written is clean",
        )
        m.check((_has(obj), queue_of(pages[3])) == ([0, 1, 2], "active"), "what was not written has no swap")
        m.check(queue_of(pages[0]) == "active", "a page that was written is where it was")
        other = vm_object_allocate(vm, 1)
        m.check(vm_pageout_flush([_soiled(*idle_pages(vm, other, [0]), 9)], OBJPC_SYNC) == 0, "none is left")
        m.check(other.peek("type") == OBJT_SWAP, "which would have been swap memory")
        vm_object_deallocate(other)

    def given_back():
        vm_page_busy_wait(pages[0], True)
        swap_pager_unswapped(pages[0])
        swap_pager_unswapped(pages[3])
        vm_page_wakeup(pages[0])
        m.check(states()[0] == (False, False) and _has(obj) == [1, 2], "a page that is newer has no swap")
        m.check(vm_pageout_flush([_soiled(pages[1], 21)], OBJPC_SYNC) == 1, "a page is written again")
        m.check(states()[1] == (False, True) and _has(obj) == [1, 2], "into one block")
        swap_pager_freespace(obj, 2, 1)
        m.check(_has(obj) == [1], "a range gives its blocks back")
        swap_pager_freespace(obj, 2, 4)
        vm_pageout_flush([_soiled(pages[2], 22)], OBJPC_SYNC)
        vm_object_hold(obj)
        m.check(
            swp_pager_meta_ctl(obj, 3, free=True) is None and _has(obj) == [1, 2], "what is not there is not"
        )
        vm_object_drop(obj)
        swap_pager_freespace_all(obj)
        m.check(_has(obj) == [] and pager.vm_swap_size == 3, "all of them")
        busied(pages[1], vm_page_flag_clear, PG_SWAPPED)
        busied(pages[2], vm_page_flag_clear, PG_SWAPPED)

    def failing():
        pager.device.failing = True
        _soiled(pages[3], 13)
        vm_page_deactivate(pages[3])
        vm_pageout_flush([pages[3]], OBJPC_SYNC)
        m.check(states()[3] == (True, False) and _has(obj) == [], "what could not be written is dirty alone")
        m.check(queue_of(pages[3]) == "active", "and is used")
        pager.device.failing = False

    def short():
        set_limits(vm, v_free_severe=100)
        vm_pageout_flush([_soiled(pages[3], 33)], OBJPC_SYNC)
        m.check(queue_of(pages[3]) == "inactive", "where memory is short a page is inactive at once")
        set_limits(vm, v_free_severe=0)

    def later():
        """Use a device that completes later: only the pagers do not wait for it."""
        pager.device.attached = True
        for asynchronous, pagedaemon, fails in ((0, None, False), (1, None, True), (0, m.curcpu, False)):
            vm.sysctl["vm.swap_user_async"] = asynchronous
            vm.pageout.pagethread = pagedaemon
            vm_pageout_flush([_soiled(pages[0], 40)], OBJPC_CLUSTER_OK)
            waits = not (asynchronous or pagedaemon)
            pending = pages[0].peek("busy_count") == PBUSY_SWAPINPROG | 1
            m.check(pending != waits and len(pager.device.queue) == pending, "only a pager leaves it at that")
            if pending:
                m.check(obj.peek("paging_in_progress") == 1, "a transfer is an activity")
                pager.device.failing = fails
                transfer(vm, pager.device.queue.pop())
                pager.device.failing = False
            m.check(states()[0] == (fails, not fails), "in the end it is written, if it can be")
        of_the_kernel()
        vm.pageout.pagethread = None
        pager.device.attached = False

    def of_the_kernel():
        """Write the kernel's own pages, which are waited for."""
        kernel_object = vm.objects.kernel_object
        (page,) = idle_pages(vm, kernel_object, [7])
        vm_pageout_flush([_soiled(page, 7)], OBJPC_CLUSTER_OK)
        m.check(
            not page.peek("busy_count") and not pager.device.queue, "a page of the kernel's is waited for"
        )
        vm_object_page_remove(kernel_object, 7, 8, False)

    def read_in():
        vm_pageout_flush([_soiled(pages[1], 51)], OBJPC_SYNC)
        space.remove(0, 4)
        vm_object_page_remove(obj, 0, 0, True)
        m.check(not obj.peek("rb_memq") and _has(obj) == [0, 1, 3], "swap stays")
        said, page = _read(obj, 2)
        m.check(said == VM_PAGER_FAIL, "what has no swap cannot be read")
        m.check(not page.peek("flags") & PG_SWAPPED, "and says so")
        vm_page_free(page)
        pager.device.failing = True
        said, page = _read(obj, 1, DEV_BSIZE)
        m.check(page.peek("flags") & PG_SWAPPED, "what has swap says so")
        m.check((said, page.peek("valid")) == (VM_PAGER_ERROR, 0), "what cannot be read is not valid")
        m.check(
            page.peek("busy_count") == PBUSY_LOCKED and not obj.peek("paging_in_progress"),
            "it is the reader's",
        )
        vm_page_free(page)
        pager.device.failing = False
        for pindex, value in ((0, 40), (1, 51), (3, 33)):
            said, page = _read(obj, pindex, DEV_BSIZE)
            m.check((said, contents(page)) == (VM_PAGER_OK, value), "what was written is read")
            m.check(
                (page.peek("valid"), page.peek("dirty")) == (VM_PAGE_BITS_ALL, 0), "it is whole and clean"
            )
            m.check(page.peek("flags") & PG_SWAPPED, "it has swap")
            vm_page_wakeup(page)

    def user():
        written()
        given_back()
        short()
        failing()
        short()
        later()
        read_in()

    m.spawn(user)
    m.join()
    space.end()
    vm_object_deallocate(obj)
    m.check(pager.vm_swap_size == 3, "an object that is gone has no swap")


@scenario(cpus=1, tags={"object", "io", "vnode", "reference"}, pages=None)
def files_alone(m):
    """A CPU reads and writes a file that shrinks and is revoked: pages and references are right."""
    vm = m.boot(pages=12, l2_size=1, object_hash=1)

    def counts(vp, obj):
        return vp.peek("v_refcnt"), obj.peek("ref_count"), obj.peek("hold_count")

    def named():
        vp = getnewvnode(vm, "named")
        m.check(vnode_pager_reference(vp) is None, "a file that nobody has used has no object")
        for _ in range(2):
            vinitvmio(vp, 2 * PAGE_SIZE + 1)
            obj = vp.peek("v_object")
            m.check(counts(vp, obj) == (1, 0, 0), "an object that nobody refers to refers to nobody")
        m.check(vp.peek("v_flag") == VOBJBUF, "it may be used for reading")
        m.check((obj.peek("size"), obj.peek("handle")) == (3, vp), "it is as large as the file")
        m.check(vp.peek("v_filesize") == 2 * PAGE_SIZE + 1, "whose size is known")
        m.check(vnode_pager_alloc(vp, 1) is obj and vnode_pager_reference(vp) is obj, "there is one")
        m.check(counts(vp, obj) == (3, 2, 0), "each that refers to it refers to the file")
        vsetflags(vp, VTEXT)
        vm_object_deallocate(obj)
        m.check(vp.peek("v_flag") & VTEXT and counts(vp, obj) == (2, 1, 0), "a program that is run is text")
        vm_object_deallocate(obj)
        m.check(vp.peek("v_flag") == VOBJBUF, "until nobody runs it")
        end_of_file(vp)
        gone = vp.peek("v_object"), vp.peek("v_filesize"), obj.peek("handle"), obj.peek("type"), obj.freed
        m.check(gone == (None, -1, None, OBJT_DEAD, True), "a file that is gone has no object")
        m.check(not vp.peek("v_flag") & (VTEXT | VOBJBUF) and not vp.peek("v_refcnt"), "and no use")

    def transfers():
        vp, obj = file_object(vm, 4)
        pages = idle_pages(vm, obj, range(3))
        for page, how, severe, where in (
            (pages[0], OBJPC_TRY_TO_CACHE, 0, "cache"),
            (pages[1], 0, 100, "inactive"),
            (pages[2], 0, 0, "active"),
        ):
            set_limits(vm, v_free_severe=severe)
            m.check(
                vm_pageout_flush([_soiled(page, 9)], OBJPC_SYNC | how) == 1, "a page of a file can be written"
            )
            m.check(queue_of(page) == where, "it is cached if asked for, and inactive where memory is short")
        pages = [_soiled(page, 10 + n) for n, page in enumerate(pages)]
        vp.publish("v_filesize", PAGE_SIZE + 1)
        m.check(_has(obj) == [0, 1], "a file has pages up to its end")
        m.check(vm_pageout_flush(pages, OBJPC_SYNC) == 2, "which can be written")
        m.check(not vp.peek("v_track_write") and not obj.peek("paging_in_progress"), "it is over then")
        m.check(
            [(page.peek("dirty"), page.peek("busy_count")) for page in pages] == [(0, 0)] * 3, "none is dirty"
        )
        for page in pages:
            _let_go(page)
        said, page = _read(obj, 1)
        m.check(
            (said, contents(page), page.peek("valid")) == (VM_PAGER_OK, 11, 0xFF), "what was written is read"
        )
        vm_page_free(page)
        said, page = _read(obj, 2)
        m.check((said, page.peek("valid")) == (VM_PAGER_ERROR, 0), "behind the end there is nothing")
        vm_page_free(page)
        vsetflags(vp, VRECLAIMED)
        m.check(_has(obj) == [], "a file that is reclaimed has none")
        vclrflags(vp, VRECLAIMED)
        left_over(obj)
        vm_object_deallocate(obj)
        end_of_file(vp)

    def revoked():
        """Revoke a file while it is in use."""
        vp, obj = file_object(vm, 1, [0])
        vsetflags(vp, VTEXT | VOBJBUF)
        page = obj.raw_rb_memq[0]
        vm_object_hold(obj)
        vnode_pager_dealloc(obj)
        vm_object_drop(obj)
        m.check(
            (obj.peek("type"), obj.peek("handle"), vp.peek("v_object")) == (OBJT_DEAD, None, None),
            "they part",
        )
        m.check(
            (vp.peek("v_flag"), vp.peek("v_filesize")) == (0, -1), "the file forgets what it said of itself"
        )
        m.check(not vnode_pager_haspage(obj, 0) and not vm_pager_has_page(obj, 0), "nothing has pages")
        vm_page_busy_wait(page, True)
        m.check(vnode_pager_getpage(obj, page) == VM_PAGER_BAD, "none can be read")
        m.check(vnode_pager_putpages(obj, [page], 0) == [VM_PAGER_BAD], "or written")
        vm_page_wakeup(page)
        m.check(vm_pager_put_pages(obj, [page], 0) == [VM_PAGER_AGAIN], "not now, that is")
        vm_object_deallocate(obj)
        m.check(obj.freed, "an object without a file ends with its last reference")
        while vp.v_refcnt.load():
            vrele(vp)

    def left_over(obj):
        """Fail to read pages: they are freed, unless they are in use."""
        kept = busied_page(vm, obj, 0)
        vm_page_wire(kept)
        vnode_pager_freepage(kept)
        m.check(kept.peek("object") is obj and not kept.peek("busy_count"), "a page that is wired stays")
        m.check(queue_of(kept) == "active", "and is used")
        vm_page_busy_wait(kept, True)
        vm_page_unwire(kept, True)
        vm_page_wakeup(kept)
        vm_page_sbusy_try(kept)
        vm_page_busy_wait(kept, False)
        vnode_pager_freepage(kept)
        m.check(kept.peek("object") is obj, "a page that is read stays")
        vm_page_sbusy_drop(kept)
        vm_page_busy_wait(kept, True)
        vm_page_flag_set(kept, PG_NEED_COMMIT)
        vnode_pager_freepage(kept)
        m.check(kept.peek("object") is obj, "a page that is to be committed stays")
        busied(kept, vm_page_flag_clear, PG_NEED_COMMIT)
        vm_page_busy_wait(kept, True)
        vnode_pager_freepage(kept)
        m.check(queue_of(kept) == "free", "any other is free")

    def user():
        named()
        transfers()
        revoked()

    m.spawn(user)
    m.join()


class Screen:
    """A device with two frames of memory, which may not be executed."""

    si_object = None

    def __init__(self, frames):
        self.frames = frames

    def d_mmap(self, offset, prot):
        page = offset // PAGE_SIZE
        return self.frames[page] if page < len(self.frames) and prot <= VM_PROT_RW else -1


@scenario(cpus=1, tags={"object", "device", "reference"}, pages=None)
def devices_alone(m):
    """A CPU uses devices, by their handles and by their frames, and drops them: each has one object."""
    vm = m.boot(pages=10, l2_size=1, object_hash=1)
    listed = vm.pager.dev_pager_object_list

    def by_handle():
        first, second = (cdev_pager_allocate(vm, handle, 2) for handle in ("disk", "tape"))
        m.check(cdev_pager_lookup(vm, "tape") is second and cdev_pager_lookup(vm, "none") is None, "by name")
        m.check(cdev_pager_allocate(vm, "tape", 1) is second and second.peek("size") == 2, "none shrinks")
        m.check(cdev_pager_allocate(vm, "tape", 5) is second and second.peek("size") == 5, "it may grow")
        refs = second.peek("ref_count")
        m.check(refs in (4, 6), "each refers to it, those of a device that is open already twice or once")
        vm_object_hold(second)
        second.flags.setbits(OBJ_DEAD)
        vm_object_drop(second)
        m.check(cdev_pager_lookup(vm, "tape") is None, "one that ends is not found")
        vm_object_hold(second)
        second.flags.clearbits(OBJ_DEAD)
        vm_object_drop(second)
        for _ in range(refs):
            vm_object_deallocate(second)
        vm_object_deallocate(first)
        m.check(not listed and first.freed and second.freed, "one that nobody uses is gone")

    def by_frame():
        screen = Screen([7, 8])
        refused = dev_pager_alloc(vm, screen, 3, VM_PROT_RW), dev_pager_alloc(vm, screen, 2, VM_PROT_ALL)
        m.check(refused == (None, None) and not listed, "what a device does not show cannot be had")
        m.check(dev_pager_alloc(vm, screen, 2, VM_PROT_RW, PAGE_SIZE) is None, "from where it begins")
        obj = dev_pager_alloc(vm, screen, 2, VM_PROT_RW)
        m.check(screen.si_object is obj and listed == [obj], "a device knows its object")
        shown = []
        for pindex in (0, 1):
            said, page = _read(obj, pindex)
            m.check((said, queue_of(page)) == (VM_PAGER_OK, "free"), "memory for it is not needed")
            shown.append(obj.raw_rb_memq[pindex])
        m.check([page.phys for page in shown] == [7, 8], "pages of a device are its frames")
        m.check([page.peek("busy_count") for page in shown] == [PBUSY_LOCKED] * 2, "who asks gets it busied")
        screen.frames = [9, 8]
        vm_page_set_invalid(shown[0], 0, PAGE_SIZE)
        vm_object_hold(obj)
        m.check(vm_pager_get_page(obj, shown[0]) == VM_PAGER_OK and shown[0].phys == 9, "it may have moved")
        m.check(shown[0].peek("valid") == VM_PAGE_BITS_ALL, "and is valid again")
        vm_object_drop(obj)
        m.check((len(obj.devp.devp_pglist), vm_pager_has_page(obj, 9)) == (2, True), "each is there once")
        for page in shown:
            vm_page_wakeup(page)
        vm_object_deallocate(obj)
        m.check(screen.si_object is None and not listed and obj.freed, "in the end the device forgets it")
        m.check(not obj.devp.devp_pglist, "and its pages are gone")

    def others():
        """Memory without a pager that stores it."""
        for page in vm.page.vm_page_array:
            vm.memory.poke(page.phys, 0, "left")
        obj = vm_object_allocate(vm, 2, objt=OBJT_PHYS)
        said, page = _read(obj, 0)
        state = page.peek("valid"), page.peek("dirty"), page.peek("flags") & PG_UNQUEUED
        m.check((said, *state) == (VM_PAGER_OK, 0xFF, 0xFF, PG_UNQUEUED), "physical memory stays where it is")
        m.check(contents(page) == 0 and vm_pager_has_page(obj, 1), "it is zeros at first")
        vm_page_wakeup(page)
        vm_object_deallocate(obj)
        obj = vm_object_allocate(vm, 2)
        said, page = _read(obj, 0)
        m.check((said, vm_pager_has_page(obj, 0)) == (VM_PAGER_FAIL, False), "new memory is nowhere else")
        vm_page_set_invalid(page, 0, PAGE_SIZE)
        vm_page_wakeup(page)
        vm_object_deallocate(obj)

    def user():
        by_handle()
        by_frame()
        others()

    m.spawn(user)
    m.join()
