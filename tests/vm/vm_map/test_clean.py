"""Writing ranges back: which files are written, what is forgotten, and what is refused."""

from __future__ import annotations

import pytest

from maps import at, entry_at, floored, over, put
from vmsmp.scenarios._kit import file_object
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_kern import kmem_suballoc
from vmsmp.vm.vm_map import (
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    VM_PROT_READ,
    VM_PROT_WRITE,
)
from vmsmp.vm.vm_object import (
    OBJ_NOMSYNC,
    OBJT_DEVICE,
    vm_object_reference_quick,
    vm_object_set_writeable_dirty,
)
from vmsmp.vm.vm_page import PG_CLEANCHK, vm_page_busy_wait, vm_page_dirty, vm_page_flag_set, vm_page_wakeup


def written(page):
    """Make a page of a file dirty."""
    vm_page_busy_wait(page, True)
    vm_object_set_writeable_dirty(page.object)
    vm_page_dirty(page)
    vm_page_wakeup(page)


def file(vm, pages=4):
    """A file, its dirty pages, and a map whose pages 2 to 6 it is."""
    _, obj = file_object(vm, pages, range(pages))
    dirty = [obj.peek("rb_memq")[n] for n in range(pages)]
    for page in dirty:
        written(page)
    for page in dirty[1:3]:
        vm_page_flag_set(page, PG_CLEANCHK)
    map = floored(vm)
    vm_object_reference_quick(obj)
    put(map, 2, 4, v.Mapping(object=obj, prot=3, max=7))
    return map, obj, dirty


def clean(map, page, pages, *, syncio=True, invalidate=False):
    return over(v.vm_map_clean, map, page, pages, syncio, invalidate)


def test_the_dirty_pages_of_the_range_are_written_and_no_others(alone):
    def program(vm):
        map, _, pages = file(vm)
        answer = clean(map, 3, 2)
        return answer, [bool(page.peek("dirty")) for page in pages], map.lock.held(), map.token.held()

    assert (KERN_SUCCESS, [True, False, False, True], False, False) == alone(program, pages=16)


@pytest.mark.parametrize(("page", "pages"), [(1, 2), (4, 4), (10, 1)], ids=["before", "behind", "nothing"])
def test_a_range_with_a_hole_is_refused_and_nothing_written(alone, page, pages):
    def program(vm):
        map, _, dirty = file(vm)
        return clean(map, page, pages), all(page.peek("dirty") for page in dirty), map.lock.held()

    assert (KERN_INVALID_ADDRESS, True, False) == alone(program, pages=16)


def test_a_submap_is_refused(alone):
    def program(vm):
        submap = kmem_suballoc(vm.map.kernel_map, 0x2000)
        return v.vm_map_clean(vm.map.kernel_map, submap.min_addr, submap.max_addr, True, False)

    assert KERN_INVALID_ARGUMENT == alone(program)


@pytest.mark.parametrize("why", ["read-only", "nomsync"])
def test_what_may_not_be_written_is_not(alone, why):
    def program(vm):
        map, obj, pages = file(vm)
        if why == "nomsync":
            obj.flags.setbits(OBJ_NOMSYNC)
        else:
            over(v.vm_map_protect, map, 2, 4, VM_PROT_READ, False)
        return clean(map, 2, 4), all(page.peek("dirty") for page in pages)

    assert (KERN_SUCCESS, True) == alone(program, pages=16)


def test_anonymous_memory_has_nowhere_to_be_written_to(alone):
    def program(vm):
        map = floored(vm)
        put(map, 2, 2)
        first = clean(map, 2, 2, invalidate=True)
        found = v.vm_map_lookup(map, at(2), VM_PROT_WRITE)
        v.vm_map_lookup_done(found.map, found.entry, None)
        return first, clean(map, 2, 2, invalidate=True)

    assert (KERN_SUCCESS, KERN_SUCCESS) == alone(program)


def test_an_invalidated_range_leaves_memory_once_it_is_written(alone):
    def program(vm):
        map, obj, _ = file(vm)
        return clean(map, 3, 2, invalidate=True), sorted(obj.peek("rb_memq"))

    assert (KERN_SUCCESS, [0, 3]) == alone(program, pages=16)


@pytest.mark.parametrize("objt", [OBJT_DEVICE])
def test_pages_of_a_device_go_as_they_are(alone, monkeypatch, objt):
    def program(vm):
        map, obj, _ = file(vm)
        told = []
        monkeypatch.setattr(
            "vmsmp.vm.vm_map.clean.vm_object_page_remove", lambda *what: told.append(what[1:])
        )
        entry_at(map, 2).ba.object.raw_type = objt
        answer = clean(map, 2, 2, invalidate=True)
        obj.raw_type = 2
        return answer, told

    assert (KERN_SUCCESS, [(0, 2, False)]) == alone(program, pages=16)


def test_of_a_private_mapping_the_file_behind_it_is_written(alone):
    def program(vm):
        _, obj, pages = file(vm)
        other = floored(vm)
        vm_object_reference_quick(obj)
        put(other, 2, 4, v.Mapping(object=obj, prot=3, max=7, cow=v.COWF_COPY_ON_WRITE))
        found = v.vm_map_lookup(other, at(2), VM_PROT_WRITE)
        v.vm_map_lookup_done(found.map, found.entry, None)
        return clean(other, 3, 2), [bool(page.peek("dirty")) for page in pages]

    assert (KERN_SUCCESS, [True, False, False, True]) == alone(program, pages=16)


def test_the_vnode_is_locked_while_its_pages_are_written(steps):
    def prepare(vm):
        return [file(vm)[0]]

    rows = steps(prepare, lambda map: clean(map, 3, 1), pages=16)
    locked = [row.split()[0] for row in rows if "file.lock" in row]
    assert ["request", "release"] == locked
