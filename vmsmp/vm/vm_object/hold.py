"""Holding and locking an object.

Models: the vm_object_hold, _drop, _upgrade and _downgrade families of sys/vm/vm_object.c.
Locks: the hold comes before the token, because waiting for the token may block.  The object's memory
goes with the last hold, if it is dead and unreferenced.
Deviations: none known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.records.record import has
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJ_FREEING, OBJECT_HOLD, _holds_token

if TYPE_CHECKING:
    from vmsmp.vm.vm_object.object import VmObject

# -- tokens and holds -----------------------------------------------------------------------------


def ASSERT_OBJECT_HELD(obj: VmObject) -> None:
    """Panic unless the CPU has the object's token, in any mode."""
    if not _holds_token(obj.vm.engine.current, obj):
        obj.vm.panic(f"{obj.klass}: its token is not held")


def ASSERT_OBJECT_HELD_EXCL(obj: VmObject) -> None:
    """Panic unless the CPU has the object's token exclusively."""
    if not has(obj.vm.engine.current, obj.token, EXCLUSIVE):
        obj.vm.panic(f"{obj.klass}: its token is not held exclusively")


def vm_object_hold(obj: VmObject) -> None:
    """Keep the object's memory and lock it.  Sleeps: while contested; other tokens are lost."""
    obj.hold_count.fetchadd(1)
    obj.took(OBJECT_HOLD)
    obj.token.acquire()


def vm_object_hold_shared(obj: VmObject) -> None:
    """Keep the object's memory and lock it shared.  Sleeps: as `vm_object_hold`."""
    obj.hold_count.fetchadd(1)
    obj.took(OBJECT_HOLD)
    obj.token.acquire_shared()


def vm_object_hold_try(obj: VmObject) -> bool:
    """`vm_object_hold` if that needs no waiting; whether it did."""
    obj.hold_count.fetchadd(1)
    obj.took(OBJECT_HOLD)
    if obj.token.try_acquire():
        return True
    if _last_hold(obj) and _is_dead(obj):
        _free(obj)
    return False


def _last_hold(obj: VmObject) -> bool:
    """Drop a hold; whether it was the last."""
    last: bool = obj.hold_count.fetchadd(-1) == 1
    obj.gave(OBJECT_HOLD)
    return last


def _is_dead(obj: VmObject) -> bool:
    """Whether the last hold's end is the object's: nobody refers to it, and it is terminated.

    After a failed try this is asked without the token.  Repair "hold-try-frees-once" sees to it then that
    nobody has held the object again meanwhile, and that one of two who find it dead frees it.
    """
    dead = not obj.ref_count.load() and bool(obj.flags.load() & OBJ_DEAD)
    if dead and obj.vm.machine.repaired("hold-try-frees-once"):
        return not obj.hold_count.load() and not obj.flags.setbits(OBJ_FREEING) & OBJ_FREEING
    return dead


def vm_object_drop(obj: VmObject) -> None:
    """Unlock the object and drop a hold; the last of a dead and unreferenced object frees it."""
    token = obj.token
    if _last_hold(obj) and _is_dead(obj):
        token.release()
        _free(obj)
    else:
        token.release()


def _free(obj: VmObject) -> None:
    """The object's memory goes back to the allocator; who touches it from now on is too late."""
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
