"""A thread alone that writes ranges of its map back to their files, and forgets what is in memory of them."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, give_back, mappings
from vmsmp.scenarios.vm_map._ranges import ANON, at, map_at, new_map, touch
from vmsmp.scenarios.vm_map.files import write_to
from vmsmp.vm.vm_kern import kmem_suballoc
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    vm_map_clean,
    vm_map_find,
    vm_map_remove,
)
from vmsmp.vm.vm_object import (
    OBJ_MIGHTBEDIRTY,
    OBJ_NOMSYNC,
    OBJT_PHYS,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import PAGE_SIZE, PG_CLEANCHK, vm_page_flag_set
from vmsmp.vm.vm_pager import dev_pager_alloc


class Screen:
    """A device that shows frames."""

    si_object = None

    def __init__(self, frames):
        self.frames = frames

    def d_mmap(self, offset, _prot):
        return self.frames[offset // PAGE_SIZE]


class File:
    """A file, all of it in memory, and where a map has which of its pages."""

    def __init__(self, map, size, page, pages, offset=0, cow=0):
        self.vp, self.obj = file_object(map.vm, size, range(size))
        self.pages = [self.obj.peek("rb_memq")[n] for n in range(size)]
        vm_object_reference_quick(self.obj)
        map_at(map, page, pages, ANON._replace(object=self.obj, offset=offset * PAGE_SIZE, cow=cow))

    def soil(self, *those):
        """Write to these pages, or to all that are in memory; a scan has met them then.

        Of pages that are beside each other, who is written back takes all others along.
        """
        for page in [self.pages[n] for n in those] or self.obj.peek("rb_memq").values():
            write_to(page)
            vm_page_flag_set(page, PG_CLEANCHK)

    @property
    def dirty(self):
        return [page.peek("pindex") for page in self.obj.peek("rb_memq").values() if page.peek("dirty")]

    @property
    def kept(self):
        """Its pages that are in memory."""
        return [page.peek("pindex") for page in self.obj.peek("rb_memq").values()]

    def counts(self):
        """How often the vnode and the object are referenced."""
        return self.vp.peek("v_refcnt"), self.obj.peek("ref_count")

    def end(self):
        vm_object_deallocate(self.obj)
        end_of_file(self.vp)


@scenario(cpus=1, tags={"map", "clean", "vnode"}, pages=None)
def synced_alone(m):
    """A thread writes ranges of its map back, or forgets what is in memory of them: these, and no others."""
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    space = new_map(vm)

    def clean(page, pages, invalidate=False):
        rv = vm_map_clean(space, at(page), at(page + pages), True, invalidate)
        m.check(not space.lock.holders, "then the map is unlocked")
        return rv

    def refused():
        file = File(space, 4, 3, 4)
        file.soil()
        m.check(clean(0, 1) == KERN_INVALID_ADDRESS, "what is not mapped is not written back")
        m.check(clean(2, 0) == KERN_INVALID_ADDRESS, "not even if that is nothing")
        m.check(clean(1, 4) == KERN_INVALID_ADDRESS, "nor is a range with a hole")
        m.check(clean(6, 2) == KERN_INVALID_ADDRESS, "nor one that ends in a hole")
        map_at(space, 7, 1)
        m.check(clean(3, 6) == KERN_INVALID_ADDRESS, "wherever the hole is")
        kernel = vm.map.kernel_map
        _, start = vm_map_find(kernel, kernel.min_addr, PAGE_SIZE, PAGE_SIZE, True, ANON)
        inner = kmem_suballoc(kernel, PAGE_SIZE)
        rv = vm_map_clean(kernel, start, inner.max_addr, True, False)
        m.check(rv == KERN_INVALID_ARGUMENT, "nor a map inside another one")
        rv = vm_map_clean(kernel, start, inner.min_addr, True, False)
        m.check(rv == KERN_SUCCESS, "what lies before one is")
        vm_map_remove(kernel, start, inner.min_addr)
        m.check(file.dirty == [0, 1, 2, 3], "nor any part of it")
        return [file]

    def written():
        file = File(space, 4, 3, 4)
        counts = file.counts()
        other = File(space, 1, 7, 1)
        other.soil()
        for soiled, left in ((0, 2), [0]), ((1, 3), [3]):
            file.soil(*soiled)
            m.check(clean(4, 2) == KERN_SUCCESS and file.dirty == left, "or a range of it, and no more")
            clean(3, 4)
        file.soil(0, 2)
        clean(4, 2)
        m.check(file.obj.peek("flags") & OBJ_MIGHTBEDIRTY, "the file may be dirty still")
        m.check(clean(3, 4) == KERN_SUCCESS and file.dirty == [], "the whole is written back")
        m.check(not file.obj.peek("flags") & OBJ_MIGHTBEDIRTY, "then the file is not dirty any more")
        file.soil()
        file.obj.flags.setbits(OBJ_NOMSYNC)
        m.check(clean(3, 4) == KERN_SUCCESS and file.dirty == [0, 1, 2, 3], "a file may be left alone")
        file.obj.flags.clearbits(OBJ_NOMSYNC)
        m.check(file.counts() == counts, "nobody else has the file then")
        m.check(other.dirty == [0], "and another file is not written back with it")
        return [file, other]

    def forgotten():
        file = File(space, 4, 3, 4)
        counts = file.counts()
        file.soil()
        m.check(clean(1, 1) == KERN_SUCCESS, "memory that nobody has touched is nowhere")
        for page in (1, 3, 4):
            touch(space, page, VM_PROT_RW)
        m.check(clean(4, 2, True) == KERN_SUCCESS and file.dirty == [], "it is written back first")
        m.check(file.kept == [0, 3], "and then not in memory any more")
        file.soil()
        file.obj.flags.setbits(OBJ_NOMSYNC)
        m.check(clean(3, 4, True) == KERN_SUCCESS and file.kept == [0, 3], "what is dirty is not forgotten")
        m.check(not mappings(file.pages[0]), "but not mapped")
        file.obj.flags.clearbits(OBJ_NOMSYNC)
        m.check(file.counts() == counts, "nobody else has the file then")
        own = space.raw_rb_root.at_or_before(at(1)).ba.raw_object
        page = own.peek("rb_memq")[0]
        m.check(clean(1, 1) == KERN_SUCCESS and mappings(page) == 1, "who writes it back keeps it mapped")
        m.check(clean(1, 1, True) == KERN_SUCCESS, "memory is no file")
        m.check(not mappings(page) and own.peek("rb_memq").get(0) is page, "it is not mapped, and there")
        return [file]

    def copied():
        """Private copies of a file are not written back, but the file behind them is."""
        file = File(space, 4, 8, 4, offset=1, cow=COWF_COPY_ON_WRITE)
        touch(space, 8, VM_PROT_WRITE)
        (shadow, behind) = space.raw_rb_root.at_or_before(at(8)).chain()
        copy = shadow.raw_object.peek("rb_memq")[0]
        write_to(copy)
        for soiled, pages, left in ((0, 2), 1, [0]), ((3,), 1, [0, 3]), ((1,), 3, [0, 1]):
            file.soil(*soiled)
            m.check(clean(9, pages) == KERN_SUCCESS and file.dirty == left, "just that of what is behind")
        m.check(behind.raw_object is file.obj and copy.peek("dirty"), "a copy is nobody else's affair")
        m.check(clean(8, 4, True) == KERN_SUCCESS and file.kept == [0], "and what is behind is forgotten")
        m.check(shadow.raw_object.peek("rb_memq").get(0) is copy, "a copy is not")
        return [file]

    def shorter():
        """A file may be shorter than what is mapped of it: then it is written as a whole."""
        whole = File(space, 2, 12, 3, cow=COWF_COPY_ON_WRITE)
        touch(space, 12, VM_PROT_WRITE)
        whole.soil()
        m.check(clean(12, 3) == KERN_SUCCESS and whole.dirty == [], "it has no more pages")
        m.check(not whole.obj.peek("flags") & OBJ_MIGHTBEDIRTY, "and is clean as a whole")
        return [whole]

    def shown():
        """What a device shows is forgotten; memory that nobody keeps elsewhere is not."""
        screen = Screen([page.phys for page in vm.page.vm_page_array[-2:]])
        device = dev_pager_alloc(vm, screen, 2, VM_PROT_RW)
        map_at(space, 16, 2, ANON._replace(object=device))
        touch(space, 16, VM_PROT_READ)
        kept = vm_object_allocate(vm, 1, objt=OBJT_PHYS)
        map_at(space, 18, 1, ANON._replace(object=kept))
        m.check(clean(16, 3) == KERN_SUCCESS and [*device.peek("rb_memq")] == [0], "a device has its pages")
        refs = device.peek("ref_count")
        m.check(clean(16, 3, True) == KERN_SUCCESS and not device.peek("rb_memq"), "until it is forgotten")
        m.check(device.peek("ref_count") == refs, "and nobody else has it then")
        return []

    def thread():
        map_at(space, 1, 1)
        part = (refused, written, forgotten, copied, shorter, shown)[m.choose(6)]
        files = part()
        give_back(next(one for one in vm.map.vmspaces.pool if one.vm_map is space))
        for file in files:
            file.end()

    m.spawn(thread)
    m.join()
