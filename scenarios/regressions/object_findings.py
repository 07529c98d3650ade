"""Findings in memory objects: the model does what vm_object.c does, step for step."""

from vmsmp import scenario
from vmsmp.scenarios._kit import (
    Space,
    bypass_write,
    end_of_file,
    file_object,
    idle_pages,
    is_dirty,
    no_stale_holds,
    sync,
    write_fault,
)
from vmsmp.vm.vm_object import (
    OBJPC_NOSYNC,
    OBJPC_SYNC,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import (
    DEV_BSIZE,
    PAGE_SIZE,
    PG_NOSYNC,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_flag_set,
    vm_page_set_invalid,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pageout import vm_pageout_flush, vm_pageout_scan_inactive
from vmsmp.vm.vm_pager import CdevPagerOps, cdev_pager_allocate
from vmsmp.vm.vnode import vn_lock, vn_unlock
from vmsmp.vm.vnode_reclaim import vclean_vxlocked


def _dirty(page):
    vm_page_busy_wait(page, True)
    vm_page_dirty(page)
    vm_page_wakeup(page)


@scenario(
    cpus=2,
    tags={"object", "flush", "finding"},
    fixed=True,
    schedule="v1:termination_asserts_no_pageout:11:1.11>2",
)
def termination_asserts_no_pageout(m):
    """An object is terminated while the pagedaemon begins to write a page of it, and the kernel panics.

    The termination waits until nothing is in progress on the object, and asserts it.  But the pagedaemon has
    only the page busied: it raises the object's activity without the object's token, and may do so between
    the wait and the assertion.  That would do no harm: the scan that follows waits for the page, and the
    pager's teardown for the activity.
    Repair `termination-allows-pageout`: do not assert it.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, [0])
    _dirty(page)

    def pagedaemon():
        if vm_page_busy_try(page, True):
            return
        if page.object is obj:
            vm_pageout_flush([page], 0)
        else:
            vm_page_wakeup(page)

    m.spawn(vm_object_deallocate, obj, name="terminator")
    m.spawn(pagedaemon)
    m.join()


@scenario(
    cpus=2,
    tags={"object", "reference", "vnode", "finding"},
    fixed=True,
    schedule="v1:revoked_file_meets_reference:70:1.33>2",
)
def revoked_file_meets_reference(m):
    """A file is revoked while a process that maps it forks, and the kernel faults.

    Revocation separates the object from its vnode although it has references: the handle is cleared, then the
    type changes.  A fork adds a reference without the token: it reads the type of a file, and references the
    vnode of the handle, which is NULL.  Dropping a reference without the token does the same.
    Repair `reference-asks-for-the-vnode`: read the handle once, and do nothing if it is NULL.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)

    def revoker():
        vn_lock(vp)
        vclean_vxlocked(vp)
        vn_unlock(vp)

    def forker():
        vm_object_reference_quick(obj)
        vm_object_deallocate(obj)

    m.spawn(revoker)
    m.spawn(forker)
    m.join()


@scenario(
    cpus=1,
    tags={"object", "clean", "vnode", "finding"},
    fixed=True,
    schedule="v1:sync_of_a_range_writes_nothing:0:",
)
def sync_of_a_range_writes_nothing(m):
    """A part of a file is synced, and its dirty pages are not written.

    The cleaning of an object writes only pages that are marked (PG_CLEANCHK), so that it ends even if others
    are inserted meanwhile.  The pass that marks them is made for the whole object only.
    Repair `sync-marks-a-range`: mark the pages of any range, and clear the object's flags only for a whole
    one.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2)
    first, second = idle_pages(vm, obj, range(2))
    _dirty(first)
    _dirty(second)
    sync(vp, obj, part=(0, 1))
    m.check(not first.peek("dirty"), "a range that was synced is clean")
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=2,
    tags={"object", "clean", "vnode", "pmap", "finding"},
    fixed=True,
    schedule="v1:store_during_a_sync_is_forgotten:f43c4:1.42>1,1.96>2,2.44>2",
)
def store_during_a_sync_is_forgotten(m):
    """A process stores to a page while that is written to its file, and the store never gets to disk.

    The page is made read-only, kept by a soft busy alone, and marked clean once the file system has it.  It
    is dirty until then, and so is its object if the sync skips a page; these are the only conditions of a
    fault that bypasses the object's locks.  The process may map it writeable again, store, and unmap the
    page: the store marks a page dirty that is dirty already, and then the sync marks it clean.
    Repair `write-cleans-before-transfer`: mark the page clean before it is transferred.
    """
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2)
    page, passed_over = idle_pages(vm, obj, range(2))
    vm_page_flag_set(passed_over, PG_NOSYNC)
    space = Space(vm, obj)
    write_fault(space, page)
    device = vm.pager.device
    stored = m.atomic(-1, name="stored")

    def process():
        mapped, transfers = bypass_write(space, obj, page), device.transfers
        if mapped and space.store(0):
            stored.store(transfers)
            space.remove()

    m.spawn(sync, vp, obj, OBJPC_SYNC | OBJPC_NOSYNC, name="syncer")
    m.spawn(process)
    m.join()
    if not is_dirty(page):
        m.check(stored.peek() < device.transfers, "a page that is clean was written after the last store")


@scenario(
    cpus=2,
    tags={"object", "clean", "vnode", "pmap", "finding"},
    fixed=True,
    schedule="v1:sync_unflags_a_mapping:f4289:1.3>2,2.15>1,1.41>1,1.55>2",
)
def sync_unflags_a_mapping(m):
    """A process maps a page writeable while a sync makes it read-only: it may write, and no flag says so.

    The first pass of a cleaning takes pages that are soft-busied.  A fault that bypasses the object's locks
    has the page soft-busied while it sets the page's flags and enters the mapping.  The pass comes between
    the two: it finds the flag, but no writeable entry, and clears the flag.  Code that tests the flag will
    not make the mapping read-only again.
    Repair `sync-waits-for-bypass`: the pass skips a page that is soft-busied, as one that is hard-busied.
    """
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    (page,) = idle_pages(vm, obj, [0])
    space = Space(vm, obj, 1)
    write_fault(space, page)
    m.spawn(sync, vp, obj, name="syncer")
    m.spawn(bypass_write, space, obj, page, name="process")
    m.join()


@scenario(
    cpus=1,
    tags={"object", "reference", "vnode", "finding"},
    fixed=True,
    schedule="v1:revoked_file_keeps_references:0:",
)
def revoked_file_keeps_references(m):
    """A file is revoked while it is mapped, and its vnode can never be reused.

    Each reference to the object is one to the vnode.  Revocation makes it an object of no type, and
    references that are dropped afterwards are not dropped from the vnode any more.
    Repair `revocation-drops-references`: drop the vnode's references when object and vnode are separated.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    end_of_file(vp)
    vm_object_deallocate(obj)
    m.check(obj.freed, "an object without references is gone")
    m.check(vp.peek("v_refcnt") == 0, "nobody references a vnode that was closed and is not mapped")


@scenario(
    cpus=1,
    tags={"object", "reference", "device", "finding"},
    fixed=True,
    schedule="v1:device_mapped_twice_never_ends:0:",
)
def device_mapped_twice_never_ends(m):
    """A device is mapped twice, and its object outlives both mappings.

    The lookup of an object by its handle adds a reference to it; its caller adds another for the same
    mapping.
    Repair `device-is-referenced-once`: let the lookup's reference be the mapping's.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj = cdev_pager_allocate(vm, "disk", 1)
    m.check(cdev_pager_allocate(vm, "disk", 1) is obj, "a device has one object")
    vm_object_deallocate(obj)
    vm_object_deallocate(obj)
    m.check(obj.freed, "an object ends with the last mapping")


@scenario(
    cpus=2,
    tags={"object", "clean", "vnode", "finding"},
    fixed=True,
    schedule="v1:invalidation_stops_a_sync:0:1.27>2",
)
def invalidation_stops_a_sync(m):
    """A file is synced while a buffer of it is invalidated, and the kernel panics.

    The second pass of a cleaning busies a page and insists that the object's generation is what it was before
    that, since it has the object's token.  `vm_page_set_invalid` changes the generation with the page busied
    and without the token: of another page, at any moment.
    Repair `sync-tolerates-invalidation`: the pass is only repeated for that.
    """
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2)
    first, second = idle_pages(vm, obj, range(2))
    _dirty(first)

    def buffer():
        vm_page_busy_wait(second, False)
        vm_page_set_invalid(second, 0, PAGE_SIZE)
        vm_page_wakeup(second)

    m.spawn(sync, vp, obj, name="syncer")
    m.spawn(buffer, name="buffer")
    m.join()
    vm_object_deallocate(obj)
    end_of_file(vp)


def _inactive_page_of_a_file(vm):
    """Return a vnode and its object with a dirty inactive page."""
    vp, obj = file_object(vm, 1)
    (page,) = idle_pages(vm, obj, [0])
    _dirty(page)
    vm_page_deactivate(page)
    return vp, obj


@scenario(
    cpus=2,
    tags={"object", "vnode", "pageout", "finding"},
    fixed=True,
    schedule="v1:pageout_meets_a_revocation:f452c:1.7>2,2.55>1",
)
def pageout_meets_a_revocation(m):
    """A file is revoked while the pagedaemon is about to write a page of it, and the kernel faults.

    Revocation clears the object's handle, and then its type.  The pagedaemon has the page busied, which keeps
    it in its object and nothing else: it reads the type of a file, and uses the vnode of the handle, which is
    NULL.
    Repair `pageout-asks-for-the-vnode`: test the handle, and skip a page whose object has none.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = _inactive_page_of_a_file(vm)
    m.spawn(vm_pageout_scan_inactive, vm, 1, name="pagedaemon")
    m.spawn(end_of_file, vp, name="revoker")
    m.join()
    vm_object_deallocate(obj)


@scenario(
    cpus=2,
    tags={"object", "vnode", "pageout", "finding"},
    fixed=True,
    schedule="v1:pageout_counts_a_freed_object:f4246:1.33>2",
)
def pageout_counts_a_freed_object(m):
    """A file is revoked and unmapped while the pagedaemon waits for its vnode, and freed memory is read.

    To lock the vnode of a dirty page the pagedaemon drops the page's busy, and only holds it.  That keeps the
    page's memory, not its object.  If it cannot lock the vnode it tests whether the object may be dirty, to
    count a skipped page: by then the vnode may be reclaimed, the last mapping removed, and the object freed.
    Repair `pageout-asks-first`: test while the page is still busied.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = _inactive_page_of_a_file(vm)

    def owner():
        end_of_file(vp)
        vm_object_deallocate(obj)

    m.spawn(vm_pageout_scan_inactive, vm, 1, name="pagedaemon")
    m.spawn(owner, name="owner")
    m.join()
    no_stale_holds(m, vm)


@scenario(
    cpus=2,
    tags={"object", "vnode", "pageout", "finding"},
    fixed=True,
    schedule="v1:activity_ends_behind_its_object:0:1.7>2,2.77>1,1.44>2,1.50>2",
)
def activity_ends_behind_its_object(m):
    """A file is revoked and unmapped while the pagedaemon writes a page of it; freed memory is written to.

    `vm_pageout_flush` soft-busies a page, begins an activity of its object, lets the page go, and then ends
    the activity.  `vm_object_terminate` waits for all activity to end, and then for each page.  An activity
    that begins in between is not waited for any more: as its page is let go the object is freed.
    Repair `termination-waits-again`: wait for activity once more when all pages are gone.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = _inactive_page_of_a_file(vm)

    def owner():
        end_of_file(vp)
        vm_object_deallocate(obj)

    m.spawn(vm_pageout_scan_inactive, vm, 1, name="pagedaemon")
    m.spawn(owner, name="owner")
    m.join()
    no_stale_holds(m, vm)


@scenario(
    cpus=1,
    tags={"object", "clean", "vnode", "pmap", "finding"},
    fixed=True,
    schedule="v1:sync_of_a_partly_valid_page:0:",
)
def sync_of_a_partly_valid_page(m):
    """A buffer of a mapped file could not be written, and a process stores to the page again: a sync panics.

    Discarding a buffer makes its part of a page invalid, and leaves the page mapped: a process that stores
    there makes all of it dirty.  `vm_object_page_clean` writes a page out if some valid part is dirty;
    `vm_pageout_flush` asserts that all of it is valid.
    Repair `flush-zeroes-the-rest`: the invalid parts of the page are zeroed, as for a process that maps it.
    """
    vm = m.boot(pages=16, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    (page,) = idle_pages(vm, obj, [0])
    space = Space(vm, obj, 1)
    write_fault(space, page)

    def both():
        m.check(space.store(0, "one"), "a page that is mapped writeable can be written to")
        vm_page_busy_wait(page, False)
        vm_page_set_invalid(page, 0, DEV_BSIZE)
        vm_page_wakeup(page)
        m.check(space.store(0, "two"), "it stays mapped")
        sync(vp, obj)

    m.spawn(both, name="process")
    m.join()
    space.end()
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=1,
    tags={"object", "reference", "device", "finding"},
    fixed=True,
    schedule="v1:device_is_begun_twice_and_ended_once+repair=device-is-referenced-once:0:",
)
def device_is_begun_twice_and_ended_once(m):
    """A device is mapped twice and unmapped twice, and its driver goes on as if it were still mapped.

    `cdev_pager_allocate` calls the driver's constructor for every mapping, before it looks whether there is
    an object; the destructor is called when the object ends, once.
    Repair `device-is-begun-once`: if the object exists already, the constructor is undone.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    begun = []

    def ctor(*_):
        begun.append(1)
        return 0

    def dtor(*_):
        begun.pop()

    ops = CdevPagerOps(lambda *_: 0, ctor, dtor)
    for obj in [cdev_pager_allocate(vm, "card", 1, ops) for _ in range(2)]:
        vm_object_deallocate(obj)
    m.check(obj.freed, "an object ends with the last mapping")
    m.check(not begun, "what was begun for a mapping is ended with it")


@scenario(
    cpus=2,
    tags={"object", "flush", "io", "pmap", "finding"},
    fixed=True,
    schedule="v1:store_during_a_pageout_is_forgotten:0:1.20>2",
)
def store_during_a_pageout_is_forgotten(m):
    """A process stores to a page of its memory while that is written to swap, and the store is lost.

    As in `store_during_a_sync_is_forgotten`, in another place: the page stays dirty while it is written, so a
    fault that bypasses the object's locks maps it writeable.  The process stores, and the mapping is removed,
    which marks the page dirty: it is so already.  Then the transfer ends, and `swp_pager_async_iodone` marks
    the page clean.  The contents in swap are older.
    Repair `pageout-cleans-before-transfer`: the page is marked clean when it is copied to the device.
    """
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 1)
    (page,) = idle_pages(vm, obj, [0])
    space = Space(vm, obj, 1)
    write_fault(space, page)
    space.remove()

    def process():
        if bypass_write(space, obj, page) and space.store(0, "late"):
            space.remove()

    def pagedaemon():
        if not vm_page_busy_try(page, True):
            vm_pageout_flush([page], 0)

    m.spawn(pagedaemon)
    m.spawn(process)
    m.join()
    swap = obj.peek("swblock_root").get(0)
    if swap is not None and not is_dirty(page):
        m.check(
            vm.pager.contents[swap] == vm.memory.read_pieces(page.phys), "a clean page is as it is in swap"
        )
    space.end()
    vm_object_deallocate(obj)
