"""The kernel debugger's commands for objects.

Models: the DB_SHOW_COMMANDs of sys/vm/vm_object.c.
Locks: none; the machine is stopped.
Deviations:
  * `show object` shows all objects, or one by name, with its locks, and each page on a line of its own.
  * `show vmochk` takes an object with a backing as mapped, instead of looking for it in all maps.
  * `show vmopag` takes an object's name, and does not pause.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vmsmp.errors import UsageError
from vmsmp.vm.command import ShowCommand
from vmsmp.vm.vm_object.object import ANONYMOUS, OBJT_MARKER
from vmsmp.vm.vm_page.flags import PAGE_SIZE

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject

#: The indexes that `show vmopag` looks at.
_SHOWN: Final = 128


def vm_object_print(obj: VmObject) -> list[str]:
    """`show object`: the object's counts, its locks and its pages."""
    pip, backings = obj.paging_in_progress.state(), len(obj.peek("backing_list"))
    return [
        f"Object {obj.name}: type={obj.peek('type')}, size={obj.peek('size'):#x}, "
        f"res={obj.peek('resident_page_count')}, ref={obj.peek('ref_count')}, flags={obj.peek('flags'):#x}",
        f"  holds {obj.peek('hold_count')}, token {obj.token.state()}, baclk {obj.backing_lk.state()}, "
        f"pip {pip}, backings {backings}, swap {obj.peek('swblock_count')}"
        + (", freed" if obj.freed else ""),
        *(
            f"  {pindex:>4}: {m.name}, {m.dump()}"
            for pindex, m in sorted(obj.peek("rb_memq").items(), key=lambda item: item[0])
        ),
    ]


def _named(vm: VmSystem, name: str | None) -> list[VmObject]:
    """Return the object of that name, or all but the kernel's."""
    everything = [*vm.objects]
    if name is None:
        return everything
    found = [obj for obj in (*everything, vm.objects.kernel_object) if obj.name == name]
    if not found:
        known = ", ".join(obj.name for obj in everything) or "none"
        raise UsageError(f"there is no object {name!r}: there are {known}")
    return found


def show_object(vm: VmSystem, name: str | None = None) -> str:
    """Show one object by name, or all objects."""
    return "\n".join(line for obj in _named(vm, name) for line in vm_object_print(obj)) or "no objects"


def show_vmochk(vm: VmSystem, _argument: str | None = None) -> str:
    """Show anonymous objects that nobody references or maps."""
    lines = []
    for bucket in vm.objects.vm_object_hash:
        for obj in bucket.peek("list").values():
            kind, size = obj.peek("type"), obj.peek("size")
            if kind == OBJT_MARKER or obj.peek("handle") is not None or kind not in ANONYMOUS:
                continue
            if obj.peek("ref_count") == 0:
                lines.append(f"vmochk: internal obj has zero ref count: {size}")
            if not obj.peek("backing_list") and obj is not vm.objects.kernel_object:
                refs = obj.peek("ref_count")
                lines.append(f"vmochk: internal obj is not in a map: ref: {refs}, size: {size}: {size:#x}")
    return "\n".join(lines) or "vmochk: nothing"


def _runs(obj: VmObject) -> Iterator[str]:
    """Yield the runs of physically contiguous pages, and how many colours lie between two runs."""
    memq = obj.peek("rb_memq")
    fidx = count = pa = 0
    for idx in range(min(obj.peek("size"), _SHOWN)):
        m = memq.get(idx)
        if m is not None and count and m.phys == pa + count:
            count += 1
            continue
        if count:
            text = f" index({fidx})run({count})pa({pa * PAGE_SIZE:#x})"
            padiff = (pa + count - m.phys) & obj.vm.page.l2_mask if m is not None else 0
            yield text + (f"pd({padiff})" if padiff else "")
        count = 0
        if m is not None:
            fidx, pa, count = idx, m.phys, 1
    if count:
        yield f" index({fidx})run({count})pa({pa * PAGE_SIZE:#x})"


def show_vmopag(vm: VmSystem, name: str | None = None) -> str:
    """Show the runs of pages of all objects, or of one."""
    lines = []
    for obj in _named(vm, name):
        lines += [f"new object: {obj.name}", *_runs(obj)]
    return "\n".join(lines) or "no objects"


COMMANDS: Final = (
    ShowCommand("object", (("show object [NAME]", "all objects and their pages, or one"),), show_object),
    ShowCommand(
        "vmochk", (("show vmochk", "anonymous objects that nobody references or maps"),), show_vmochk
    ),
    ShowCommand(
        "vmopag", (("show vmopag [NAME]", "the runs of pages of all objects, or of one"),), show_vmopag
    ),
)
