"""Rights and inheritance of ranges."""

from __future__ import annotations

import pytest

from maps import ANON, entry_at, floored, layout, mapped, over, put, store, touch
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    KERN_INVALID_ARGUMENT,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    VM_INHERIT_SHARE,
    VM_MAPTYPE_SUBMAP,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    vm_map_check_protection,
    vm_map_inherit,
    vm_map_lock_read,
    vm_map_protect,
)
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vm_pager import vnode_pager_alloc
from vmsmp.vm.vnode import VLASTWRITETS, getnewvnode


def test_a_part_loses_rights(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 4)
        return over(vm_map_protect, map, 3, 2, VM_PROT_READ, False), [one[:3] for one in layout(map)]

    assert (KERN_SUCCESS, [(2, 1, 3), (3, 2, 1), (5, 1, 3)]) == alone(program)


def test_holes_are_skipped_and_the_range_clamped(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 1)
        put(map, 5, 1)
        return over(vm_map_protect, map, 1, 90, VM_PROT_READ, False), [one[2] for one in layout(map)]

    assert (KERN_SUCCESS, [1, 1]) == alone(program)


def test_more_than_the_limit_is_refused_and_changes_no_rights(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 2)
        put(map, 4, 2, ANON._replace(max=VM_PROT_READ, prot=VM_PROT_READ))
        code = over(vm_map_protect, map, 3, 3, VM_PROT_RW, False)
        return code, [one[:3] for one in layout(map)]

    assert (KERN_PROTECTION_FAILURE, [(2, 1, 3), (3, 1, 3), (4, 2, 1)]) == alone(program)


def test_a_new_limit_takes_rights_away_and_cannot_be_raised(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 1)
        over(vm_map_protect, map, 2, 1, VM_PROT_READ, True)
        entry = entry_at(map, 2)
        return (
            (entry.peek("protection"), entry.peek("max_protection")),
            over(vm_map_protect, map, 2, 1, VM_PROT_RW, False),
        )

    assert ((1, 1), KERN_PROTECTION_FAILURE) == alone(program)


def test_rights_of_a_submap_are_not_changed(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 1)
        entry_at(map, 2).maptype = VM_MAPTYPE_SUBMAP
        return over(vm_map_protect, map, 2, 1, VM_PROT_READ, False)

    assert KERN_INVALID_ARGUMENT == alone(program)


@pytest.mark.parametrize(
    ("prot", "left", "written"), [(VM_PROT_RW, 2, True), (VM_PROT_READ, 2, False), (VM_PROT_NONE, 1, False)]
)
def test_mappings_lose_the_rights_that_the_entry_loses(alone, prot, left, written):
    def program(vm):
        map = floored(vm)
        put(map, 2, 4)
        touch(map, 2)
        touch(map, 3)
        over(vm_map_protect, map, 3, 1, prot, False)
        return len(mapped(map)), store(map, 3), store(map, 2)

    assert (left, written, True) == alone(program)


def test_a_page_that_must_be_copied_is_not_made_writeable(alone):
    def program(vm):
        map = floored(vm)
        what = ANON._replace(object=vm_object_allocate(vm, 2), cow=COWF_COPY_ON_WRITE, prot=VM_PROT_NONE)
        put(map, 2, 1, what)
        over(vm_map_protect, map, 2, 1, VM_PROT_RW, False)
        touch(map, 2, VM_PROT_READ)
        return store(map, 2)

    assert not alone(program)


@pytest.mark.parametrize(("locked", "noted"), [(False, True), (True, False)])
def test_a_file_that_is_made_writeable_is_noted_unless_its_lock_is_taken(alone, locked, noted):
    def program(vm):
        map = floored(vm)
        vp = getnewvnode(vm, "file")
        put(map, 2, 1, ANON._replace(object=vnode_pager_alloc(vp, PAGE_SIZE), prot=VM_PROT_READ))
        if locked:
            vp.v_lock.acquire_shared()
        vm.machine.spawn(lambda: over(vm_map_protect, map, 2, 1, VM_PROT_RW, False))
        vm.machine.join()
        return entry_at(map, 2).peek("protection"), bool(vp.peek("v_flag") & VLASTWRITETS)

    assert (VM_PROT_RW, noted) == alone(program)


def test_inheritance_is_changed_of_every_part(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 4)
        code = over(vm_map_inherit, map, 3, 2, VM_INHERIT_SHARE)
        return code, [entry_at(map, page).peek("inheritance") for page in (2, 3, 5)]

    assert (KERN_SUCCESS, [1, 0, 1]) == alone(program)


def test_there_are_three_kinds_of_inheritance(alone):
    assert KERN_INVALID_ARGUMENT == alone(lambda vm: over(vm_map_inherit, floored(vm), 2, 1, 3))


@pytest.mark.parametrize(
    ("first", "pages", "prot", "allowed"),
    [
        (2, 2, VM_PROT_RW, True),
        (2, 3, VM_PROT_RW, False),
        (2, 3, VM_PROT_READ, True),
        (2, 3, VM_PROT_NONE, True),
        (1, 2, VM_PROT_NONE, False),
        (4, 2, VM_PROT_NONE, False),
    ],
)
@pytest.mark.parametrize("have_lock", [False, True])
def test_a_range_is_allowed_if_all_of_it_is(alone, first, pages, prot, allowed, have_lock):
    def program(vm):
        map = floored(vm)
        put(map, 2, 2)
        put(map, 4, 1, ANON._replace(prot=VM_PROT_READ))
        if have_lock:
            vm_map_lock_read(map)
        return over(vm_map_check_protection, map, first, pages, prot, have_lock)

    assert allowed == alone(program)
