"""One thread maps ranges: where they may be, what is joined, and where there is room."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, give_back, repaired, run_in
from vmsmp.scenarios.vm_fault.devices import Kpmap
from vmsmp.scenarios.vm_map._ranges import ANON, at
from vmsmp.scenarios.vm_map.alone import entry_at, put, put_private
from vmsmp.scenarios.vm_map.files import Upmap
from vmsmp.vm.vm_map import (
    COWF_32BIT,
    COWF_COPY_ON_WRITE,
    COWF_DISABLE_COREDUMP,
    COWF_DISABLE_SYNCER,
    COWF_IS_KSTACK,
    COWF_IS_STACK,
    COWF_NOFAULT,
    COWF_PREFAULT,
    COWF_PREFAULT_PARTIAL,
    COWF_PREFAULT_RELOCK,
    KERN_INVALID_ADDRESS,
    KERN_NO_SPACE,
    KERN_SUCCESS,
    KPMAP,
    LPMAP,
    MAP_ENTRY_COW,
    MAP_ENTRY_KSTACK,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_NOCOREDUMP,
    MAP_ENTRY_NOFAULT,
    MAP_ENTRY_NOSYNC,
    MAP_ENTRY_STACK,
    MAP_FIXED,
    MAP_TRYFIXED,
    UPMAP,
    VM_INHERIT_COPY,
    VM_INHERIT_SHARE,
    VM_MAPTYPE_NORMAL,
    VM_MAPTYPE_UKSMAP,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    VM_SUBSYS_STACK,
    vm_map_entry_shadow,
    vm_map_find,
    vm_map_findspace,
    vm_map_hint,
    vm_map_inherit,
    vm_map_kernel_wiring,
    vm_map_lock,
    vm_map_lookup,
    vm_map_lookup_done,
    vm_map_protect,
    vm_map_remove,
    vm_map_stack,
    vm_map_unlock,
    vmspace_alloc,
)
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate, vm_object_reference_quick
from vmsmp.vm.vm_page import PAGE_SIZE


@scenario(cpus=1, tags={"map", "insert", "object"}, pages=None)
def mappings_alone(m):
    """A thread maps adjacent ranges: they become one entry, share an object or have nothing in common."""
    vm = m.boot(pages=20, l2_size=1, object_hash=1)
    vp, file = file_object(vm, 4)

    def thread():
        vmspace = vmspace_alloc(vm, at(0), at(64))
        map = vmspace.vm_map
        run_in(vm, vmspace)
        vm.map.fault = lambda *_: KERN_SUCCESS  # pages do not matter

        def touched(page, how=VM_PROT_WRITE):
            """Touch a page; return its object."""
            found = vm_map_lookup(map, at(page), how)
            vm_map_lookup_done(found.map, found.entry, None)
            return found.ba.raw_object

        def beside(first, second, between=None, gap=0):
            """Map two adjacent pages, and call `between` after the first one; return both entries."""
            vm_map_remove(map, at(4), at(60))
            put(map, 10, 2, first)
            if between is not None:
                between()
            m.check(put(map, 12 + gap, 2, second) == KERN_SUCCESS, "a range that is free can be mapped")
            return entry_at(map, 11), entry_at(map, 12 + gap)

        def apart(*args, **more):
            """Whether two adjacent pages have nothing in common."""
            one, other = beside(*args, **more)
            return one is not other and other.ba.raw_object is None and other.ba.raw_offset == 0

        put(map, 0, 1, ANON._replace(id=VM_SUBSYS_STACK))

        # -- ranges that continue the one before
        one, other = beside(ANON, ANON)
        m.check(one is other and one.ba.raw_object is None, "what is alike becomes one")
        one, other = beside(ANON, ANON, lambda: touched(10))
        m.check(one is other and one.ba.raw_object.peek("size") == 4, "and its object grows")
        rights = ANON._replace(prot=VM_PROT_READ), ANON._replace(max=VM_PROT_RW)
        for second in rights:
            one, other = beside(ANON, second, lambda: touched(10))
            m.check(one is not other and one.ba.raw_object is other.ba.raw_object, "others share an object")
            m.check(other.ba.raw_offset == 2 * PAGE_SIZE, "each has its own part of it")
            m.check(one.ba.raw_object.peek("ref_count") == 2, "and its own reference")
            m.check((other.raw_protection, other.peek("max_protection")) == second[6:8], "and its own rights")
        one, other = beside(ANON, ANON, lambda: vm_map_inherit(map, at(10), at(12), VM_INHERIT_SHARE))
        m.check(one is not other and other.raw_inheritance == VM_INHERIT_COPY, "what is inherited otherwise")
        one, other = beside(ANON, rights[0])
        m.check(one is not other and other.ba.raw_object is None, "is not one")

        # -- ranges that do not
        m.check(apart(ANON, ANON._replace(id=VM_SUBSYS_STACK)), "what is somebody else's is apart")
        m.check(apart(ANON, ANON._replace(cow=COWF_DISABLE_SYNCER)), "and what has another flag")
        m.check(apart(ANON, ANON, gap=1), "and what does not go on")
        m.check(apart(ANON, ANON, lambda: vm_map_kernel_wiring(map, at(10), at(12), 0)), "what is not wired")
        vm_object_reference_quick(file)
        m.check(apart(ANON._replace(object=file), ANON), "what is in no file")

        def shadowed():
            vm_object_reference_quick(touched(10))
            behind.append(entry_at(map, 10).ba.raw_object)
            vm_map_lock(map)
            vm_map_entry_shadow(entry_at(map, 10))
            vm_map_unlock(map)

        behind = []
        m.check(apart(ANON, ANON, shadowed), "and what nobody is behind of")
        vm_object_deallocate(behind[0])
        own = vm_object_allocate(vm, 2)
        one, other = beside(ANON, ANON._replace(object=own))
        m.check(other.ba.raw_object is own, "an object is what is mapped, where there is one")
        # -- pages that are to be entered at once
        vm_object_reference_quick(file)
        quick = ANON._replace(object=file, cow=COWF_PREFAULT_PARTIAL | COWF_PREFAULT_RELOCK)
        m.check(put(map, 20, 2, quick) == KERN_SUCCESS, "pages may be entered at once")
        m.check(not file.token.holders, "then nobody has the object")
        vm_map_remove(map, at(0), at(64))
        m.check(file.peek("ref_count") == 1 and not file.raw_backing_list, "what is unmapped is not mapped")
        give_back(vmspace)

    m.spawn(thread)
    m.join()
    vm_object_deallocate(file)
    end_of_file(vp)


@scenario(cpus=1, tags={"map", "insert", "device"}, pages=None)
def mapped_devices_alone(m):
    """A thread maps devices, beside memory and each other: entries of devices are never joined."""
    vm = m.boot(pages=8, l2_size=1)

    def thread():
        vmspace = vmspace_alloc(vm, at(0), at(64))
        map, gd = vmspace.vm_map, vm.mycpu()
        run_in(vm, vmspace)
        upmap = Upmap(m)
        device = ANON._replace(object=upmap.uksmap, aux=upmap, maptype=VM_MAPTYPE_UKSMAP, cow=COWF_PREFAULT)
        put(map, 10, 2)
        for page, offset in ((12, 0), (14, 2)):  # the second goes on where the first one ends
            put(map, page, 2, device._replace(offset=offset * PAGE_SIZE))
        vm_map_protect(map, at(10), at(16), VM_PROT_READ, False)
        kinds = [entry.raw_maptype for entry in map.raw_rb_root]
        m.check(kinds == [VM_MAPTYPE_NORMAL, VM_MAPTYPE_UKSMAP, VM_MAPTYPE_UKSMAP], "each is what it is")
        m.check(upmap.mapped.value == 2, "a device knows who maps it")
        m.check(
            vm_map_find(map, at(2), PAGE_SIZE, PAGE_SIZE, True, ANON)[1] == at(2), "it needs no room below"
        )
        for minor, shown in ((UPMAP, gd.proc), (LPMAP, gd.lwp), (KPMAP, None)):
            screen = Kpmap(m, 0)
            screen.minor = minor
            put(map, 20 + minor, 1, device._replace(object=screen.uksmap, aux=screen))
            entry = entry_at(map, 20 + minor)
            m.check(entry.ba.peek("aux_info") is shown, "it knows whom it is about")
            m.check(entry.raw_aux is screen, "and what it is")
        vm_map_remove(map, at(0), at(64))
        m.check(upmap.mapped.value == 0, "and that it is not mapped any more")
        give_back(vmspace)

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "insert", "find"}, pages=None)
def room_alone(m):
    """A thread maps ranges at given addresses, and where there is room: at the lowest allowed address."""
    vm = m.boot(pages=8, l2_size=1, sgrowsiz=2 * PAGE_SIZE)
    file = vm_object_allocate(vm, 4)
    kernel = vm.map.kernel_map
    rv, _ = vm_map_find(kernel, kernel.min_addr, PAGE_SIZE, 1 << 63, True, ANON)
    m.check(rv == KERN_NO_SPACE, "addresses end at the last one")
    end = vm.pmap.kernel_vm_end
    _, there = vm_map_find(kernel, end, PAGE_SIZE, PAGE_SIZE, True, ANON)
    m.check(vm.pmap.kernel_vm_end > there >= end, "the kernel's tables grow with its map")

    def thread():
        vmspace = vmspace_alloc(vm, at(0), at(64))
        map = vmspace.vm_map
        run_in(vm, vmspace)

        def find(pages, align=1, low=0, what=ANON, map=map):
            """Map pages where there is room, from a page on; return that page, or the kernel's code."""
            rv, address = vm_map_find(map, at(low), pages * PAGE_SIZE, align * PAGE_SIZE, True, what)
            m.check(rv == KERN_SUCCESS or address == at(low), "who finds nothing keeps his address")
            return (address - at(0)) // PAGE_SIZE if rv == KERN_SUCCESS else rv

        # -- where a range may be
        put(map, 0, 1, ANON._replace(id=VM_SUBSYS_STACK))
        codes = [put(map, page, pages) for page, pages in ((-1, 2), (63, 2), (10, 0), (0, 4))]
        wrong = [KERN_INVALID_ADDRESS] * 3 + [KERN_NO_SPACE]
        m.check(codes == wrong, "a range is in its map, has something in it, and nobody has it")
        put(map, 12, 1)
        m.check(put(map, 10, 4) == KERN_NO_SPACE, "nor a part of it")
        m.check(put(map, 10, 2) == KERN_SUCCESS, "but what is between may be mapped")

        # -- what it is
        kinds = {
            COWF_COPY_ON_WRITE: MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY,
            COWF_NOFAULT: MAP_ENTRY_NOFAULT,
            COWF_DISABLE_SYNCER: MAP_ENTRY_NOSYNC,
            COWF_DISABLE_COREDUMP: MAP_ENTRY_NOCOREDUMP,
            COWF_IS_STACK: MAP_ENTRY_STACK,
            COWF_IS_KSTACK: MAP_ENTRY_KSTACK,
        }
        for page, (cow, eflags) in enumerate(kinds.items(), 20):
            if cow == COWF_COPY_ON_WRITE:
                put_private(map, file, page, 1)
            else:
                put(map, page, 1, ANON._replace(cow=cow))
            m.check(entry_at(map, page).raw_eflags == eflags, "what is asked for is noted, and nothing else")

        # -- what is cut
        for page in (4, 7):
            put(map, page, 2)
            vm_map_protect(map, at(5), at(8), VM_PROT_READ, False)
            first, second = entry_at(map, page), entry_at(map, page + 1)
            m.check(first is not second, "a part may have rights of its own")
            m.check(first.ba.raw_object is second.ba.raw_object is not None, "and stays the same memory")

        # -- where there is room
        vm_map_remove(map, at(0), at(64))
        put(map, 0, 1, ANON._replace(id=VM_SUBSYS_STACK))
        for page, pages in ((1, 2), (4, 4), (10, 2)):
            put(map, page, pages)
        found = [find(1, align=4), find(2), find(1), find(1, low=11), find(1, low=20)]
        m.check(found == [8, 12, 3, 14, 20], "room is large enough, where it may be, and as low as that")
        m.check(find(1, align=3) == 17, "any number may divide an address")
        vm_map_remove(map, at(40), at(41))
        vm_map_remove(map, at(5), at(6))
        m.check([find(1), find(2)] == [5, 15], "what was removed is found again")
        m.check(find(64) == KERN_NO_SPACE, "no more is found than there is")
        before = file.token.holders[:]
        m.check(find(64, what=ANON._replace(object=file)) == KERN_NO_SPACE, "for an object as well")
        m.check(file.token.holders == before and file.peek("ref_count") == 1, "which is its owner's again")
        behind = 9 if repaired(m, "search-begins-anew") else KERN_NO_SPACE
        m.check(find(1, low=65) == behind, "and nothing behind the end")

        # -- the room of a stack, and below 4 GB
        vm_map_remove(map, at(0), at(64))
        vm_map_stack(map, at(4), 8 * PAGE_SIZE, MAP_FIXED, VM_PROT_RW, VM_PROT_RW, 0)
        vm_map_lock(map)
        tried = [vm_map_findspace(map, at(2), 4 * PAGE_SIZE, PAGE_SIZE, how) for how in (MAP_TRYFIXED, 0)]
        vm_map_unlock(map)
        m.check(
            [(one - at(0)) // PAGE_SIZE for one in tried] == [2, 12],
            "a stack's room is given to who wants just that only",
        )
        m.check({find(4), find(2)} == {0, 12}, "and not to others, who have what is below and above")

        # -- where mmap begins to look, if nobody says where
        vmspace.vm_taddr, vmspace.vm_daddr = at(2), at(4)
        hints = [vm_map_hint(vm, vmspace, at(page), 6 * PAGE_SIZE - 1) for page in (1, 2, 9, 10)]
        m.check(hints == [at(page) for page in (1, 10, 10, 10)], "not where the text and the data may be")
        m.check(vm_map_hint(vm, vmspace, 0, 6 * PAGE_SIZE) == at(10), "but behind them")
        vm.map.randomize_mmap = 1
        m.check(vm_map_hint(vm, vmspace, at(1), PAGE_SIZE) == at(1), "or where it is said")
        m.check(vm_map_hint(vm, vmspace, 0, 0) == at(4), "with no data, just there")
        drawn = {vm_map_hint(vm, vmspace, 0, 6 * PAGE_SIZE) for _ in range(20)}
        m.check(len(drawn) > 1 and at(10) <= min(drawn) <= max(drawn) <= at(16), "or anywhere behind them")
        give_back(vmspace)
        edge = vmspace_alloc(vm, (1 << 32) - 2 * PAGE_SIZE, (1 << 32) + 8 * PAGE_SIZE)
        map = edge.vm_map
        high = (1 << 32) // PAGE_SIZE - at(0) // PAGE_SIZE
        low = ANON._replace(cow=COWF_32BIT)
        m.check(find(1, map=map, low=high + 1) == high + 1, "who may be above 4 GB may be there")
        found = [find(1, map=map, what=low) for _ in range(3)]
        m.check(found == [high - 2, high - 1, KERN_NO_SPACE], "who must be below is, while there is room")
        vm_map_remove(map, at(high - 2), at(high - 1))
        m.check(find(1, map=map, what=low) == high - 2, "and finds any room there")
        give_back(edge)

    m.spawn(thread)
    m.join()
    vm_object_deallocate(file)
