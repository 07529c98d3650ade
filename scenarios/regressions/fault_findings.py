"""Findings in the kernel's faults: the model does what vm_fault.c does, step for step."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, give_back, leave
from vmsmp.scenarios.vm_fault._memory import (
    Process,
    copy_wired,
    cut_chain,
    filled,
    page_out,
    share,
)
from vmsmp.scenarios.vm_fault.sharing import map_shared
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_private, shared_file
from vmsmp.vm.vm_fault import vm_fault, vm_fault_page
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_SUCCESS,
    MADV_INVAL,
    VM_FAULT_DIRTY,
    VM_PROT_NONE,
    VM_PROT_OVERRIDE_WRITE,
    VM_PROT_READ,
    VM_PROT_RW,
    vm_map_entry_shadow,
    vm_map_lock,
    vm_map_madvise,
    vm_map_protect,
    vm_map_remove,
    vm_map_unlock,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import (
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
)
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    vm_page_busy_wait,
    vm_page_set_invalid,
    vm_page_unhold,
    vm_page_wakeup,
)


def mlock(m, process, pages=1):
    """Wire the first pages for the process."""
    rv = vm_map_user_wiring(process.map, BASE, BASE + pages * PAGE_SIZE, False)
    m.check(rv == KERN_SUCCESS, "memory that is mapped can be locked")


def munlock(process, pages=1):
    """Unwire the first pages for the process."""
    vm_map_user_wiring(process.map, BASE, BASE + pages * PAGE_SIZE, True)


def read_only(process, pages=1):
    """Make the first pages read-only."""
    vm_map_protect(process.map, BASE, BASE + pages * PAGE_SIZE, VM_PROT_READ, False)


def fault(process):
    """Fault on the first page for a write, even if it is mapped."""
    vm_fault(process.map, BASE, VM_PROT_RW, VM_FAULT_DIRTY)


def shadow(process):
    """Give the process an object of its own, without pages, in front of the one that it shares."""
    vm_map_lock(process.map)
    vm_map_entry_shadow(process.map.raw_rb_root.at_or_before(BASE))
    vm_map_unlock(process.map)


@scenario(
    cpus=1,
    tags={"map", "fault", "swap", "finding"},
    fixed=True,
    schedule="v1:failed_read_ends_another_activity:0:",
)
def failed_read_ends_another_activity(m):
    """A page that cannot be read from swap leaves two objects with a wrong count of what is in progress.

    The page is one of an object behind the first one.  A fault has raised the activity of both by then.
    `vm_fault_object` ends that of the object that it has read from, releases everything, and in doing so ends
    it again, so it is below zero.  That of the first object is never ended: its termination waits for ever.
    Repair `failed-read-ends-its-own`: end the activity of the first object, as every other way out does.
    """
    vm = m.boot(pages=12, l2_size=1)
    origin = vm_object_allocate(vm, 2)
    filled(vm, origin, (1, 2))
    process = Process(vm)
    map_private(m, process.map, origin, BASE, 2)

    def user():
        process.enter().store(BASE + PAGE_SIZE, 3)
        page_out(origin, 0)
        vm.pager.device.failing = True
        m.check(process.load(BASE) is None, "what cannot be read is not there")

    m.spawn(user, name="user")
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(origin)


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "finding"},
    fixed=True,
    schedule="v1:poke_leaves_page_busy:0:",
)
def poke_leaves_page_busy(m):
    """A debugger that may not write to a page leaves it busy for good.

    The process has locked the page into memory and may only read it.  The lookup lets a debugger override
    that, and then gives it the rights of the entry, because the entry is wired.  `vm_fault_page` finds no
    right to write, releases everything but the page, and returns no page.  The page stays hard-busied, and
    every CPU that wants it waits for ever, the process' exit included.
    Repair `refused-page-is-let-go`: drop the page's busy before the refusal.
    """
    vm = m.boot(pages=12, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 1, VM_PROT_READ)

    def debugger():
        process.enter()
        mlock(m, process)
        found = vm_fault_page(process.map, BASE, VM_PROT_RW | VM_PROT_OVERRIDE_WRITE, 0, False)
        m.check(found.page is None, "what is locked and read-only is not written to")

    m.spawn(debugger, name="debugger")
    m.join()
    munlock(process)
    give_back(process.vmspace)


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "fork", "finding"},
    fixed=True,
    schedule="v1:copies_have_the_most_rights:0:",
)
def copies_have_the_most_rights(m):
    """A child may write to memory that its parent, and it, may only read.

    The parent has locked the memory, so a fork copies its pages.  `vm_fault_copy_entry` maps each copy with
    the most rights that the entry could ever be given, not with those that it gives now.
    Repair `copies-keep-their-rights`: map them with the entry's protection.
    """
    vm = m.boot(pages=16, l2_size=1)
    parent, child = Process(vm), Process(vm)
    for process in (parent, child):
        map_anon(m, process.map, BASE, 1)

    def forker():
        parent.enter().store(BASE, 1)
        for process in (parent, child):
            read_only(process)
        mlock(m, parent)
        copy_wired(parent.map, child.map, BASE)
        m.check(child.enter().store(BASE, 2) is not None, "what is read-only is not written to")
        munlock(parent)

    m.spawn(forker, name="forker")
    m.join()
    for process in (parent, child):
        give_back(process.vmspace)


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "collapse", "finding"},
    fixed=True,
    schedule="v1:collapse_forgets_wirings:0:",
)
def collapse_forgets_wirings(m):
    """A process that unlocks its memory panics the machine, because it has forked since it locked it.

    It has written to one page of a private mapping, made all of it read-only and locked it: the other page is
    wired where it is, in the object behind the first one.  If the chain is long enough, a fork has
    `vm_fault_collapse` copy that page to the first object and unmap the range.  The process reads the copy,
    which is mapped as wired, like its entry, but is not wired.  `vm_fault_unwire` unwires the page that it
    finds mapped.
    Repair `collapse-spares-wirings`: leave the chain of an entry that is wired.
    """
    vm = m.boot(pages=16, l2_size=1)
    origin = vm_object_allocate(vm, 2)
    filled(vm, origin, (1, 2))
    process = Process(vm)
    map_private(m, process.map, origin, BASE, 2)

    def forker():
        process.enter().store(BASE + PAGE_SIZE, 3)
        read_only(process, 2)
        mlock(m, process, 2)
        cut_chain(process.map, BASE)
        m.check(process.load(BASE) == 1, "memory has what was written to it")
        munlock(process, 2)

    m.spawn(forker, name="forker")
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(origin)


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "finding"},
    fixed=True,
    schedule="v1:mlock_opens_what_is_closed:0:",
)
def mlock_opens_what_is_closed(m):
    """Memory without any right can be read once it is locked.

    A wiring that the entry's rights refuse is looked up again with those of a debugger.  The page is then
    mapped with the rights of the entry, which has none; but any page that is mapped can be read.
    Repair `mlock-leaves-closed-memory`: refuse to wire memory that gives no right.
    """
    vm = m.boot(pages=12, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 1, VM_PROT_RW)

    def user():
        process.enter()
        process.store(BASE, 1)
        vm_map_protect(process.map, BASE, BASE + PAGE_SIZE, VM_PROT_NONE, False)
        vm_map_user_wiring(process.map, BASE, BASE + PAGE_SIZE, False)
        m.check(process.load(BASE) is None, "what may not be read is not read")

    m.spawn(user, name="user")
    m.join()
    give_back(process.vmspace)


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "madvise", "finding"},
    fixed=True,
    schedule="v1:invalidated_wirings_stay:0:",
)
def invalidated_wirings_stay(m):
    """A page that was locked, and whose mapping is invalidated, stays wired for ever.

    `vm_fault_unwire` unwires the pages that it finds mapped.  MADV_INVAL removes mappings, also those of
    wired entries; unless the process touches the page before it unlocks it, its wiring cannot be found any
    more.
    Repair `invalidation-spares-wirings`: leave entries that are wired alone.
    """
    vm = m.boot(pages=12, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 1)

    def user():
        process.enter()
        mlock(m, process)
        vm_map_madvise(process.map, BASE, BASE + PAGE_SIZE, MADV_INVAL)
        munlock(process)

    m.spawn(user, name="user")
    m.join()
    give_back(process.vmspace)


@scenario(
    cpus=1,
    tags={"map", "fault", "wire", "peek", "finding"},
    fixed=True,
    schedule="v1:peeked_wirings_stay:0:",
)
def peeked_wirings_stay(m):
    """A page that was locked, and that a debugger looks at, stays wired for ever.

    `vm_fault_page` removes the mapping at the address on every success, because it may be an older page's.
    `vm_fault_unwire` then finds nothing mapped there, and skips the page.
    Repair `peeks-spare-wirings`: a wired entry has no older page; leave its mapping.
    """
    vm = m.boot(pages=12, l2_size=1)
    process = Process(vm)
    map_anon(m, process.map, BASE, 1)

    def debugger():
        process.enter()
        mlock(m, process)
        found = vm_fault_page(process.map, BASE, VM_PROT_READ, 0, False)
        vm_page_unhold(found.page)
        munlock(process)

    m.spawn(debugger, name="debugger")
    m.join()
    give_back(process.vmspace)


@scenario(
    cpus=1,
    tags={"map", "fault", "cow", "finding"},
    fixed=True,
    schedule="v1:sharer_keeps_the_old_page:0:",
)
def sharer_keeps_the_old_page(m):
    """Of two processes that share memory, one does not see what the other one writes.

    The page is in an object behind the one that the two share, and one process has read it: it is mapped
    there, read-only.  The other one writes to it.  The fault copies the page to the object that both share,
    and maps the copy in the writer's page table; the reader's page table still names the old page.
    If the reader forks then, `vm_fault_collapse` finds all pages in the first object, removes no mappings,
    and the chain is cut off: a CPU that frees the old page does not find the reader's mapping.
    Repair `copy-unmaps-the-old-page`: the mappings of a page that is copied are removed.
    """
    vm = m.boot(pages=18, l2_size=1)
    origin = vm_object_allocate(vm, 1)
    filled(vm, origin, (1,))
    reader, writer = Process(vm), Process(vm)
    map_private(m, reader.map, origin, BASE, 1)
    shadow(reader)
    share(reader.map, writer.map, BASE)

    def both():
        m.check(reader.enter().load(BASE) == 1, "memory has what was written to it")
        writer.enter().store(BASE, 2)
        m.check(reader.enter().load(BASE) == 2, "memory has what was written to it")

    m.spawn(both, name="both")
    m.join()
    for process in (reader, writer):
        give_back(process.vmspace)
    vm_object_deallocate(origin)


@scenario(
    cpus=2,
    tags={"map", "fault", "delete", "finding"},
    fixed=True,
    schedule="v1:fault_looks_at_a_freed_entry:0:1.42>2,1.51>2",
)
def fault_looks_at_a_freed_entry(m):
    """A fault looks at its map entry after it has unlocked the map, when the entry may have been freed.

    A fault that finds its page without a lock of the object, as it may if the page has been mapped more
    than once, does not hold the object.  At its end `vm_fault` tests whether it has to release the object:
    first whether the entry has one, and then whether that is held.  The map is unlocked by then, and another
    thread may have unmapped the range.
    Repair `fault-asks-itself-first`: test first whether the object is held.
    """
    vm = m.boot(pages=18, l2_size=1)
    process, sharer = Process(vm), Process(vm)
    map_anon(m, process.map, BASE, 1)
    process.enter().store(BASE, 1)
    share(process.map, sharer.map, BASE)
    sharer.enter().store(BASE, 2)
    fault(process)

    def user():
        process.enter()
        fault(process)

    def unmapper():
        process.enter()
        vm_map_remove(process.map, BASE, BASE + PAGE_SIZE)

    m.spawn(user, name="user")
    m.spawn(unmapper, name="unmapper")
    m.join()
    for each in (process, sharer):
        give_back(each.vmspace)


@scenario(
    cpus=2,
    tags={"map", "fault", "wire", "pmap", "finding"},
    fixed=True,
    schedule="v1:replaced_entry_stays_counted:0:1.124>2",
)
def replaced_entry_stays_counted(m):
    """A wiring fails and is undone while others fault: the pmap counts a wiring that no entry has.

    `vm_fault_wire` unwires what it has wired before it locks the map again, and until then the map entry
    counts as wired: a fault between the two enters the page as wired, and counts that.  A fault after that,
    for which the entry is not wired, replaces the page table's entry by one that is not wired.  `pmap_enter`
    counts wirings up and never down, so one is left when the process ends, and `pmap_release` panics.
    Repair `enter-counts-wirings-down`: count down as well.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = Process(vm)
    vm.map.fault = lambda map, va, *how: vm_fault(map, va, *how) if va == BASE else KERN_FAILURE
    map_anon(m, process.map, BASE, 2)
    process.enter().store(BASE, 1)

    def wirer():
        rv = vm_map_user_wiring(process.map, BASE, BASE + 2 * PAGE_SIZE, False)
        m.check(rv == KERN_FAILURE, "a page that cannot be had cannot be wired")

    def user():
        vm_fault(process.map, BASE, VM_PROT_RW, 0)

    m.spawn(wirer)
    m.spawn(user)
    m.join()
    user()
    give_back(process.vmspace)


@scenario(
    cpus=4,
    tags={"map", "fault", "prefault", "finding"},
    fixed=True,
    schedule="v1:prefault_maps_an_older_page:f4285:0.540>1,1.104>0,0.542>2,2.19>3,3.6>2",
)
def prefault_maps_an_older_page(m):
    """A thread stores to private memory and reads what was there before: another one had a fault nearby.

    After a fault the kernel maps the pages around it.  The neighbour is not in the first object, so
    `vm_prefault` goes on to the one behind, and has to wait for its token; the first object's is lost
    meanwhile.  The other thread faults at the neighbour: it copies the page to the first object, maps the
    copy and stores to it.  The first thread finds the page behind, and maps that in place of the copy.  What
    was stored comes back with the next fault that writes.
    Repair `prefault-looks-again`: a page from behind is not mapped if the first object has one by then.
    """
    vm = m.boot(pages=20, l2_size=1)
    file = shared_file(vm, 3)
    filled(vm, file, ["a", "b", "c"])
    process = Process(vm)
    map_private(m, process.map, file, BASE, 3)
    vm.sysctl["vm.shared_fault"] = 0
    vm.sysctl["vm.prefault_pages"] = 0
    process.enter().store(BASE + 2 * PAGE_SIZE, "mine")
    leave(vm)
    vm.sysctl["vm.prefault_pages"] = 2

    def first():
        process.enter().store(BASE, "first")

    def second():
        process.enter().store(BASE + PAGE_SIZE, "second")

    def other():
        vm_object_hold(file)
        m.yield_()
        vm_object_drop(file)
        m.yield_()

    for thread in (first, second, other):
        m.spawn(thread, name=thread.__name__)
    m.join()

    def reader():
        m.check(process.enter().load(BASE + PAGE_SIZE) == "second", "memory has what was written to it")

    m.spawn(reader, name="reader")
    m.join()
    give_back(process.vmspace)
    vm_object_deallocate(file)


@scenario(
    cpus=1,
    tags={"map", "fault", "vnode", "finding"},
    fixed=True,
    schedule="v1:failed_read_frees_what_is_mapped:0:",
)
def failed_read_frees_what_is_mapped(m):
    """A page of a file is mapped by one process, cannot be read again for another one, and the kernel panics.

    Discarding a buffer makes its pages invalid and leaves them mapped.  A fault finds the page invalid and
    reads it again.  If that fails, `vnode_pager_freepage` frees the page, which must not be mapped.
    Repair `failed-read-unmaps`: remove its mappings before.
    """
    vm = m.boot(pages=24, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    (page,) = obj.raw_rb_memq.values()
    reader, other = Process(vm), Process(vm)
    for process in (reader, other):
        map_shared(m, process, obj, 1)

    def both():
        m.check(reader.enter().load(BASE) is not None, "a file that is mapped can be read")
        vm_page_busy_wait(page, False)
        vm_page_set_invalid(page, 0, PAGE_SIZE)
        vm_page_wakeup(page)
        vm.pager.device.failing = True
        m.check(other.enter().load(BASE) is None, "what cannot be read is not there")

    m.spawn(both, name="both")
    m.join()
    for process in (reader, other):
        give_back(process.vmspace)
    vm_object_deallocate(obj)
    end_of_file(vp)
