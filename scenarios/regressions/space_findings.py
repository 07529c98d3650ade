"""Findings in lookups, stacks, wirings and address spaces: the model does what vm_map.c does."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, give_back, run_in
from vmsmp.scenarios.vm_map._spaces import (
    BASE,
    map_anon,
    map_device,
    map_private,
    new_space,
    shared_file,
)
from vmsmp.scenarios.vm_map.files import map_file, write_to
from vmsmp.vm.vm_kern import kmem_alloc_wait, kmem_free_wakeup, kmem_suballoc
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_SUCCESS,
    KM_PAGEABLE,
    MAP_FIXED,
    MAP_WIREFUTURE,
    VM_PROT_ALL,
    VM_PROT_EXECUTE,
    VM_PROT_OVERRIDE_WRITE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    VM_SUBSYS_MMAP,
    VM_SUBSYS_SYSMAP,
    Mapping,
    vm_map_check_protection,
    vm_map_clean,
    vm_map_find,
    vm_map_growstack,
    vm_map_kernel_wiring,
    vm_map_lock,
    vm_map_lookup,
    vm_map_lookup_done,
    vm_map_protect,
    vm_map_remove,
    vm_map_stack,
    vm_map_unlock,
    vm_map_user_wiring,
    vmspace_anonymous_count,
)
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE

TOP = BASE + 8 * PAGE_SIZE


def stack_of(m, vm, pages=2):
    """Return an address space with the process' stack of 8 pages, of which the top ones are mapped."""
    vmspace = new_space(vm)
    rv, _ = vm_map_stack(vmspace.vm_map, BASE, TOP - BASE, MAP_FIXED, VM_PROT_RW, VM_PROT_ALL, 0)
    m.check(rv == KERN_SUCCESS, "a range that is free can be a stack")
    vmspace.vm_maxsaddr = BASE
    vmspace.vm_ssize = pages
    return vmspace


def look(m, map, address, how, what):
    """Look an address up, which must succeed."""
    found = vm_map_lookup(map, address, how)
    m.check(found.rv == KERN_SUCCESS, what)
    vm_map_lookup_done(found.map, found.entry, None)


@scenario(
    cpus=2, tags={"map", "lookup", "finding"}, fixed=True, schedule="v1:lookup_forgets_the_override:4:1.4>2"
)
def lookup_forgets_the_override(m):
    """Two debuggers write to a page of a process' text at once, and one of them is refused.

    Each lookup finds an entry that must be copied first, and upgrades its lock.  Only one upgrade can be
    granted; the other lookup starts over.  But it has reduced its request to read, write and execute: the
    flag that overrides the entry's protection is lost, and the entry is read-only.
    Repair `lookup-begins-afresh`: a lookup that starts over uses its caller's request again.
    """
    vm = m.boot(pages=8, l2_size=1)
    vmspace = new_space(vm)
    text = shared_file(vm, 1)
    map_private(m, vmspace.vm_map, text, BASE, 1, VM_PROT_READ)
    how = VM_PROT_READ | VM_PROT_WRITE | VM_PROT_OVERRIDE_WRITE

    def debugger():
        look(m, vmspace.vm_map, BASE, how, "a debugger may write where the process may not")

    for _ in range(2):
        m.spawn(debugger, name="debugger")
    m.join()
    give_back(vmspace)
    vm_object_deallocate(text)


@scenario(
    cpus=3,
    tags={"map", "lookup", "finding"},
    fixed=True,
    schedule="v1:lookup_keeps_an_older_right:f4249:1.4>2",
)
def lookup_keeps_an_older_right(m):
    """A thread that only reads a wired page is refused, because the page was writeable a moment ago.

    A wired page is faulted in with all rights of its entry, so the lookup goes on as if a write had been
    requested.  It has to copy, and its upgrade fails, since another lookup upgrades, too.
    Before it starts over, the entry becomes read-only.  The lookup still requests a write.
    Repair `lookup-begins-afresh`: a lookup that starts over uses its caller's request again.
    """
    vm = m.boot(pages=8, l2_size=1)
    vm.map.fault = lambda *_: KERN_SUCCESS  # the page itself is of no matter
    vmspace = new_space(vm)
    map = vmspace.vm_map
    file = shared_file(vm, 1)
    map_private(m, map, file, BASE, 1, VM_PROT_READ)
    vm_map_user_wiring(map, BASE, BASE + PAGE_SIZE, False)
    vm_map_protect(map, BASE, BASE + PAGE_SIZE, VM_PROT_RW, False)

    def reader():
        look(m, map, BASE, VM_PROT_READ, "what is readable can be read")

    for _ in range(2):
        m.spawn(reader, name="reader")
    m.spawn(vm_map_protect, map, BASE, BASE + PAGE_SIZE, VM_PROT_READ, False, name="changer")
    m.join()
    give_back(vmspace)
    vm_object_deallocate(file)


@scenario(
    cpus=2,
    tags={"map", "fault", "wire", "finding"},
    fixed=True,
    schedule="v1:fault_keeps_an_older_right:f424e:1.26>2",
)
def fault_keeps_an_older_right(m):
    """Writeable memory cannot be wired, because it was executable a moment ago.

    A wired page is faulted in with all rights of its entry.  The fault has to start over, since it needs the
    object's token exclusively, and meanwhile the entry loses a right.  The fault still requests all of them.
    Repair `fault-begins-afresh`: a fault that starts over uses its original request again.
    """
    vm = m.boot(pages=12, l2_size=1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_anon(m, map, BASE, 1, VM_PROT_ALL, VM_PROT_ALL)

    def wirer():
        rv = vm_map_kernel_wiring(map, BASE, BASE + PAGE_SIZE, 0)
        m.check(rv == KERN_SUCCESS, "what can be read and written can be wired")

    m.spawn(wirer)
    m.spawn(vm_map_protect, map, BASE, BASE + PAGE_SIZE, VM_PROT_RW, False, name="changer")
    m.join()
    vm_map_kernel_wiring(map, BASE, BASE + PAGE_SIZE, KM_PAGEABLE)
    give_back(vmspace)


@scenario(cpus=1, tags={"map", "lookup", "finding"}, fixed=True, schedule="v1:wired_copy_refuses_writes:0:")
def wired_copy_refuses_writes(m):
    """A process that has locked private memory of a file cannot write to it any more once it faults.

    The wiring has given the entry an object of its own, so nothing is left to be copied.  But the entry keeps
    the flag MAP_ENTRY_COW, and a lookup refuses to write to a wired entry with it.
    The process faults, for instance, after it made the page read-only and writeable again.
    Repair `lookup-refuses-what-needs-a-copy`: refuse only an entry that still needs a copy.
    """
    vm = m.boot(pages=8, l2_size=1)
    vmspace = new_space(vm)
    file = shared_file(vm, 1)
    map_private(m, vmspace.vm_map, file, BASE, 1)

    def process():
        vm_map_user_wiring(vmspace.vm_map, BASE, BASE + PAGE_SIZE, False)
        look(m, vmspace.vm_map, BASE, VM_PROT_WRITE, "what is writeable can be written to")

    m.spawn(process, name="process")
    m.join()
    give_back(vmspace)
    vm_object_deallocate(file)


@scenario(
    cpus=2,
    tags={"map", "kmem", "finding"},
    fixed=True,
    schedule="v1:kmem_alloc_wait_misses_a_free:f425e:1.10>2,2.5>1",
)
def kmem_alloc_wait_misses_a_free(m):
    """A CPU sleeps for addresses of a submap that are free, and is never woken.

    `kmem_alloc_wait` finds no room, unlocks the map and then sleeps on it.  Between the two another CPU
    frees what it has, and wakes all sleepers: there is none yet.  Nothing else frees addresses of the map.
    Repair `kmem-alloc-wait-interlocks`: interlock the sleep before the map is unlocked.
    """
    vm = m.boot(pages=8, l2_size=1)
    submap = kmem_suballoc(vm.map.kernel_map, PAGE_SIZE)

    def user():
        addr = kmem_alloc_wait(submap, PAGE_SIZE, VM_SUBSYS_SYSMAP)
        kmem_free_wakeup(submap, addr, PAGE_SIZE)

    for _ in range(2):
        m.spawn(user, name="user")
    m.join()


@scenario(cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:grown_stack_loses_its_room:0:")
def grown_stack_loses_its_room(m):
    """After a stack has grown once, other memory may be mapped in its room.

    A search for room spares the room of an entry with MAP_ENTRY_STACK.  The entry that a growth adds is the
    one that grows next, but it does not have the flag.
    Repair `grown-stack-keeps-its-room`: give it the flag.
    """
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=2 * PAGE_SIZE)
    vmspace = stack_of(m, vm)

    def process():
        run_in(vm, vmspace)
        m.check(vm_map_growstack(vmspace.vm_map, TOP - 3 * PAGE_SIZE) == KERN_SUCCESS, "there is room")
        what = Mapping(prot=VM_PROT_RW, max=VM_PROT_ALL, id=VM_SUBSYS_MMAP)
        _, at = vm_map_find(vmspace.vm_map, BASE, PAGE_SIZE, PAGE_SIZE, True, what)
        m.check(not BASE <= at < TOP, "the room that a stack may need is not given to others")

    m.spawn(process, name="process")
    m.join()
    give_back(vmspace)


@scenario(cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:grown_stack_may_be_executed:0:")
def grown_stack_may_be_executed(m):
    """A stack that is not executable has executable memory as soon as it grows.

    The entry that a growth adds has all rights, whatever those of the stack are.
    Repair `grown-stack-has-the-stack-s-rights`: give it those of the entry above.
    """
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=2 * PAGE_SIZE)
    vmspace = stack_of(m, vm)
    below = TOP - 3 * PAGE_SIZE

    def process():
        run_in(vm, vmspace)
        vm_map_growstack(vmspace.vm_map, below)
        grown = vm_map_check_protection(vmspace.vm_map, below, TOP, VM_PROT_RW, False)
        m.check(grown, "a stack that has grown is mapped where it was needed")
        execute = vm_map_check_protection(vmspace.vm_map, below, below + PAGE_SIZE, VM_PROT_EXECUTE, False)
        m.check(not execute, "a stack has the rights that it was made with")

    m.spawn(process, name="process")
    m.join()
    give_back(vmspace)


@scenario(
    cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:growing_stack_is_wired_locked:0:"
)
def growing_stack_is_wired_locked(m):
    """A stack grows in a process that locks its future memory, and the kernel panics.

    `vm_map_growstack` wires the new part, which locks the map, while it has the map locked.
    Repair `stack-is-wired-unlocked`: unlock the map before.
    """
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=2 * PAGE_SIZE)
    vmspace = stack_of(m, vm)
    vm_map_lock(vmspace.vm_map)
    vmspace.vm_map.flags |= MAP_WIREFUTURE  # mlockall(MCL_FUTURE)
    vm_map_unlock(vmspace.vm_map)

    def process():
        run_in(vm, vmspace)
        vm_map_growstack(vmspace.vm_map, TOP - 3 * PAGE_SIZE)

    m.spawn(process, name="process")
    m.join()
    give_back(vmspace)


@scenario(cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:stack_limit_cuts_a_page:0:")
def stack_limit_cuts_a_page(m):
    """A stack whose limit is no whole number of pages grows to the middle of a page.

    The growth is rounded up, and then cut to what the limit leaves, byte for byte; an entry of the map
    begins there.
    Repair `stack-limit-is-whole-pages`: cut it to whole pages.
    """
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=2 * PAGE_SIZE)
    vmspace = stack_of(m, vm)

    def process():
        run_in(vm, vmspace)
        vm.mycpu().proc.rlim_stack = 3 * PAGE_SIZE + 100
        vm_map_growstack(vmspace.vm_map, TOP - 3 * PAGE_SIZE)

    m.spawn(process, name="process")
    m.join()
    give_back(vmspace)


@scenario(
    cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:growing_stack_joins_both_sides:0:"
)
def growing_stack_joins_both_sides(m):
    """A stack grows into a hole in itself, and the kernel reads a freed entry, and panics.

    A part in the middle of a stack that has grown three times is unmapped, and used again.  The insertion
    extends the entry below the hole, which then continues into the one above: they are joined.  The entry
    above was the one that grows; `vm_map_growstack` still uses it, and does not find the new part.
    Repair `stack-cuts-what-was-joined`: remember the entry's fields, and cut the new part out of whatever
    entry has it.
    """
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=2 * PAGE_SIZE)
    vmspace = stack_of(m, vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)

    def process():
        run_in(vm, vmspace)
        for page in (3, 5, 7):
            vm_map_growstack(map, TOP - page * PAGE_SIZE)
        vm_map_remove(map, TOP - 6 * PAGE_SIZE, TOP - 4 * PAGE_SIZE)
        vm_map_growstack(map, TOP - 6 * PAGE_SIZE)

    m.spawn(process, name="process")
    m.join()
    give_back(vmspace)


@scenario(
    cpus=2,
    tags={"map", "vmspace", "finding"},
    fixed=True,
    schedule="v1:count_walks_an_unlocked_map:1f:1.18>2",
)
def count_walks_an_unlocked_map(m):
    """Memory is counted to choose a process to kill, and the entry that the count has reached is freed.

    `vmspace_anonymous_count` walks the entries with the map's token.  Changing rights takes the map's lock,
    and not the token, and joins entries.
    Repair `count-locks-the-map`: lock the map shared for the walk.
    """
    vm = m.boot(pages=8, l2_size=1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_anon(m, map, BASE, 2)
    vm_map_protect(map, BASE, BASE + PAGE_SIZE, VM_PROT_READ, False)

    m.spawn(vmspace_anonymous_count, vmspace, name="counter")
    m.spawn(vm_map_protect, map, BASE, BASE + PAGE_SIZE, VM_PROT_RW, False, name="changer")
    m.join()
    give_back(vmspace)


def failing_after(pages):
    """Return a fault that fails from that page on."""
    return lambda _map, address, *_: KERN_FAILURE if address >= BASE + pages * PAGE_SIZE else KERN_SUCCESS


@scenario(cpus=1, tags={"map", "wire", "finding"}, fixed=True, schedule="v1:failed_mlock_unlocks_others:0:")
def failed_mlock_unlocks_others(m):
    """A process locks a page and fails to lock a range that begins with it: the page is not locked any more.

    The failed call undoes its work by unwiring all entries before the one that failed.  It has skipped those
    that were wired already, but unwires them, too.
    Repair `mlock-takes-back-its-own`: undo only the wirings that the call itself has made.
    """
    vm = m.boot(pages=8, l2_size=1)
    vm.map.fault = failing_after(1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_anon(m, map, BASE, 2)

    def process():
        vm_map_user_wiring(map, BASE, BASE + PAGE_SIZE, False)
        m.check(vm_map_user_wiring(map, BASE, BASE + 2 * PAGE_SIZE, False) == KERN_FAILURE, "it fails")
        first = map.raw_rb_root.at_or_before(BASE)
        m.check(first.raw_wired_count == 1, "a page that was locked before stays locked")

    m.spawn(process, name="process")
    m.join()
    give_back(vmspace)


@scenario(cpus=1, tags={"map", "wire", "finding"}, fixed=True, schedule="v1:failed_wiring_leaves_counts:0:")
def failed_wiring_leaves_counts(m):
    """A kernel wiring of three entries fails at the second one, and the third one stays counted as wired.

    All entries are counted first, and then faulted in one by one.  The counts before the failure are undone,
    and that of the entry that failed; those behind it are not.
    Repair `wiring-takes-back-the-rest`: undo the counts behind, too.
    """
    vm = m.boot(pages=8, l2_size=1)
    vm.map.fault = failing_after(1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_anon(m, map, BASE, 3)
    vm_map_protect(map, BASE + PAGE_SIZE, BASE + 2 * PAGE_SIZE, VM_PROT_READ, False)

    def process():
        m.check(vm_map_kernel_wiring(map, BASE, BASE + 3 * PAGE_SIZE, 0) == KERN_FAILURE, "it fails")
        last = map.raw_rb_root.at_or_before(BASE + 2 * PAGE_SIZE)
        m.check(last.raw_wired_count == 0, "what could not be wired is not said to be")

    m.spawn(process, name="process")
    m.join()
    give_back(vmspace)


class Upmap:
    """/dev/upmap."""

    minor = 5


@scenario(cpus=1, tags={"map", "device", "finding"}, fixed=True, schedule="v1:cut_device_mapping_stays:0:")
def cut_device_mapping_stays(m):
    """A process unmaps the first of two pages that the kernel shares with it: both are unmapped.

    The entry is cut behind the first page: the rest becomes an entry of its own, and the end of the first one
    moves there.  But only the bounds of entries of objects are moved: the two overlap, and the first is
    removed as a whole.  A cut before the second page leaves both with the same start, which panics.
    Repair `cut-moves-every-entry`: move the bounds of entries of all kinds.
    """
    vm = m.boot(pages=8, l2_size=1)
    vmspace = new_space(vm)
    map_device(m, vmspace.vm_map, Upmap(), lambda *_: 0, BASE, 2)

    def process():
        vm_map_remove(vmspace.vm_map, BASE, BASE + PAGE_SIZE)

    m.spawn(process, name="process")
    m.join()
    give_back(vmspace)


@scenario(cpus=1, tags={"map", "clean", "finding"}, fixed=True, schedule="v1:msync_skips_what_is_behind:0:")
def msync_skips_what_is_behind(m):
    """A process writes a range back, and the second file in it is not written, though the call succeeds.

    The range begins with a private mapping that reaches beyond the end of its file.  `vm_map_clean` cleans it
    only up to the end of the file, and continues from there with the next entry: before that entry's start.
    The index into the second file that results is beyond all its pages.
    Repair `msync-goes-on-behind-each-entry`: begin each entry at its start.
    """
    vm = m.boot(pages=12, l2_size=1, object_hash=1)
    short, first = file_object(vm, 1)
    vp, obj = file_object(vm, 1, range(1))
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_private(m, map, first, BASE, 3)
    map_file(m, map, obj, BASE + 3 * PAGE_SIZE, 1)
    page = obj.peek("rb_memq")[0]
    write_to(page)

    def process():
        look(m, map, BASE, VM_PROT_WRITE, "what is writeable can be written to")
        answer = vm_map_clean(map, BASE, BASE + 4 * PAGE_SIZE, True, False)
        m.check(answer == KERN_SUCCESS, "what is mapped can be written back")
        m.check(not page.peek("dirty"), "what was written back is not dirty any more")

    m.spawn(process, name="process")
    m.join()
    give_back(vmspace)
    for file, vnode in ((first, short), (obj, vp)):
        vm_object_deallocate(file)
        end_of_file(vnode)
