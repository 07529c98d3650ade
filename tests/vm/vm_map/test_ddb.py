"""`show map`."""

from __future__ import annotations

import pytest

from maps import ANON, at, entry_at, floored, put
from vmsmp.errors import UsageError
from vmsmp.vm.vm_map import (
    COWF_COPY_ON_WRITE,
    MAP_ENTRY_NEEDS_COPY,
    VM_MAPTYPE_SUBMAP,
    VM_MAPTYPE_UKSMAP,
    Mapping,
)
from vmsmp.vm.vm_map.ddb import show_map
from vmsmp.vm.vm_object import vm_object_allocate
from vmsmp.vm.vm_object.ddb import vm_object_print


def shown(vm, what=ANON, change=lambda _entry: None):
    map = floored(vm)
    put(map, 2, 2, what)
    change(entry_at(map, 2))
    return show_map(vm, "map").splitlines()


def test_a_map_shows_its_entries_in_order(alone):
    lines = alone(shown)
    assert "Task map map: pmap=pmap, nentries=2, version=2" == lines[0]
    assert [f"start={at(0):#x}, end={at(1):#x}", f"start={at(2):#x}, end={at(4):#x}"] == [
        line.partition(": ")[2] for line in lines if line.startswith("  map entry")
    ]
    assert "   prot=3/7/copy, object=0, offset=0x0" == lines[-1]


def test_an_object_is_shown_below_its_entry(alone):
    def program(vm):
        obj = vm_object_allocate(vm, 2)
        return shown(vm, ANON._replace(object=obj)), vm_object_print(obj)

    lines, printed = alone(program)
    at = lines.index("   prot=3/7/copy, object=obj[0], offset=0x0")
    assert [f"    {line}" for line in printed] == lines[at + 1 :]


@pytest.mark.parametrize(("done", "text"), [(False, "copy (needed)"), (True, "copy (done)")])
def test_a_private_mapping_says_whether_it_has_its_copy(alone, done, text):
    def change(entry):
        if done:
            entry.eflags &= ~MAP_ENTRY_NEEDS_COPY

    what = ANON._replace(cow=COWF_COPY_ON_WRITE)
    lines = alone(lambda vm: shown(vm, what._replace(object=vm_object_allocate(vm, 2)), change))
    assert any(line.endswith(text) for line in lines)


def test_a_wired_entry_says_so(alone):
    def change(entry):
        entry.wired_count = 1

    assert ", wired, object=0" in alone(lambda vm: shown(vm, change=change))[-1]


def test_a_submap_is_shown_inside_its_map(alone):
    def program(vm):
        def change(entry):
            entry.maptype, entry.ba.object = VM_MAPTYPE_SUBMAP, vm.map.kernel_map

        return shown(vm, change=change)

    lines = alone(program)
    inner = next(n for n, line in enumerate(lines) if line.startswith("    Task map kernel_map"))
    assert lines[inner - 1].endswith("share=kernel_map, offset=0x0")


def test_a_device_is_shown_by_its_function(alone):
    class Dev:
        minor = 6

    def uksmap(*_):
        return None

    what = Mapping(uksmap, aux=Dev, maptype=VM_MAPTYPE_UKSMAP, prot=1, max=1)
    assert "uksmap=uksmap" in alone(lambda vm: shown(vm, what))[-1]


def test_without_a_name_all_maps_are_shown(alone):
    def program(vm):
        floored(vm)
        return [line.split()[2] for line in show_map(vm).splitlines() if line.startswith("Task")]

    assert ["kernel_map:", "map:"] == alone(program)


def test_a_map_that_there_is_not_is_an_error_that_names_all(alone):
    def program(vm):
        with pytest.raises(UsageError, match="there is no map 'pam': there are kernel_map"):
            show_map(vm, "pam")

    alone(program)
