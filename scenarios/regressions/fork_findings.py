"""Findings in how the kernel copies address spaces: the model does what vmspace_fork does, step for step."""

from vmsmp import scenario
from vmsmp.scenarios._kit import contents, end_of_file, file_object, give_back
from vmsmp.scenarios.fork._processes import at, exits, fork, new_process, read, write
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_private, new_space
from vmsmp.scenarios.vm_map.files import map_file
from vmsmp.vm.vm_map import (
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_MAX_USER_ADDRESS,
    VM_PROT_READ,
    exec_new_vmspace,
    vm_map_inherit,
    vm_map_protect,
    vm_map_user_wiring,
    vmspace_fork,
)
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vm_pager import vnode_pager_setsize
from vmsmp.vm.vnode import vn_lock, vn_unlock


@scenario(cpus=1, tags={"map", "fork", "finding"}, fixed=True, schedule="v1:fork_keeps_the_size:0:")
def fork_keeps_the_size(m):
    """A process forks, and the size of its child's map counts memory that was not inherited.

    `vmspace_fork` leaves out entries that are not inherited, and devices of a thread of the parent, and then
    gives the new map the size of the old one.  The limit of a process' memory is compared with that size: a
    child may be refused memory that it has a right to, for as long as it lives.
    Repair `fork-sums-what-it-copied`: the size is that of the entries that were copied.
    """
    vm = m.boot(pages=16, l2_size=1)
    parent = new_space(vm)
    map_anon(m, parent.vm_map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_anon(m, parent.vm_map, BASE, 1)

    def process():
        vm_map_inherit(parent.vm_map, BASE, BASE + PAGE_SIZE, VM_INHERIT_NONE)
        give_back(vmspace_fork(parent, None, None))

    m.spawn(process, name="process")
    m.join()
    give_back(parent)


@scenario(
    cpus=2,
    tags={"map", "fork", "wire", "transition", "finding"},
    fixed=True,
    schedule="v1:fork_copies_a_transition:0:1.15>2",
)
def fork_copies_a_transition(m):
    """One thread of a process locks shared memory while another forks: the child can never exit.

    While pages are faulted in to be wired, the map is unlocked and the entry is marked as in transition.
    `vmspace_fork` ignores the mark, and copies it.  The transition of the child's entry never ends: whatever
    unmaps it, even the child's exit, waits for ever.
    Repair `fork-waits-for-transitions`: a fork begins when no entry is in transition.
    """
    vm = m.boot(pages=16, l2_size=1)
    parent = new_space(vm)
    map = parent.vm_map
    map_anon(m, map, BASE, 1)
    vm_map_inherit(map, BASE, BASE + PAGE_SIZE, VM_INHERIT_SHARE)

    def forker():
        give_back(vmspace_fork(parent, None, None))

    m.spawn(vm_map_user_wiring, map, BASE, BASE + PAGE_SIZE, False, name="wirer")
    m.spawn(forker, name="forker")
    m.join()
    give_back(parent)


@scenario(
    cpus=2,
    tags={"map", "fork", "wire", "fault", "finding"},
    fixed=True,
    schedule="v1:fork_meets_a_wiring:0:1.15>2",
)
def fork_meets_a_wiring(m):
    """One thread of a process locks memory while another forks: the kernel panics.

    An entry is counted as wired before its pages are faulted in, with the map unlocked.  `vmspace_fork`
    copies the pages of such an entry, and `vm_fault_copy_entry` panics for a page that is not there yet.
    Repair `fork-waits-for-transitions`: a fork begins when no entry is in transition.
    """
    vm = m.boot(pages=24, l2_size=1)
    parent = new_process(m, vm, 1)

    def forker():
        exits(fork(parent))

    m.spawn(vm_map_user_wiring, parent.map, at(0), at(1), False, name="wirer")
    m.spawn(forker, name="forker")
    m.join()
    exits(parent)


@scenario(
    cpus=2,
    tags={"map", "fork", "wire", "fault", "finding"},
    fixed=True,
    schedule="v1:fork_tears_wired_memory:f1:0.414>2,2.247>1",
)
def fork_tears_wired_memory(m):
    """A thread writes one locked page and then the next while another forks: the child has only the second.

    Locked pages are copied one after the other as the process forks, and stay mapped writeable meanwhile: a
    thread of the process goes on writing.  The child's copy is not the memory of any one moment.
    Repair `fork-protects-wired-memory`: make the range read-only before it is copied; a writer waits for the
    map.
    """
    vm = m.boot(pages=28, l2_size=1)
    parent = new_process(m, vm, 2)
    vm_map_user_wiring(parent.map, at(0), at(2), False)

    def writer():
        write(parent, 0, 1)
        write(parent, 1, 1)

    def forker():
        child = fork(parent)
        m.check(read(child, 1) <= read(child, 0), "a child has the memory of one moment")
        exits(child)

    m.spawn(writer, name="writer")
    m.spawn(forker, name="forker")
    m.join()
    exits(parent)


@scenario(
    cpus=1,
    tags={"map", "fork", "wire", "fault", "finding"},
    fixed=True,
    schedule="v1:fork_of_wired_memory_leaks:0:",
)
def fork_of_wired_memory_leaks(m):
    """A process with locked memory forks, and that memory stays when both processes have exited.

    The entry of the child gets a chain of its own, and with it a reference to each object, before the kernel
    finds that the pages must be copied.  Then it takes the first object out of the child's entry as if it had
    not been referenced yet, and the reference is leaked.
    Repair `fork-drops-wired-object`: drop the reference.
    """
    vm = m.boot(pages=24, l2_size=1)
    parent = new_process(m, vm, 1)

    def process():
        write(parent, 0, 1)
        vm_map_user_wiring(parent.map, at(0), at(1), False)
        obj = parent.map.raw_rb_root.at_or_before(at(0)).ba.raw_object
        exits(fork(parent))
        exits(parent)
        m.check(obj.freed, "the memory of a process goes with it and its children")

    m.spawn(process, name="process")
    m.join()


@scenario(
    cpus=1,
    tags={"map", "fork", "wire", "fault", "finding"},
    fixed=True,
    schedule="v1:fork_misses_wired_pages_behind:0:",
)
def fork_misses_wired_pages_behind(m):
    """A process locks read-only memory that it has from its parent, and forks: the kernel panics.

    A locked page of read-only memory stays in the object in which it is, behind the first one of the chain.
    `vm_fault_copy_entry` looks for the pages of the entry in the first object alone.
    Repair `fork-looks-for-wired-pages`: look through the chain.
    """
    vm = m.boot(pages=28, l2_size=1)
    parent = new_process(m, vm, 2)
    write(parent, 0, 1)
    child = fork(parent)

    def process():
        write(child, 1, 2)
        vm_map_protect(child.map, at(0), at(2), VM_PROT_READ, True)
        vm_map_user_wiring(child.map, at(0), at(2), False)
        grandchild = fork(child)
        m.check((read(grandchild, 0), read(grandchild, 1)) == (1, 2), "a child has what its parent had")
        exits(grandchild)

    m.spawn(process, name="process")
    m.join()
    exits(child)
    exits(parent)


@scenario(
    cpus=1,
    tags={"map", "exec", "wire", "fault", "finding"},
    fixed=True,
    schedule="v1:exec_strands_wired_pages:0:",
)
def exec_strands_wired_pages(m):
    """A process locks memory and runs another program: the page stays wired, and is lost.

    The pages of an entry are unwired through their mappings.  When a process exits, the kernel tests whether
    anything is wired, and if so empties the map before it removes the mappings.  When the process runs
    another program in an address space of its own, it removes the mappings first.
    Repair `exec-unwires-first`: empty the map first there, too, if anything is wired.
    """
    vm = m.boot(pages=24, l2_size=1, maxssiz=16 * PAGE_SIZE, sgrowsiz=2 * PAGE_SIZE)
    space = new_process(m, vm, 1, VM_MAX_USER_ADDRESS)

    def process():
        write(space, 0, 1)
        vm_map_user_wiring(space.map, at(0), at(1), False)
        page = space.map.raw_rb_root.at_or_before(at(0)).ba.raw_object.raw_rb_memq[0]
        exec_new_vmspace(vm.mycpu().proc)
        m.check(not page.peek("wire_count"), "what a program has locked goes with it")

    m.spawn(process, name="process")
    m.join()
    exits(space)


@scenario(
    cpus=3,
    tags={"map", "fork", "fault", "cow", "finding"},
    fixed=True,
    schedule="v1:collapse_trusts_a_reservation:1:2.128>3",
)
def collapse_trusts_a_reservation(m):
    """A process forks while another one that shares its memory reads, and a page of it is zero ever after.

    A fault reserves a page in the first object of a chain before it looks for the contents in the objects
    behind, and frees it if it is not needed.  A fork cuts off a chain if the first object seems to have all
    pages: it counts the reserved one, and so does `vm_fault_collapse`.  The chain behind is released, then
    the reserved page is freed, and the contents are lost.
    Repair `collapse-asks-for-contents`: a page that is not valid does not count.
    """
    vm = m.boot(pages=28, l2_size=1)
    parent = new_process(m, vm, 2)
    for page in range(2):
        write(parent, page, 1)
    child = fork(parent)
    write(child, 0, 2)
    vm_map_inherit(child.map, at(0), at(2), VM_INHERIT_SHARE)
    sibling = fork(child)

    def forker():
        exits(fork(child))

    m.spawn(exits, parent, name="parent")
    m.spawn(read, sibling, 1, name="reader")
    m.spawn(forker, name="forker")
    m.join()
    m.check(read(child, 1) == 1, "a page has what was written to it")
    exits(sibling)
    exits(child)


@scenario(cpus=1, tags={"map", "fork", "finding"}, fixed=True, schedule="v1:copy_of_shared_memory_changes:0:")
def copy_of_shared_memory_changes(m):
    """A child has a copy of memory that its parent shares with another child, and sees what that one writes.

    What a process shares with its children until it says that they are to have copies (minherit) is marked to
    be copied by whoever writes first, in the parent and in the new child.  The older child's entry is not:
    it writes to the pages that the two others still see.  Once the parent has written itself, it shares
    nothing with the older child any more.
    Repair `fork-copies-what-others-share`: copy at once what somebody else has mapped, too.
    """
    vm = m.boot(pages=40, l2_size=1)
    parent = new_process(m, vm, 1)
    vm_map_inherit(parent.map, at(0), at(1), VM_INHERIT_SHARE)
    write(parent, 0, 1)
    sharer = fork(parent)
    vm_map_inherit(parent.map, at(0), at(1), VM_INHERIT_COPY)

    def user():
        child = fork(parent)
        write(sharer, 0, 2)
        m.check(read(child, 0) == 1, "a copy is as the memory was at the fork")
        m.check(read(parent, 0) == 2, "who shares memory sees what is written to it")
        exits(child)

    m.spawn(user)
    m.join()
    exits(sharer)
    exits(parent)


@scenario(cpus=1, tags={"map", "fork", "finding"}, fixed=True, schedule="v1:collapse_fills_what_is_empty:0:")
def collapse_fills_what_is_empty(m):
    """A process uses a page of a large range and forks, and has memory for all of the range.

    A fork cuts off a chain that has become long.  Before, `vm_fault_collapse` faults in every page that the
    first object lacks, as if it were written to.  A page that no object of the chain has is allocated and
    zeroed: a range that is hardly used takes all the memory that it may need one day.
    Repair `collapse-leaves-what-is-empty`: pass over pages that no object behind the first one may have.
    """
    vm = m.boot(pages=48, l2_size=1)
    vm.map.map_backing_limit = 1
    parent = new_process(m, vm, 4)
    write(parent, 0, 1)
    child = fork(parent)
    write(child, 0, 2)

    def user():
        exits(fork(child))
        used = child.map.raw_rb_root.at_or_before(at(0)).ba.raw_object.peek("resident_page_count")
        m.check(used == 1, "a fork takes no memory for pages that nobody has used")
        m.check(read(child, 0) == 2, "a page has what was written to it")

    m.spawn(user)
    m.join()
    exits(child)
    exits(parent)


@scenario(cpus=1, tags={"map", "fork", "finding"}, fixed=True, schedule="v1:chain_of_a_short_file_grows:0:")
def chain_of_a_short_file_grows(m):
    """A process maps more than a file has, and with each fork its chain of objects gets longer, without end.

    A fork that meets a long chain brings all pages of the entry into the first object and cuts the chain.
    There is no page behind the end of the file: `vm_fault_collapse` gives up there, and nothing is cut.
    Repair `collapse-passes-the-end-of-a-file`: pass over those pages, and leave the file at the end.
    """
    vm = m.boot(pages=48, l2_size=1, object_hash=1)
    vm.map.map_backing_limit = 1
    vp, obj = file_object(vm, 1, range(1))
    processes = [Process(vm)]
    map_anon(m, processes[0].map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_private(m, processes[0].map, obj, at(0), 2)

    def user():
        for value in range(3):
            write(processes[-1], 0, value)
            processes.append(fork(processes[-1]))
        chain = processes[-1].map.raw_rb_root.at_or_before(at(0)).ba
        m.check(chain.peek("backing_count") <= 2, "a chain is cut when it is long")
        m.check(read(processes[-1], 0) == 2, "a page has what was written to it")

    m.spawn(user)
    m.join()
    for process in processes:
        exits(process)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=1,
    tags={"map", "fork", "vnode", "finding"},
    fixed=True,
    schedule="v1:shared_file_becomes_private+repair=shadow-attaches-first:0:",
)
def shared_file_becomes_private(m):
    """A process writes to a file that it maps shared, after a fork, and nothing gets into the file.

    The process has said that a child is to have a copy of the mapping (minherit).  For that a fork marks the
    entries of both to be copied on write.  From then on the process that has mapped the file shared writes
    to memory of its own, which no sync writes back.
    Repair `fork-leaves-a-shared-file-shared`: mark the child's entry alone.
    """
    vm = m.boot(pages=32, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    parent = Process(vm)
    map_anon(m, parent.map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_file(m, parent.map, obj, at(0), 1)
    page = obj.peek("rb_memq")[0]

    def user():
        write(parent, 0, 1)
        vm_map_inherit(parent.map, at(0), at(1), VM_INHERIT_COPY)
        exits(fork(parent))
        write(parent, 0, 2)
        m.check(contents(page) == 2, "what is written to a file that is mapped shared is in the file")

    m.spawn(user)
    m.join()
    exits(parent)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=1,
    tags={"map", "fork", "wire", "vnode", "finding"},
    fixed=True,
    schedule="v1:child_reads_what_was_cut_off+repair=copies-keep-their-rights:0:",
)
def child_reads_what_was_cut_off(m):
    """A process has locked a page of a file that ends before it by now, and forks: its child reads the page.

    A wired page stays where it is when its file is cut, without a mapping, and is not valid any more.
    `vm_fault_copy_entry` copies the wired pages of an entry for the child, and does not ask whether they are
    valid.  What the parent cannot read any more is given to the child.
    Repair `fork-copies-contents-only`: a page that is not valid is copied as zeros.
    """
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    vm.memory.store(obj.raw_rb_memq[0].phys, 0, 7)
    process = Process(vm)
    map_private(m, process.map, obj, at(0), 1, VM_PROT_READ)

    def user():
        process.enter()
        vm_map_user_wiring(process.map, at(0), at(1), False)
        vn_lock(vp)
        vnode_pager_setsize(vp, 0)
        vn_unlock(vp)
        m.check(read(process, 0) is None, "what was cut off cannot be read")
        child = fork(process)
        seen = read(child, 0)
        exits(child)
        m.check(not seen, "a child does not read what was cut off")
        process.enter()

    m.spawn(user)
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)
