"""Changing an object's flags."""

from __future__ import annotations

import pytest

from page_layer import made, poke
from vmsmp.scenarios._kit import file_object
from vmsmp.vm import vm_object as o
from vmsmp.vm.vnode import VOBJDIRTY, VONWORKLST

BOTH = o.OBJ_WRITEABLE | o.OBJ_MIGHTBEDIRTY


def flagged(vm, flags):
    obj = made(vm)
    obj.flags.value = flags
    return obj


@pytest.mark.parametrize(
    ("change", "step", "after"),
    [
        (o.vm_object_set_flag, "setbits", o.OBJ_DEAD | BOTH),
        (o.vm_object_clear_flag, "clearbits", o.OBJ_DEAD),
    ],
)
def test_flags_change_in_one_step_and_leave_others_alone(steps, change, step, after):
    seen = []

    def act(obj, bits):
        change(obj, bits)
        seen.append(obj.flags.peek())

    before = o.OBJ_DEAD | BOTH * (step == "clearbits")
    assert [f"{step} obj[0].flags"] == steps(lambda vm: [flagged(vm, before), BOTH], act)
    assert [after] == seen


@pytest.mark.parametrize(
    ("before", "more"),
    [
        (0, ["setbits obj[0].flags"]),
        (o.OBJ_WRITEABLE, ["setbits obj[0].flags"]),
        (o.OBJ_MIGHTBEDIRTY, ["setbits obj[0].flags"]),
        (BOTH, []),
    ],
)
def test_an_object_that_is_known_to_be_written_is_not_told_again(steps, before, more):
    seen = []

    def act(obj):
        o.vm_object_set_writeable_dirty(obj)
        seen.append(obj.flags.peek())

    rows = ["load obj[0].flags", *more, "load obj[0].type"]
    assert rows == steps(lambda vm: [flagged(vm, before)], act)
    assert [BOTH] == seen


@pytest.mark.parametrize("thr_sync", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_becomes_dirty_is_told_to_the_syncer_if_its_mount_wants_that(alone, thr_sync, known):
    def program(vm):
        vp, obj = file_object(vm, 1)
        vp.mnt_thr_sync = thr_sync
        vp.v_flag.value = VOBJDIRTY if known else 0
        o.vm_object_set_writeable_dirty(obj)
        return obj.peek("flags"), vp.peek("v_flag")

    listed = VONWORKLST if thr_sync and not known else 0
    assert (BOTH, VOBJDIRTY | listed) == alone(program)


def test_an_object_that_has_lost_its_vnode_tells_nobody(alone):
    def program(vm):
        _vp, obj = file_object(vm, 1)
        poke(obj, handle=None)
        o.vm_object_set_writeable_dirty(obj)
        return obj.peek("flags")

    assert BOTH == alone(program)
