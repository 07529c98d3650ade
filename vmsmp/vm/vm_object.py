"""Memory objects, as far as pages need them: a token, a hold count and the tree of resident pages.

Models: sys/vm/vm_object.c and vm_object.h.
An object is *held* (hold_count) to keep its memory, *locked* by its token to keep its pages, and
*referenced* (ref_count) by its users.  The hold comes before the token, because waiting for the token
may block.  Its memory goes with the last hold, if it is dead and unreferenced.
Locks: `rb_memq` any mode of the token to look, exclusive to change; words are atomic.
Deviations:
  * `rb_memq` is a dictionary with sorted scans; the shape of a red-black tree is not under test.
  * no pager, no backing objects and no bucket list: `vm_object_terminate` frees pages without I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.sync.field import Letter, Record, field, record, word
from vmsmp.sync.lock import EXCLUSIVE, SHARED
from vmsmp.vm.vm_page_h import has

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.sync.token import Token
    from vmsmp.vm.vm_init import VmSystem
    from vmsmp.vm.vm_page_h import VmPage

OBJ_DEAD: Final = 0x0008
OBJ_WRITEABLE: Final = 0x0080
OBJ_MIGHTBEDIRTY: Final = 0x0100

REF: Final = "reference"
OBJECT_HOLD: Final = "object hold"


def _holds_token(cpu: Cpu, obj: VmObject) -> bool:
    return has(cpu, obj.token, EXCLUSIVE, SHARED)


OBJECT_LEGEND: Final = {
    "T": Letter("the object's token, exclusively", lambda cpu, obj: has(cpu, obj.token, EXCLUSIVE)),
    "t": Letter("the object's token", _holds_token),
}


@record(legend=OBJECT_LEGEND)
class VmObject(Record):
    """struct vm_object.  `size` is in pages, `pg_color` spreads objects over the colours."""

    plain = ("_name", "freed", "pg_color", "size", "token")

    kind = "object"

    hold_count: Any = word()
    ref_count: Any = word()
    flags: Any = word(format=hex)
    paging_in_progress: Any = word()
    # invariant: resident_page_count == len(rb_memq), and every page in it names this object
    rb_memq: dict[int, VmPage] = field("t", "T")
    resident_page_count: int = field("", "T")
    generation: int = field("", "T")

    _name: str
    freed: bool
    pg_color: int
    size: int
    token: Token

    def __init__(self, vm: VmSystem, size: int, name: str) -> None:
        self.settle(vm, None)
        self._name = name
        self.size = size
        self.freed = False
        words = self.words if self.host is None else self.free_words
        self.hold_count = words["hold_count"](self, 0)
        self.ref_count = words["ref_count"](self, 1)
        self.flags = words["flags"](self, 0)
        self.paging_in_progress = words["paging_in_progress"](self, 0)
        self.rb_memq = {}
        self.resident_page_count = self.generation = 0
        self.pg_color = 0
        self.token = vm.machine.token(f"{name}.token")
        self.token.guards = self

    @property
    def name(self) -> str:
        return self._name

    def state(self) -> str:
        return (
            f"{len(self.peek('rb_memq'))} pages, refs {self.peek('ref_count')}, "
            f"holds {self.peek('hold_count')}"
            + (", DEAD" if self.peek("flags") & OBJ_DEAD else "")
            + (", freed" if self.freed else "")
        )


def vm_object_allocate(vm: VmSystem, size: int, name: str | None = None) -> VmObject:
    """Make an object of `size` pages with one reference, and return it neither held nor locked."""
    gd = vm.mycpu()
    obj = VmObject(vm, size, name or f"obj[{1000 * gd.cpu.index + gd.objects}]")
    obj.pg_color = gd.objects & vm.l2_mask
    gd.objects += 1
    if vm.hooks.access:
        obj.__class__ = VmObject.checked
    vm.objects.append(obj)
    obj.took(REF, own=False)
    return obj


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
    """Whether the object goes with its last hold: it is terminated and nobody refers to it.

    After a failed try this is asked without the token, so another CPU may hold the object again meanwhile.
    """
    return not obj.ref_count.load() and bool(obj.flags.load() & OBJ_DEAD)


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


# -- references -----------------------------------------------------------------------------------


def vm_object_reference_locked(obj: VmObject) -> None:
    """Add a reference.  Locks: the object's token, any mode."""
    ASSERT_OBJECT_HELD(obj)
    obj.ref_count.fetchadd(1)
    obj.took(REF, own=False)


def vm_object_reference_quick(obj: VmObject) -> None:
    """Add a reference to an object that the caller has one to already."""
    if obj.ref_count.load() <= 0:
        obj.vm.panic("vm_object_reference_quick: object without references")
    obj.ref_count.fetchadd(1)
    obj.took(REF, own=False)


def vm_object_deallocate(obj: VmObject) -> None:
    """Drop a reference; the last one terminates the object.

    Locks: none with more than three references left; else takes the token exclusively.  Sleeps: yes.
    """
    count = obj.ref_count.load()
    while count > 3:
        dropped, count = obj.ref_count.fcmpset(count, count - 1)
        if dropped:
            obj.gave(REF, own=False)
            return
    vm_object_hold(obj)
    vm_object_deallocate_locked(obj)
    vm_object_drop(obj)


def vm_object_deallocate_locked(obj: VmObject) -> None:
    """Drop a reference under the exclusive token; the last one terminates the object."""
    ASSERT_OBJECT_HELD_EXCL(obj)
    if obj.ref_count.load() == 0:
        obj.vm.panic("vm_object_deallocate: object deallocated too many times")
    last = obj.ref_count.fetchadd(-1) == 1
    obj.gave(REF, own=False)
    if last and not obj.flags.load() & OBJ_DEAD:
        vm_object_terminate(obj)


def vm_object_terminate(obj: VmObject) -> None:
    """Free the pages of an object that nobody refers to; its memory goes with the last hold.

    Locks: the token exclusively, which is lost at every wait for a busy page.
    """
    from vmsmp.vm.pmap import vm_page_protect
    from vmsmp.vm.vm_page import vm_page_remove
    from vmsmp.vm.vm_page_busy import vm_page_busy_try, vm_page_sleep_busy, vm_page_wakeup
    from vmsmp.vm.vm_page_free import vm_page_free

    vm = obj.vm
    if obj.flags.setbits(OBJ_DEAD) & OBJ_DEAD:
        vm.panic("vm_object_terminate: object is dead already")
    again = True
    while again:
        again = False
        visited = 0
        for m in scan(obj):
            if vm_page_busy_try(m, True):
                vm_page_sleep_busy(m, True)
                again = True
                continue
            if m.object is not obj:  # it left while we slept over another one
                vm_page_wakeup(m)
            elif m.wire_count.load() == 0:
                vm_page_protect(m, 0)
                vm_page_free(m)
            else:
                vm_page_protect(m, 0)
                vm_page_remove(m)
                vm_page_wakeup(m)
            visited += 1
            if visited % vm.scan_yield == 0:
                vm.pause_tokens("lwkt_user_yield")  # last, because the token may be lost
    if obj.peek("rb_memq") or obj.peek("resident_page_count"):
        vm.panic("vm_object_terminate: object with resident pages")
    if obj.ref_count.load():
        vm.panic("vm_object_terminate: object with references")


def scan(obj: VmObject) -> Any:
    """RB_SCAN: visit the pages in order of index, whatever comes and goes meanwhile.

    Locks: the token in any mode at every step; it may be lost and had again between two.
    """
    last = -1
    while True:
        memq = obj.rb_memq
        pindex = min((n for n in memq if n > last), default=None)
        if pindex is None:
            return
        last = pindex
        yield memq[pindex]
