"""Mapping, unmapping, what is in memory, locking what comes, and unlocking all."""

from __future__ import annotations

import pytest

from faults import new_process, store
from maps import FLOOR, at, entry_at, over, put
from vmsmp.scenarios._kit import end_of_file, file_object
from vmsmp.sync.errno import EFAULT, EINVAL, ENOMEM, ENOSYS
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_map import (
    MAP_ANON,
    MAP_FIXED,
    MAP_NOCORE,
    MAP_NOSYNC,
    MAP_SHARED,
    MAP_SIZEALIGN,
    MAP_TRYFIXED,
    MAP_WIREFUTURE,
)
from vmsmp.vm.vm_mmap import (
    MCL_CURRENT,
    MCL_FUTURE,
    kern_mmap,
    sys_mincore,
    sys_minherit,
    sys_mlock,
    sys_mlockall,
    sys_munlock,
    sys_munlockall,
    sys_munmap,
    vm_mmap,
)
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE as PAGE


@pytest.mark.parametrize(
    ("how", "error", "flag"),
    [
        (0, EINVAL, 0),
        (4, EINVAL, 0),
        (MCL_CURRENT, ENOSYS, 0),
        (MCL_CURRENT | MCL_FUTURE, ENOSYS, 0),
        (MCL_FUTURE, 0, MAP_WIREFUTURE),
    ],
)
def test_only_what_comes_can_be_locked_as_a_whole(alone, how, error, flag):
    def program(vm):
        map = new_process(vm, 1)
        return sys_mlockall(map, how), map.peek("flags") & MAP_WIREFUTURE, map.lock.held()

    assert (error, flag, False) == alone(program)


def locked(vm):
    """The map of a process with three pages behind its first one."""
    map = new_process(vm, 1, FLOOR)
    put(map, 1, 3)
    return map


def wirings(map):
    """How often each of the three pages is wired."""
    return [entry_at(map, page).peek("wired_count") for page in range(1, 4)]


def test_all_wirings_of_the_user_end_and_no_others(alone):
    def program(vm):
        map = locked(vm)
        sys_mlockall(map, MCL_FUTURE)
        over(v.vm_map_user_wiring, map, 1, 1, False)
        over(v.vm_map_kernel_wiring, map, 3, 1, 0)
        before = wirings(map)
        said = sys_munlockall(map)
        return before, said, wirings(map), map.peek("flags") & MAP_WIREFUTURE, map.pmap.wired_count.peek()

    assert ([1, 0, 1], 0, [0, 0, 1], 0, 1) == alone(program, pages=16)


def test_a_range_in_transition_is_waited_for_and_then_all_is_looked_at_anew(alone):
    def program(vm):
        map = locked(vm)
        over(v.vm_map_user_wiring, map, 1, 3, False)
        reserved = v.vm_map_entry_reserve(vm, 4)
        v.vm_map_lock(map)
        first = v.vm_map_clip_range(map, at(2), at(3), reserved, 0)
        v.vm_map_unlock(map)
        cpu = vm.machine.spawn(sys_munlockall, map)
        vm.machine.tsleep("a while", 0, "", 2)
        waits = wirings(map)
        v.vm_map_lock(map)
        v.vm_map_unclip_range(map, first, at(2), at(3), reserved, 0)
        v.vm_map_unlock(map)
        v.vm_map_entry_release(vm, reserved)
        cpu.join()
        return waits, wirings(map), cpu.result

    assert ([0, 1, 1], [0, 0, 0], 0) == alone(program, pages=16)


# -- mapping --------------------------------------------------------------------------------------


def mmap(map, page, pages, flags, handle=None, foff=0, prot=v.VM_PROT_RW):
    return vm_mmap(
        map, at(page), pages * PAGE, prot, v.VM_PROT_ALL, flags | MAP_ANON * (not handle), handle, foff
    )


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        (lambda map: mmap(map, 8, 0, 0), (0, at(8))),
        (lambda map: mmap(map, 8, 1, 0), (0, at(8))),
        (lambda map: mmap(map, 0, 1, 0), (0, at(2))),
        (lambda map: mmap(map, 0, 1, MAP_TRYFIXED), (ENOMEM, at(0))),
        (lambda map: mmap(map, 0, 1, MAP_FIXED), (0, at(0))),
        (lambda map: vm_mmap(map, 1, PAGE, 3, 7, MAP_ANON | MAP_FIXED), (EINVAL, 1)),
        (lambda map: vm_mmap(map, at(8), PAGE, 3, 7, MAP_ANON, None, 1), (EINVAL, at(8))),
        (lambda map: mmap(map, 8, 3, MAP_SIZEALIGN), (EINVAL, at(8))),
        (lambda map: mmap(map, 9, 4, MAP_SIZEALIGN), (0, at(12))),
        (lambda map: vm_mmap(map, at(8), PAGE, 3, 7, 0), (EINVAL, at(8))),
        (lambda map: vm_mmap(map, at(8), 2 << 20, 3, 7, MAP_ANON), (0, 2 << 20)),
    ],
    ids=range(11),
)
def test_what_is_asked_for_is_mapped_or_refused(alone, what, answer):
    assert answer == alone(lambda vm: what(new_process(vm, 2)), pages=24)


def test_a_map_is_not_larger_than_its_limit(alone):
    def program(vm):
        map = new_process(vm, 2)
        vm.mycpu().proc.rlim_vmem = 3 * PAGE
        return [mmap(map, 8, 2, 0)[0], mmap(map, 8, 1, 0)[0], mmap(map, 8, 1, MAP_FIXED)[0]]

    assert [ENOMEM, 0, ENOMEM] == alone(program, pages=24)


@pytest.mark.parametrize(
    ("flags", "eflags", "inheritance"),
    [
        (0, v.MAP_ENTRY_COW | v.MAP_ENTRY_NEEDS_COPY, v.VM_INHERIT_COPY),
        (MAP_SHARED, 0, v.VM_INHERIT_SHARE),
        (
            MAP_SHARED | MAP_NOSYNC | MAP_NOCORE,
            v.MAP_ENTRY_NOSYNC | v.MAP_ENTRY_NOCOREDUMP,
            v.VM_INHERIT_SHARE,
        ),
    ],
)
def test_a_file_is_mapped_from_an_offset_on(alone, flags, eflags, inheritance):
    def program(vm):
        map = new_process(vm)
        vp, obj = file_object(vm, 2)
        answer = mmap(map, 8, 1, flags, vp, PAGE)
        entry = entry_at(map, 8)
        is_file = entry.ba.peek("object") is obj
        told = entry.peek("eflags"), entry.peek("inheritance"), entry.ba.peek("offset"), obj.peek("ref_count")
        sys_munmap(map, at(8), PAGE)
        left = obj.peek("ref_count")
        vm_object_deallocate(obj)
        end_of_file(vp)
        return answer[0], is_file, told, left

    assert (0, True, (eflags, inheritance, PAGE, 2), 1) == alone(program, pages=24)


def test_a_file_that_cannot_be_mapped_is_not_referenced(alone):
    def program(vm):
        map = new_process(vm, 1)
        vp, obj = file_object(vm, 1)
        refused = mmap(map, 0, 1, MAP_TRYFIXED, vp)[0], obj.peek("ref_count")
        vm_object_deallocate(obj)
        end_of_file(vp)
        return refused, mmap(map, 8, 1, 0, vp)[0]

    assert ((ENOMEM, 1), EINVAL) == alone(program, pages=24)


def test_what_is_mapped_while_all_that_comes_is_locked_is_locked(alone):
    def program(vm):
        map = new_process(vm, 1, FLOOR)
        sys_mlockall(map, MCL_FUTURE)
        mmap(map, 8, 1, 0)
        return entry_at(map, 8).peek("wired_count"), map.pmap.wired_count.peek()

    assert (1, 1) == alone(program, pages=24)


@pytest.mark.parametrize(
    ("start", "size", "answer", "left"),
    [
        (at(0), 0, 0, 2 * PAGE),
        (at(0) + 1, PAGE, 0, 0),
        (at(0), PAGE, 0, PAGE),
        (at(1), 2 * PAGE, EINVAL, 2 * PAGE),
        (v.VM_MAX_USER_ADDRESS, PAGE, EINVAL, 2 * PAGE),
    ],
)
def test_only_what_is_mapped_throughout_is_unmapped(alone, start, size, answer, left):
    def program(vm):
        map = new_process(vm, 2)
        return sys_munmap(map, start, size), map.peek("size"), map.token.held(), map.lock.held()

    assert (answer, left, False, False) == alone(program, pages=24)


# -- what is in memory ----------------------------------------------------------------------------


def incore(map, start, size, fails_at=None):
    vector = {}

    def subyte(index, value):
        vector[index] = value
        return EFAULT if index == fails_at else 0

    return sys_mincore(map, start, size, subyte), vector


def test_each_page_is_said_to_be_there_or_not(alone):
    def program(vm):
        map = new_process(vm, 3)
        store(map, 0, 1)
        store(map, 2, 1)
        return incore(map, at(0), 3 * PAGE)

    error, vector = alone(program, pages=24)
    assert (0, [True, False, True]) == (error, [bool(vector[n]) for n in range(3)])


def test_what_was_unmapped_from_a_process_is_still_in_memory(alone):
    def program(vm):
        map = new_process(vm, 1)
        store(map, 0, 1)
        v.vm_map_protect(map, at(0), at(1), v.VM_PROT_NONE, False)
        return incore(map, at(0), PAGE)

    error, vector = alone(program, pages=24)
    assert (0, True) == (error, bool(vector[0] & 1))


@pytest.mark.parametrize("fails_at", [0, 1])
def test_a_vector_that_cannot_be_stored_to_is_a_fault(alone, fails_at):
    def program(vm):
        map = new_process(vm, 2)
        store(map, 0, 1)
        return incore(map, at(0), 4 * PAGE, fails_at)[0], map.token.held(), map.lock.held()

    assert (EFAULT, False, False) == alone(program, pages=24)


def test_addresses_of_the_kernel_are_refused(alone):
    assert (EINVAL, {}) == alone(lambda vm: incore(new_process(vm), v.VM_MAX_USER_ADDRESS, 1))


@pytest.mark.parametrize(
    ("addr", "size", "inherit", "answer"),
    [
        (0, PAGE, v.VM_INHERIT_NONE, (0, v.VM_INHERIT_NONE)),
        (1, 1, v.VM_INHERIT_SHARE, (0, v.VM_INHERIT_SHARE)),
        (0, PAGE, 3, (EINVAL, v.VM_INHERIT_COPY)),
        (0, PAGE, 256, (0, v.VM_INHERIT_SHARE)),
        (0, v.ADDRESS_MASK, v.VM_INHERIT_NONE, (EINVAL, v.VM_INHERIT_COPY)),
        (0, v.ADDRESS_MASK - PAGE, v.VM_INHERIT_NONE, (EINVAL, v.VM_INHERIT_COPY)),
    ],
)
def test_what_a_child_gets_is_said_of_whole_pages(alone, addr, size, inherit, answer):
    def program(vm):
        map = new_process(vm, 1)
        return sys_minherit(map, at(0) + addr, size, inherit), entry_at(map, 0).peek("inheritance")

    assert answer == alone(program)


@pytest.mark.parametrize(
    ("addr", "size", "answer"),
    [
        (0, 0, (0, 0)),
        (0, 1, (0, 1)),
        (PAGE - 1, 2, (ENOMEM, 0)),
        (0, v.ADDRESS_MASK, (EINVAL, 0)),
        (0, v.ADDRESS_MASK - PAGE, (EINVAL, 0)),
    ],
)
def test_what_is_mapped_can_be_locked(alone, addr, size, answer):
    def program(vm):
        map = new_process(vm, 1)
        return sys_mlock(map, at(0) + addr, size), entry_at(map, 0).peek("wired_count")

    assert answer == alone(program)


@pytest.mark.parametrize(
    ("size", "answer"),
    [
        (PAGE, (0, 0)),
        (0, (0, 1)),
        (2 * PAGE, (ENOMEM, 1)),
        (v.ADDRESS_MASK, (0, 1)),
        (v.ADDRESS_MASK - PAGE, (EINVAL, 1)),
    ],
)
def test_what_is_locked_can_be_unlocked(alone, size, answer):
    def program(vm):
        map = new_process(vm, 1)
        sys_mlock(map, at(0), PAGE)
        return sys_munlock(map, at(0), size), entry_at(map, 0).peek("wired_count")

    assert answer == alone(program)


@pytest.mark.parametrize(
    ("size", "flags", "pos", "address"),
    [
        (0, MAP_ANON | MAP_FIXED, 0, at(8)),
        (PAGE, MAP_ANON | MAP_FIXED, PAGE, at(8)),
        (PAGE, MAP_FIXED, 0, at(8)),
        (PAGE, MAP_ANON | MAP_FIXED, 0, at(8) + 1),
        (PAGE, MAP_ANON | MAP_FIXED, 0, v.VM_MAX_USER_ADDRESS),
    ],
)
def test_mmap_refuses_what_makes_no_sense(alone, size, flags, pos, address):
    def program(vm):
        map = locked(vm)
        return kern_mmap(map, address, size, v.VM_PROT_RW, flags, None, pos)[0], len(map.raw_rb_root)

    assert (EINVAL, 2) == alone(program)


@pytest.mark.parametrize("flags", [MAP_FIXED | MAP_SHARED, MAP_SHARED])
def test_mmap_of_a_file_may_begin_within_a_page(alone, flags):
    def program(vm):
        map = locked(vm)
        vm.mycpu().lwp.lwp_vmspace.vm_taddr = at(32)
        vp, obj = file_object(vm, 2, range(2))
        error, address = kern_mmap(map, at(8) + 16, PAGE, v.VM_PROT_RW, flags, vp, 16)
        entry = map.raw_rb_root.at_or_before(address)
        start, end = entry.ba.raw_start, entry.ba.raw_end
        v.vm_map_remove(map, start, end)
        vm_object_deallocate(obj)
        end_of_file(vp)
        return error, address - start, end - start

    assert (0, 16, 2 * PAGE) == alone(program)
