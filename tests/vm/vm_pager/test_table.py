"""The table of pagers, and the calls through it."""

from __future__ import annotations

import pytest

from page_layer import made, poke
from vmsmp.scenarios._kit import busied_page
from vmsmp.vm import vm_object as o
from vmsmp.vm import vm_pager as p
from vmsmp.vm.vm_page import PG_UNQUEUED

TYPES = (o.OBJT_DEFAULT, o.OBJT_SWAP, o.OBJT_DEVICE, o.OBJT_MGTDEVICE, o.OBJT_PHYS, o.OBJT_DEAD)


def of_type(vm, objt):
    obj = o.vm_object_allocate(vm, 2, objt=objt)
    o.vm_object_hold(obj)
    return obj


def test_every_type_but_a_marker_has_a_pager():
    assert {*range(7)} == {*p.pagertab}


@pytest.mark.parametrize(("objt", "has"), [*zip(TYPES, (False, False, True, True, True, False), strict=True)])
def test_devices_and_physical_memory_have_every_page(alone, objt, has):
    assert has is alone(lambda vm: p.vm_pager_has_page(of_type(vm, objt), 0))


@pytest.mark.parametrize("objt", [o.OBJT_DEFAULT, o.OBJT_SWAP, o.OBJT_DEAD])
def test_what_was_never_written_cannot_be_read(alone, objt):
    def program(vm):
        obj = of_type(vm, objt)
        page = busied_page(vm, obj, 0)
        page.valid = 0
        return p.vm_pager_get_page(obj, page)

    assert p.VM_PAGER_FAIL == alone(program)


def test_physical_memory_is_zeroed_and_on_no_queue(alone):
    def program(vm):
        obj = of_type(vm, o.OBJT_PHYS)
        page = busied_page(vm, obj, 0)
        poke(page, valid=0)
        result = p.vm_pager_get_page(obj, page)
        return result, page.peek("valid"), page.peek("dirty"), page.peek("flags") & PG_UNQUEUED

    assert (p.VM_PAGER_OK, 0xFF, 0xFF, PG_UNQUEUED) == alone(program)


@pytest.mark.parametrize(
    ("objt", "message"),
    [
        (o.OBJT_DEVICE, "dev_pager_putpage called"),
        (o.OBJT_MGTDEVICE, "dev_pager_putpage called"),
        (o.OBJT_PHYS, "phys_pager_putpage called"),
    ],
)
def test_devices_and_physical_memory_are_never_written(panic, objt, message):
    def program(vm):
        obj = of_type(vm, objt)
        p.vm_pager_put_pages(obj, [busied_page(vm, obj, 0)], 0)

    assert message == panic(program)


def test_a_device_is_not_read(panic):
    def program(vm):
        obj = of_type(vm, o.OBJT_DEVICE)
        p.vm_pager_get_page(obj, busied_page(vm, obj, 0))

    assert "dev_pager_getpage: no device" == panic(program)


@pytest.mark.parametrize(("said", "seqaccess"), [((), -1), ((0,), 0)])
def test_a_pager_is_told_how_a_page_is_accessed(alone, monkeypatch, said, seqaccess):
    told = []

    def getpage(_obj, _m, seq):
        told.append(seq)
        return p.VM_PAGER_FAIL

    def program(vm):
        obj = made(vm)
        page = busied_page(vm, obj, 0)
        ops = p.pagertab[o.OBJT_DEFAULT]._replace(pgo_getpage=getpage)
        monkeypatch.setitem(p.pagertab, o.OBJT_DEFAULT, ops)
        return p.vm_pager_get_page(obj, page, *said)

    assert p.VM_PAGER_FAIL == alone(program)
    assert [seqaccess] == told


def test_dead_memory_cannot_be_written_now(alone):
    def program(vm):
        obj = of_type(vm, o.OBJT_DEAD)
        return p.vm_pager_put_pages(obj, [busied_page(vm, obj, n) for n in range(2)], 0)

    assert [p.VM_PAGER_AGAIN] * 2 == alone(program)


@pytest.mark.parametrize("objt", [o.OBJT_DEFAULT, o.OBJT_PHYS, o.OBJT_DEAD])
def test_only_swap_and_files_may_have_swap_in_the_end(panic, objt):
    def program(vm):
        obj = of_type(vm, objt)
        poke(obj, swblock_count=1)
        p.vm_pager_deallocate(obj)

    assert "pager: an object of this type has swap" == panic(program)


def test_physical_memory_has_no_handle(panic):
    def program(vm):
        obj = of_type(vm, o.OBJT_PHYS)
        poke(obj, handle="disk")
        p.vm_pager_deallocate(obj)

    assert "phys_pager_dealloc: object with a handle" == panic(program)


def test_a_page_that_is_read_in_part_is_zeroed_for_the_rest(alone, monkeypatch):
    def program(vm):
        obj = made(vm)
        page = busied_page(vm, obj, 0)
        poke(page, valid=3)
        ops = p.pagertab[o.OBJT_DEFAULT]._replace(pgo_getpage=lambda _obj, _m, _seq: p.VM_PAGER_OK)
        monkeypatch.setitem(p.pagertab, o.OBJT_DEFAULT, ops)
        return p.vm_pager_get_page(obj, page), page.peek("valid")

    assert (p.VM_PAGER_OK, 0xFF) == alone(program)
