"""What the kernel's debugger shows of objects.

Models: the DB_SHOW_COMMANDs of sys/vm/vm_object.c.
Locks: none; the machine stands still.
Deviations:
  * `show object` shows all objects, or one by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject


def vm_object_print(obj: VmObject) -> list[str]:
    """`show object`: its counts, its token, and where its pages are."""
    return [
        f"{obj.name}: {obj.state()}, token {obj.token.state()}",
        *(
            f"  {pindex:>4}: {m.name}, {m.dump()}"
            for pindex, m in sorted(obj.peek("rb_memq").items(), key=lambda item: item[0])
        ),
    ]
