"""Pages of a device's memory: how they come, what they are, and how they go with their object."""

from __future__ import annotations

import pytest

from faults import new_process
from maps import ANON, at, put
from vmsmp.mmu.fault import PageFault
from vmsmp.sync.errno import EINVAL
from vmsmp.vm import vm_pager as p
from vmsmp.vm.vm_map import VM_PROT_READ, VM_PROT_RW, vm_map_remove
from vmsmp.vm.vm_object import vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    PG_FICTITIOUS,
    VM_ALLOC_NORMAL,
    VM_PAGE_BITS_ALL,
    vm_page_alloc,
    vm_page_alloczwq,
    vm_page_set_invalid,
    vm_page_wakeup,
)


class Screen:
    """A device that shows some frames, to be read only if `prot` says so."""

    def __init__(self, *frames, prot=VM_PROT_RW):
        self.frames = frames
        self.prot = prot
        self.asked = []
        self.si_object = None

    def d_mmap(self, offset, prot):
        self.asked.append((offset, prot))
        page = offset // 4096
        return self.frames[page] if page < len(self.frames) and not prot & ~self.prot else -1


def placeholder(vm, obj, pindex=0):
    """A page that a fault has allocated for the object, whose token the caller has from here on."""
    vm_object_hold(obj)
    return vm_page_alloc(vm, obj, pindex, VM_ALLOC_NORMAL)


@pytest.mark.parametrize(
    ("size", "prot", "asked", "there"),
    [
        (2, VM_PROT_RW, [(0, 3), (4096, 3)], True),
        (3, VM_PROT_READ, [(0, 1), (4096, 1), (8192, 1)], False),
        (1, 7, [(0, 7)], False),
    ],
)
def test_a_device_is_asked_for_every_page_once_as_it_is_mapped(alone, size, prot, asked, there):
    screen = Screen(3, 4)

    def program(vm):
        obj = p.dev_pager_alloc(vm, screen, size, prot)
        return (obj is not None, screen.si_object is obj, vm.pager.dev_pager_object_list == [obj] * there)

    assert (there, True, True) == alone(program)
    assert asked == screen.asked


def test_what_cannot_be_mapped_is_refused_with_an_error(alone):
    assert EINVAL == alone(lambda vm: p.old_dev_pager_ctor(vm, Screen(3), 2, VM_PROT_READ, 0))


def test_a_page_of_the_device_takes_the_place_of_the_one_that_was_allocated(alone):
    def program(vm):
        obj = p.dev_pager_alloc(vm, Screen(3, 4), 2, VM_PROT_RW)
        m = placeholder(vm, obj, 1)
        rv = p.dev_pager_getpage(obj, m, -1)
        new = obj.peek("rb_memq")[1]
        vm_page_wakeup(new)
        vm_object_drop(obj)
        free = vm.page.queue_type(m.peek("queue"))
        return (
            rv,
            free,
            new.phys,
            new.flags.peek() & PG_FICTITIOUS,
            new.peek("valid"),
            len(obj.devp.devp_pglist),
        )

    assert (p.VM_PAGER_OK, "free", 4, PG_FICTITIOUS, VM_PAGE_BITS_ALL, 1) == alone(program)


def test_a_page_of_the_device_that_is_not_valid_says_anew_where_its_memory_is(alone):
    screen = Screen(3)

    def program(vm):
        obj = p.dev_pager_alloc(vm, screen, 1, VM_PROT_RW)
        p.dev_pager_getpage(obj, placeholder(vm, obj), -1)
        m = obj.peek("rb_memq")[0]
        vm_page_set_invalid(m, 0, 4096)
        screen.frames = (5,)
        rv = p.dev_pager_getpage(obj, m, -1)
        vm_page_wakeup(m)
        vm_object_drop(obj)
        return rv, m.phys, m.peek("valid"), obj.devp.devp_pglist == [m]

    assert (p.VM_PAGER_OK, 5, VM_PAGE_BITS_ALL, True) == alone(program)


def test_a_device_that_shows_no_longer_what_it_did_shows_the_highest_frame(alone):
    def program(vm):
        screen = Screen(3)
        obj = p.dev_pager_alloc(vm, screen, 1, VM_PROT_RW)
        vm_object_hold(obj)
        screen.frames = ()
        rv = p.dev_pager_getpage(obj, placeholder(vm, obj), -1)
        m = obj.peek("rb_memq")[0]
        vm_page_wakeup(m)
        vm_object_drop(obj)
        return rv, m.phys

    assert (p.VM_PAGER_OK, (1 << 40) - 1) == alone(program)


def test_a_process_loads_and_stores_a_device_s_memory_and_the_last_reference_takes_the_pages_along(alone):
    screen = Screen()

    def program(vm):
        screen.frames = (vm_page_alloczwq(vm, 0, VM_ALLOC_NORMAL).phys,)
        map = new_process(vm)
        obj = p.dev_pager_alloc(vm, screen, 1, VM_PROT_RW)
        put(map, 0, 1, ANON._replace(object=obj))
        vm.memory.store(screen.frames[0], 0, 7)
        cpu = vm.machine.curcpu
        seen = cpu.load(at(0))
        cpu.store(at(0), 8)
        vm_map_remove(map, at(0), at(1))
        try:
            cpu.load(at(0))
        except PageFault:
            seen = seen, vm.memory.peek(screen.frames[0])
        return seen, obj.freed, screen.si_object, vm.page.markers

    assert ((7, 8), True, None, []) == alone(program, pages=16)


def vm_page_free(m):
    from vmsmp.vm.vm_page import vm_page_free

    vm_page_free(m)
