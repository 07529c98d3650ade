"""What is in memory, as mincore tells one thread."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied, end_of_file, file_object, forget_file, give_back
from vmsmp.scenarios.vm_fault._alone import at, page_at
from vmsmp.scenarios.vm_fault._memory import Process, alone, object_at, page_out
from vmsmp.scenarios.vm_map._spaces import map_anon
from vmsmp.scenarios.vm_mmap.calls import mmap
from vmsmp.sync.errno import EFAULT, EINVAL
from vmsmp.vm.pmap import pmap_clear_modify, pmap_remove, pmap_ts_referenced
from vmsmp.vm.vm_map import (
    MAP_FIXED,
    MAP_SHARED,
    VM_MAX_USER_ADDRESS,
    VM_PROT_READ,
    VM_PROT_RW,
    vm_map_protect,
)
from vmsmp.vm.vm_mmap import sys_mincore
from vmsmp.vm.vm_object import vm_object_deallocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_REFERENCED,
    VM_ALLOC_NORMAL,
    vm_page_alloc,
    vm_page_flag_clear,
    vm_page_undirty,
    vm_page_wakeup,
)

INCORE, REFERENCED, MODIFIED, REFERENCED_OTHER, MODIFIED_OTHER = 1, 2, 4, 8, 16


def incore(process, page, size, deny=(), also=lambda _index: None):
    """Ask about a range; return the errno, and what was stored by index.

    The bytes at indexes `deny` cannot be stored; `also` is done with the index as each is.
    """
    vector = {}

    def subyte(index, value):
        also(index)
        if index in deny:
            return EFAULT
        vector[index] = value
        return 0

    return sys_mincore(process.map, at(page), size, subyte), vector


@scenario(cpus=1, tags={"map", "mmap", "fault"}, pages=None)
def pages_in_memory_are_told(m):
    """Pages are stored to, loaded, cleaned, unmapped and written to swap: mincore tells how each is."""
    vm = m.boot(pages=24, l2_size=1)
    vm.sysctl["vm.prefault_pages"] = 0

    def user(process):
        map_anon(m, process.map, at(0), 6)
        for page in range(6):
            process.store(at(page), page)
        for page in (1, 2, 4):
            vm_page_flag_clear(page_at(process, page), PG_REFERENCED)
            pmap_ts_referenced(page_at(process, page))
        for page in (2, 4):
            busied(page_at(process, page), pmap_clear_modify)
            vm_page_undirty(page_at(process, page))
        for page in (3, 4):
            pmap_remove(process.map.pmap, at(page), at(page + 1))
        page_out(object_at(process.map, at(0)), 5)
        error, vector = incore(process, 0, 6 * PAGE_SIZE - 1)
        m.check(error == 0, "what is mapped can be asked for")
        used = REFERENCED | REFERENCED_OTHER
        m.check(vector[0] == INCORE | used | MODIFIED | MODIFIED_OTHER, "a page that was stored to")
        m.check(vector[1] == INCORE | MODIFIED | MODIFIED_OTHER, "one that was not used since")
        m.check(vector[2] == INCORE, "one that is clean, too")
        m.check(vector[3] == INCORE | REFERENCED_OTHER | MODIFIED_OTHER, "one that is not mapped")
        m.check(vector[4] == INCORE, "one that is not mapped, clean and not used")
        m.check(vector[5] == 0, "one that is in swap")
        m.check(len(vector) == 6, "each page of the range has a byte")
        m.check(
            incore(process, 3, 2 * PAGE_SIZE) == (0, {0: vector[3], 1: INCORE}), "a part can be asked for"
        )

    alone(m, user)


@scenario(cpus=1, tags={"map", "mmap", "vnode"}, pages=None)
def use_by_others_is_told(m):
    """Another process uses pages of a shared file: mincore tells so where one has not mapped them."""
    vm = m.boot(pages=32, l2_size=1)
    vm.sysctl["vm.prefault_pages"] = 0
    vp, obj = file_object(vm, 4, range(3))
    vm_object_hold(obj)
    vm_page_wakeup(vm_page_alloc(vm, obj, 3, VM_ALLOC_NORMAL))  # it is not valid yet
    vm_object_drop(obj)
    pages = obj.peek("rb_memq")

    def user(process):
        other = Process(vm)
        for one in (process, other):
            mmap(one, at(0), 4 * PAGE_SIZE, MAP_SHARED | MAP_FIXED, vp, prot=VM_PROT_RW)
        other.enter().store(at(0), 1)
        vm_page_undirty(pages[0])  # only the other's mapping knows
        other.load(at(1))
        for page in (0, 1):
            vm_page_flag_clear(pages[page], PG_REFERENCED)
        process.enter()
        used = INCORE | REFERENCED_OTHER
        there = {0: used | MODIFIED_OTHER, 1: used, 2: INCORE, 3: 0}
        m.check(incore(process, 0, 4 * PAGE_SIZE) == (0, there), "what others do with a page is told")
        m.check(incore(process, 0, 4 * PAGE_SIZE) == (0, there), "and not forgotten")
        m.check(pages[1].peek("flags") & PG_REFERENCED, "that a page is used is noted")
        give_back(other.vmspace)

    alone(m, user)
    forget_file(vp, obj)


@scenario(cpus=1, tags={"map", "mmap", "vnode"}, pages=None)
def pages_in_memory_are_told_or_refused(m):
    """A process asks about ranges with holes or beyond the end, or changes its map before it has an answer.

    The page before each hole is not in memory: the kernel stores the zeroes of a hole one index too low.
    """
    vm = m.boot(pages=24, l2_size=1)
    vp, obj = file_object(vm, 4, range(3))

    def user(process):
        for page, index in ((0, 2), (4, 1), (5, 3), (7, 0)):
            mmap(process, at(page), PAGE_SIZE, MAP_SHARED | MAP_FIXED, vp, index * PAGE_SIZE)
        mmap(process, at(1), PAGE_SIZE, MAP_SHARED | MAP_FIXED, vp, 3 * PAGE_SIZE)
        map_anon(m, process.map, at(6), 1)  # nobody has used it

        def told(size, **more):
            error, vector = incore(process, 0, size * PAGE_SIZE, **more)
            return error, [page for page in range(size) if vector.get(page)]

        asked = []
        m.check(told(8, also=asked.append) == (0, [0, 4, 7]), "the pages that are in memory are told")
        m.check(len(asked) == 8, "each page of the range has a byte")
        m.check(told(7) == (0, [0, 4]), "in a part of the range, too")
        m.check(told(4) == (0, [0]), "and where it ends with a hole")
        for page, before in ((0, []), (4, [0])):
            m.check(told(8, deny=(page,)) == (EFAULT, before), "what cannot be stored ends it")
        m.check(told(8, deny=(1, 2)) == (EFAULT, [0]), "as does a byte of a hole")
        m.check(told(4, deny=(2, 3)) == (EFAULT, [0]), "at the end, too")
        m.check(incore(process, 0, 0) == (0, {}), "nothing is in no range")

        changes = []

        def change(_index):
            if len(changes) < 2:
                changes.append(vm_map_protect(process.map, at(9), at(10), VM_PROT_READ, False))

        m.check(told(1, also=change) == (0, [0]), "who is disturbed begins again")
        m.check(len(changes) == 2, "as often as that is")
        for size in (VM_MAX_USER_ADDRESS, (1 << 64) - PAGE_SIZE):
            m.check(incore(process, 0, size) == (EINVAL, {}), "the kernel's is not a user's")

    alone(m, user)
    vm_object_deallocate(obj)
    end_of_file(vp)
