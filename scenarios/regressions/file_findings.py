"""Findings where files are mapped: the model does what vnode_pager.c, vm_object.c and vm_map.c do."""

from vmsmp import scenario
from vmsmp.scenarios._kit import (
    Space,
    busied,
    bypass_write,
    end_of_file,
    file_object,
    forget_file,
    give_back,
    idle_pages,
    sync,
    write_fault,
)
from vmsmp.scenarios.fork._processes import at
from vmsmp.scenarios.vm_fault._memory import Process
from vmsmp.scenarios.vm_fault.sharing import map_shared
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, new_space
from vmsmp.scenarios.vm_map.files import map_file
from vmsmp.sync.thread import TDF_DEADLKTREAT, curthread
from vmsmp.vm.imgact_elf import elf_load_file
from vmsmp.vm.kern_exec import exec_map_page
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    MAP_ENTRY_PARTITION_SIZE,
    MAP_FIXED,
    MAP_SHARED,
    VM_PROT_READ,
    vm_map_clean,
    vm_map_protect,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_mmap import kern_mmap
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE, vm_page_dirty, vm_page_unhold
from vmsmp.vm.vm_pager import nvnode_pager_setsize, vnode_pager_reference
from vmsmp.vm.vnode import VTEXT, vn_lock, vn_unlock
from vmsmp.vm.vnode_reclaim import vclean_vxlocked


def _revoke(vp):
    vn_lock(vp)
    vclean_vxlocked(vp)
    vn_unlock(vp)


@scenario(
    cpus=2,
    tags={"object", "reference", "vnode", "finding"},
    fixed=True,
    schedule="v1:file_is_mapped_as_it_goes:f4243:1.62>2",
)
def file_is_mapped_as_it_goes(m):
    """A file is mapped during a forced unmount: a panic, or a terminated object is mapped.

    mmap reads the vnode's object and references it, with nothing locked.  A file that is open and not mapped
    has an object without references, which reclaiming its vnode terminates.
    Repair `mmap-locks-the-vnode`: reference the object with the vnode locked, unless it was reclaimed.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    vm_object_deallocate(obj)

    def process():
        vm_object_deallocate(vnode_pager_reference(vp))

    m.spawn(_revoke, vp, name="unmounter")
    m.spawn(process)
    m.join()


@scenario(
    cpus=2,
    tags={"object", "reference", "vnode", "finding"},
    fixed=True,
    schedule="v1:last_mapping_goes_with_the_file:10:1.7>2",
)
def last_mapping_goes_with_the_file(m):
    """A file is revoked while its last mapping is removed, and its object stays for ever, with its pages.

    Dropping the last reference to a vnode's object does not terminate it: reclaiming the vnode does.
    `vm_object_vndeallocate` releases the token to get it exclusively.  Meanwhile the vnode is reclaimed; the
    object still has a reference, so the two are separated, and dropping the last reference must terminate the
    object.  But `vm_object_vndeallocate` does not read the type again.
    Repair `drop-asks-for-the-vnode`: an object that has lost its vnode is dropped like any other.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    m.spawn(vm_object_deallocate, obj, name="process")
    m.spawn(_revoke, vp, name="revoker")
    m.join()
    m.check(obj.freed, "an object without references and without a file is gone")


@scenario(
    cpus=1,
    tags={"map", "clean", "vnode", "finding"},
    fixed=True,
    schedule="v1:msync_leaves_what_is_read_only:0:",
)
def msync_leaves_what_is_read_only(m):
    """A process writes to a file that it maps, makes it read-only, and syncs it: nothing is written.

    `vm_map_clean` writes the pages of an entry back only if the entry is writeable at that moment.
    Repair `msync-writes-what-was-written`: do not test for the right.
    """
    vm = m.boot(pages=12, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    process = Process(vm)
    map = process.map
    map_shared(m, process, obj, 1)
    page = obj.peek("rb_memq")[0]

    def user():
        process.enter().store(BASE, 1)
        vm_map_protect(map, BASE, BASE + PAGE_SIZE, VM_PROT_READ, False)
        rv = vm_map_clean(map, BASE, BASE + PAGE_SIZE, True, False)
        m.check(rv == KERN_SUCCESS, "what is mapped can be synced")
        m.check(not page.peek("dirty"), "what was synced is not dirty any more")

    m.spawn(user)
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(obj)
    _revoke(vp)


@scenario(
    cpus=2,
    tags={"object", "reference", "vnode", "exec", "finding"},
    fixed=True,
    schedule="v1:running_program_is_no_text:f4259:1.44>2",
)
def running_program_is_no_text(m):
    """A program ends as another process begins to run its file, which can then be written while it runs.

    A file that is text (VTEXT) cannot be opened for writing.  An exec sets the flag, unlocks the vnode, and
    maps the file.  In between the last mapping of the file may be removed, which clears the flag.
    Repair `text-is-marked-once-mapped`: set the flag when the file has been mapped, too.
    """
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    spaces = [new_space(vm) for _ in range(2)]
    elf_load_file(spaces[0].vm_map, vp, BASE, 1)
    vm_object_deallocate(obj)
    m.spawn(give_back, spaces[0], name="ends")
    m.spawn(elf_load_file, spaces[1].vm_map, vp, BASE, 1, name="begins")
    m.join()
    m.check(vp.peek("v_flag") & VTEXT, "the file of a program that runs is text")
    give_back(spaces[1])
    end_of_file(vp)


@scenario(
    cpus=2,
    tags={"map", "clean", "vnode", "finding"},
    fixed=True,
    schedule="v1:msync_meets_a_revocation:0:1.8>2",
)
def msync_meets_a_revocation(m):
    """A process syncs what it maps of a file while the file is revoked, and the kernel faults.

    `vm_map_clean` locks the vnode that the object has, and loses the object's token if it has to wait.  Who
    has the vnode locked meanwhile separates the two.  Then `vm_map_clean` unlocks the object's vnode, which
    is NULL; the vnode itself stays locked.
    Repair `msync-keeps-its-vnode`: reference the vnode, and unlock the one that was locked.
    """
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    vmspace = new_space(vm)
    map_file(m, vmspace.vm_map, obj, BASE, 1)
    m.spawn(vm_map_clean, vmspace.vm_map, BASE, BASE + PAGE_SIZE, True, False, name="user")
    m.spawn(_revoke, vp, name="revoker")
    m.join()
    give_back(vmspace)
    vm_object_deallocate(obj)


@scenario(
    cpus=2,
    tags={"fault", "vnode", "finding"},
    fixed=True,
    schedule="v1:fault_sleeps_on_a_lost_vnode:0:1.9>2,2.16>1",
)
def fault_sleeps_on_a_lost_vnode(m):
    """A process faults on a file while it is revoked, and the kernel panics.

    A fault locks the vnode of the file.  It waits for the revocation, which has the vnode locked, and then
    cannot have the vnode, for it is reclaimed.  `vnode_pager_lock` sleeps for a second to try again, and the
    object's handle is what it sleeps on.  The revocation has cleared that, and `tsleep` asserts that there is
    something to sleep on.
    Repair `fault-sleeps-on-a-vnode`: if the object has lost its vnode there is nothing to wait for.
    """
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    process = Process(vm)
    map_shared(m, process, obj, 1)
    vm_object_deallocate(obj)

    def user():
        process.enter().load(BASE)

    m.spawn(user, name="process")
    m.spawn(_revoke, vp, name="revoker")
    m.join()
    give_back(process.vmspace)


@scenario(
    cpus=1,
    tags={"object", "clean", "vnode", "finding"},
    fixed=True,
    schedule="v1:short_write_cleans_all:0:",
)
def short_write_cleans_all(m):
    """A file system writes one page of two and says no error, and the other page's contents are lost.

    `vnode_pager_generic_putpages` reports what a write has left (the residual) on the console.  It marks all
    pages clean all the same, if there was no error.
    Repair `short-write-is-no-write`: what was not written at once stays dirty, and is tried again.
    """
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2, range(2))
    pages = [obj.peek("rb_memq")[n] for n in range(2)]
    for page in pages:
        busied(page, vm_page_dirty)

    def user():
        vm.pager.device.short = 1
        sync(vp, obj)
        vm.pager.device.short = None
        m.check(pages[1].peek("dirty"), "a page that was not written is dirty")

    m.spawn(user)
    m.join()
    forget_file(vp, obj)


@scenario(
    cpus=2,
    tags={"object", "vnode", "pmap", "finding"},
    fixed=True,
    schedule="v1:truncation_unflags_a_mapping:0:1.4>2,2.15>1",
)
def truncation_unflags_a_mapping(m):
    """A process maps a page while the file is cut before it, within a buffer: no flag says that it is mapped.

    The pages of the last buffer that are behind the end stay, and their mappings are to go.  A fault that
    bypasses the object's locks has the page soft-busied while it sets the page's flags and enters the
    mapping.  `nvnode_pager_setsize` waits for a hard busy only, and comes between the two: it finds no entry,
    and clears the flags.  Who frees the page later does not unmap it, and the process uses free memory.
    Repair `buffer-truncation-waits-for-bypass`: wait for soft busies, too.
    """
    vm = m.boot(pages=8, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2)
    (page,) = idle_pages(vm, obj, [1])
    space = Space(vm, obj, 2)
    write_fault(space, page)

    def truncate():
        vn_lock(vp)
        nvnode_pager_setsize(vp, PAGE_SIZE, 2 * PAGE_SIZE)
        vn_unlock(vp)

    m.spawn(truncate)
    m.spawn(bypass_write, space, obj, page, name="process")
    m.join()


@scenario(
    cpus=2,
    tags={"object", "exec", "vnode", "finding"},
    fixed=True,
    schedule="v1:program_is_mapped_as_it_goes:0:1.1>2,2.11>1",
)
def program_is_mapped_as_it_goes(m):
    """A program is run during a forced unmount: an object that is terminated is mapped.

    As with mmap (`file_is_mapped_as_it_goes`), `elf_load_section` takes the vnode's object with nothing
    locked, and reclaiming the vnode terminates an object without references.
    Repair `program-locks-the-vnode`: reference the object with the vnode locked, unless it was reclaimed.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    vm_object_deallocate(obj)
    vmspace = new_space(vm)
    m.spawn(_revoke, vp, name="unmounter")
    m.spawn(elf_load_file, vmspace.vm_map, vp, BASE, 1, name="exec")
    m.join()
    give_back(vmspace)


@scenario(
    cpus=2,
    tags={"object", "exec", "vnode", "finding"},
    fixed=True,
    schedule="v1:header_is_read_as_it_goes:0:1.11>2",
)
def header_is_read_as_it_goes(m):
    """The first page of a program is looked at during a forced unmount: its object is terminated, or free.

    As `elf_load_section` (`program_is_mapped_as_it_goes`), `exec_map_page` takes the vnode's object with
    nothing locked, and reclaiming the vnode terminates an object without references.
    Repair `header-locks-the-vnode`: reference the object with the vnode locked, unless it was reclaimed.
    """
    vm = m.boot(pages=4, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    vm_object_deallocate(obj)

    def program():
        page = exec_map_page(vp, 0)
        if page is not None:
            vm_page_unhold(page)

    m.spawn(_revoke, vp, name="unmounter")
    m.spawn(program, name="exec")
    m.join()


@scenario(
    cpus=2,
    tags={"object", "mmap", "vnode", "finding"},
    fixed=True,
    schedule="v1:mapping_asserts_that_the_file_is_there:0:1.34>2",
)
def mapping_asserts_that_the_file_is_there(m):
    """A file that another process has mapped is mapped during a forced unmount, and the kernel panics.

    `kern_mmap` reads the vnode's object, and then asserts that the object's handle is the vnode, with nothing
    locked.  Reclaiming the vnode parts the two.
    Repair `mapping-asks-for-the-file`: a file that has lost its object cannot be mapped.
    """
    vm = m.boot(pages=16, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    process = Process(vm)

    def user():
        process.enter()
        kern_mmap(process.map, BASE, PAGE_SIZE, VM_PROT_READ, MAP_FIXED | MAP_SHARED, vp)

    m.spawn(_revoke, vp, name="unmounter")
    m.spawn(user)
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(obj)


def _writes_beside(m, deed):
    """A thread calls `deed` for a file that it has mapped; another one writes to it from fresh memory."""
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    process = Process(vm)
    map_shared(m, process, obj, 1)
    map_anon(m, process.map, at(4), 1)

    def other():
        deed(process.enter())

    def writer():
        process.enter()
        vn_lock(vp)
        process.load(at(4))
        vn_unlock(vp)

    m.spawn(other)
    m.spawn(writer)
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=2,
    tags={"map", "fault", "vnode", "finding"},
    fixed=True,
    schedule="v1:fault_meets_a_write_to_its_file:0:",
)
def fault_meets_a_write_to_its_file(m):
    """A thread faults on a file that it has mapped while another one writes to it: they wait for each other.

    write(2) has the vnode locked while it copies from the process' memory.  What was never used there has no
    object yet, and the fault locks the map exclusively to give it one.  The first thread's fault has the map
    locked shared, and waits for the vnode.
    Repair `fault-waits-for-a-vnode-unlocked`: unlock the map before waiting, and begin anew.
    """
    _writes_beside(m, lambda process: process.load(at(0)))


@scenario(
    cpus=2,
    tags={"map", "clean", "vnode", "finding"},
    fixed=True,
    schedule="v1:msync_meets_a_write_to_its_file:0:",
)
def msync_meets_a_write_to_its_file(m):
    """A thread syncs a file that it has mapped while another one writes to it: they wait for each other.

    As with a fault (`fault_meets_a_write_to_its_file`): `vm_map_clean` has the map locked shared, and waits
    for the vnode, which write(2) has locked while it waits for the map.
    Repair `msync-waits-for-a-vnode-unlocked`: unlock the map while the pages of an entry are written.
    """
    _writes_beside(m, lambda process: vm_map_clean(process.map, at(0), at(1), True, False))


@scenario(
    cpus=2,
    tags={"map", "fault", "vnode", "finding"},
    fixed=True,
    schedule="v1:files_are_written_from_each_other:0:",
)
def files_are_written_from_each_other(m):
    """Two processes write a file that they have mapped to the other one's file: they wait for each other.

    write(2) has the vnode locked while it copies from the process' memory.  A fault on a file that is mapped
    there locks that file's vnode, too.
    Repair `copy-waits-for-no-vnode`: a fault while the kernel copies goes on without the lock, as
    `vm_fault_collapse` does, if it cannot have it at once.
    """
    vm = m.boot(pages=32, l2_size=1, object_hash=1)
    files = [file_object(vm, 1) for _ in range(2)]
    processes = [Process(vm) for _ in files]
    for process, (_, obj) in zip(processes, files, strict=True):
        map_shared(m, process, obj, 1)

    def writes(process, vp):
        td = curthread(m)
        process.enter()
        vn_lock(vp)
        td.td_flags |= TDF_DEADLKTREAT  # as uiomove does
        process.load(at(0))
        td.td_flags &= ~TDF_DEADLKTREAT
        vn_unlock(vp)

    for process, (vp, _) in zip(processes, reversed(files), strict=True):
        m.spawn(writes, process, vp, name="writer")
    m.join()
    for process, (vp, obj) in zip(processes, files, strict=True):
        give_back(process.vmspace)
        vm_object_deallocate(obj)
        end_of_file(vp)


@scenario(
    cpus=2,
    tags={"map", "fault", "wire", "vnode", "finding"},
    fixed=True,
    schedule="v1:wiring_meets_a_write_to_its_file+repair=fault-waits-for-a-vnode-unlocked:0:1.13>2",
)
def wiring_meets_a_write_to_its_file(m):
    """A thread locks a file that is mapped and what is behind, while another writes from there to the file.

    All of the range is in transition until it is wired.  The wiring waits for the vnode.  write(2) has that
    locked, and faults on what it writes.  That was never used, and lies across the border of a partition, so
    `vm_map_lookup` is to cut it before it gets an object, and waits for the transition to end.
    The map itself is not locked by then, so this is left when `fault_meets_a_write_to_its_file` is repaired.
    Repair `partition-waits-for-nobody`: do not cut what is in transition.
    """
    vm = m.boot(pages=40, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    process = Process(vm)
    start, end = MAP_ENTRY_PARTITION_SIZE - 2 * PAGE_SIZE, MAP_ENTRY_PARTITION_SIZE + PAGE_SIZE
    map_file(m, process.map, obj, start, 1)
    map_anon(m, process.map, start + PAGE_SIZE, 2)

    def writer():
        process.enter()
        vn_lock(vp)
        process.load(end - PAGE_SIZE)
        vn_unlock(vp)

    m.spawn(vm_map_user_wiring, process.map, start, end, False, name="locker")
    m.spawn(writer)
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)
