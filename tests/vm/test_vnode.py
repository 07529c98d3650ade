"""Vnodes: references, the lock, and what they say of their object."""

from __future__ import annotations

import pytest

from vmsmp.sync.errno import ENOENT
from vmsmp.vm import vnode as v


def test_a_new_vnode_has_one_reference_and_no_object(alone):
    def program(vm):
        vp = v.getnewvnode(vm, "file")
        return [vp.peek(name) for name in ("v_refcnt", "v_flag", "v_object", "v_filesize")], vp.state()

    assert ([1, 0, None, -1], "refs 1, flags 0x0, object none") == alone(program)


def test_references_are_counted_and_none_can_be_given_back_that_nobody_has(alone, panic):
    def program(vm):
        vp = v.getnewvnode(vm, "file")
        v.vref(vp)
        v.vrele(vp)
        v.vrele(vp)
        return vp

    assert 0 == alone(lambda vm: program(vm).peek("v_refcnt"))
    assert "vrele: vnode without references" == panic(lambda vm: v.vrele(program(vm)))


def test_a_vnode_without_references_comes_back_locked(alone):
    def program(vm):
        vp = v.getnewvnode(vm, "file")
        v.vsetflags(vp, v.VINACTIVE)
        v.vrele(vp)
        got = v.vget(vp), vp.peek("v_refcnt"), vp.peek("v_flag"), bool(vp.v_lock.holders)
        v.vput(vp)
        return got, vp.peek("v_refcnt"), vp.v_lock.holders

    assert ((0, 1, 0, True), 0, []) == alone(program)


def test_a_vnode_that_was_reclaimed_does_not_come_back(alone):
    def program(vm):
        vp = v.getnewvnode(vm, "file")
        v.vsetflags(vp, v.VRECLAIMED)
        return v.vget(vp), vp.peek("v_refcnt"), vp.v_lock.holders

    assert (ENOENT, 1, []) == alone(program)


def test_a_vnode_with_a_dirty_object_is_on_the_syncer_s_list(alone):
    def program(vm):
        vp = v.getnewvnode(vm, "file")
        v.vsetobjdirty(vp)
        dirty = vp.peek("v_flag")
        v.vclrobjdirty(vp)
        return dirty, vp.peek("v_flag")

    assert (v.VOBJDIRTY | v.VONWORKLST, 0) == alone(program)


def test_a_vnode_that_is_dirty_itself_stays_on_the_list(alone):
    def program(vm):
        vp = v.getnewvnode(vm, "file")
        v.vsetflags(vp, v.VISDIRTY)
        v.vsetobjdirty(vp)
        v.vclrobjdirty(vp)
        return vp.peek("v_flag")

    assert v.VISDIRTY | v.VONWORKLST == alone(program)


def test_a_vnode_that_is_known_to_be_dirty_is_not_told_again(steps):
    def prepare(vm):
        vp = v.getnewvnode(vm, "file")
        v.vsetobjdirty(vp)
        return [vp]

    assert ["load file.v_flag"] == steps(prepare, v.vsetobjdirty)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_the_lock_excludes(together, locks):
    def program(vm):
        vp = v.getnewvnode(vm, "file")

        def user():
            v.vn_lock(vp)
            vp.v_lastwrite_ts += 1
            v.vn_unlock(vp)

        vm.machine.spawn(user)
        vm.machine.spawn(user)
        vm.machine.join()
        vm.machine.check(vp.peek("v_lastwrite_ts") == 2, "both were there")

    together(program, locks=locks, schedules=20)
