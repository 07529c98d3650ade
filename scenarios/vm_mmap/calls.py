"""System calls on memory, each by one thread: what is refused, and what the map has afterwards."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, give_back
from vmsmp.scenarios.fork._processes import exits, new_process
from vmsmp.scenarios.vm_fault._alone import at, mapped, page_at
from vmsmp.scenarios.vm_fault._memory import alone
from vmsmp.sync.errno import EINVAL, ENOMEM
from vmsmp.vm.vm_map import (
    MAP_ANON,
    MAP_ENTRY_COW,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_NOCOREDUMP,
    MAP_ENTRY_NOSYNC,
    MAP_FIXED,
    MAP_INHERIT,
    MAP_NOCORE,
    MAP_NOSYNC,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SIZEALIGN,
    MAP_TRYFIXED,
    VM_INHERIT_COPY,
    VM_INHERIT_SHARE,
    VM_MAX_USER_ADDRESS,
    VM_PROT_READ,
    VM_PROT_RW,
)
from vmsmp.vm.vm_mmap import MCL_FUTURE, sys_mincore, sys_mlockall, sys_munlockall, sys_munmap, vm_mmap
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE

SEGMENT = 2 << 20
ANON_FIXED = MAP_ANON | MAP_FIXED


def mmap(process, address, size, flags, handle=None, foff=0, prot=VM_PROT_READ):
    """Map memory that may be read, and may become writeable; return the errno and the address."""
    return vm_mmap(process.map, address, size, prot, VM_PROT_RW, flags, handle, foff)


def mapped_pages(process):
    """The pages from `BASE` on that the entries cover, read invisibly."""
    entries = list(process.map.raw_rb_root)
    return [
        page for page in range(16) if any(one.ba.raw_start <= at(page) < one.ba.raw_end for one in entries)
    ]


@scenario(cpus=1, tags={"map", "mmap"}, pages=None)
def mappings_are_where_they_are_asked_for(m):
    """A process maps memory at an address, near one, or aligned: it is there, or the call is refused."""
    m.boot(pages=16, l2_size=1)

    def user(process):
        m.check(mmap(process, at(0), 0, ANON_FIXED) == (0, at(0)), "nothing can be mapped")
        m.check(not mapped_pages(process), "and is nothing")
        m.check(mmap(process, at(2), PAGE_SIZE + 1, ANON_FIXED) == (0, at(2)), "a range can be chosen")
        m.check(mapped_pages(process) == [2, 3], "it is whole pages")
        m.check(mmap(process, at(2) + 1, PAGE_SIZE, ANON_FIXED)[0] == EINVAL, "it begins with a page")
        m.check(
            mmap(process, at(3), PAGE_SIZE, MAP_ANON | MAP_TRYFIXED)[0] == ENOMEM,
            "what has to be free is not taken",
        )
        m.check(mapped_pages(process) == [2, 3], "and what is refused changes nothing")
        process.load(at(3))
        m.check(mmap(process, at(3), PAGE_SIZE, ANON_FIXED) == (0, at(3)), "unless it is replaced")
        m.check(not mapped(process), "what was there before has gone")
        mmap(process, at(4), PAGE_SIZE, MAP_ANON | MAP_TRYFIXED)
        m.check(mapped_pages(process) == [2, 3, 4], "what is free can be had")
        m.check(mmap(process, at(5) + 1, PAGE_SIZE, MAP_ANON) == (0, at(6)), "a hint is rounded up")
        near = mmap(process, at(1), 2 * PAGE_SIZE, MAP_ANON)
        m.check(near == (0, at(7)), "behind a hint there is room, too")
        m.check(
            mmap(process, at(9), 3 * PAGE_SIZE, MAP_ANON | MAP_SIZEALIGN)[0] == EINVAL,
            "what is aligned to its size is a power of two",
        )
        _, address = mmap(process, at(9), 4 * PAGE_SIZE, MAP_ANON | MAP_SIZEALIGN)
        m.check(address == at(12), "memory can be aligned to its size")
        for size, hint in ((SEGMENT, at(1)), (16 * SEGMENT + PAGE_SIZE, 5 * SEGMENT + 1)):
            error, address = mmap(process, hint, size, MAP_ANON)
            m.check(not error and address % SEGMENT == 0, "what is large begins with a table page")
        _, address = mmap(process, 2 * SEGMENT + PAGE_SIZE, SEGMENT, ANON_FIXED)
        m.check(address == 2 * SEGMENT + PAGE_SIZE, "unless the address is chosen")

    alone(m, user)


@scenario(cpus=1, tags={"map", "mmap", "vnode"}, pages=None)
def mappings_are_of_what_is_asked_for(m):
    """A process maps anonymous memory and a file, each with other flags: the entries are as these say."""
    vm = m.boot(pages=16, l2_size=1)
    vp, obj = file_object(vm, 4)

    def user(process):
        def entry(page, flags, handle=vp, foff=0):
            error, _ = mmap(process, at(page), PAGE_SIZE, flags | MAP_FIXED, handle, foff)
            m.check(not error, "memory can be mapped")
            return process.map.raw_rb_root.at_or_before(at(page))

        def kind(one):
            return one.raw_eflags & (MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY), one.raw_inheritance

        copied = MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY
        plain = entry(0, MAP_ANON | MAP_PRIVATE, None, 2 * PAGE_SIZE)
        m.check((plain.ba.raw_object, plain.ba.raw_offset) == (None, 0), "memory is of no file")
        m.check(kind(plain)[1] == VM_INHERIT_COPY, "a child gets a copy")
        m.check(kind(entry(2, MAP_ANON | MAP_SHARED, None))[1] == VM_INHERIT_SHARE, "unless it is shared")
        m.check(kind(entry(4, MAP_ANON | MAP_INHERIT, None))[1] == VM_INHERIT_SHARE, "or so inherited")
        shared = entry(6, MAP_SHARED, foff=PAGE_SIZE)
        m.check(kind(shared) == (0, VM_INHERIT_SHARE), "a file is shared")
        m.check(
            (shared.ba.raw_object, shared.ba.raw_offset) == (obj, PAGE_SIZE), "from where it is asked for"
        )
        m.check(
            (shared.raw_protection, shared.peek("max_protection")) == (VM_PROT_READ, VM_PROT_RW), "as asked"
        )
        m.check(kind(entry(8, MAP_PRIVATE)) == (copied, VM_INHERIT_COPY), "or copied")
        flags = entry(10, MAP_SHARED | MAP_NOSYNC).raw_eflags
        m.check(flags & MAP_ENTRY_NOSYNC and not flags & MAP_ENTRY_NOCOREDUMP, "the syncer leaves it")
        flags = entry(12, MAP_SHARED | MAP_NOCORE).raw_eflags
        m.check(flags & MAP_ENTRY_NOCOREDUMP and not flags & MAP_ENTRY_NOSYNC, "a core leaves it")
        references = obj.peek("ref_count")
        for page, flags, handle, foff, error in (
            (0, MAP_SHARED | MAP_FIXED, vp, 1, EINVAL),
            (2, MAP_SHARED | MAP_FIXED, None, 0, EINVAL),
            (0, MAP_SHARED | MAP_TRYFIXED, vp, 0, ENOMEM),
        ):
            got, _ = mmap(process, at(page), PAGE_SIZE, flags, handle, foff)
            m.check(got == error, "it is refused")
        m.check(obj.peek("ref_count") == references, "what is refused has no reference")

    alone(m, user)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(cpus=1, tags={"map", "mmap", "limit"}, pages=None)
def maps_are_limited(m):
    """A process maps as much as it may have, and no more; the map of another has no limit for it."""
    vm = m.boot(pages=16, l2_size=1)

    def user(process):
        vm.mycpu().proc.rlim_vmem = 4 * PAGE_SIZE
        m.check(mmap(process, at(0), 3 * PAGE_SIZE, ANON_FIXED)[0] == 0, "what may be had can be mapped")
        m.check(mmap(process, at(4), 2 * PAGE_SIZE, ANON_FIXED)[0] == ENOMEM, "more cannot")
        m.check(mapped_pages(process) == [0, 1, 2], "and is not")
        m.check(mmap(process, at(4), PAGE_SIZE, ANON_FIXED)[0] == 0, "up to the limit it can")
        other = type(process)(vm)
        m.check(mmap(other, at(0), 5 * PAGE_SIZE, ANON_FIXED)[0] == 0, "another's map has none")
        sys_munmap(other.map, at(0), 5 * PAGE_SIZE)
        give_back(other.vmspace)

    alone(m, user)


@scenario(cpus=1, tags={"map", "mmap"}, pages=None)
def ranges_are_unmapped_whole(m):
    """A process unmaps ranges of bytes: whole pages go, or nothing does if not all are mapped."""
    m.boot(pages=16, l2_size=1)

    def user(process):
        mmap(process, at(1), 6 * PAGE_SIZE, ANON_FIXED)
        m.check(sys_munmap(process.map, at(1), 0) == 0, "nothing can be unmapped")
        m.check(mapped_pages(process) == [1, 2, 3, 4, 5, 6], "and stays")
        m.check(sys_munmap(process.map, at(2) + 1, PAGE_SIZE) == 0, "a part of a page is the page")
        m.check(mapped_pages(process) == [1, 4, 5, 6], "at both ends")
        m.check(sys_munmap(process.map, at(3), 2 * PAGE_SIZE) == EINVAL, "a range may begin with no hole")
        m.check(sys_munmap(process.map, at(6), 2 * PAGE_SIZE) == EINVAL, "nor end with one")
        m.check(sys_munmap(process.map, at(1), 4 * PAGE_SIZE) == EINVAL, "nor have one")
        m.check(mapped_pages(process) == [1, 4, 5, 6], "what is refused changes nothing")
        beyond = VM_MAX_USER_ADDRESS - PAGE_SIZE
        m.check(sys_munmap(process.map, beyond, 2 * PAGE_SIZE) == EINVAL, "the kernel's is not a user's")
        m.check(sys_munmap(process.map, at(4), 3 * PAGE_SIZE) == 0, "the rest goes")
        m.check(mapped_pages(process) == [1], "as asked for")

    alone(m, user)


@scenario(cpus=1, tags={"map", "mmap"}, fixed=True, pages=None)
def last_page_of_the_user_s_is_a_page(m):
    """A process maps the last page that it may have: that can be unmapped, what is behind not."""
    vm = m.boot(pages=16, l2_size=1)
    last = VM_MAX_USER_ADDRESS - PAGE_SIZE
    process = new_process(m, vm, 1, VM_MAX_USER_ADDRESS)

    def user():
        process.enter()
        m.check(mmap(process, last, PAGE_SIZE, ANON_FIXED) == (0, last), "the last page can be mapped")
        for size, error in ((PAGE_SIZE, 0), (2 * PAGE_SIZE, EINVAL)):
            m.check(sys_mincore(process.map, last, size, lambda _index, _value: 0) == error, "asked about")
        for size, error in ((2 * PAGE_SIZE, EINVAL), (PAGE_SIZE, 0)):
            m.check(sys_munmap(process.map, last, size) == error, "and unmapped")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(cpus=1, tags={"map", "mmap", "wire"}, pages=None)
def future_memory_is_locked(m):
    """A process has locked what it will map: each mapping is wired as it is made, until that is over."""
    m.boot(pages=16, l2_size=1)

    def user(process):
        m.check(sys_mlockall(process.map, MCL_FUTURE) == 0, "the future can be locked")
        m.check(mmap(process, at(0), 2 * PAGE_SIZE, ANON_FIXED)[0] == 0, "memory can be mapped")
        m.check(mapped(process) == [0, 1], "and is there at once")
        m.check(all(page_at(process, page).peek("wire_count") for page in (0, 1)), "to stay")
        sys_munlockall(process.map)
        m.check(
            not any(page_at(process, page).peek("wire_count") for page in (0, 1)), "as long as it is locked"
        )
        mmap(process, at(2), PAGE_SIZE, ANON_FIXED)
        m.check(mapped(process) == [0, 1], "later memory is not")

    alone(m, user)
