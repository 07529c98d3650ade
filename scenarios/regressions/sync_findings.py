"""Findings where files are synced: the model does what vm_object.c, vm_pageout.c and vnode_pager.c do."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied, file_object, forget_file, idle_pages, sync
from vmsmp.scenarios.vm_map.files import write_to
from vmsmp.vm.vm_object import (
    OBJ_MIGHTBEDIRTY,
    OBJPC_NOSYNC,
)
from vmsmp.vm.vm_page import PG_NOSYNC, vm_page_dirty, vm_page_flag_set, vm_page_set_validdirty
from vmsmp.vm.vnode import VOBJDIRTY


@scenario(
    cpus=1,
    tags={"object", "clean", "vnode", "finding"},
    fixed=True,
    schedule="v1:failed_sync_is_not_tried_again:0:",
)
def failed_sync_is_not_tried_again(m):
    """A file cannot be written back because its device fails; it is synced again, and nothing is written.

    `vm_object_page_clean` clears the flag that pages of the object may be dirty (OBJ_MIGHTBEDIRTY) before it
    writes them.  A page that could not be written stays dirty, but the flag stays clear, and without it no
    later sync looks at the pages, nor does the termination of the object, which frees them.
    Repair `failed-write-is-remembered`: the object of a page that could not be written may be dirty.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, [0])
    page = obj.peek("rb_memq")[0]
    write_to(page)

    def user():
        vm.pager.device.failing = True
        sync(vp, obj)
        m.check(page.peek("dirty"), "what could not be written is dirty")
        vm.pager.device.failing = False
        sync(vp, obj)
        m.check(not page.peek("dirty"), "what was synced is not dirty any more")

    m.spawn(user)
    m.join()
    forget_file(vp, obj)


@scenario(
    cpus=1,
    tags={"object", "clean", "vnode", "finding"},
    fixed=True,
    schedule="v1:end_of_a_huge_file_is_thrown_away:0:",
)
def end_of_a_huge_file_is_thrown_away(m):
    """A page behind the first 8 TB of a file is synced: it is marked clean, and was not written.

    `vnode_pager_generic_putpages` refuses pages whose index is negative.  It casts the index to an int, so
    that every second 8 TB of a file look negative.  What a pager calls bad is marked clean.
    Repair `index-has-its-length`: ask for the sign in 64 bits.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    index = (8 << 40) >> 12
    vp, obj = file_object(vm, index + 1, [index])
    page = obj.peek("rb_memq")[index]
    write_to(page)

    def user():
        sync(vp, obj)
        m.check(page.peek("dirty") or index in vp.contents, "what is clean has been written")

    m.spawn(user)
    m.join()
    forget_file(vp, obj)


@scenario(
    cpus=1,
    tags={"object", "clean", "vnode", "finding"},
    fixed=True,
    schedule="v1:sync_writes_what_it_is_to_leave:0:",
)
def sync_writes_what_it_is_to_leave(m):
    """The syncer writes a page back that is not to be synced (MAP_NOSYNC), since the one before is dirty.

    It leaves such pages alone where it meets them.  But a page that it writes takes its dirty neighbours
    along (`vm_object_page_collect_flush`), and they are asked for everything but that.
    Repair `sync-marks-what-it-writes`: what is to be left is not marked, and so is no neighbour.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2)
    first, second = idle_pages(vm, obj, range(2))
    busied(second, vm_page_flag_set, PG_NOSYNC)
    for page in (first, second):
        write_to(page)

    def syncer():
        sync(vp, obj, OBJPC_NOSYNC)
        m.check(not first.peek("dirty"), "what is to be synced is written")
        m.check(second.peek("dirty"), "what is not to be synced is not written")

    m.spawn(syncer)
    m.join()
    forget_file(vp, obj)


@scenario(
    cpus=2,
    tags={"object", "clean", "vnode", "finding"},
    fixed=True,
    schedule="v1:syncer_forgets_a_file:0:1.2>2,2.13>1",
)
def syncer_forgets_a_file(m):
    """The pagedaemon finds a page dirty while its file is synced, and the syncer forgets the file.

    `vm_object_page_clean` says first of the object and then of the vnode that nothing is dirty.  The
    pagedaemon, which does not have the vnode locked yet, marks all of a page dirty of which a part is.  In
    between it says of the object that it may be dirty, and finds that the vnode says so still.  The syncer
    looks for vnodes that do.
    Repair `sync-tells-the-vnode-first`: say it of the vnode, and then of the object.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, [0])
    page = obj.peek("rb_memq")[0]
    busied(page, vm_page_set_validdirty, 0, 512)
    m.spawn(busied, page, vm_page_dirty, name="pagedaemon")
    m.spawn(sync, vp, obj)
    m.join()

    def syncer():
        dirty = obj.flags.bits(OBJ_MIGHTBEDIRTY)
        m.check(not dirty or vp.v_flag.load() & VOBJDIRTY, "the vnode of an object that may be dirty says so")

    m.spawn(syncer)
    m.join()
    forget_file(vp, obj)
