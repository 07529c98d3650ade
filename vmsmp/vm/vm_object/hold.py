"""Holding and locking an object.

Models: the vm_object_lock, _hold, _drop, _upgrade and _downgrade families of sys/vm/vm_object.c.
Locks: take the hold before the token, because waiting for the token may block.  The last hold of a
dead and unreferenced object frees its memory.
Deviations:
  * freeing an object that still has pages panics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.records.record import has
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.sync.token import lwkt_token_swap
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJECT_HOLD, _holds_token

if TYPE_CHECKING:
    from vmsmp.sync.token import Token
    from vmsmp.vm.system import VmSystem
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


def vm_object_token(obj: VmObject) -> Token:
    """Return the object's token."""
    return obj.token


def vm_object_lock(obj: VmObject) -> None:
    """Lock an object that the caller keeps allocated.  Sleeps: while contended; other tokens are lost."""
    obj.token.acquire()


def vm_object_lock_shared(obj: VmObject) -> None:
    """Lock the object shared.  Sleeps: as `vm_object_lock`."""
    obj.token.acquire_shared()


def vm_object_lock_try(obj: VmObject) -> bool:
    """Lock the object if that needs no waiting; return whether it succeeded."""
    return obj.token.try_acquire()


def vm_object_unlock(obj: VmObject) -> None:
    """Unlock the object, in either mode.  It must be the one that was locked last."""
    obj.token.release()


def vm_object_lock_swap(vm: VmSystem) -> None:
    """Exchange the last two tokens, so that the one taken first can be released first."""
    lwkt_token_swap(vm.machine)


def vm_object_hold(obj: VmObject) -> None:
    """Hold the object's memory and lock it.  Sleeps: while contended; other tokens are lost."""
    obj.hold_count.fetchadd(1)
    obj.took(OBJECT_HOLD)
    vm_object_lock(obj)


def vm_object_hold_shared(obj: VmObject) -> None:
    """Hold the object's memory and lock it shared.  Sleeps: as `vm_object_hold`."""
    obj.hold_count.fetchadd(1)
    obj.took(OBJECT_HOLD)
    vm_object_lock_shared(obj)


def vm_object_hold_try(obj: VmObject) -> bool:
    """Hold and lock the object if that needs no waiting; return whether it succeeded."""
    obj.hold_count.fetchadd(1)
    obj.took(OBJECT_HOLD)
    if vm_object_lock_try(obj):
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
    return not obj.ref_count.load() and bool(obj.flags.bits(OBJ_DEAD))


def vm_object_drop(obj: VmObject | None) -> None:
    """Drop a hold and unlock the object, if there is one.

    The last hold of a dead, unreferenced object frees it.
    """
    if obj is None:
        return
    if obj.peek("hold_count") <= 0:  # no operation: nobody takes the caller's own hold away
        obj.vm.panic("vm_object_drop: object is not held")
    if _last_hold(obj) and _is_dead(obj):
        vm_object_unlock(obj)
        _free(obj)
    else:
        vm_object_unlock(obj)


VM_OBJECT_LOCK = vm_object_hold
VM_OBJECT_UNLOCK = vm_object_drop


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
    vm_object_unlock(obj)
    vm_object_lock(obj)


def vm_object_downgrade(obj: VmObject) -> None:
    """Turn an exclusive lock into a shared one.  Not atomic: the token is lost in between."""
    vm_object_unlock(obj)
    vm_object_lock_shared(obj)
