"""Rules of address spaces, range interlocks and mapped objects."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest

import verdicts
import vmsmp
from maps import ANON, new_map, put
from page_layer import poke
from vmsmp.check.vm.vmspace import (
    broken_counts,
    broken_interlock,
    broken_vmspace,
    freed_wrongly,
    mapped_twice,
    never_freed,
    too_few_references,
)
from vmsmp.vm import vm_map as v
from vmsmp.vm.vm_map import VM_REF_DELETED, VMSPACE_EXIT1, VMSPACE_EXIT2, VMSPACE_HOLD, VMSPACE_REF
from vmsmp.vm.vm_object import (
    OBJ_ONEMAPPING,
    vm_object_allocate,
    vm_object_reference_quick,
    vm_object_set_flag,
)

found = partial(verdicts.found, whole=False, schedules=60)


def books(refs=0, holds=0):
    return SimpleNamespace(counts=lambda _: {VMSPACE_REF: refs, VMSPACE_HOLD: holds})


def space(refs, holds, flags=0, freed=False):
    """What a rule looks at of an address space."""
    return SimpleNamespace(
        vm_refcnt=SimpleNamespace(value=refs),
        vm_holdcnt=SimpleNamespace(value=holds),
        raw_vm_flags=flags,
        freed=freed,
    )


def text(broken):
    return broken and broken.text


@pytest.mark.parametrize(
    ("refs", "holds", "told"),
    [
        (2, 3, None),
        (2 | VM_REF_DELETED, 3, None),
        (3, 3, "its word counts 3 references, and 2 are out"),
        (2, 2, "its word counts 2 holds, and 3 are out"),
        (-1, 3, f"its word counts {-1 & ~VM_REF_DELETED} references, and 2 are out"),
    ],
)
def test_the_counts_are_those_of_the_books(refs, holds, told):
    assert told == text(broken_counts(space(refs, holds), books(2, 3)))


@pytest.mark.parametrize(
    ("refs", "holds", "flags", "told"),
    [
        (2, 1, 0, "it has fewer holds than references"),
        (1, 1, VMSPACE_EXIT1, "stage 1 has begun, and it is not said to be without references"),
        (VM_REF_DELETED, 1, 3, "stage 2 has begun, and it is held or was never in stage 1"),
        (VM_REF_DELETED, 0, 2, "stage 2 has begun, and it is held or was never in stage 1"),
        (VM_REF_DELETED, 0, VMSPACE_EXIT1 | VMSPACE_EXIT2, None),
        (VM_REF_DELETED, 1, VMSPACE_EXIT1, None),
    ],
)
def test_the_stages_come_in_turn(refs, holds, flags, told):
    refs_out = refs & ~VM_REF_DELETED
    assert told == text(broken_vmspace(space(refs, holds, flags), books(refs_out, holds)))


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ((VM_REF_DELETED, 0, 3, True), "its memory is given back twice"),
        ((VM_REF_DELETED, 0, 1), "its memory is given back before stage 2, or while it is held"),
        ((VM_REF_DELETED, 1, 3), "its memory is given back before stage 2, or while it is held"),
        ((VM_REF_DELETED, 0, 3), None),
    ],
)
def test_memory_is_given_back_once_and_after_the_second_stage(state, told):
    assert told == text(freed_wrongly(space(*state), books()))


@pytest.mark.parametrize(
    ("state", "leaks"), [((VM_REF_DELETED, 0, 1), 1), ((VM_REF_DELETED, 1, 1), 0), ((1, 1), 0)]
)
def test_what_nobody_uses_is_given_back_in_the_end(state, leaks):
    vm = SimpleNamespace(map=SimpleNamespace(vmspaces=SimpleNamespace(pool=[space(*state)])))
    assert leaks == len([*never_freed(vm)])


def test_the_rules_are_asked_when_a_count_is_changed():
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        vmspace = v.vmspace_alloc(vm, 0, 1 << 30)
        vmspace.vm_holdcnt.fetchadd(1)
        m.choose(1)

    found(program, "accounting", "INV-VS1: vmspace: its word counts 2 holds, and 1 are out")


# -- interlocks -----------------------------------------------------------------------------------


def broken_by(change):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        map = v.vmspace_alloc(vm, 0, 1 << 30).vm_map
        ilocks = [v.vm_map_ilock(vm) for _ in range(2)]
        for n, ilock in enumerate(ilocks):
            v.vm_map_interlock(map, ilock, n * 0x1000, (n + 1) * 0x1000)
        change(map, *ilocks)
        told.append(text(broken_interlock(ilocks[0], books())))

    told = []
    vmsmp.explore(program, schedules=1, check=False)
    return told[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda map, first, second: None, None),
        (lambda map, first, second: poke(second, ran_beg=0x800), "it overlaps another one of its map"),
        (lambda map, first, second: poke(second, next=None), "it is not on the list of its map"),
        (
            lambda map, first, second: poke(first, next=second),
            "the list of its map has one that is not on it, or twice",
        ),
    ],
)
def test_the_interlocks_of_a_map_are_a_list_without_overlaps(change, told):
    assert told == broken_by(change)


# -- objects --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("refs", "told"), [(1, None), (2, None), (0, 0)])
def test_an_object_is_referenced_by_all_that_map_it(refs, told):
    obj = SimpleNamespace(ref_count=SimpleNamespace(value=refs), raw_backing_list=[object()])
    broken = too_few_references(SimpleNamespace(objects=[obj]))
    assert told == (broken and broken[0].ref_count.value)


def test_the_rule_of_objects_is_asked_in_the_end():
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        obj = vm_object_allocate(vm, 1)
        poke(obj, backing_list=[ba(obj) for _ in range(2)])

    found(program, "accounting", "INV-B3: obj: it has 1 references, and 2 backings are on its list")


def ba(obj):
    """A backing that says that it is the object's."""
    return SimpleNamespace(object=obj, raw_object=obj, start=0, end=4096, offset=0, freed=False)


@pytest.mark.parametrize(
    ("flags", "parts", "freed", "broken"),
    [
        (OBJ_ONEMAPPING, [(0, 2), (1, 1)], False, True),
        (OBJ_ONEMAPPING, [(2, 1), (0, 3)], False, True),
        (OBJ_ONEMAPPING, [(2, 1), (0, 2)], False, False),
        (OBJ_ONEMAPPING, [(0, 2)], False, False),
        (OBJ_ONEMAPPING, [(0, 2), (1, 1)], True, False),
        (0, [(0, 2), (1, 1)], False, False),
    ],
)
def test_an_object_that_is_mapped_once_has_each_page_in_one_backing(flags, parts, freed, broken):
    backings = [
        SimpleNamespace(raw_offset=first << 12, raw_start=0x5000, raw_end=0x5000 + (pages << 12))
        for first, pages in parts
    ]
    flags = SimpleNamespace(value=flags)
    obj = SimpleNamespace(flags=flags, raw_backing_list=backings, freed=freed)
    found = mapped_twice(SimpleNamespace(objects=[obj]))
    assert broken is (found is not None)
    assert not broken or found[1].invariant == "INV-B6"


def test_two_mappings_of_what_is_mapped_once_are_seen_in_the_end():
    def program(m):
        vm = m.boot(pages=16, l2_size=1)
        obj = vm_object_allocate(vm, 2)
        map = new_map(vm)
        for page in (1, 5):
            put(map, page, 2, ANON._replace(object=obj))
        vm_object_set_flag(obj, OBJ_ONEMAPPING)
        vm_object_reference_quick(obj)

    found(
        program,
        "accounting",
        "INV-B6: obj: it says that it is mapped once, and two backings have a page of it",
    )
