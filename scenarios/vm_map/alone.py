"""One thread and its map: what each call returns, and the state of the map afterwards."""

from itertools import pairwise

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back, repaired, run_in
from vmsmp.scenarios.vm_map._ranges import ANON, at
from vmsmp.scenarios.vm_map._spaces import new_space, shared_file
from vmsmp.sync.lock import SHARED
from vmsmp.sync.thread import curthread
from vmsmp.vm.vm_kern import kmem_suballoc
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    FW_DIDCOW,
    FW_WIRED,
    KERN_FAILURE_NOFAULT,
    KERN_INVALID_ADDRESS,
    KERN_NO_SPACE,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_PARTITION_SIZE,
    MAP_ENTRY_STACK,
    MAP_FIXED,
    MAP_TRYFIXED,
    TDF_NOFAULT,
    VM_PROT_ALL,
    VM_PROT_OVERRIDE_WRITE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    VM_SUBSYS_STACK,
    vm_map_entry_release,
    vm_map_entry_reserve,
    vm_map_find,
    vm_map_growstack,
    vm_map_lock,
    vm_map_lookup,
    vm_map_lookup_done,
    vm_map_protect,
    vm_map_remove,
    vm_map_stack,
    vm_map_unlock,
    vm_map_user_wiring,
    vmspace_alloc,
)
from vmsmp.vm.vm_object import (
    OBJ_ONEMAPPING,
    OBJT_DEFAULT,
    OBJT_PHYS,
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import PAGE_SIZE


def put(map, page, pages, what=ANON):
    """Map pages there; return the kernel's code."""
    return vm_map_find(map, at(page), pages * PAGE_SIZE, PAGE_SIZE, False, what)[0]


def put_private(map, obj, page, pages, offset=0, prot=VM_PROT_RW):
    """Map pages of an object there, so that writes go to a copy; take a reference to it."""
    vm_object_reference_quick(obj)
    how = ANON._replace(object=obj, offset=offset * PAGE_SIZE, prot=prot, cow=COWF_COPY_ON_WRITE)
    put(map, page, pages, how)


def entry_at(map, page):
    """The entry of a page, read invisibly."""
    return map.raw_rb_root.at_or_before(at(page))


def parts(map):
    """The entries as first page, last page and aux, read invisibly."""
    bounds = [(entry.ba.raw_start, entry.ba.raw_end, entry.raw_aux) for entry in map.raw_rb_root]
    return [((start - at(0)) // PAGE_SIZE, (end - at(0)) // PAGE_SIZE, aux) for start, end, aux in bounds]


#: By how many pages stacks grow.
STEP = 2


@scenario(cpus=1, tags={"map", "stack"}, pages=None)
def stacks_alone(m):
    """A thread makes stacks and lets them grow: where there is room, by steps, and within its limits."""
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=STEP * PAGE_SIZE)

    def thread():
        vmspace = vmspace_alloc(vm, at(4), at(64))
        map, p = vmspace.vm_map, vm.mycpu().proc
        run_in(vm, vmspace)

        def make(page, pages, flags=MAP_FIXED):
            rv, bottom = vm_map_stack(map, at(page), pages * PAGE_SIZE, flags, VM_PROT_RW, VM_PROT_ALL, 0)
            return rv, (bottom - at(0)) // PAGE_SIZE

        def grow(page):
            """Let a stack grow to the middle of a page; return the code and what is mapped then."""
            rv = vm_map_growstack(map, at(page) + PAGE_SIZE // 2)
            return rv, parts(map)

        # -- making them
        m.check(make(40, 8) == (KERN_SUCCESS, 40), "a range that is free can be a stack")
        m.check(parts(map) == [(46, 48, 6 * PAGE_SIZE)], "its top is mapped, and it may grow into the rest")
        m.check(make(48, STEP) == (KERN_SUCCESS, 48), "a stack may lie on another one")
        stacks = [(46, 48, 6 * PAGE_SIZE), (48, 50, 0)]
        m.check(parts(map) == stacks, "and they stay two")
        m.check(entry_at(map, 46).raw_eflags & MAP_ENTRY_STACK, "a stack is said to be one")
        m.check(make(49, 8) == (KERN_NO_SPACE, 49), "what is mapped cannot be a stack")
        m.check(make(49, 8, MAP_TRYFIXED) == (KERN_NO_SPACE, 49), "nor if that is only tried")
        m.check(make(44, 8) == (KERN_NO_SPACE, 44), "a stack has no room where something is mapped")
        m.check(make(47, 4, 0) == (KERN_SUCCESS, 50), "a stack that may be anywhere is where there is room")
        m.check(make(4, 99, 0) == (KERN_NO_SPACE, 4), "if there is any")
        m.check(make(62, 4) == (KERN_INVALID_ADDRESS, 62), "a stack is in its map")
        stacks.append((52, 54, 2 * PAGE_SIZE))
        m.check(parts(map) == stacks, "a stack that is refused is not there")
        vm_map_remove(map, at(48), at(54))
        del stacks[1:]

        # -- growing
        vmspace.vm_maxsaddr, vmspace.vm_ssize = at(40), STEP
        put(map, 42, 1)
        blocked = [(42, 43, 0), *stacks]
        m.check(grow(47) == (KERN_SUCCESS, blocked), "what is mapped need not grow")
        m.check(grow(42) == (KERN_SUCCESS, blocked), "nor what is mapped in a stack's room")
        m.check(grow(41) == (KERN_SUCCESS, blocked), "what is no stack does not grow")
        m.check(grow(55) == (KERN_SUCCESS, blocked), "nor does anything above all")
        vm_map_remove(map, at(42), at(43))
        m.check(grow(39) == (KERN_SUCCESS, stacks), "nothing grows below a stack's room")
        p.rlim_stack = STEP * PAGE_SIZE
        m.check(grow(45) == (KERN_NO_SPACE, stacks), "a stack stays within its process' limit")
        p.rlim_stack = 99 * PAGE_SIZE
        p.rlim_vmem = map.peek("size") + PAGE_SIZE
        m.check(grow(45) == (KERN_NO_SPACE, stacks), "and within the limit of all that is mapped")
        p.rlim_vmem = 99 * PAGE_SIZE
        grown = [(44, 46, 4 * PAGE_SIZE), *stacks]
        m.check(grow(45) == (KERN_SUCCESS, grown), "a stack grows by whole steps")
        m.check(vmspace.vm_ssize == 2 * STEP, "which is counted")
        p.rlim_stack = (2 * STEP + 1) * PAGE_SIZE
        grown.insert(0, (43, 44, 3 * PAGE_SIZE))
        m.check(grow(43) == (KERN_SUCCESS, grown), "the limit may leave less than a step")
        kept = repaired(m, "room-is-only-taken")
        if not kept:
            grown[0] = (43, 44, PAGE_SIZE)
        m.check(vmspace.vm_ssize == 2 * STEP + 1, "which is counted, too")
        p.rlim_stack = 99 * PAGE_SIZE
        put(map, 41, 1)
        grown = [(41, 42, 0), (42, 43, 2 * PAGE_SIZE * kept), *grown]
        m.check(grow(42) == (KERN_SUCCESS, grown), "and so may what is below")
        m.check(grow(40) == (KERN_SUCCESS, grown), "then it has no room any more")
        m.check(vmspace.vm_ssize == 2 * STEP + 2, "nothing is counted twice")

        # -- another stack, as a thread has it: no limit holds for it, and it is not the process' own
        p.rlim_stack = 0
        make(20, 4)
        m.check(grow(21)[0] == KERN_SUCCESS, "a thread's stack has no limit")
        m.check(parts(map)[0] == (20, 22, 0), "it grows as the process' does")
        m.check(vmspace.vm_ssize == 2 * STEP + 2, "and is not counted")
        make(2, 4)
        m.check(grow(3)[0] == KERN_INVALID_ADDRESS, "nothing grows out of its map")
        give_back(vmspace)

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "lookup", "shadow", "wire"}, pages=None)
def lookups_alone(m):
    """A thread looks up all kinds of mappings, in every way: each is found, refused, or prepared first."""
    vm = m.boot(pages=20, l2_size=1)
    vm.map.fault = lambda *_: KERN_SUCCESS  # pages do not matter
    file = shared_file(vm, 8)
    size = MAP_ENTRY_PARTITION_SIZE // PAGE_SIZE
    whole = m.choose(2)

    def thread():
        vmspace = new_space(vm)
        map, gd, td = vmspace.vm_map, vm.mycpu(), curthread(m)
        run_in(vm, vmspace)

        def look(page, how, map=map):
            """Look a page up; return the code, its rights, the flags, and the index of the page."""
            found = vm_map_lookup(map, at(page), how)
            if found.rv != KERN_SUCCESS:
                m.check(not map.lock.holders, "a lookup that is refused leaves the map unlocked")
                return found.rv
            m.check([mode for _, mode in map.lock.holders] == [SHARED], "one that is not locks it shared")
            m.check(found.entry is entry_at(map, page), "it finds what is there")
            left = (found.entry.ba.raw_end - at(page)) // PAGE_SIZE
            m.check(found.pcount == left, "it says how many pages are left")
            vm_map_lookup_done(found.map, found.entry, None)
            m.check(not map.lock.holders and not gd.td_nest_count, "and then it is over")
            return found.prot, found.wflags, found.pindex

        # -- anonymous memory, and what is not mapped
        put(map, -2, 1, ANON._replace(id=VM_SUBSYS_STACK))
        put(map, 0, 2)
        m.check(look(3, VM_PROT_READ) == KERN_INVALID_ADDRESS, "what is not mapped is not found")
        m.check(look(1, VM_PROT_READ) == (VM_PROT_RW, 0, 1), "memory is found, with all its rights")
        m.check(entry_at(map, 1).ba.raw_object is not None, "and has an object")
        m.check(look(1, VM_PROT_WRITE) == (VM_PROT_RW, 0, 1), "it may be written to")
        vm_map_user_wiring(map, at(0), at(1), False)
        m.check(look(0, VM_PROT_WRITE) == (VM_PROT_RW, FW_WIRED, 0), "what is wired is said to be")
        vm_map_user_wiring(map, at(0), at(1), True)
        vm_map_protect(map, at(0), at(2), VM_PROT_READ, False)
        m.check(look(0, VM_PROT_WRITE) == KERN_PROTECTION_FAILURE, "what is read-only is not written to")
        debugger = VM_PROT_WRITE | VM_PROT_OVERRIDE_WRITE
        m.check(look(0, debugger) == (VM_PROT_ALL, 0, 0), "but by who may")

        # -- a private copy of a file
        put_private(map, file, 4, 4, offset=2)
        entry = entry_at(map, 4)
        m.check(look(5, VM_PROT_READ) == (VM_PROT_READ, 0, 3), "a file that is to be copied is read only")
        m.check(entry.ba.raw_object is file, "a reader needs no copy")
        td.td_flags |= TDF_NOFAULT
        m.check(look(5, VM_PROT_WRITE) == KERN_FAILURE_NOFAULT, "who may not fault does not change the map")
        m.check(look(5, VM_PROT_READ) == (VM_PROT_READ, 0, 3), "and may read")
        td.td_flags &= ~TDF_NOFAULT
        m.check(look(5, VM_PROT_WRITE) == (VM_PROT_RW, FW_DIDCOW, 1), "a writer has a copy")
        shadow, behind = entry.chain()
        m.check(shadow.raw_object is not file and behind.raw_object is file, "in front of the file")
        m.check((shadow.raw_offset, behind.raw_offset) == (0, 2 * PAGE_SIZE), "that has what is mapped")
        m.check(not entry.raw_eflags & MAP_ENTRY_NEEDS_COPY, "once")
        m.check(look(5, VM_PROT_READ) == (VM_PROT_RW, 0, 1), "then it may be written to")

        # -- one that was wired while it was read-only
        put_private(map, file, 10, 2, prot=VM_PROT_READ)
        vm_map_user_wiring(map, at(10), at(12), False)
        m.check(look(10, VM_PROT_READ) == (VM_PROT_READ, FW_WIRED, 0), "what is wired can be read")
        m.check(look(10, debugger)[1] == FW_WIRED, "and written to by a debugger")
        vm_map_lock(map)
        entry_at(map, 10).protection = VM_PROT_RW  # as vm_map_protect does, and leaves it at that
        vm_map_unlock(map)
        m.check(look(10, VM_PROT_WRITE) == KERN_PROTECTION_FAILURE, "it is not copied by a write")
        vm_map_user_wiring(map, at(10), at(12), True)
        m.check(look(10, VM_PROT_WRITE) == (VM_PROT_RW, FW_DIDCOW, 0), "but once it is not wired any more")

        # -- unshared memory need not be copied; a file or a device always counts as shared
        for kind, named, copied in ((OBJT_DEFAULT, None, 0), (OBJT_DEFAULT, "name", 1), (OBJT_PHYS, None, 1)):
            own = vm_object_allocate(vm, 2, objt=kind)
            vm_object_hold(own)
            own.handle = named
            vm_object_drop(own)
            put(map, 14, 2, ANON._replace(object=own, cow=COWF_COPY_ON_WRITE))
            m.check(look(14, VM_PROT_WRITE)[0] == VM_PROT_RW, "a private copy may be written to")
            m.check(len(entry_at(map, 14).chain()) == 1 + copied, "it is one if anybody else may look")
            m.check(bool(own.flags.value & OBJ_ONEMAPPING) != copied, "then both may have its pages")
            vm_map_remove(map, at(14), at(16))

        # -- large memory has an object for each part of it
        vm.map.map_partition_enable = whole
        first = -(-at(16) // MAP_ENTRY_PARTITION_SIZE) * size - at(0) // PAGE_SIZE
        put(map, first - 1, size + 2)
        look(first + 1, VM_PROT_READ)
        bounds = (
            (first - 1, first, first + size, first + size + 1) if whole else (first - 1, first + size + 1)
        )
        cut = [(*part, 0) for part in pairwise(bounds)]
        m.check(parts(map)[-len(cut) :] == cut, "what is touched of it is cut out, if that is switched on")
        objects = [entry.ba.raw_object for entry in map.raw_rb_root][-len(cut) :]
        m.check(
            [obj is not None for obj in objects] == ([False, True, False] if whole else [True]),
            "and has an object",
        )

        # -- within a lookup
        gd.td_nest_count += 1
        supply = vm.map.supply()
        mine = vm_map_entry_reserve(vm, supply.gd_vme_avail)
        before = supply.gd_vme_base
        found = vm_map_lookup(map, at(1), VM_PROT_READ)
        vm_map_lookup_done(found.map, found.entry, None)
        m.check(supply.gd_vme_base == before, "a lookup within another one makes no entries")
        vm_map_entry_release(vm, mine)
        gd.td_nest_count -= 1

        # -- a reservation that is left over, and the kernel's own map, in which there may be others
        found = vm_map_lookup(map, at(1), VM_PROT_READ)
        vm_map_lookup_done(found.map, found.entry, vm_map_entry_reserve(vm, 4))
        kernel = vm.map.kernel_map
        _, start = vm_map_find(kernel, kernel.min_addr, PAGE_SIZE, PAGE_SIZE, True, ANON)
        found = vm_map_lookup(kernel, start, VM_PROT_READ)
        m.check(found.rv == KERN_SUCCESS and found.ba.raw_object is None, "the kernel's memory has no object")
        vm_map_lookup_done(found.map, found.entry, None)
        vm_map_remove(kernel, start, start + PAGE_SIZE)
        inner = kmem_suballoc(kmem_suballoc(kernel, 2 * PAGE_SIZE), 2 * PAGE_SIZE)
        vm_map_find(inner, inner.min_addr, PAGE_SIZE, PAGE_SIZE, False, ANON)
        found = vm_map_lookup(kernel, inner.min_addr, VM_PROT_READ)
        m.check(
            (found.rv, found.map) == (KERN_SUCCESS, inner), "what is mapped in a map inside is found there"
        )
        m.check(not kernel.lock.holders, "with that one locked alone")
        vm_map_lookup_done(found.map, found.entry, None)
        vm_map_remove(inner, inner.min_addr, inner.max_addr)
        give_back(vmspace)

    m.spawn(thread)
    m.join()
    vm_object_deallocate(file)
