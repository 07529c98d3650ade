"""Threads that lock the vnode of a file that they map, while it goes."""

from vmsmp import scenario
from vmsmp.scenarios._kit import file_object, give_back
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_private, new_space, write_page
from vmsmp.scenarios.vm_map.files import map_file
from vmsmp.vm.vm_map import (
    VM_PROT_RW,
    VM_PROT_WRITE,
    vm_map_entry_shadow,
    vm_map_lock,
    vm_map_lock_read,
    vm_map_protect,
    vm_map_unlock,
)
from vmsmp.vm.vm_object import (
    OBJT_VNODE,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vm_pager import vnode_pager_lock
from vmsmp.vm.vnode import VRECLAIMED, vclrflags, vn_lock, vn_unlock, vput
from vmsmp.vm.vnode_reclaim import vclean_vxlocked


def _put_in_front(space, address):
    """Put one more copy in front of an entry's."""
    entry = space.raw_rb_root.at_or_before(address)
    copy = entry.ba.raw_object
    vm_object_reference_quick(copy)
    vm_map_lock(space)
    vm_map_entry_shadow(entry)
    vm_map_unlock(space)
    vm_object_deallocate(copy)


@scenario(cpus=3, tags={"object", "vnode", "reference"}, pages=None)
def vnodes_locked_and_reclaimed(m):
    """Threads lock the vnode of a file that they map, while it is taken from the file: its own or none.

    One maps the file itself, the other has copies in front of it.  Whoever revokes a file lets its vnode live
    on, so that it can be had, and is not the file's any more.
    """
    vm = m.boot(pages=14, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2)
    vmspace = new_space(vm)
    space = vmspace.vm_map
    map_file(m, space, obj, BASE, 1)
    map_private(m, space, obj, BASE + 4 * PAGE_SIZE, 1)
    write_page(space, BASE + 4 * PAGE_SIZE, VM_PROT_WRITE)
    _put_in_front(space, BASE + 4 * PAGE_SIZE)
    map_anon(m, space, BASE + 8 * PAGE_SIZE, 1)
    vm_map_lock_read(space)
    nothing, (mine,) = None, space.raw_rb_root.at_or_before(BASE + 8 * PAGE_SIZE).chain()
    told = vnode_pager_lock(nothing), vnode_pager_lock(mine)
    m.check(told == (None, None), "what is in no file has no vnode")
    vn_lock(vp)
    m.check(vnode_pager_lock(space.raw_rb_root.first().ba) is vp, "who writes to a file may map it, too")
    vput(vp)
    vn_unlock(vp)
    vm_map_unlock(space)

    def user(page):
        for _ in m.rounds(2):
            vm_map_lock_read(space)
            ba = space.raw_rb_root.at_or_before(BASE + page * PAGE_SIZE).ba
            first = ba.object
            vm_object_hold(first)
            locked = vnode_pager_lock(ba)
            if locked is None:
                m.check(obj.peek("type") != OBJT_VNODE, "a file has a vnode")
            else:
                m.check(locked is vp and obj.peek("handle") is vp, "the vnode that is locked is the file's")
                vput(locked)
            m.check(not any(cpu is m.curcpu for cpu, _ in vp.v_lock.holders), "then it is not locked")
            vm_object_drop(first)
            vm_map_unlock(space)
            vm_map_protect(space, BASE, BASE + PAGE_SIZE, VM_PROT_RW, False)  # looks for the vnode as well

    def owner():
        vn_lock(vp)
        vclean_vxlocked(vp)
        if m.choose(2):
            vclrflags(vp, VRECLAIMED)
        vput(vp)

    for n in range(m.ncpus):
        m.spawn(*((user, 4 * (n % 2)) if n else (owner,)))
    m.join()
    give_back(vmspace)
    vm_object_deallocate(obj)
