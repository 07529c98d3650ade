"""Findings in the system calls on memory: the model does what vm_mmap.c and vm_unix.c do, step for step."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, give_back, run_in
from vmsmp.scenarios.fork._processes import at, exits, fork, new_process, write
from vmsmp.scenarios.vm_map._spaces import BASE
from vmsmp.sync.errno import EINVAL
from vmsmp.vm.vm_map import (
    ADDRESS_MASK,
    MAP_ANON,
    MAP_ENTRY_NEEDS_COPY,
    MAP_FIXED,
    MAP_SHARED,
    VM_INHERIT_NONE,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_RW,
    vm_map_protect,
)
from vmsmp.vm.vm_mmap import (
    MCL_FUTURE,
    sys_mincore,
    sys_minherit,
    sys_mlock,
    sys_mlockall,
    sys_munlock,
    sys_munlockall,
    sys_munmap,
    vm_mmap,
)
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vm_unix import sys_obreak, sys_sbrk


def mmap(map, address, pages, flags, prot=VM_PROT_RW, handle=None):
    """Map memory as a system call does; return the errno and the address."""
    return vm_mmap(map, address, pages * PAGE_SIZE, prot, VM_PROT_ALL, flags, handle)


def change(process):
    """Protect a page, as any thread may: a thread that wants the map waits, and loses its tokens."""
    vm_map_protect(process.map, at(0), at(1), VM_PROT_READ, False)


def incore(map, page, pages):
    """What mincore stores, by index."""
    vector = {}

    def subyte(index, value):
        vector[index] = value
        return 0

    sys_mincore(map, at(page), pages * PAGE_SIZE, subyte)
    return vector


@scenario(
    cpus=1, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:mincore_writes_before_its_vector:0:"
)
def mincore_writes_before_its_vector(m):
    """A process calls mincore for a range that begins with a hole, and a byte before its vector is lost.

    sys_mincore zeroes the bytes of pages that it has skipped.  It stores to the index of the last page that
    it has reported, and increments it then: one too low.  Before the first page that is the byte before the
    vector, and the byte of the last page of the hole is not written.
    Repair `mincore-counts-first`: increment first.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 2)

    def user():
        process.enter()
        sys_munmap(process.map, at(0), PAGE_SIZE)
        vector = incore(process.map, 0, 2)
        m.check(min(vector) == 0, "nothing is stored but in the vector")
        m.check(len(vector) == 2, "each page of a range has a byte")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(
    cpus=2,
    tags={"map", "mmap", "fault", "finding"},
    fixed=True,
    schedule="v1:mincore_forgets_what_it_said:36:1.21>2",
)
def mincore_forgets_what_it_said(m):
    """A process calls mincore while another thread changes its map, and is told that nothing is in memory.

    sys_mincore unlocks the map to store each byte.  If the map has changed, it looks its place up again and
    continues there, but as if it had reported no page yet: it zeroes the bytes that it has stored.
    Repair `mincore-knows-where-it-was`: pages before its place have been reported.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 2)
    for page in range(2):
        write(process, page, 1)
    give_up = process.vmspace

    def user():
        run_in(vm, give_up)
        vector = incore(process.map, 0, 2)
        m.check(vector[0] and vector[1], "what is in memory is said to be there")

    m.spawn(user)
    m.spawn(
        vm_map_protect, process.map, BASE - 2 * PAGE_SIZE, BASE - PAGE_SIZE, VM_PROT_RW, False, name="changer"
    )
    m.join()
    exits(process)


@scenario(
    cpus=1, tags={"map", "mmap", "fork", "finding"}, fixed=True, schedule="v1:mincore_sees_one_object:0:"
)
def mincore_sees_one_object(m):
    """A child calls mincore for memory that it shares with its parent, and is told that nothing is in memory.

    For a page that is not mapped yet sys_mincore looks in the entry's first object.  The child has written to
    another page of the range, so that object is its own, and the shared one is behind it.
    Repair `mincore-looks-behind`: look in all objects of the chain.
    """
    vm = m.boot(pages=32, l2_size=1)
    parent = new_process(m, vm, 2)
    for page in range(2):
        write(parent, page, 1)
    child = fork(parent)

    def user():
        write(child, 0, 2)
        vector = incore(child.map, 1, 1)
        m.check(vector[0], "what is in memory is said to be there")

    m.spawn(user)
    m.join()
    exits(child)
    exits(parent)


@scenario(
    cpus=3,
    tags={"map", "mmap", "finding"},
    fixed=True,
    schedule="v1:heap_grows_for_one_of_two:0:1.6>3,3.17>2",
)
def heap_grows_for_one_of_two(m):
    """Two threads extend the heap, and one of them is told that there is no memory.

    sys_sbrk reads the end of the heap, maps pages there, and stores the new end.  It holds the map's token
    throughout, but loses it when it waits for the map, and both threads may map the same addresses.
    Repair `sbrk-notes-first`: store the new end before any wait.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 1)
    process.vmspace.vm_daddr = at(8)

    def thread():
        run_in(vm, process.vmspace)
        error, _ = sys_sbrk(process.vmspace, PAGE_SIZE)
        m.check(not error, "a heap grows while there is room behind it")

    for _ in range(2):
        m.spawn(thread)
    m.spawn(change, process, name="changer")
    m.join()
    exits(process)


@scenario(
    cpus=3,
    tags={"map", "mmap", "finding"},
    fixed=True,
    schedule="v1:break_is_set_for_one_of_two:0:1.12>3,3.17>2",
)
def break_is_set_for_one_of_two(m):
    """Two threads set the end of the heap to one address, and one of them is told that there is no memory.

    sys_obreak maps the range between the old end and the new one, and then stores the new one.  As in
    sys_sbrk the map's token may be lost meanwhile, and both threads may map the same addresses.
    Repair `break-is-noted-first`: store the new end before any wait.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 1)
    process.vmspace.vm_daddr = at(8)

    def thread():
        run_in(vm, process.vmspace)
        m.check(not sys_obreak(process.vmspace, at(9)), "a heap may end where it ends")

    for _ in range(2):
        m.spawn(thread)
    m.spawn(change, process, name="changer")
    m.join()
    m.check(process.vmspace.vm_dsize == PAGE_SIZE, "what is mapped is counted once")
    exits(process)


@scenario(
    cpus=1, tags={"map", "mmap", "wire", "finding"}, fixed=True, schedule="v1:heap_is_wired_within_a_page:0:"
)
def heap_is_wired_within_a_page(m):
    """A process that locks its future memory extends its heap twice, and an entry begins within a page.

    sys_sbrk maps new pages from the next page on, but wires from the old end of the heap: that need not be
    the beginning of a page, and the entry there is cut at that byte.
    Repair `sbrk-wires-what-it-maps`: wire the range that was mapped.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1)
    process.vmspace.vm_daddr = at(8)

    def user():
        process.enter()
        sys_mlockall(process.map, MCL_FUTURE)
        for size in (100, 2 * PAGE_SIZE):
            sys_sbrk(process.vmspace, size)

    m.spawn(user)
    m.join()
    exits(process)


@scenario(
    cpus=3,
    tags={"map", "mmap", "finding"},
    fixed=True,
    schedule="v1:fixed_mapping_loses_its_place:1:1.9>2,2.6>3,3.17>1,1.20>2",
)
def fixed_mapping_loses_its_place(m):
    """A thread replaces a mapping, another maps something anywhere, and the first one fails, with a hole.

    With MAP_FIXED `vm_mmap` unmaps the range, and then maps in another section of the map's lock.  In between
    the addresses are free, and another thread that looks for room may get them.
    Repair `mmap-replaces-at-once`: unmap and map in one section.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 1)

    def replacer():
        run_in(vm, process.vmspace)
        error, _ = mmap(process.map, at(0), 1, MAP_ANON | MAP_FIXED)
        m.check(not error, "a mapping can be replaced")

    def other():
        run_in(vm, process.vmspace)
        error, address = mmap(process.map, BASE - PAGE_SIZE, 2, MAP_ANON)
        m.check(not error and address == at(1), "what goes anywhere goes where nothing is")

    m.spawn(replacer)
    m.spawn(other)
    m.spawn(change, process, name="changer")
    m.join()
    exits(process)


@scenario(
    cpus=3,
    tags={"map", "mmap", "fork", "vnode", "finding"},
    fixed=True,
    schedule="v1:shared_mapping_is_copied:f425b:0.133>1,1.22>0,0.135>3,1.33>3,3.6>1,3.21>2",
)
def shared_mapping_is_copied(m):
    """A thread maps a file shared, another forks, and from then on the file is copied on write.

    `vm_mmap` maps the file in one section of the map's lock, and sets the inheritance to shared in another.
    The map's token is held over both, but lost if the second one waits for the map; a fork that waits
    for the token goes first, and marks the new entry to be copied on write.  Then the entry becomes shared.
    The process' writes do not get to the file.
    Repair `mmap-shares-at-once`: insert the entry with shared inheritance.
    """
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    process = new_process(m, vm, 1)
    vp, obj = file_object(vm, 1)
    children = []

    def mapper():
        run_in(vm, process.vmspace)
        error, address = mmap(process.map, at(4), 1, MAP_SHARED, handle=vp)
        m.check(not error and address == at(4), "a file can be mapped where there is room")

    def forker():
        children.append(fork(process))

    m.spawn(mapper)
    m.spawn(forker)
    m.spawn(change, process, name="changer")
    m.join()
    entry = process.map.raw_rb_root.at_or_before(at(4))
    m.check(not entry.peek("eflags") & MAP_ENTRY_NEEDS_COPY, "what is shared is never copied")
    for one in (*children, process):
        give_back(one.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=3, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:mappings_pass_the_limit:0:1.6>3,3.17>2"
)
def mappings_pass_the_limit(m):
    """Two threads each map as much as the limit of the address space still allows, and both succeed.

    `vm_mmap` compares the size of the map with the limit before it maps, under the map's token alone, which
    it loses when it waits for the map.
    Repair `mmap-looks-at-the-limit-again`: after mapping, unmap the range if it exceeds the limit.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 1)
    limit = process.map.peek("size") + PAGE_SIZE

    def thread():
        run_in(vm, process.vmspace)
        vm.mycpu().proc.rlim_vmem = limit
        mmap(process.map, at(4), 1, MAP_ANON)

    for _ in range(2):
        m.spawn(thread)
    m.spawn(change, process, name="changer")
    m.join()
    m.check(process.map.peek("size") <= limit, "an address space is no larger than its limit")
    exits(process)


@scenario(cpus=1, tags={"map", "mmap", "wire", "finding"}, fixed=True, schedule="v1:heap_stays_locked:0:")
def heap_stays_locked(m):
    """A process locks all its future memory, extends its heap, and unlocks all: the heap stays locked.

    Memory of mmap is wired for the user.  sys_sbrk and sys_obreak wire the heap for the kernel, and neither
    munlockall nor munlock unwires that.
    Repair `break-is-wired-for-the-user`: wire it for the user.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1)
    process.vmspace.vm_daddr = at(8)

    def user():
        process.enter()
        sys_mlockall(process.map, MCL_FUTURE)
        sys_obreak(process.vmspace, at(9))
        sys_munlockall(process.map)
        heap = process.map.raw_rb_root.at_or_before(at(8))
        m.check(not heap.peek("wired_count"), "what was unlocked is not locked")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(
    cpus=1, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:mincore_leaves_the_last_page_out:0:"
)
def mincore_leaves_the_last_page_out(m):
    """A process calls mincore for bytes on two pages, and only the first one is reported.

    sys_mincore rounds the address down to a page and the length up to pages, each by itself.
    Repair `mincore-rounds-the-end`: round the end up.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 2)

    def user():
        process.enter()
        vector = {}

        def subyte(index, value):
            vector[index] = value
            return 0

        sys_mincore(process.map, at(1) - 1, 2, subyte)
        m.check(len(vector) == 2, "each page of a range has a byte")

    for page in range(2):
        write(process, page, 1)
    m.spawn(user)
    m.join()
    exits(process)


@scenario(cpus=1, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:limit_counts_what_is_replaced:0:")
def limit_counts_what_is_replaced(m):
    """A process whose address space is as large as its limit replaces a mapping, and is refused.

    `vm_mmap` adds the new length to the size of the map, and compares that with the limit before it unmaps
    the old mapping, although the map would not grow.
    Repair `mmap-takes-off-what-it-replaces`: do not count what will be unmapped.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 1)

    def user():
        run_in(vm, process.vmspace)
        vm.mycpu().proc.rlim_vmem = process.map.peek("size")
        error, _ = mmap(process.map, at(0), 1, MAP_ANON | MAP_FIXED)
        m.check(not error, "a mapping can be replaced by one as large")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(cpus=1, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:minherit_cuts_its_argument:0:")
def minherit_cuts_its_argument(m):
    """A process asks for an inheritance that there is not, and its child will not have the memory.

    `sys_minherit` stores its argument, an int, in a char before it is looked at: 256 and more are taken for
    what their last eight bits are.
    Repair `minherit-looks-at-all`: look at the argument.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 1)

    def user():
        error = sys_minherit(process.map, at(0), PAGE_SIZE, 256 + VM_INHERIT_NONE)
        m.check(error == EINVAL, "what is no inheritance is refused")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(
    cpus=1,
    tags={"map", "mmap", "wire", "finding"},
    fixed=True,
    schedule="v1:munlock_of_all_unlocks_nothing:0:",
)
def munlock_of_all_unlocks_nothing(m):
    """A process unlocks all its memory from an address on, is told that this was done, and nothing was.

    A size that is nearly the largest one wraps around to nothing when it is rounded up to pages.  The other
    calls refuse that; `sys_munlock` does not ask, and has nothing to do.
    Repair `munlock-asks-whether-it-fits`: refuse it as well.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 1)

    def user():
        process.enter()
        m.check(not sys_mlock(process.map, at(0), PAGE_SIZE), "what is mapped can be locked")
        error = sys_munlock(process.map, at(0), ADDRESS_MASK)
        locked = process.map.raw_rb_root.at_or_before(at(0)).peek("wired_count")
        m.check(error or not locked, "what was unlocked is not locked")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(cpus=1, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:mincore_of_all_says_nothing:0:")
def mincore_of_all_says_nothing(m):
    """A process asks what is in memory from an address on, and is told nothing, and that all is well.

    A size that is nearly the largest one wraps around to nothing when it is rounded up to pages.
    `sys_mincore` asks only whether the end of the range is before its beginning, and then it is the same.
    Repair `mincore-asks-whether-it-fits`: refuse such a size.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 1)

    def user():
        stored = []
        error = sys_mincore(process.map, at(0), ADDRESS_MASK, lambda *byte: stored.append(byte) or 0)
        m.check(error or stored, "each page of a range has a byte, or the range is refused")

    m.spawn(user)
    m.join()
    exits(process)
