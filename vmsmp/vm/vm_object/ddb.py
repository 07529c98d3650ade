"""The kernel debugger's commands for objects.

Models: the DB_SHOW_COMMANDs of sys/vm/vm_object.c.
Locks: none; the machine is stopped.
Deviations:
  * `show object` shows all objects, or one by name.
  * the lines are the model's own; `show vmochk` and `show vmopag` are absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.errors import UsageError
from vmsmp.vm.command import ShowCommand

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_object.object import VmObject


def vm_object_print(obj: VmObject) -> list[str]:
    """`show object`: the object's counts, its token and its pages."""
    return [
        f"{obj.name}: {obj.state()}, token {obj.token.state()}",
        *(
            f"  {pindex:>4}: {m.name}, {m.dump()}"
            for pindex, m in sorted(obj.peek("rb_memq").items(), key=lambda item: item[0])
        ),
    ]


def show_object(vm: VmSystem, name: str | None = None) -> str:
    """Show one object by name, or all objects."""
    found = [obj for obj in vm.objects if name in (None, obj.name)]
    if name is not None and not found:
        known = ", ".join(obj.name for obj in vm.objects) or "none"
        raise UsageError(f"there is no object {name!r}: there are {known}")
    return "\n".join(line for obj in found for line in vm_object_print(obj)) or "no objects"


COMMANDS: Final = (
    ShowCommand("object", (("show object [NAME]", "all objects and their pages, or one"),), show_object),
)
