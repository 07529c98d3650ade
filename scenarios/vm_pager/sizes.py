"""One CPU and files that get longer and shorter: pages and mappings behind the end go, and no others."""

from vmsmp import scenario
from vmsmp.scenarios._kit import file_object, forget_file, give_back, mappings
from vmsmp.scenarios.vm_fault._alone import at
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_map.files import map_file
from vmsmp.vm.vm_page import PAGE_SIZE, VM_PAGE_BITS_ALL, vm_page_busy_wait, vm_page_wakeup
from vmsmp.vm.vm_pager import nvnode_pager_setsize, vnode_pager_setsize
from vmsmp.vm.vnode import getnewvnode, vn_lock, vn_unlock, vrele


class _File:
    """A file with that many pages in memory."""

    def __init__(self, m, pages):
        self.m = m
        self.vp, self.obj = file_object(m.vm, pages, range(pages))

    def used(self, pages):
        """Return a process that has mapped all of it, and has used the first pages."""
        process = Process(self.m.vm).enter()
        map_file(self.m, process.map, self.obj, at(0), self.obj.peek("size"))
        for pindex in range(pages):
            process.load(at(pindex))
        return process

    def page(self, pindex):
        return self.obj.peek("rb_memq")[pindex]

    def mapped(self):
        """Which of its pages the process has mapped."""
        return [pindex for pindex, page in sorted(self.obj.peek("rb_memq").items()) if mappings(page)]

    def fill(self, pindex, *, valid=VM_PAGE_BITS_ALL, dirty=0):
        """Write to all of a page, of which that is valid and dirty then; return the page."""
        page = self.page(pindex)
        vm_page_busy_wait(page, True)
        self.m.vm.memory.write_pieces(page.phys, dict.fromkeys(range(8), "x"))
        page.publish("valid", valid)
        page.publish("dirty", dirty)
        vm_page_wakeup(page)
        return page

    def zeroed(self, page):
        """Which pieces of a page that was filled are zero now."""
        return [n for n in range(8) if self.m.vm.memory.read_pieces(page.phys).get(n, 0) != "x"]

    def has(self, length, size, pages):
        """Check the length of the file, the size of its object, and how many pages are left."""
        self.m.check(self.vp.peek("v_filesize") == length, "a file has the length that it was given")
        self.m.check(self.obj.peek("size") == size, "its object has as many pages as that needs")
        left = sorted(self.obj.peek("rb_memq"))
        self.m.check(left == list(range(pages)), "pages behind the end are gone, and no others")

    def end(self):
        """Forget it; it is in no process any more."""
        forget_file(self.vp, self.obj)


def _resize(setsize, vp, *size):
    """Give a file a size, as who writes to it or cuts it does."""
    vn_lock(vp)
    setsize(vp, *size)
    vn_unlock(vp)


def _without_object(m, setsize, *size):
    """Give a file that nobody has used a size."""
    vp = getnewvnode(m.vm, "bare")
    before = vp.peek("v_filesize")
    _resize(setsize, vp, *size)
    m.check(vp.peek("v_filesize") == before, "who has no object has nothing that could change")
    vrele(vp)


@scenario(cpus=1, tags={"object", "vnode"}, pages=None)
def file_cut_and_grown(m):
    """A file that a process maps gets other sizes: pages behind the end are gone, in memory and in tables."""
    vm = m.boot(pages=16, l2_size=1, object_hash=1)
    vm.sysctl["vm.prefault_pages"] = 0

    def user():
        file = _File(m, 4)
        process = file.used(4)
        for length, left in ((4, 4), (6, 4), (3, 3), (4, 3)):
            _resize(vnode_pager_setsize, file.vp, length * PAGE_SIZE)
            file.has(length * PAGE_SIZE, length, left)
            m.check(file.mapped() == list(range(left)), "what is left stays mapped")
        _resize(vnode_pager_setsize, file.vp, 2 * PAGE_SIZE + 1)
        file.has(2 * PAGE_SIZE + 1, 3, 3)
        m.check(file.mapped() == [0, 1], "the last page is not mapped while it is made zero")
        m.check(process.load(at(2)) == 0, "it can be used again")
        _resize(vnode_pager_setsize, file.vp, 2 * PAGE_SIZE + 2)
        file.has(2 * PAGE_SIZE + 2, 3, 3)
        m.check(file.mapped() == [0, 1, 2], "who becomes longer within a page loses none")
        m.check(process.load(at(3)) is None, "what is behind it cannot")
        _resize(vnode_pager_setsize, file.vp, 0)
        file.has(0, 0, 0)
        give_back(process.vmspace)
        file.end()

    m.spawn(user)
    m.join()


@scenario(cpus=1, tags={"object", "vnode"}, pages=None)
def file_ends_within_a_page(m):
    """A file is cut within its last page: what is behind the end there is zero, and dirty with the rest."""
    m.boot(pages=8, l2_size=1, object_hash=1)
    whole = VM_PAGE_BITS_ALL

    def user():
        for length, valid, dirty, left, zero in (
            (1024, whole, 0, 0, range(2, 8)),
            (1025, whole, 1, whole, range(3, 8)),
            (1024, whole, 1 << 7, 0, range(2, 8)),
            (1024, 0, 1, 1, ()),
        ):
            file = _File(m, 1)
            page = file.fill(0, valid=valid, dirty=dirty)
            _resize(vnode_pager_setsize, file.vp, length)
            file.has(length, 1, 1)
            m.check(file.zeroed(page) == list(zero), "what is behind the end is zero, if it is known at all")
            m.check(page.peek("dirty") == left, "all of the page is dirty if something before the end is")
            m.check(not page.peek("busy_count"), "nobody has the page any more")
            file.end()
        file = _File(m, 1)
        _resize(vnode_pager_setsize, file.vp, 3 * PAGE_SIZE)
        _resize(vnode_pager_setsize, file.vp, PAGE_SIZE + 7)
        file.has(PAGE_SIZE + 7, 2, 1)
        file.end()
        _without_object(m, vnode_pager_setsize, 1)

    m.spawn(user)
    m.join()


@scenario(cpus=1, tags={"object", "vnode"}, pages=None)
def file_of_buffers_cut_and_grown(m):
    """A file of two-page buffers gets other sizes: pages of its last buffer stay, and are mapped no more."""
    vm = m.boot(pages=16, l2_size=1, object_hash=1)
    vm.sysctl["vm.prefault_pages"] = 0
    buffer = 2 * PAGE_SIZE

    def user():
        file = _File(m, 4)
        process = file.used(4)
        for length, size, left, mapped in (
            (4 * PAGE_SIZE, 4, 4, 4),
            (5 * PAGE_SIZE, 6, 4, 4),
            (2 * PAGE_SIZE + 1, 4, 4, 3),
            (2 * PAGE_SIZE, 2, 2, 2),
            (3 * PAGE_SIZE, 4, 2, 2),
            (2 * PAGE_SIZE - 1, 2, 2, 2),
        ):
            _resize(nvnode_pager_setsize, file.vp, length, buffer)
            file.has(length, size, left)
            m.check(file.mapped() == list(range(mapped)), "what is behind the end is not mapped")
        page = file.fill(0, dirty=1)
        _resize(nvnode_pager_setsize, file.vp, 1, buffer)
        file.has(1, 2, 2)
        m.check(file.mapped() == [0], "the page with the end stays mapped")
        m.check((file.zeroed(page), page.peek("dirty")) == ([], 1), "and has what it had")
        m.check(not any(file.page(n).peek("busy_count") for n in range(2)), "nobody has the pages any more")
        process.load(at(1))
        _resize(nvnode_pager_setsize, file.vp, 2, buffer)
        file.has(2, 2, 2)
        m.check(file.mapped() == [0, 1], "who becomes longer within a buffer loses none")
        give_back(process.vmspace)
        _resize(nvnode_pager_setsize, file.vp, 0, buffer)
        file.has(0, 0, 0)
        _resize(nvnode_pager_setsize, file.vp, 3 * PAGE_SIZE, buffer)
        _resize(nvnode_pager_setsize, file.vp, 1, buffer)
        file.has(1, 2, 0)
        file.end()
        _without_object(m, nvnode_pager_setsize, 1, buffer)

    m.spawn(user)
    m.join()
