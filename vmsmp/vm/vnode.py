"""Vnodes, as far as objects use them: references, flags, the lock, and the object.

Models: struct vnode of sys/sys/vnode.h, with vref, vrele, vget, vput and vn_lock of sys/kern/vfs_lock.c and
sys/kern/vfs_vnops.c, vsetobjdirty and vclrobjdirty of sys/kern/vfs_subr.c.
Every reference to a vnode's object is one to the vnode.  A vnode without references stays, with its object,
until it comes back or is reclaimed.
Locks: the count and the flags are atomic.  `v_object` is read without a lock, and set under `v_token`.
`v_lastwrite_ts` needs the vnode's lock exclusively.
Deviations:
  * no file system, names, buffers or mount points.
  * membership in the syncer's list is a flag; the list's token is left out.
  * dropping the last reference never destroys a vnode; only `vclean_vxlocked` does.
  * `v_refcnt` is a count alone, without VREF_TERMINATE and VREF_FINALIZE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine.clock import HZ
from vmsmp.records.field import field, plain, word
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, has, record
from vmsmp.records.share import Share
from vmsmp.records.word import Word
from vmsmp.sync.errno import ENOENT, LK_EXCLUSIVE
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.sync.lockmgr import LockmgrLock
from vmsmp.sync.token import Token

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem

# v_flag
VTEXT: Final = 0x00000002
VOBJBUF: Final = 0x00002000
VINACTIVE: Final = 0x00004000
VRECLAIMED: Final = 0x00040000
VLASTWRITETS: Final = 0x00080000
VONWORKLST: Final = 0x00200000
VISDIRTY: Final = 0x00400000
VOBJDIRTY: Final = 0x00800000

NOOFFSET: Final = -1
#: How many ticks a request for a vnode's lock waits that asks for a time limit.
VLKTIMEOUT: Final = HZ // 20 + 1

VREF: Final = Share("vnode reference", owned=False, invariant="INV-VN1")

VNODE_LEGEND: Final = {
    "X": Letter("the vnode's lock, exclusively", lambda cpu, vp: has(cpu, vp.v_lock, EXCLUSIVE)),
}


@record(legend=VNODE_LEGEND)
class Vnode(Record):
    """struct vnode."""

    kind = "vnode"

    v_refcnt: Word = word()
    v_flag: Word = word(format=hex)
    #: The number of writes in progress.
    v_track_write: Word = word()
    v_object: Any = field("", default=None)  # a VmObject
    v_filesize: int = field("", default=NOOFFSET)
    v_lastwrite_ts: int = field("X")
    #: The mount point: whether dirty objects put their vnode on the syncer's list.
    mnt_thr_sync: bool = plain(True)
    #: The file's contents, by page and block; a block that was never written is zero.
    contents: dict[int, dict[int, Any]] = plain(None)
    _name: str = plain()
    v_lock: LockmgrLock = plain(None)
    v_token: Token = plain(None)

    def __post_init__(self) -> None:
        self.contents = {}
        self.v_lock = self.vm.machine.lockmgr(f"{self.name}.lock", VLKTIMEOUT)
        self.v_token = self.vm.machine.token(f"{self.name}.token")

    @property
    def name(self) -> str:
        return self._name

    def state(self) -> str:
        obj = self.peek("v_object")
        return (
            f"refs {self.peek('v_refcnt')}, flags {self.peek('v_flag'):#x}, "
            f"object {obj.name if obj is not None else 'none'}"
        )


def track_ident(vp: Vnode) -> str:
    """Return the sleep ident that stands for the address of `v_track_write`."""
    return f"{vp.name}.v_track_write"


def getnewvnode(vm: VmSystem, name: str) -> Vnode:
    """Return a new vnode with one reference."""
    vp: Vnode = vm.vnodes.make(_name=name)
    vp.v_refcnt.value = 1
    vp.took(VREF)
    return vp


def vref(vp: Vnode) -> None:
    """Add a reference to a vnode that the caller, or its object, references already.  Locks: none."""
    vp.v_refcnt.fetchadd(1)
    vp.took(VREF)


def vrele(vp: Vnode) -> None:
    """Drop a reference.  Locks: none; may block, so the caller's tokens are lost."""
    count = vp.v_refcnt.load()
    while True:
        if count <= 0:
            vp.vm.panic("vrele: vnode without references")
        dropped, count = vp.v_refcnt.fcmpset(count, count - 1)
        if dropped:
            vp.gave(VREF)
            break
    vp.vm.pause_tokens("vrele")


def vn_lock(vp: Vnode) -> None:
    """Lock the vnode exclusively.  Sleeps: while contended; tokens are lost."""
    vp.v_lock.acquire()


def vn_unlock(vp: Vnode) -> None:
    """Unlock the vnode."""
    vp.v_lock.release()


def vget(vp: Vnode, lktype: int = LK_EXCLUSIVE) -> int:
    """Reference and lock a vnode that may have no references; return 0 or an error number.

    `lktype`: LK_EXCLUSIVE or LK_SHARED, with LK_CANRECURSE if the caller may have it locked already, and with
    LK_NOWAIT or LK_TIMELOCK, with which it may fail to be locked.
    Returns: ENOENT if it has been reclaimed.  Sleeps: as `vn_lock`.
    """
    vp.v_refcnt.fetchadd(1)
    vp.took(VREF)
    error = vp.v_lock.lock(lktype)
    if error:
        vrele(vp)
        return error
    if vp.v_flag.load() & VRECLAIMED:
        vn_unlock(vp)
        vrele(vp)
        return ENOENT
    vclrflags(vp, VINACTIVE)
    return 0


def vput(vp: Vnode) -> None:
    """Unlock the vnode and drop a reference."""
    vn_unlock(vp)
    vrele(vp)


def vsetflags(vp: Vnode, bits: int) -> None:
    """Set flags."""
    vp.v_flag.setbits(bits)


def vclrflags(vp: Vnode, bits: int) -> None:
    """Clear flags."""
    vp.v_flag.clearbits(bits)


def vsetobjdirty(vp: Vnode) -> None:
    """Mark the vnode's object as possibly dirty, and put the vnode on the syncer's list."""
    if not vp.v_flag.load() & VOBJDIRTY:
        vsetflags(vp, VOBJDIRTY)
        if not vp.v_flag.load() & VONWORKLST:
            vsetflags(vp, VONWORKLST)


def vclrobjdirty(vp: Vnode) -> None:
    """Mark the vnode's object as clean, and take the vnode off the list if nothing else of it is dirty."""
    vclrflags(vp, VOBJDIRTY)
    flags = vp.v_flag.load()
    if flags & VONWORKLST and not flags & (VISDIRTY | VOBJDIRTY):
        vclrflags(vp, VONWORKLST)
