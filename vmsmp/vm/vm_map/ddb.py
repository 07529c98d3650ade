"""The kernel debugger's commands for maps.

Models: the DB_SHOW_COMMANDs `map` and `procvm` of sys/vm/vm_map.c.
Locks: none; the machine is stopped.
Deviations:
  * a map or a process is named, not given by its address; without a name all are shown.
  * `%p` of an object or a map is its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.errors import UsageError
from vmsmp.vm.command import ShowCommand
from vmsmp.vm.vm_map.flags import (
    MAP_ENTRY_COW,
    MAP_ENTRY_NEEDS_COPY,
    VM_MAPTYPE_NORMAL,
    VM_MAPTYPE_SUBMAP,
    VM_MAPTYPE_UKSMAP,
)
from vmsmp.vm.vm_object.ddb import vm_object_print

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapEntry
    from vmsmp.vm.vm_map.map import VmMap
    from vmsmp.vm.vm_meter.meter import Proc

_INHERITANCE: Final = ("share", "copy", "none", "donate_copy")


def vm_map_print(map: VmMap, indent: int = 0) -> list[str]:
    """`show map`: the map, its entries in order of their addresses, and the objects they head."""
    at = " " * indent
    lines = [
        f"{at}Task map {map.name}: pmap={map.pmap}, nentries={map.raw_nentries}, version={map.raw_timestamp}"
    ]
    for entry in map.raw_rb_root:
        lines += [f"{at}  {line}" for line in _entry_lines(entry)]
    return lines


def _entry_lines(entry: VmMapEntry) -> list[str]:
    ba = entry.ba
    lines = [
        f"map entry {entry.name}: start={ba.raw_start:#x}, end={ba.raw_end:#x}",
        f" prot={entry.raw_protection:x}/{entry.peek('max_protection'):x}/"
        f"{_INHERITANCE[entry.raw_inheritance]}" + (", wired" if entry.raw_wired_count else ""),
    ]
    target = ba.raw_object
    if entry.raw_maptype == VM_MAPTYPE_SUBMAP:
        lines[-1] += f", share={target.name}, offset={ba.raw_offset:#x}"
        lines += vm_map_print(target, 2)
    elif entry.raw_maptype in (VM_MAPTYPE_NORMAL, VM_MAPTYPE_UKSMAP):
        kind = "object" if entry.raw_maptype == VM_MAPTYPE_NORMAL else "uksmap"
        name = getattr(target, "name", None) or getattr(target, "__name__", "0")
        lines[-1] += f", {kind}={name}, offset={ba.raw_offset:#x}"
        if entry.raw_eflags & MAP_ENTRY_COW:
            needed = "needed" if entry.raw_eflags & MAP_ENTRY_NEEDS_COPY else "done"
            lines[-1] += f", copy ({needed})"
        if entry.raw_maptype == VM_MAPTYPE_NORMAL and target is not None:
            lines += [f"  {line}" for line in vm_object_print(target)]
    return lines


def show_map(vm: VmSystem, name: str | None = None) -> str:
    """Show one map by name, or all maps."""
    found = [map for map in vm.map.maps if name in (None, map.name)]
    if not found:
        known = ", ".join(map.name for map in vm.map.maps)
        raise UsageError(f"there is no map {name!r}: there are {known}")
    return "\n".join(line for map in found for line in vm_map_print(map))


def show_procvm(vm: VmSystem, name: str | None = None) -> str:
    """Show the address space of one process by name, or those of all processes that have one."""
    found = [gd.proc for gd in vm.meter.cpus() if gd.proc.peek("p_vmspace") is not None]
    known = ", ".join(p.name for p in found) or "none"
    found = [p for p in found if name in (None, p.name)]
    if name is not None and not found:
        raise UsageError(f"there is no process {name!r} with an address space: there are {known}")
    return "\n".join(line for p in found for line in _procvm_lines(p)) or "no processes"


def _procvm_lines(p: Proc) -> list[str]:
    vmspace = p.peek("p_vmspace")
    map = vmspace.vm_map
    return [
        f"p = {p.name}, vmspace = {vmspace.name}, map = {map.name}, pmap = {map.pmap}",
        *vm_map_print(map),
    ]


COMMANDS: Final = (
    ShowCommand("map", (("show map [NAME]", "all maps and their entries, or one"),), show_map),
    ShowCommand(
        "procvm",
        (("show procvm [NAME]", "the address spaces of all processes, or of one"),),
        show_procvm,
    ),
)
