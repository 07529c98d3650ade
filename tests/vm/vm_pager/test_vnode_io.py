"""Files: a vnode's object, and transfers of its pages."""

from __future__ import annotations

import pytest

from page_layer import poke
from vmsmp.scenarios._kit import busied_page, file_object, idle_pages
from vmsmp.vm import vm_object as o
from vmsmp.vm import vm_pager as p
from vmsmp.vm.vm_page import PAGE_SIZE, vm_page_dirty
from vmsmp.vm.vnode import VOBJBUF, VRECLAIMED, VTEXT, getnewvnode, vrele, vsetflags


@pytest.mark.parametrize(("length", "size"), [(0, 0), (1, 1), (PAGE_SIZE, 1), (PAGE_SIZE + 1, 2)])
def test_a_vnode_is_given_an_object_as_large_as_the_file(alone, length, size):
    def program(vm):
        vp = getnewvnode(vm, "file")
        obj = p.vnode_pager_alloc(vp, length)
        same = p.vnode_pager_alloc(vp, length) is obj
        return obj.peek("size"), same, obj.peek("ref_count"), vp.peek("v_refcnt"), vp.peek("v_filesize")

    assert (size, True, 2, 3, length) == alone(program)


def test_a_vnode_without_references_is_given_none(panic):
    def program(vm):
        vp = getnewvnode(vm, "file")
        vrele(vp)
        p.vnode_pager_alloc(vp, 1)

    assert "vnode_pager_alloc: no vnode reference" == panic(program)


def test_a_file_that_is_mapped_is_referenced_twice(alone):
    def program(vm):
        vp, obj = file_object(vm, 1)
        found = p.vnode_pager_reference(vp), p.vnode_pager_reference(getnewvnode(vm, "other"))
        return found == (obj, None), obj.peek("ref_count"), vp.peek("v_refcnt")

    assert (True, 2, 3) == alone(program)


@pytest.mark.parametrize("times", [1, 2])
def test_an_idle_file_has_an_object_without_references(alone, times):
    def program(vm):
        vp = getnewvnode(vm, "file")
        for _ in range(times):
            p.vinitvmio(vp, PAGE_SIZE)
        obj = vp.peek("v_object")
        return obj.peek("ref_count"), vp.peek("v_refcnt"), vp.peek("v_flag"), obj.peek("hold_count")

    assert (0, 1, VOBJBUF, 0) == alone(program)


def test_an_object_that_parts_from_its_vnode_forgets_it_and_is_forgotten(alone):
    def program(vm):
        vp, obj = file_object(vm, 1)
        vsetflags(vp, VTEXT | VOBJBUF)
        o.vm_object_hold(obj)
        p.vnode_pager_dealloc(obj)
        return (obj.peek("type"), obj.peek("handle")), [
            vp.peek(name) for name in ("v_object", "v_filesize", "v_flag")
        ]

    assert ((o.OBJT_DEAD, None), [None, -1, 0]) == alone(program)


def test_an_object_parts_once(panic):
    def program(vm):
        _vp, obj = file_object(vm, 1)
        o.vm_object_hold(obj)
        p.vnode_pager_dealloc(obj)
        p.vnode_pager_dealloc(obj)

    assert "vnode_pager_dealloc: pager already dealloced" == panic(program)


@pytest.mark.parametrize(
    ("flags", "pindex", "has"), [(0, 0, True), (0, 1, True), (0, 2, False), (VRECLAIMED, 0, False)]
)
def test_a_file_has_the_pages_before_its_end(alone, flags, pindex, has):
    def program(vm):
        vp, obj = file_object(vm, 2)
        vsetflags(vp, flags)
        return p.vnode_pager_haspage(obj, pindex)

    assert has is alone(program)


@pytest.mark.parametrize(
    ("filesize", "said", "valid"), [(PAGE_SIZE, p.VM_PAGER_OK, 0xFF), (0, p.VM_PAGER_ERROR, 0)]
)
def test_a_page_is_read_if_the_file_has_it(alone, filesize, said, valid):
    def program(vm):
        vp, obj = file_object(vm, 1)
        page = busied_page(vm, obj, 0)
        poke(page, valid=0)
        poke(vp, v_filesize=filesize)
        return p.vnode_pager_getpage(obj, page), page.peek("valid")

    assert (said, valid) == alone(program)


def test_a_page_is_not_read_while_the_device_fails(alone):
    def program(vm):
        _vp, obj = file_object(vm, 1)
        page = busied_page(vm, obj, 0)
        poke(page, valid=0)
        vm.pager.device.failing = True
        return p.vnode_pager_getpage(obj, page), page.peek("valid")

    assert (p.VM_PAGER_ERROR, 0) == alone(program)


def test_pages_are_written_up_to_the_end_of_the_file(alone):
    def program(vm):
        vp, obj = file_object(vm, 3)
        pages = [busied_page(vm, obj, n) for n in range(3)]
        for page in pages:
            vm_page_dirty(page)
        poke(vp, v_filesize=PAGE_SIZE + 1)
        said = p.vnode_pager_putpages(obj, pages, 0)
        return said, [page.peek("dirty") for page in pages], vp.peek("v_track_write")

    assert ([p.VM_PAGER_OK, p.VM_PAGER_OK, p.VM_PAGER_BAD], [0, 0, 0xFF], 0) == alone(program)


def test_an_object_that_has_lost_its_vnode_reads_and_writes_nothing(alone):
    def program(vm):
        _vp, obj = file_object(vm, 1)
        (page,) = idle_pages(vm, obj, [0])
        poke(obj, handle=None)
        return (
            p.vnode_pager_haspage(obj, 0),
            p.vnode_pager_getpage(obj, page),
            p.vnode_pager_putpages(obj, [page], 0),
        )

    assert (False, p.VM_PAGER_BAD, [p.VM_PAGER_BAD]) == alone(program)


def test_what_could_not_be_written_is_dirty_and_to_be_tried_again(alone):
    def program(vm):
        vp, obj = file_object(vm, 1)
        pages = idle_pages(vm, obj, range(2))
        for page in pages:
            poke(page, dirty=0xFF)
        vm.pager.device.failing = True
        answers = p.vnode_pager_putpages(obj, pages, 0)
        return answers, [page.peek("dirty") for page in pages], vm.pager.device.transfers, vp.contents

    assert ([p.VM_PAGER_AGAIN, p.VM_PAGER_BAD], [0xFF, 0xFF], 0, {}) == alone(program)


@pytest.mark.parametrize(("short", "written"), [(1, [0]), (2, [0, 1]), (None, [0, 1])])
def test_what_a_write_leaves_out_without_an_error_is_clean(alone, short, written):
    def program(vm):
        vp, obj = file_object(vm, 2)
        pages = idle_pages(vm, obj, range(2))
        for page in pages:
            poke(page, dirty=0xFF)
        vm.pager.device.short = short
        answers = p.vnode_pager_putpages(obj, pages, 0)
        told = sum("residual" in line for line in vm.console)
        return answers, [page.peek("dirty") for page in pages], sorted(vp.contents), told

    assert ([p.VM_PAGER_OK] * 2, [0, 0], written, len(written) < 2) == alone(program)


@pytest.mark.parametrize(("index", "bad"), [(1 << 31, True), (1 << 32, False), ((1 << 32) + (1 << 31), True)])
def test_an_index_with_bit_31_looks_negative(alone, index, bad):
    def program(vm):
        _, obj = file_object(vm, index + 2)
        pages = idle_pages(vm, obj, [index, index + 1])
        return p.vnode_pager_putpages(obj, pages, 0)

    assert ([p.VM_PAGER_BAD, p.VM_PAGER_AGAIN] if bad else [p.VM_PAGER_OK] * 2) == alone(program)
