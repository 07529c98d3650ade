"""Ranges that are wired for users and for the kernel, page after page, while the map is changed by others."""

from vmsmp import scenario
from vmsmp.scenarios._kit import give_back
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, new_space
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    KM_PAGEABLE,
    MAP_ENTRY_USER_WIRED,
    MAP_RESERVE_COUNT,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_RW,
    vm_map_entry_release,
    vm_map_entry_reserve,
    vm_map_kernel_wiring,
    vm_map_lock,
    vm_map_lock_read,
    vm_map_madvise,
    vm_map_protect,
    vm_map_remove,
    vm_map_set_wired_quick,
    vm_map_unlock,
    vm_map_user_wiring,
)
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
    """Threads wire, unwire, unmap and protect ranges that overlap; some pages cannot be had."""
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
    """CPUs wire ranges for the kernel and end that again while others cut entries: nothing stays wired."""
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
    """CPUs say of ranges of their own that they are wired, in the section in which they map them."""
    vm = m.boot(pages=8, l2_size=1)
    vm.map.fault = lambda *_: KERN_SUCCESS  # whoever says so sees to the pages
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
