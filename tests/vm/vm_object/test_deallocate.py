"""Dropping references to a file's object; those to memory are tested with termination."""

from __future__ import annotations

import pytest

from page_layer import made
from vmsmp.scenarios._kit import file_object
from vmsmp.vm import vm_object as o
from vmsmp.vm.vnode import VTEXT, vrele, vsetflags


def references(obj, count):
    for _ in range(count - obj.peek("ref_count")):
        o.vm_object_reference_quick(obj)


@pytest.mark.parametrize(("refs", "locked"), [(5, False), (4, False), (3, True), (1, True)])
def test_a_reference_beyond_the_third_is_dropped_without_the_token(steps, refs, locked):
    def prepare(vm):
        _vp, obj = file_object(vm, 1)
        references(obj, refs)
        return [obj]

    assert locked is ("acquire file.object.token" in steps(prepare, o.vm_object_deallocate))


@pytest.mark.parametrize("refs", [5, 2, 1])
def test_the_vnode_loses_a_reference_with_its_object(alone, refs):
    def program(vm):
        vp, obj = file_object(vm, 1)
        references(obj, refs)
        before = vp.peek("v_refcnt")
        o.vm_object_deallocate(obj)
        return obj.peek("ref_count"), before - vp.peek("v_refcnt"), obj.freed, obj.peek("flags") & o.OBJ_DEAD

    assert (refs - 1, 1, False, 0) == alone(program)


@pytest.mark.parametrize(("refs", "left"), [(2, VTEXT), (1, 0)])
def test_the_last_reference_says_that_the_file_is_not_running(alone, refs, left):
    def program(vm):
        vp, obj = file_object(vm, 1)
        references(obj, refs)
        vsetflags(vp, VTEXT)
        o.vm_object_deallocate(obj)
        return vp.peek("v_flag")

    assert left == alone(program)


def test_the_last_reference_waits_for_the_exclusive_token(steps):
    def prepare(vm):
        _vp, obj = file_object(vm, 1)
        o.vm_object_hold_shared(obj)
        return [obj]

    rows = steps(prepare, o.vm_object_vndeallocate)
    waits = ["release shared file.object.token", "acquire file.object.token", "cmpset file.object.ref_count"]
    assert waits == rows[2:5]


def test_the_vnode_s_reference_may_be_kept(alone):
    def program(vm):
        vp, obj = file_object(vm, 1)
        o.vm_object_hold_shared(obj)
        kept = o.vm_object_vndeallocate(obj, keep=True)
        refs = vp.peek("v_refcnt")
        vrele(kept)
        o.vm_object_drop(obj)
        return kept is vp, refs, vp.peek("v_refcnt")

    assert (True, 2, 1) == alone(program)


def test_a_reference_too_many_to_a_file_s_object_panics(panic):
    def program(vm):
        _vp, obj = file_object(vm, 1)
        o.vm_object_deallocate(obj)
        o.vm_object_deallocate(obj)

    assert "vm_object_vndeallocate: bad object reference count" == panic(program)


def test_memory_is_not_dropped_as_a_file(panic):
    def program(vm):
        obj = made(vm)
        o.vm_object_hold(obj)
        o.vm_object_vndeallocate(obj)

    assert "vm_object_vndeallocate: not a vnode object" == panic(program)
