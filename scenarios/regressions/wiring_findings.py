"""Findings in how locked memory loses its wirings: the model does what vm_map.c and kern_exec.c do."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, give_back, run_in
from vmsmp.scenarios.fork._processes import at, new_process
from vmsmp.scenarios.vm_fault._memory import Process, page_out
from vmsmp.scenarios.vm_fault.sharing import map_shared
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_private
from vmsmp.vm.vm_fault import vm_fault
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    KM_PAGEABLE,
    MAP_WIREFUTURE,
    VM_MAX_USER_ADDRESS,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    exec_new_vmspace,
    vm_map_clean,
    vm_map_kernel_wiring,
    vm_map_lock_read,
    vm_map_protect,
    vm_map_remove,
    vm_map_unlock,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_mmap import MCL_FUTURE, sys_mlockall
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vm_pager import nvnode_pager_setsize, vnode_pager_setsize
from vmsmp.vm.vnode import vn_lock, vn_unlock


def _unlocks_after(m, deed):
    """A process locks a page, calls `deed` on its range, and unlocks it: nothing may be wired then."""
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1)

    def user():
        process.enter().store(at(0), 1)
        vm_map_user_wiring(process.map, at(0), at(1), False)
        page = process.map.raw_rb_root.at_or_before(BASE).ba.raw_object.raw_rb_memq[0]
        deed(process.map)
        vm_map_user_wiring(process.map, at(0), at(1), True)
        m.check(not page.peek("wire_count"), "a page that nobody has locked is not wired")

    m.spawn(user)
    m.join()
    give_back(process.vmspace)


@scenario(
    cpus=1, tags={"map", "fault", "wire", "finding"}, fixed=True, schedule="v1:protection_strands_wirings:0:"
)
def protection_strands_wirings(m):
    """A process locks a page, removes all rights to it, and unlocks it: the page stays wired for ever.

    `pmap_protect` removes mappings without any right.  To unlock the page `vm_fault_unwire` looks for it by
    its mapping, finds none, and goes on: the entry of the map counts no wiring any more, but the page does.
    Repair `protection-unwires`: memory that loses all rights is unlocked.
    """

    def deed(map):
        vm_map_protect(map, at(0), at(1), VM_PROT_NONE, False)

    _unlocks_after(m, deed)


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "clean", "finding"},
    fixed=True,
    schedule="v1:msync_strands_wirings:0:",
)
def msync_strands_wirings(m):
    """A process locks a page, and calls msync with MS_INVALIDATE: the page can never be unwired again.

    `vm_map_clean` first removes all mappings of the range, files or not, and wired or not.  The wiring cannot
    be found by the mapping any more.
    Repair `msync-spares-wirings`: the mappings of wired entries stay.
    """

    def deed(map):
        vm_map_clean(map, at(0), at(1), True, True)

    _unlocks_after(m, deed)


@scenario(
    cpus=2,
    tags={"map", "fault", "wire", "finding"},
    fixed=True,
    schedule="v1:kernel_unwires_for_a_user:f4265:1.85>2,1.234>2,2.10>1,2.13>1,1.238>2,2.271>1",
)
def kernel_unwires_for_a_user(m):
    """The kernel wires a buffer, another thread maps and locks new memory there, and loses its lock.

    `vslock` wires the buffer in which a sysctl returns its values, and `vsunlock` unwires whatever is mapped
    there by then.  If a thread has unmapped the buffer, its wiring is gone.  The new memory at the same
    addresses is wired once, for the user: the kernel drops that wiring, and leaves the flag of the user's
    wiring set.  The thread's munlock then finds the flag without a count, and panics.
    Repair `kernel-leaves-the-user-s-wiring`: memory that is wired only for the user is not unwired.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1)
    map = process.map

    def sysctl():
        process.enter()
        vm_map_kernel_wiring(map, at(0), at(1), 0)
        vm_map_kernel_wiring(map, at(0), at(1), KM_PAGEABLE)

    def user():
        process.enter()
        vm_map_remove(map, at(0), at(1))
        map_anon(m, map, at(0), 1)
        if vm_map_user_wiring(map, at(0), at(1), False) == KERN_SUCCESS:
            vm_map_user_wiring(map, at(0), at(1), True)

    m.spawn(sysctl)
    m.spawn(user)
    m.join()
    give_back(process.vmspace)


@scenario(cpus=1, tags={"map", "wire", "exec", "finding"}, fixed=True, schedule="v1:exec_locks_on:0:")
def exec_locks_on(m):
    """A process locks its future memory, and runs another program: that one's memory is locked, too.

    MCL_FUTURE should end with the program.  `exec_new_vmspace` empties an unshared address space and keeps
    it, with the flag of its map.  A shared one is replaced by one without the flag.
    Repair `exec-locks-nothing`: clear the flag.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1, VM_MAX_USER_ADDRESS)
    map = process.map

    def user():
        run_in(vm, process.vmspace)
        sys_mlockall(map, MCL_FUTURE)
        exec_new_vmspace(vm.mycpu().proc)
        vm_map_lock_read(map)
        m.check(not map.flags & MAP_WIREFUTURE, "a new program locks nothing")
        vm_map_unlock(map)

    m.spawn(user)
    m.join()
    give_back(process.vmspace)


def _unlocks_after_truncation(m, locked, truncate):
    """A process locks a page of a file of two, which is then cut, and unlocks it: nothing is wired then."""
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2, range(2))
    process = Process(vm)
    map_anon(m, process.map, at(-2), 1)
    map_shared(m, process, obj, 2)
    page = obj.peek("rb_memq")[locked]
    where = at(locked), at(locked + 1)

    def user():
        process.enter().store(at(locked), 1)
        vm_map_user_wiring(process.map, *where, False)
        vn_lock(vp)
        truncate(vp)
        vn_unlock(vp)
        vm_map_user_wiring(process.map, *where, True)
        m.check(not page.peek("wire_count"), "a page that nobody has locked is not wired")

    m.spawn(user)
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "vnode", "finding"},
    fixed=True,
    schedule="v1:truncation_strands_wirings:0:",
)
def truncation_strands_wirings(m):
    """A file ends within a page that a process has locked, and the page can never be unwired again.

    Who makes a file shorter makes zero what is behind its end, and then forgets all mappings of its last page
    (`vnode_pager_setsize`), though it stays.  The wiring cannot be found by the mapping any more.
    Repair `truncation-spares-wirings`: what is wired is made read-only instead.
    """
    _unlocks_after_truncation(m, 0, lambda vp: vnode_pager_setsize(vp, PAGE_SIZE // 2))


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "vnode", "finding"},
    fixed=True,
    schedule="v1:last_buffer_strands_wirings:0:",
)
def last_buffer_strands_wirings(m):
    """A file ends before a page that a process has locked, within the same buffer: it stays wired for ever.

    The pages of a file's last buffer stay where they are behind its end, and `nvnode_pager_setsize` forgets
    all their mappings.  The wiring cannot be found by the mapping any more.
    Repair `buffer-truncation-spares-wirings`: what is wired is made read-only instead.
    """
    _unlocks_after_truncation(m, 1, lambda vp: nvnode_pager_setsize(vp, PAGE_SIZE // 2, 2 * PAGE_SIZE))


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "vnode", "finding"},
    fixed=True,
    schedule="v1:cut_pages_stay_locked:0:",
)
def cut_pages_stay_locked(m):
    """A file ends before a page that a process has locked: the page stays, wired and without contents.

    `vm_object_page_remove` does not free a wired page of what is to go.  It forgets the mappings and the
    contents, and leaves the page to whoever unwires it: nobody can, for the wiring is found by the mapping.
    Repair `unwiring-looks-in-the-object`: look for the page in the object if it is not mapped, and free it.
    """
    _unlocks_after_truncation(m, 1, lambda vp: vnode_pager_setsize(vp, PAGE_SIZE))


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "vnode", "finding"},
    fixed=True,
    schedule="v1:truncation_unmaps_locked_copies:0:",
)
def truncation_unmaps_locked_copies(m):
    """A file ends before a page of which a process has locked a copy of its own: the copy stays wired.

    `vm_object_page_remove` forgets what is mapped wherever the pages that are to go may be seen, also where a
    private mapping shows a copy, which does not go.  The wiring cannot be found by the mapping any more.
    Repair `only-strange-pages-go-by-address`: forget the mappings of the pages themselves.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = Process(vm)
    vp, obj = file_object(vm, 2, range(2))
    map_private(m, process.map, obj, BASE, 2)

    def user():
        process.enter()
        vm_map_user_wiring(process.map, at(1), at(2), False)
        copy = process.map.raw_rb_root.at_or_before(at(1)).ba.raw_object.raw_rb_memq[0]
        vn_lock(vp)
        vnode_pager_setsize(vp, PAGE_SIZE)
        vn_unlock(vp)
        vm_map_user_wiring(process.map, at(1), at(2), True)
        m.check(not copy.peek("wire_count"), "a copy that nobody has locked is not wired")

    m.spawn(user)
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=2,
    tags={"map", "fault", "wire", "swap", "finding"},
    fixed=True,
    schedule="v1:failed_wiring_marks_what_it_did_not_wire:0:2.46>3",
)
def failed_wiring_marks_what_it_did_not_wire(m):
    """A thread locks memory of which a page cannot be read; a page behind it stays mapped as wired.

    The entry says that it is wired while its pages are faulted in, with the map unlocked.  What another
    thread faults in meanwhile is mapped as wired, too.  When the wiring fails, `vm_fault_wire` unwires the
    pages before the one that failed, and forgets those behind it.
    Repair `failed-wiring-looks-behind`: take the mark off the whole entry.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 3)

    def before():
        process.enter().store(at(1), 1)
        page_out(process.map.raw_rb_root.at_or_before(BASE).ba.raw_object, 1)
        vm.pager.device.failing = True

    def locker():
        process.enter()
        m.check(vm_map_user_wiring(process.map, at(0), at(3), False) != KERN_SUCCESS, "it fails")

    def other():
        process.enter().store(at(2), 2)

    m.spawn(before, name="before")
    m.join()
    m.spawn(locker, name="locker")
    m.spawn(other, name="other")
    m.join()
    vm.pager.device.failing = False
    give_back(process.vmspace)


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "vnode", "finding"},
    fixed=True,
    schedule="v1:failed_wiring_strands_cut_pages:0:",
)
def failed_wiring_strands_cut_pages(m):
    """A process locks two pages of a file that ends before them meanwhile: it fails, and one stays wired.

    The second page cannot be faulted in any more, so `vm_fault_wire` unwires the first one, which it looks
    for by its mapping.  The mapping went with the end of the file; the page, being wired, stayed.
    Repair `failed-wiring-looks-in-the-object`: look for the page in the object if it is not mapped.
    """
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 2, range(2))
    process = Process(vm)
    map_anon(m, process.map, at(-2), 1)
    map_shared(m, process, obj, 2)
    page = obj.peek("rb_memq")[0]

    def fault(map, va, fault_type, fault_flags):
        if va == at(1):  # the map is not locked, so this may be another process
            vn_lock(vp)
            vnode_pager_setsize(vp, 0)
            vn_unlock(vp)
        return vm_fault(map, va, fault_type, fault_flags)

    def user():
        process.enter()
        m.check(vm_map_user_wiring(process.map, at(0), at(2), False) != KERN_SUCCESS, "it fails")
        m.check(not page.peek("wire_count"), "what could not be locked is not wired")

    vm.map.fault = fault
    m.spawn(user)
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "vnode", "finding"},
    fixed=True,
    schedule="v1:locked_copy_cannot_be_written_to:0:",
)
def locked_copy_cannot_be_written_to(m):
    """A process locks a private page that it may only read, and makes it writeable: it cannot write.

    Memory that may only be read is locked as it is, and that it is to be copied when it is written to stays
    noted.  Nobody makes the copy later: `vm_map_protect` gives the right, and a lookup refuses to write to
    memory that a user has wired and that is to be copied.
    Repair `protection-wires-copies`: unwire it, and wire it as a copy, when it gets the right.
    """
    vm = m.boot(pages=24, l2_size=1)
    vp, obj = file_object(vm, 1, range(1))
    process = Process(vm)
    map_private(m, process.map, obj, at(0), 1, VM_PROT_READ)

    def user():
        process.enter()
        vm_map_user_wiring(process.map, at(0), at(1), False)
        vm_map_protect(process.map, at(0), at(1), VM_PROT_RW, False)
        m.check(process.store(at(0), 1) is None, "what is writeable can be written to")

    m.spawn(user)
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=2,
    tags={"map", "fault", "wire", "finding"},
    fixed=True,
    schedule="v1:protection_meets_a_wiring:0:1.234>2",
)
def protection_meets_a_wiring(m):
    """A thread takes the rights to memory away while another one locks it: a page stays wired for ever.

    The map is unlocked while `vm_fault_wire` faults in the pages, and what is being wired is in transition.
    `vm_map_protect` does not ask for that.  It removes the mapping of a page that is wired already, and the
    wiring goes on with the next one.  To unlock the page `vm_fault_unwire` looks for it by its mapping.
    Repair `protection-waits-for-transitions`: wait until the wiring is done.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 2)

    def locker():
        process.enter()
        if vm_map_user_wiring(process.map, at(0), at(2), False) == KERN_SUCCESS:
            vm_map_user_wiring(process.map, at(0), at(2), True)

    m.spawn(locker)
    m.spawn(vm_map_protect, process.map, at(0), at(1), VM_PROT_NONE, False, name="other")
    m.join()
    give_back(process.vmspace)
