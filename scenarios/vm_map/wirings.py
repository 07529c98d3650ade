"""Ranges that are wired for users and for the kernel, page after page, while the map is changed by others."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back, repaired
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_private, new_space, shared_file
from vmsmp.scenarios.vm_map.files import map_file
from vmsmp.sync.errno import EINVAL, ENOSYS
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    KM_KRESERVE,
    KM_PAGEABLE,
    MAP_ENTRY_USER_WIRED,
    MAP_RESERVE_COUNT,
    MAP_WIREFUTURE,
    VM_MAPTYPE_SUBMAP,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_RW,
    Mapping,
    vm_map_entry_release,
    vm_map_entry_reserve,
    vm_map_find,
    vm_map_init,
    vm_map_kernel_wiring,
    vm_map_lock,
    vm_map_lock_read,
    vm_map_madvise,
    vm_map_protect,
    vm_map_remove,
    vm_map_set_wired_quick,
    vm_map_submap,
    vm_map_unlock,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_mmap import MCL_CURRENT, MCL_FUTURE, sys_mlockall, sys_munlockall
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE

#: What wiring a range may say.
ANSWERS = (KERN_SUCCESS, KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT, KERN_FAILURE)


def wired(map, start, end):
    """Return how often each page of a range is wired, None where nothing is mapped."""
    counts = dict.fromkeys(range(start, end, PAGE_SIZE))
    vm_map_lock_read(map)
    for entry in map.raw_rb_root:
        for page in range(max(start, entry.ba.raw_start), min(end, entry.ba.raw_end), PAGE_SIZE):
            counts[page] = entry.raw_wired_count
    vm_map_unlock(map)
    return [*counts.values()]


@scenario(cpus=3, tags={"map", "wire", "transition", "storm"})
def wirings_against_delete(m):
    """Threads wire, unwire, unmap and protect overlapping ranges; faults on some pages fail."""
    vm = m.boot(pages=12, l2_size=1)
    vm.map.fault = lambda *_: KERN_FAILURE if m.choose(8) == 7 else KERN_SUCCESS
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE - 4 * PAGE_SIZE, 1, VM_PROT_READ)
    map_anon(m, map, BASE, 4)

    def thread():
        for _ in m.rounds(3):
            first = m.choose(4)
            start, end = BASE + first * PAGE_SIZE, BASE + (first + 1 + m.choose(4 - first)) * PAGE_SIZE
            deed = m.choose(5)
            if deed == 0:
                vm_map_remove(map, start, start + PAGE_SIZE)
            elif deed == 1:
                vm_map_protect(map, start, end, (VM_PROT_READ, VM_PROT_RW)[m.choose(2)], False)
            elif deed == 2:
                vm_map_madvise(map, start, end, m.choose(3))
            else:
                answer = vm_map_user_wiring(map, start, end, bool(m.choose(2)))
                m.check(answer in ANSWERS, "a wiring is made or refused")

    for _ in range(m.ncpus):
        m.spawn(thread)
    m.join()
    for entry in map.raw_rb_root:
        user = bool(entry.raw_eflags & MAP_ENTRY_USER_WIRED)
        m.check(entry.raw_wired_count == user, "a user's wiring counts once")
    give_back(vmspace)


@scenario(cpus=3, tags={"map", "wire", "transition"}, pages=7)
def kernel_wirings(m):
    """CPUs wire and unwire ranges for the kernel while others cut entries: nothing stays wired."""
    vm = m.boot(pages=12, l2_size=1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE - 4 * PAGE_SIZE, 1, VM_PROT_READ)
    map_anon(m, map, BASE, 4)

    def wirer():
        for _ in m.rounds(2):
            first = m.choose(4)
            start, end = BASE + first * PAGE_SIZE, BASE + (first + 1 + m.choose(4 - first)) * PAGE_SIZE
            m.check(vm_map_kernel_wiring(map, start, end, 0) == KERN_SUCCESS, "what is mapped can be wired")
            m.check(all(wired(map, start, end)), "what is wired is counted")
            vm_map_kernel_wiring(map, start, end, KM_PAGEABLE)

    def cutter():
        for _ in m.rounds(3):
            first = m.choose(4)
            start, end = BASE + first * PAGE_SIZE, BASE + (first + 1 + m.choose(4 - first)) * PAGE_SIZE
            vm_map_protect(map, start, end, (VM_PROT_RW, VM_PROT_ALL)[m.choose(2)], False)

    for n in range(m.ncpus):
        m.spawn(cutter if n == 2 else wirer)
    m.join()
    m.check(not any(wired(map, BASE, BASE + 4 * PAGE_SIZE)), "every wiring has ended")
    give_back(vmspace)


def wire_and_fail(m, wire, what):
    """CPUs wire parts of ranges of their own, which may fail at any page: then all must be as before.

    The last CPU cuts the entries meanwhile.
    """
    vm = m.boot(pages=12, l2_size=1)
    vm.map.fault = lambda *_: KERN_FAILURE if m.choose(3) == 2 else KERN_SUCCESS
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE - 4 * PAGE_SIZE, 1, VM_PROT_READ)
    for n in range(m.ncpus):
        at = BASE + 8 * n * PAGE_SIZE
        map_anon(m, map, at, 4)
        vm_map_protect(map, at + 2 * PAGE_SIZE, at + 4 * PAGE_SIZE, VM_PROT_READ, False)

    def thread(n):
        start = BASE + 8 * n * PAGE_SIZE
        end = start + 4 * PAGE_SIZE
        for _ in m.rounds(3):
            before = wired(map, start, end)
            if wire(map, start + m.choose(4) * PAGE_SIZE, end) != KERN_SUCCESS:
                m.check(wired(map, start, end) == before, what)

    def cutter():
        for _ in m.rounds(4):
            at = BASE + (8 * m.choose(max(1, m.ncpus - 1)) + m.choose(4)) * PAGE_SIZE
            vm_map_protect(map, at, at + PAGE_SIZE, (VM_PROT_READ, VM_PROT_RW)[m.choose(2)], False)

    for n in range(m.ncpus):
        m.spawn(thread, n) if n < max(1, m.ncpus - 1) else m.spawn(cutter)
    m.join()
    give_back(vmspace)


@scenario(cpus=3, tags={"map", "wire", "transition"})
def mlocks_that_fail(m):
    """A call of mlock that fails on the way leaves all pages as they were before it."""

    def mlock(map, start, end):
        return vm_map_user_wiring(map, start, end, False)

    wire_and_fail(m, mlock, "an mlock that fails changes nothing")


@scenario(cpus=3, tags={"map", "wire", "transition"})
def kernel_wirings_that_fail(m):
    """A wiring for the kernel that fails on the way leaves all pages as they were before it."""

    def wire(map, start, end):
        return vm_map_kernel_wiring(map, start, end, 0)

    wire_and_fail(m, wire, "a kernel wiring that fails changes nothing")


@scenario(cpus=3, tags={"map", "wire", "kmem"})
def wired_by_the_allocator(m):
    """CPUs mark ranges of their own as wired, in the section in which they map them."""
    vm = m.boot(pages=8, l2_size=1)
    vm.map.fault = lambda *_: KERN_SUCCESS  # the caller wires the pages
    vmspace = new_space(vm)
    map = vmspace.vm_map

    def allocator(n):
        at = BASE + 4 * n * PAGE_SIZE
        for _ in m.rounds(2):
            map_anon(m, map, at, 2)
            count = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
            vm_map_lock(map)
            vm_map_set_wired_quick(map, at, 2 * PAGE_SIZE, count)
            vm_map_unlock(map)
            vm_map_entry_release(vm, count)
            m.check(wired(map, at, at + 2 * PAGE_SIZE) == [1, 1], "it is wired from then on")
            vm_map_remove(map, at, at + 2 * PAGE_SIZE)

    for n in range(m.ncpus):
        m.spawn(allocator, n)
    m.join()
    give_back(vmspace)


def kernel_range(vm, pages):
    """Return where that many pages of the kernel's map are free, behind what entries are made of."""
    size = (pages + 8) * PAGE_SIZE
    rv, start = vm_map_find(vm.map.kernel_map, vm.map.kernel_map.min_addr, size, PAGE_SIZE, True, Mapping())
    assert rv == KERN_SUCCESS
    vm_map_remove(vm.map.kernel_map, start, start + size)
    return start + 8 * PAGE_SIZE


@scenario(cpus=1, tags={"map", "wire"}, pages=None)
def locked_ranges_alone(m):
    """A thread locks ranges of all kinds for itself and for the kernel, and unlocks them: each is counted."""
    vm = m.boot(pages=16, l2_size=1)
    file = shared_file(vm, 4)
    bad, asked = [], []
    vm.map.fault = lambda _map, at, *_: asked.append(at) or (KERN_FAILURE if at in bad else KERN_SUCCESS)

    def at(page):
        return BASE + page * PAGE_SIZE

    def thread():
        vmspace = new_space(vm)
        map = vmspace.vm_map

        def entry(page):
            return map.raw_rb_root.at_or_before(at(page))

        def told(page):
            """How often a page is wired, and whether that is for a user."""
            return entry(page).raw_wired_count, bool(entry(page).raw_eflags & MAP_ENTRY_USER_WIRED)

        def user(page, pages, new_pageable=False):
            return vm_map_user_wiring(map, at(page), at(page + pages), new_pageable)

        def kernel(page, pages, flags=0):
            return vm_map_kernel_wiring(map, at(page), at(page + pages), flags)

        # -- locking gives an entry an object of its own
        map_anon(m, map, at(0), 1)
        map_private(m, map, file, at(2), 1)
        map_private(m, map, file, at(4), 1, VM_PROT_READ)
        map_file(m, map, file, at(6), 1)
        map_anon(m, map, at(12), 1)
        for page, wire in ((0, user), (2, user), (4, kernel), (6, kernel), (12, kernel)):
            m.check(wire(page, 1) == KERN_SUCCESS, "what is mapped can be locked")
        objects = [entry(page).ba.raw_object for page in (0, 2, 4, 6)]
        m.check(
            [obj is file for obj in objects] == [False, False, True, True], "what is written is one's own"
        )
        m.check(None not in objects, "and there is some")
        m.check([told(page) for page in (0, 4)] == [(1, True), (1, False)], "it is counted")

        # -- for both
        before = len(asked)
        for page in (0, 6):
            m.check((user(page, 1), kernel(page, 1)) == (KERN_SUCCESS, KERN_SUCCESS), "both may lock it")
        m.check(len(asked) == before, "whose pages are there then")
        vm_map_protect(map, at(4), at(5), VM_PROT_RW, False)
        kernel(4, 1)
        m.check(entry(4).ba.raw_object is file, "and stay what they are")
        kernel(4, 1, KM_PAGEABLE)
        m.check([told(page) for page in (0, 6)] == [(2, True), (3, True)], "the user's lock counts once")
        m.check(user(6, 1, True) == KERN_SUCCESS and told(6) == (2, False), "and is ended once")
        again = KERN_SUCCESS if repaired(m, "munlock-passes-over") else KERN_INVALID_ARGUMENT
        m.check(user(6, 1, True) == again and told(6) == (2, False), "what is not locked stays so")
        m.check(user(0, 3) == kernel(0, 3) == KERN_INVALID_ADDRESS, "a range has no holes")

        # -- all that there is
        vm_map_user_wiring(map, at(4), at(5), False)
        m.check((sys_mlockall(map, 0), map.peek("flags")) == (EINVAL, 0), "something is asked for")
        m.check((sys_mlockall(map, MCL_CURRENT), map.peek("flags")) == (ENOSYS, 0), "as it may be")
        both = MCL_CURRENT | MCL_FUTURE
        m.check((sys_mlockall(map, both), map.peek("flags")) == (ENOSYS, 0), "that can be done")
        m.check((sys_mlockall(map, MCL_FUTURE), map.peek("flags")) == (0, MAP_WIREFUTURE), "later, at least")
        m.check(sys_munlockall(map) == 0 and not map.peek("flags"), "and not any more")
        m.check(
            [told(page) for page in (0, 2, 4, 6)] == [(1, False), (0, False), (1, False), (2, False)], "now"
        )
        for page, times in ((0, 1), (4, 1), (6, 2), (12, 1)):
            for _ in range(times):
                m.check(kernel(page, 1, KM_PAGEABLE) == KERN_SUCCESS, "the kernel ends its own")
        m.check(kernel(0, 1, KM_PAGEABLE) == KERN_INVALID_ARGUMENT, "as often as it began it")

        # -- what cannot be had
        map_anon(m, map, at(8), 3)
        vm_map_protect(map, at(9), at(10), VM_PROT_READ, False)
        bad.append(at(10))
        for wire in (user, kernel):
            m.check(wire(8, 3) == KERN_FAILURE, "memory that cannot be had cannot be locked")
            m.check([told(page) for page in (8, 9, 10)] == [(0, False)] * 3, "and then none of it is")

        # -- what is locked in part
        for wire, end in ((user, True), (kernel, KM_PAGEABLE)):
            wire(8, 1)
            left, code = (0, again) if wire is user and again == KERN_SUCCESS else (1, KERN_INVALID_ARGUMENT)
            m.check(wire(8, 2, end) == code, "what is locked in part is not unlocked")
            m.check([told(page)[0] for page in (8, 9)] == [left, 0], "and stays so")
            wire(8, 1, end)
        count = vm_map_entry_reserve(vm, MAP_RESERVE_COUNT)
        vm_map_lock(map)
        vm_map_set_wired_quick(map, at(8), 2 * PAGE_SIZE, count)
        vm_map_unlock(map)
        vm_map_entry_release(vm, count)
        m.check([told(page)[0] for page in (8, 9, 10)] == [1, 1, 0], "what is said to be locked is all of it")
        give_back(vmspace)

        # -- in a map of the kernel
        outer = vm.map.kernel_map
        start = kernel_range(vm, 3)
        map_anon(m, outer, start, 3)
        m.check(vm_map_kernel_wiring(outer, start, start + PAGE_SIZE, KM_KRESERVE) == KERN_SUCCESS, "as well")
        m.check(outer.raw_rb_root.at_or_before(start).ba.raw_object is None, "its memory gets no object")
        vm_map_kernel_wiring(outer, start, start + PAGE_SIZE, KM_PAGEABLE)
        vm_map_remove(outer, start, start + 3 * PAGE_SIZE)

    m.spawn(thread)
    m.join()
    vm_object_deallocate(file)


@scenario(cpus=1, tags={"map", "kmem"}, pages=None)
def submaps_alone(m):
    """A thread maps a map inside another one: only where one entry without memory covers the range."""
    vm = m.boot(pages=8, l2_size=1)
    outer = vm.map.kernel_map
    start = kernel_range(vm, 16)
    file = shared_file(vm, 4)

    def thread():
        def asked(page, pages):
            """Ask for a submap there; return the code, and how often there is one."""
            first, last = start + page * PAGE_SIZE, start + (page + pages) * PAGE_SIZE
            inner = vm_map_init(vm, first, last, outer.pmap, f"sub{page}")
            rv = vm_map_submap(outer, first, last, inner)
            submaps = [entry for entry in outer.raw_rb_root if entry.raw_maptype == VM_MAPTYPE_SUBMAP]
            m.check(all(entry.ba.raw_object is inner for entry in submaps), "it is what is mapped")
            return rv, len(submaps)

        refused = (KERN_INVALID_ARGUMENT, 0)
        map_anon(m, outer, start - 2 * PAGE_SIZE, 1)
        m.check(asked(0, 2) == refused, "what is not mapped is no submap")
        map_anon(m, outer, start, 6)
        m.check(asked(5, 2) == refused, "nor what is mapped in part")
        map_private(m, outer, file, start + 8 * PAGE_SIZE, 2)
        map_file(m, outer, file, start + 12 * PAGE_SIZE, 2)
        m.check([asked(page, 2) for page in (8, 12)] == [refused] * 2, "nor what has an object")
        m.check(asked(2, 2) == (KERN_SUCCESS, 1), "a part of what has none is")
        bounds = [(entry.ba.raw_start - start) // PAGE_SIZE for entry in outer.raw_rb_root]
        m.check(bounds[-5:] == [0, 2, 4, 8, 12], "cut out of it")
        vm_map_remove(outer, start + 8 * PAGE_SIZE, start + 16 * PAGE_SIZE)

    m.spawn(thread)
    m.join()
    vm_object_deallocate(file)
