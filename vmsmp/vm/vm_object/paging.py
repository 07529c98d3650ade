"""Activity on an object that its termination waits for: `paging_in_progress`.

Models: the vm_object_pip family of sys/vm/vm_object.h, built on refcounts that can be waited for.
Locks: none; one word.  REFCNTF_WAITING in it says that a waiter sleeps on the count.
Deviations:
  * a wait of more than ten seconds prints nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vmsmp.engine.clock import HZ
from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.sync.refcount import REFCNTF_WAITING

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject


def _counter(obj: VmObject) -> str:
    """Return the sleep ident that stands for the counter's address."""
    return f"{obj.name}.paging_in_progress"


def vm_object_pip_add(obj: VmObject, n: int) -> None:
    """Begin `n` activities.  Locks: none."""
    obj.paging_in_progress.fetchadd(n)


def vm_object_pip_wakeup_n(obj: VmObject, n: int) -> None:
    """End `n` activities; if they were the last, wake all waiters."""
    if obj.paging_in_progress.fetchadd(-n) == REFCNTF_WAITING | n:
        obj.paging_in_progress.clearbits(REFCNTF_WAITING)
        obj.vm.machine.wakeup(_counter(obj))


def vm_object_pip_wakeup(obj: VmObject) -> None:
    """End one activity."""
    vm_object_pip_wakeup_n(obj, 1)


def vm_object_pip_wait(obj: VmObject, wmesg: str) -> None:
    """Wait until there is no activity.  Sleeps: yes, ten seconds at a time; tokens are lost.

    The count is not read again after a sleep: the next compare-and-set fails if it has changed.
    """
    if obj.paging_in_progress.load() == 0:
        return
    machine = obj.vm.machine
    n = obj.paging_in_progress.load()
    while n & ~REFCNTF_WAITING:
        machine.tsleep_interlock(_counter(obj))
        published, seen = obj.paging_in_progress.fcmpset(n, n | REFCNTF_WAITING)
        if published:
            machine.tsleep(_counter(obj), PINTERLOCKED, wmesg, HZ * 10, overdue=partial(_overdue, obj))
        else:
            n = seen


def _overdue(obj: VmObject) -> str | None:
    """Return why a wait should be over, or None if it should not."""
    if obj.peek("paging_in_progress") & ~REFCNTF_WAITING:
        return None
    return "nothing is in progress on the object, and nobody will wake the waiter"
