"""What page tables give, against what the map says: each rule is broken once, and said so."""

from __future__ import annotations

import pytest

import vmsmp
from maps import ANON, at, entry_at, floored, put, touch
from vmsmp.vm.pmap import PG_W, pmap_pte
from vmsmp.vm.vm_fault import vm_fault
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    MAP_ENTRY_COW,
    MAP_ENTRY_NEEDS_COPY,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    vm_map_entry_shadow,
    vm_map_lock,
    vm_map_unlock,
    vm_map_user_wiring,
)
from vmsmp.vm.vm_object import (
    OBJ_MIGHTBEDIRTY,
    OBJ_WRITEABLE,
    OBJT_VNODE,
    vm_object_allocate,
    vm_object_reference_quick,
    vm_object_set_flag,
)
from vmsmp.vm.vm_page import PAGE_SIZE

UNCOPIED = MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY


def told(wrong, *, wired=False, prot=VM_PROT_RW, fault=vm_fault):
    """What is said of a map after `wrong(map, entry)` was done to it in an exclusive section.

    Pages 2 and 3 are of one object, and the first of them is mapped, or both are wired.
    """

    def program(m):
        vm = m.boot(pages=32, l2_size=1)
        vm.map.fault = fault
        map = floored(vm)
        put(map, 2, 2, ANON._replace(object=vm_object_allocate(vm, 2), prot=prot))
        if wired:
            vm_map_user_wiring(map, at(2), at(4), False)
        else:
            touch(map, 2, prot)
        entry = entry_at(map, 2)

        def changer():
            vm_map_lock(map)
            wrong(map, entry)
            vm_map_unlock(map)

        m.spawn(changer)
        m.join()

    # by its own order a shadow hides a mapping for a moment
    failure = vmsmp.explore(program, sched="dfs:0", schedules=1, repairs=["shadow-attaches-first"]).failure
    return failure and failure.message


def mark(entry, bits):
    entry.eflags |= bits


def allow(entry, prot):
    entry.protection = prot


def behind_another(entry):
    """Put an object before the one whose page stays mapped, which others see, too."""
    vm_object_reference_quick(entry.ba.object)
    mark(entry, UNCOPIED)
    vm_map_entry_shadow(entry)


def behind_another_s(map, entry, kind=None, first=0):
    """The same for the entry of another range, of the same object from page `first` on."""
    obj = entry.ba.object
    vm_object_reference_quick(obj)
    vm_map_unlock(map)
    put(map, 6, 2 - first, ANON._replace(object=obj, offset=first * PAGE_SIZE))
    vm_map_lock(map)
    mark(entry_at(map, 6), UNCOPIED)
    vm_map_entry_shadow(entry_at(map, 6))
    if kind is not None:
        obj.raw_type = kind
        vm_object_set_flag(obj, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)


def cut_off(map, entry, pages):
    """Let the object be that of a file with so many pages for a while, and page 3 not be mapped as wired."""
    obj = entry.ba.object
    vm_object_set_flag(obj, OBJ_WRITEABLE | OBJ_MIGHTBEDIRTY)
    obj.raw_type, obj.raw_size = OBJT_VNODE, pages
    unmark(map, 3)
    vm_map_unlock(map)
    vm_map_lock(map)
    pmap_pte(map.pmap, at(3)).value |= PG_W
    obj.raw_size = 2


def behind_another_s_other_part(map, entry):
    """The same, where the other range is of a part of the object that is mapped nowhere else."""
    behind_another_s(map, entry)
    behind = entry_at(map, 6).ba.backing_ba
    behind.raw_offset += 4 * PAGE_SIZE


def unmark(map, page):
    """Take the mark of a wired mapping away."""
    pmap_pte(map.pmap, at(page)).value &= ~PG_W


def forget(map, page):
    """Forget the wirings of a page that is mapped as wired."""
    map.vm.page.vm_page_array[pmap_pte(map.pmap, at(page)).value >> 12].wire_count.value = 0


UNWIRED = "INV-M4: map: a page of what is wired is not mapped so"


@pytest.mark.parametrize(
    ("wrong", "options", "message"),
    [
        pytest.param(
            lambda map, entry: mark(entry, UNCOPIED),
            {},
            "INV-M6: map: an entry needs a copy, and a page of it is mapped writeable",
            id="copy",
        ),
        pytest.param(
            lambda map, entry: allow(entry, VM_PROT_READ),
            {},
            "INV-M7: map: a page is mapped writeable that its entry does not let be written to",
            id="write",
        ),
        pytest.param(
            lambda map, entry: allow(entry, VM_PROT_NONE),
            {"prot": VM_PROT_READ},
            "INV-M7: map: a page is mapped, and so can be read, where nothing may be read",
            id="read",
        ),
        pytest.param(
            lambda map, entry: behind_another(entry),
            {},
            "INV-C1: map: a page is mapped writeable, and not the first object's",
            id="shadowed",
        ),
        pytest.param(
            behind_another_s,
            {},
            "INV-C2: map: a page is mapped writeable whose object lies behind another one",
            id="behind",
        ),
        pytest.param(lambda map, entry: unmark(map, 3), {"wired": True}, UNWIRED, id="a page"),
        pytest.param(lambda map, entry: cut_off(map, entry, 2), {"wired": True}, UNWIRED, id="a file's page"),
        pytest.param(lambda map, entry: setattr(entry, "wired_count", 1), {}, UNWIRED, id="counted"),
        pytest.param(
            lambda map, entry: (setattr(entry, "wired_count", 0), setattr(entry, "eflags", 0)),
            {"wired": True},
            "INV-M4: map: a page of what is wired is mapped so and is not",
            id="not counted",
        ),
        pytest.param(
            lambda map, entry: forget(map, 3),
            {"wired": True},
            "INV-M4: map: a page is mapped as wired, and is not",
            id="page's count",
        ),
    ],
)
def test_a_broken_rule_is_named(wrong, options, message):
    assert message == told(wrong, **options)


@pytest.mark.parametrize(
    ("wrong", "options"),
    [
        pytest.param(lambda map, entry: None, {}, id="nothing"),
        pytest.param(lambda map, entry: None, {"wired": True}, id="wired"),
        pytest.param(lambda map, entry: cut_off(map, entry, 1), {"wired": True}, id="the file is shorter"),
        pytest.param(lambda map, entry: mark(entry, UNCOPIED), {"prot": VM_PROT_READ}, id="read-only copy"),
        pytest.param(behind_another_s, {"prot": VM_PROT_READ}, id="read-only behind"),
        pytest.param(behind_another_s_other_part, {}, id="another part behind"),
        pytest.param(lambda map, entry: allow(entry, VM_PROT_READ), {"prot": VM_PROT_READ}, id="read"),
        pytest.param(
            lambda map, entry: behind_another_s(map, entry, OBJT_VNODE), {}, id="a file that others copy"
        ),
        pytest.param(
            lambda map, entry: behind_another_s(map, entry, first=1), {}, id="others copy another page"
        ),
        pytest.param(
            lambda map, entry: setattr(entry, "wired_count", 1),
            {"fault": lambda *_: KERN_SUCCESS},
            id="pages do not matter",
        ),
    ],
)
def test_what_is_right_is_not_complained_about(wrong, options):
    assert None is told(wrong, **options)
