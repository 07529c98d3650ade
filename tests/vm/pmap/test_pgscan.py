"""Visiting the pages of a range; unwiring."""

from __future__ import annotations

from tables import MEMORY, Space, at, busied
from vmsmp.vm.pmap import PG_W, PmapPgscanInfo, pmap_enter, pmap_pgscan, pmap_pte, pmap_unwire
from vmsmp.vm.vm_map import VM_MIN_KERNEL_ADDRESS, VM_PROT_RW
from vmsmp.vm.vm_page import vm_page_wakeup


def visited(space, start, end, stop_at=None):
    """What a scan's callback is given, and the scan."""
    seen = []

    def callback(info, va, m):
        seen.append((va, m))
        vm_page_wakeup(m)
        info.offset = va
        return -1 if va == stop_at else 0

    info = PmapPgscanInfo(space.pmap, start, end, callback)
    pmap_pgscan(info)
    return seen, info


def test_each_page_is_given_busied_to_the_callback(alone):
    def program(vm):
        space = Space(vm, 3)
        for n in range(3):
            space.enter(n)
        busied(space.pages[1])
        seen, info = visited(space, at(0), at(3))
        vm_page_wakeup(space.pages[1])
        table = space.pmap.raw_pm_pvroot.peekitem(0)[1]
        return seen == [(at(n), space.pages[n]) for n in (0, 2)], info.busycount, info.offset, table.raw_pv_m

    right, busy, offset, table = alone(program, **MEMORY)
    assert (True, 1, at(3)) == (right, busy, offset)
    assert 4 == table.wire_count.peek()


def test_a_scan_that_is_stopped_says_where(alone):
    def program(vm):
        space = Space(vm, 3)
        for n in range(3):
            space.enter(n)
        seen, info = visited(space, at(0), at(3), stop_at=at(1))
        return len(seen), info.offset

    assert (2, at(1)) == alone(program, **MEMORY)


def test_an_unmanaged_page_is_left_alone(alone):
    def program(vm):
        space = Space(vm)
        space.enter()
        word = pmap_pte(space.pmap, at(0))
        word.value &= ~0x400
        seen = visited(space, at(0), at(1))[0]
        word.value |= 0x400
        return seen

    assert [] == alone(program, **MEMORY)


def test_an_entry_is_unwired_and_its_page_returned(alone):
    def program(vm):
        space = Space(vm, 2)
        space.enter(0, VM_PROT_RW, True)
        found = [pmap_unwire(space.pmap, at(n)) for n in (0, 0, 1)]
        return (
            [m is space.pages[0] for m in found],
            found[2],
            space.counts(),
            pmap_pte(space.pmap, at(0)).peek() & PG_W,
        )

    assert ([True, True, False], None, (5, 0), 0) == alone(program, **MEMORY)


def test_where_there_is_no_table_nothing_is_unwired(alone):
    assert None is alone(lambda vm: pmap_unwire(Space(vm).pmap, at(0)), **MEMORY)


def test_the_kernel_s_entries_are_unwired_too(alone):
    def program(vm):
        space = Space(vm)
        kernel = vm.pmap.kernel_pmap
        va = VM_MIN_KERNEL_ADDRESS + 0x10_0000
        pmap_enter(kernel, va, busied(space.pages[0]), VM_PROT_RW, True, space.entry)
        vm_page_wakeup(space.pages[0])
        found = pmap_unwire(kernel, va), kernel.peek("wired_count")
        return found[0] is space.pages[0], found[1], pmap_unwire(kernel, va + (1 << 21))

    assert (True, 0, None) == alone(program, **MEMORY)
