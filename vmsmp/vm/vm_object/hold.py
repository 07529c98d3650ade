"""Holding and locking an object.

Models: the vm_object_hold, _drop, _upgrade and _downgrade families of sys/vm/vm_object.c.
Locks: take the hold before the token, because waiting for the token may block.  The last hold of a
dead and unreferenced object frees its memory.
Deviations:
  * no NULL object, and no assertion that a hold is left when one is dropped: the ledger watches that.
  * freeing an object that still has pages panics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.records.record import has
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJECT_HOLD, _holds_token

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject

# -- tokens and holds -----------------------------------------------------------------------------


def ASSERT_OBJECT_HELD(obj: VmObject) -> None:
    """Panic unless the CPU holds the object's token, in any mode."""
    if not _holds_token(obj.vm.engine.current, obj):
        obj.vm.panic(f"{obj.klass}: its token is not held")


def ASSERT_OBJECT_HELD_EXCL(obj: VmObject) -> None:
    """Panic unless the CPU holds the object's token exclusively."""
    if not has(obj.vm.engine.current, obj.token, EXCLUSIVE):
        obj.vm.panic(f"{obj.klass}: its token is not held exclusively")


def vm_object_hold(obj: VmObject) -> None:
    """Hold the object's memory and lock it.  Sleeps: while contended; other tokens are lost."""
    obj.hold_count.fetchadd(1)
    obj.took(OBJECT_HOLD)
    obj.token.acquire()


def vm_object_hold_shared(obj: VmObject) -> None:
    """Hold the object's memory and lock it shared.  Sleeps: as `vm_object_hold`."""
    obj.hold_count.fetchadd(1)
    obj.took(OBJECT_HOLD)
    obj.token.acquire_shared()


def vm_object_hold_try(obj: VmObject) -> bool:
    """Hold and lock the object if that needs no waiting; return whether it succeeded."""
    obj.hold_count.fetchadd(1)
    obj.took(OBJECT_HOLD)
    if obj.token.try_acquire():
        return True
    if _last_hold(obj) and _is_dead(obj):
        _free(obj)
    return False


def _last_hold(obj: VmObject) -> bool:
    """Drop a hold; return whether it was the last."""
    last: bool = obj.hold_count.fetchadd(-1) == 1
    obj.gave(OBJECT_HOLD)
    return last


def _is_dead(obj: VmObject) -> bool:
    """Return whether the last hold frees the object: it is terminated and unreferenced.

    After a failed try this runs without the token, so another CPU may hold the object again meanwhile.
    """
    return not obj.ref_count.load() and bool(obj.flags.load() & OBJ_DEAD)


def vm_object_drop(obj: VmObject) -> None:
    """Unlock the object and drop a hold; the last hold of a dead, unreferenced object frees it."""
    token = obj.token
    if _last_hold(obj) and _is_dead(obj):
        token.release()
        _free(obj)
    else:
        token.release()


def _free(obj: VmObject) -> None:
    """Return the object's memory to the allocator; any later access is a use after free."""
    vm = obj.vm
    for hook in vm.hooks.freed:
        hook(vm.engine.current, obj)
    obj.freed = True
    if obj.peek("rb_memq"):
        vm.panic(f"{obj.klass} freed with resident pages")


def vm_object_upgrade(obj: VmObject) -> None:
    """Turn a shared lock into an exclusive one.  Not atomic: the token is lost in between."""
    obj.token.release()
    obj.token.acquire()


def vm_object_downgrade(obj: VmObject) -> None:
    """Turn an exclusive lock into a shared one.  Not atomic: the token is lost in between."""
    obj.token.release()
    obj.token.acquire_shared()
