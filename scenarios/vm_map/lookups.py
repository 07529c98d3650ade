"""Lookups of a map that give entries objects, shadow them and cut them, among others who change the map."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back
from vmsmp.scenarios.vm_map._spaces import (
    BASE,
    is_resident,
    map_anon,
    map_private,
    new_space,
    shared_file,
    write_page,
)
from vmsmp.vm.vm_map import (
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    MAP_ENTRY_PARTITION_SIZE,
    VM_PROT_OVERRIDE_WRITE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    vm_map_lookup,
    vm_map_lookup_done,
    vm_map_protect,
    vm_map_remove,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import (
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_page_remove,
)
from vmsmp.vm.vm_page import PAGE_SIZE, VM_ALLOC_NORMAL, VM_ALLOC_RETRY, vm_page_grab, vm_page_wakeup


@scenario(cpus=3, tags={"map", "lookup", "shadow"}, pages=4)
def first_touch(m):
    """Several threads touch what is mapped first: anonymous memory and a private copy, to read and to write.

    All of them see what one has written, whichever thread gave the entry its object.
    """
    vm = m.boot(pages=20, l2_size=1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    file = shared_file(vm, 2)
    map_anon(m, map, BASE, 2)
    map_private(m, map, file, BASE + 4 * PAGE_SIZE, 2)
    pages = [BASE + n * PAGE_SIZE for n in (0, 1, 4, 5)]

    def thread():
        for _ in m.rounds(2):
            address = pages[m.choose(4)]
            if m.choose(3) == 0:
                found = vm_map_lookup(map, address, VM_PROT_READ)
                m.check(found.rv == KERN_SUCCESS, "what is mapped is found")
                vm_map_lookup_done(found.map, found.entry, None)
                continue
            obj, _ = write_page(map, address, VM_PROT_WRITE)
            m.check(obj is not file, "a write does not go to what others have, too")
            m.check(is_resident(map, address), "what was written is found")

    for _ in range(m.ncpus):
        m.spawn(thread)
    m.join()
    for entry in map.raw_rb_root:
        m.check(len(entry.chain()) <= 2, "an entry is shadowed once")
    give_back(vmspace)
    vm_object_deallocate(file)


@scenario(cpus=3, tags={"map", "lookup", "shadow", "object"}, pages=6)
def shadow_against_truncate(m):
    """Threads write to private copies of a file while its owner removes its pages and puts new ones there."""
    vm = m.boot(pages=20, l2_size=1)
    file = shared_file(vm, 3)
    spaces = [new_space(vm) for _ in range(2)]
    for vmspace in spaces:
        map_private(m, vmspace.vm_map, file, BASE, 3)

    def owner():
        for _ in m.rounds(2):
            vm_object_hold(file)
            page = vm_page_grab(file, m.choose(3), VM_ALLOC_NORMAL | VM_ALLOC_RETRY)
            vm_page_wakeup(page)
            vm_object_drop(file)
            vm_object_page_remove(file, m.choose(3), 3, False)

    def process(n):
        map = spaces[n % 2].vm_map
        for _ in m.rounds(2):
            address = BASE + PAGE_SIZE * m.choose(3)
            obj, _ = write_page(map, address, VM_PROT_WRITE)
            m.check(obj is not file, "a write does not go to what others have, too")
            m.check(is_resident(map, address), "what was written is found")

    for n in range(m.ncpus):
        m.spawn(process, n) if n else m.spawn(owner)
    m.join()
    for vmspace in spaces:
        give_back(vmspace)
    vm_object_deallocate(file)


@scenario(cpus=3, tags={"map", "lookup", "protect"}, pages=6)
def lookups_among_changes(m):
    """Threads look up, protect, unmap and map the same few pages; a lookup finds what is mapped then."""
    vm = m.boot(pages=28, l2_size=1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    file = shared_file(vm, 4)
    map_private(m, map, file, BASE, 4)

    def look():
        address = BASE + PAGE_SIZE * m.choose(4)
        wanted = (VM_PROT_READ, VM_PROT_WRITE)[m.choose(2)]
        found = vm_map_lookup(map, address, wanted)
        if found.rv == KERN_SUCCESS:
            m.check(found.prot & wanted, "who finds something may do what he asked for")
            m.check(found.entry.ba.start <= address < found.entry.ba.end, "it is what is there")
            vm_map_lookup_done(found.map, found.entry, None)

    def change():
        first = BASE + PAGE_SIZE * m.choose(3)
        last = first + PAGE_SIZE * (1 + m.choose(2))
        deed = m.choose(3)
        if deed == 0:
            vm_map_protect(map, first, last, (VM_PROT_READ, VM_PROT_RW)[m.choose(2)], False)
        elif deed == 1:
            vm_map_remove(map, first, last)
        else:
            vm_map_user_wiring(map, first, last, bool(m.choose(2)))

    def thread(n):
        for _ in m.rounds(3):
            change() if n == 0 or m.choose(3) == 0 else look()

    for n in range(m.ncpus):
        m.spawn(thread, n)
    m.join()
    give_back(vmspace)
    vm_object_deallocate(file)


@scenario(cpus=3, tags={"map", "lookup", "protect"}, pages=6)
def lookups_of_the_readable(m):
    """Memory that is always readable is read while it becomes writeable and read-only, and is wired."""
    vm = m.boot(pages=20, l2_size=1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    file = shared_file(vm, 2)
    map_anon(m, map, BASE - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_private(m, map, file, BASE, 2, VM_PROT_READ)
    vm_map_user_wiring(map, BASE, BASE + PAGE_SIZE, False)

    def changer():
        for _ in m.rounds(2):
            vm_map_protect(map, BASE, BASE + 2 * PAGE_SIZE, (VM_PROT_RW, VM_PROT_READ)[m.choose(2)], False)

    def reader():
        for _ in m.rounds(2):
            address = BASE + PAGE_SIZE * m.choose(2)
            found = vm_map_lookup(map, address, VM_PROT_READ)
            m.check(found.rv == KERN_SUCCESS, "what is readable can be read")
            vm_map_lookup_done(found.map, found.entry, None)

    for n in range(m.ncpus):
        m.spawn(reader if n else changer)
    m.join()
    give_back(vmspace)
    vm_object_deallocate(file)


@scenario(cpus=3, tags={"map", "lookup", "shadow"})
def debuggers_write(m):
    """Debuggers write to a process' text, which the process may only read; all of them succeed."""
    vm = m.boot(pages=20, l2_size=1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    text = shared_file(vm, 2)
    map_private(m, map, text, BASE, 2, VM_PROT_READ)

    def debugger():
        address = BASE + PAGE_SIZE * m.choose(2)
        how = VM_PROT_READ | VM_PROT_WRITE | VM_PROT_OVERRIDE_WRITE
        found = vm_map_lookup(map, address, how)
        m.check(found.rv == KERN_SUCCESS, "a debugger may write where the process may not")
        m.check(found.ba.object is not text, "a write does not go to what others have, too")
        vm_map_lookup_done(found.map, found.entry, None)

    def process():
        address = BASE + PAGE_SIZE * m.choose(2)
        found = vm_map_lookup(map, address, VM_PROT_WRITE)
        m.check(found.rv == KERN_PROTECTION_FAILURE, "a process may not write to its text")

    for n in range(m.ncpus):
        m.spawn(process if n == 2 else debugger)
    m.join()
    give_back(vmspace)
    vm_object_deallocate(text)


@scenario(cpus=3, tags={"map", "lookup", "wire", "transition"})
def partitions_among_wirings(m):
    """Threads touch large ranges for the first time, partition by partition; others wire parts of them."""
    vm = m.boot(pages=20, l2_size=1)
    vm.map.fault = lambda *_: m.yield_() or KERN_SUCCESS
    vmspace = new_space(vm)
    map = vmspace.vm_map
    size = MAP_ENTRY_PARTITION_SIZE // PAGE_SIZE
    edge = MAP_ENTRY_PARTITION_SIZE
    map_anon(m, map, edge - 2 * PAGE_SIZE, 1, VM_PROT_READ)
    map_anon(m, map, edge - PAGE_SIZE, 2)
    map_anon(m, map, 2 * edge, 2 * size, VM_PROT_READ)

    def toucher():
        for _ in m.rounds(2):
            address = (edge - PAGE_SIZE, edge, 2 * edge, 3 * edge)[m.choose(4)]
            found = vm_map_lookup(map, address, VM_PROT_READ)
            m.check(found.rv == KERN_SUCCESS, "what is mapped is found")
            m.check(found.ba.object is not None, "what is touched has an object")
            vm_map_lookup_done(found.map, found.entry, None)

    def wirer():
        for _ in m.rounds(2):
            first = edge - PAGE_SIZE * (1 + m.choose(2))
            vm_map_user_wiring(map, first, edge + PAGE_SIZE, False)
            vm_map_user_wiring(map, first, edge + PAGE_SIZE, True)

    for n in range(m.ncpus):
        m.spawn(toucher if n % 2 else wirer)
    m.join()
    give_back(vmspace)
