"""Files that processes map, write to and write back, and devices that give memory of the kernel."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, give_back
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_device, new_space
from vmsmp.sync.thread import TDF_DEADLKTREAT, curthread
from vmsmp.vm.vm_map import (
    KERN_INVALID_ADDRESS,
    KERN_SUCCESS,
    UKSMAPOP_ADD,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    VM_SUBSYS_MMAP,
    Mapping,
    vm_map_clean,
    vm_map_find,
    vm_map_lookup,
    vm_map_lookup_done,
    vm_map_protect,
    vm_map_remove,
)
from vmsmp.vm.vm_object import (
    vm_object_deallocate,
    vm_object_reference_quick,
    vm_object_set_writeable_dirty,
)
from vmsmp.vm.vm_page import PAGE_SIZE, vm_page_busy_wait, vm_page_dirty, vm_page_wakeup
from vmsmp.vm.vnode import vn_lock, vn_unlock


def map_file(m, map, obj, at, pages):
    """Map a file shared, so that all processes that map it see what is written."""
    vm_object_reference_quick(obj)
    what = Mapping(object=obj, prot=VM_PROT_RW, max=VM_PROT_ALL, id=VM_SUBSYS_MMAP)
    rv, _ = vm_map_find(map, at, pages * PAGE_SIZE, PAGE_SIZE, False, what)
    m.check(rv == KERN_SUCCESS, "a range that is free can be mapped")


def write_to(page):
    """Write to a page of a file as a system call does."""
    vm_page_busy_wait(page, True)
    vm_object_set_writeable_dirty(page.object)
    vm_page_dirty(page)
    vm_page_wakeup(page)


@scenario(cpus=3, tags={"map", "clean", "vnode"})
def msync_among_changes(m):
    """A mapped file is written back while others write to it, change its rights and unmap parts of it."""
    vm = m.boot(pages=12, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 3, range(3))
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_file(m, map, obj, BASE, 3)
    pages = [obj.peek("rb_memq")[n] for n in range(3)]
    for page in pages:
        write_to(page)

    def syncer():
        for _ in m.rounds(2):
            answer = vm_map_clean(map, BASE, BASE + 3 * PAGE_SIZE, bool(m.choose(2)), False)
            m.check(answer in (KERN_SUCCESS, KERN_INVALID_ADDRESS), "a range is written back, or has a hole")

    def changer():
        for _ in m.rounds(2):
            at = BASE + m.choose(3) * PAGE_SIZE
            deed = m.choose(3)
            if deed == 0:
                vm_map_protect(map, at, at + PAGE_SIZE, (VM_PROT_READ, VM_PROT_RW)[m.choose(2)], False)
            elif deed == 1:
                vm_map_remove(map, at, at + PAGE_SIZE)
            else:
                write_to(pages[m.choose(3)])

    for n in range(m.ncpus):
        m.spawn(changer if n == 1 else syncer)
    m.join()
    give_back(vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(cpus=3, tags={"map", "clean", "vnode", "order"})
def msync_against_write(m):
    """A file is written back while a process writes to it from memory of the same map; a third one maps."""
    vm = m.boot(pages=12, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_file(m, map, obj, BASE, 1)
    write_to(obj.peek("rb_memq")[0])

    def syncer():
        vm_map_clean(map, BASE, BASE + PAGE_SIZE, True, False)

    def writer():
        for _ in m.rounds(2):
            vn_lock(vp)
            td = curthread(m)
            td.td_flags |= TDF_DEADLKTREAT  # what it writes comes from the process
            found = vm_map_lookup(map, BASE, VM_PROT_READ)
            m.check(found.rv == KERN_SUCCESS, "what is mapped is found")
            vm_map_lookup_done(found.map, found.entry, None)
            td.td_flags &= ~TDF_DEADLKTREAT
            vn_unlock(vp)

    def mapper(n):
        for _ in m.rounds(2):
            map_anon(m, map, BASE + 8 * n * PAGE_SIZE, 1)
            vm_map_remove(map, BASE + 8 * n * PAGE_SIZE, BASE + (8 * n + 1) * PAGE_SIZE)

    for n in range(m.ncpus):
        m.spawn(*((syncer,), (writer,))[n]) if n < 2 else m.spawn(mapper, n)
    m.join()
    give_back(vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


class Upmap:
    """/dev/upmap: a page that the kernel shares with a process, and how often it is mapped."""

    minor = 5

    def __init__(self, m):
        self.mapped = m.atomic(0, name="mapped")

    def uksmap(self, ba, op, dev, _fake):
        """The device's function: a backing of it comes or goes."""
        if dev is not self or ba.aux_info is None:
            return 22  # EINVAL
        self.mapped.fetchadd(1 if op == UKSMAPOP_ADD else -1)
        return 0


@scenario(cpus=3, tags={"map", "device"})
def devices_that_come_and_go(m):
    """Threads map a device's memory, read it, and unmap it as a whole: the device counts its mappings."""
    vm = m.boot(pages=8, l2_size=1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    upmap = Upmap(m)

    def thread(n):
        at = BASE + 4 * n * PAGE_SIZE
        for _ in m.rounds(2):
            map_device(m, map, upmap, upmap.uksmap, at, 2)
            found = vm_map_lookup(map, at + PAGE_SIZE, VM_PROT_WRITE)
            m.check(found.rv == KERN_SUCCESS and found.ba is None, "a device has no objects")
            vm_map_lookup_done(found.map, found.entry, None)
            m.check(upmap.mapped.load() >= 1, "the device knows who maps it")
            vm_map_remove(map, at, at + 2 * PAGE_SIZE)

    for n in range(m.ncpus):
        m.spawn(thread, n)
    m.join()
    m.check(upmap.mapped.load() == 0, "nobody maps it any more")
    give_back(vmspace)
