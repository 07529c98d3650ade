"""References to objects: of memory, of files that are opened again, of devices found by a handle."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, idle_pages
from vmsmp.vm.vm_object import (
    OBJ_DEAD,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
    vm_object_pip_add,
    vm_object_pip_wakeup,
    vm_object_reference_locked,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import vm_page_lookup_busy_try, vm_page_wakeup
from vmsmp.vm.vm_pager import cdev_pager_allocate, cdev_pager_lookup, vnode_pager_reference
from vmsmp.vm.vnode import VTEXT, vget, vn_lock, vn_unlock, vput, vsetflags
from vmsmp.vm.vnode_reclaim import vclean_vxlocked


@scenario(cpus=4, tags={"object", "reference"})
def references_storm(m):
    """CPUs take and drop references, some with the token and some without; the last one terminates."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 2)
    idle_pages(vm, obj, [0])
    for _ in range(1, m.ncpus):
        vm_object_reference_quick(obj)

    def user():
        for _ in m.rounds(2):
            way = m.choose(3)
            if way == 0:
                vm_object_reference_quick(obj)
            else:
                (vm_object_hold, vm_object_hold_shared)[way - 1](obj)
                vm_object_reference_locked(obj)
                vm_object_drop(obj)
            m.check(not obj.flags.bits(OBJ_DEAD), "an object that is referenced lives")
            vm_object_deallocate(obj)
        vm_object_deallocate(obj)

    for _ in range(m.ncpus):
        m.spawn(user)
    m.join()
    m.check(obj.freed, "the last reference ends it")


@scenario(cpus=3, tags={"object", "reference"})
def two_drop_the_last_two(m):
    """References are dropped two at a time, while shared holders of the token add others."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj = vm_object_allocate(vm, 2)
    for _ in range(m.ncpus - 1):
        vm_object_reference_quick(obj)

    def dropper():
        vm_object_deallocate(obj)

    def adder():
        vm_object_hold_shared(obj)
        vm_object_reference_locked(obj)
        vm_object_drop(obj)
        m.yield_()
        vm_object_deallocate(obj)
        vm_object_deallocate(obj)

    for n in range(m.ncpus):
        m.spawn(adder if n % 3 == 2 else dropper)
    m.join()
    m.check(obj.freed, "the last reference ends it")


@scenario(cpus=3, tags={"object", "reference", "vnode"})
def file_that_comes_back(m):
    """A file is opened, mapped, unmapped and closed while its vnode is reclaimed: it is back, or gone."""
    vm = m.boot(pages=6, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2, range(2))
    vm_object_deallocate(obj)

    def user():
        for _ in m.rounds(2):
            if vget(vp):
                m.check(vp.peek("v_object") is None, "a vnode that was reclaimed has no object")
                return
            mapped = vnode_pager_reference(vp)
            vput(vp)
            m.check(mapped is obj, "a vnode keeps its object as long as it is not reclaimed")
            m.check(not obj.flags.bits(OBJ_DEAD), "an object that is mapped lives")
            vm_object_hold_shared(obj)
            page, busy = vm_page_lookup_busy_try(obj, m.choose(2), True)
            if page is not None and not busy:
                vm_page_wakeup(page)
            vm_object_drop(obj)
            vm_object_deallocate(obj)

    def reclaimer():
        """Reclaim the vnode if it is not mapped, as the kernel does to reuse vnodes."""
        vn_lock(vp)
        if obj.ref_count.load() == 0:
            vclean_vxlocked(vp)
        vn_unlock(vp)

    for n in range(m.ncpus):
        m.spawn(reclaimer if n == 0 else user)
    m.join()
    end_of_file(vp)
    m.check(obj.freed and vp.peek("v_refcnt") == 0, "nothing is left of it")


@scenario(cpus=2, tags={"object", "reference", "vnode"})
def file_of_many_mappings(m):
    """The mappings of a file are dropped at the same time, and one CPU also reclaims its vnode."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    for _ in range(m.ncpus + 1):
        vm_object_reference_quick(obj)  # three for one CPU, one for each other

    def closer():
        for _ in range(3):
            vm_object_deallocate(obj)
        vn_lock(vp)
        if obj.peek("ref_count") == 0:
            vclean_vxlocked(vp)
        vn_unlock(vp)

    for n in range(m.ncpus):
        m.spawn(*(vm_object_deallocate, obj) if n else (closer,))
    m.join()
    end_of_file(vp)
    m.check(obj.freed and vp.peek("v_refcnt") == 0, "nothing is left of it")


@scenario(cpus=3, tags={"object", "reference", "vnode"})
def running_text(m):
    """Programs begin and end that run the same file: it is marked as text as long as one of them does."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    vm_object_deallocate(obj)

    def program():
        vget(vp)
        vm_object_reference_quick(obj)
        vsetflags(vp, VTEXT)
        vput(vp)
        m.yield_()
        vm_object_deallocate(obj)

    for _ in range(m.ncpus):
        m.spawn(program)
    m.join()
    m.check(obj.peek("ref_count") == 0, "every reference was given back")
    m.check(not vp.peek("v_flag") & VTEXT, "the last program takes the mark away")
    m.check(vp.peek("v_refcnt") == 1, "the object's references were the vnode's, too")
    end_of_file(vp)


@scenario(cpus=3, tags={"object", "reference", "device"})
def device_against_last_reference(m):
    """An object is looked up by its handle while its last reference goes, and waits for activity to end."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    obj = cdev_pager_allocate(vm, "disk", 2)
    vm_object_pip_add(obj, 1)

    def user():
        for _ in m.rounds(2):
            found = cdev_pager_lookup(vm, "disk")
            if found is not None:
                m.check(not found.flags.bits(OBJ_DEAD), "an object that was found lives")
                vm_object_deallocate(found)

    def activity():
        while obj.ref_count.load():
            m.pause()
        vm_object_pip_wakeup(obj)

    def terminator():
        vm_object_deallocate(obj)

    if m.ncpus == 1:
        vm_object_pip_wakeup(obj)
    for n in range(m.ncpus):
        m.spawn((terminator, activity, user)[min(n, 2)])
    m.join()
    m.check(obj.freed, "the last reference ends it")
    m.check(cdev_pager_lookup(vm, "disk") is None, "it is not on the list any more")


@scenario(cpus=2, tags={"object", "alloc"})
def listed_objects_are_whole(m):
    """Objects are made and terminated while other CPUs walk the list of all: none is found half made."""
    vm = m.boot(pages=4, l2_size=1, object_hash=1)

    def maker():
        for _ in m.rounds(2):
            vm_object_deallocate(vm_object_allocate(vm, 8))

    def walker():
        """Walk the list as the count of all objects' memory does."""
        for _ in m.rounds(3):
            for bucket in vm.objects.vm_object_hash:
                bucket.token.acquire()
                for obj in [*bucket.list.values()]:
                    m.check(obj.peek("size") > 0, "an object that is listed is whole")
                bucket.token.release()

    for n in range(m.ncpus):
        m.spawn(walker if n else maker)
    m.join()
