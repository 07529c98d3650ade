"""Findings in how the kernel forgets pages: the model does what vm_object.c does, step for step."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied, end_of_file, file_object, forget_file, give_back, sync
from vmsmp.scenarios.vm_fault._memory import Process, filled, object_at, page_out
from vmsmp.scenarios.vm_fault.sharing import map_shared
from vmsmp.scenarios.vm_map._spaces import BASE, map_private, shared_file
from vmsmp.vm.vm_map import MADV_FREE, vm_map_clean, vm_map_madvise, vm_map_user_wiring
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE, vm_page_need_commit, vm_page_unwire, vm_page_wire
from vmsmp.vm.vm_pager import vnode_pager_setsize
from vmsmp.vm.vnode import vn_lock, vn_unlock


@scenario(
    cpus=1,
    tags={"map", "fault", "vnode", "wire", "finding"},
    fixed=True,
    schedule="v1:invalidation_strands_wirings:0:",
)
def invalidation_strands_wirings(m):
    """A process invalidates a file that another one has locked: the page stays wired for ever.

    msync with MS_INVALIDATE has `vm_object_page_remove` remove the file's pages.  A wired page stays, but all
    its mappings are removed: once for all addresses that the object's backings map (for pages that are in no
    object), and once more for the page.  Among them is the wired mapping.  To unlock the page,
    `vm_fault_unwire` looks for it through that mapping, finds none, and goes on: the map's entry counts no
    wiring any more, but the page does.  It is never reused, not even when the file is gone.
    Repair `invalidation-leaves-wired-pages`: if only clean pages are to be removed, a wired page stays
    mapped.
    """
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    locker, other = Process(vm), Process(vm)
    for process in (locker, other):
        map_shared(m, process, obj, 1)

    def both():
        locker.enter()
        vm_map_user_wiring(locker.map, BASE, BASE + PAGE_SIZE, False)
        vm_map_clean(other.map, BASE, BASE + PAGE_SIZE, True, True)
        vm_map_user_wiring(locker.map, BASE, BASE + PAGE_SIZE, True)
        wired = [page for page in obj.raw_rb_memq.values() if page.peek("wire_count")]
        m.check(not wired, "a page that nobody has locked is not wired")

    m.spawn(both)
    m.join()
    for process in (locker, other):
        give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=1,
    tags={"map", "fault", "madvise", "cow", "finding"},
    fixed=True,
    schedule="v1:advice_shows_an_older_page:0:",
)
def advice_shows_an_older_page(m):
    """A process discards memory with MADV_FREE, and finds there the contents from before a fork.

    MADV_FREE marks the page in the first object clean, so that it can be freed without being written out.  If
    the memory is a copy, an object behind has the page that was copied: the next fault finds that one,
    neither what was stored last nor zeros, though the process has overwritten it long ago.
    Repair `advice-spares-copies`: memory with an object behind it is left as it is.
    """
    vm = m.boot(pages=24, l2_size=1)
    before = shared_file(vm, 1)
    filled(vm, before, ["before"])
    process = Process(vm)
    map_private(m, process.map, before, BASE, 1)

    def user():
        process.enter().store(BASE, "last")
        vm_map_madvise(process.map, BASE, BASE + PAGE_SIZE, MADV_FREE)
        page_out(object_at(process.map, BASE), 0)
        m.check(process.load(BASE) in ("last", 0), "memory of no use is as it was left, or zeros")

    m.spawn(user, name="user")
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(before)


@scenario(
    cpus=1,
    tags={"object", "clean", "vnode", "wire", "finding"},
    fixed=True,
    schedule="v1:cut_page_is_to_be_committed:0:",
)
def cut_page_is_to_be_committed(m):
    """A file in memory (tmpfs) is cut before a page that is locked, and is removed: the kernel panics.

    The pages of such a file are to be committed before they go (PG_NEED_COMMIT).  `vm_object_page_remove`
    makes a wired page invalid, and leaves that to be done.  `vm_object_page_clean`, as part of a sync or of
    the end of the file, asserts that nothing is to be done with an invalid page.  The pagedaemon does not
    free the page when it is unlocked, for the same reason: it launders it, and asserts that it is valid.
    Repair `nothing-is-committed-of-invalid-pages`: what is invalid need not be committed.
    """
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    page = obj.peek("rb_memq")[0]
    busied(page, vm_page_need_commit)
    busied(page, vm_page_wire)

    def user():
        vn_lock(vp)
        vnode_pager_setsize(vp, 0)
        vn_unlock(vp)
        sync(vp, obj)

    m.spawn(user)
    m.join()
    busied(page, vm_page_unwire, False)
    forget_file(vp, obj)
