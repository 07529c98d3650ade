"""struct faultstate: what a fault has found and holds, and how it releases that.

Models: struct faultstate, release_page, cleanup_fault, unlock_map, unlock_things, TRYPAGER and vm_set_nosync
of sys/vm/vm_fault.c.
Locks: a fault releases what it has in one order: pages, activity, the token of the lower object, that of the
first one, the map, and the vnode last.
Deviations:
  * `majflt` and `minflt` of a process, and LWP_PAGING, are its CPU's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vmsmp.vm.vm_map.flags import FW_WIRED, MAP_ENTRY_NOSYNC, VM_FAULT_WIRE_MASK
from vmsmp.vm.vm_map.lookup import vm_map_lookup_done
from vmsmp.vm.vm_object.hold import vm_object_drop
from vmsmp.vm.vm_object.object import OBJT_DEFAULT
from vmsmp.vm.vm_object.paging import vm_object_pip_wakeup
from vmsmp.vm.vm_page.activity import vm_page_deactivate
from vmsmp.vm.vm_page.busy import vm_page_flag_clear, vm_page_flag_set, vm_page_wakeup
from vmsmp.vm.vm_page.flags import PG_NOSYNC, VM_PAGE_BITS_ALL
from vmsmp.vm.vm_page.free import vm_page_free
from vmsmp.vm.vnode import vput

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_map.entry import VmMapBacking, VmMapEntry
    from vmsmp.vm.vm_page.page import VmPage

#: The most pages that a fault enters before it looks for more.
VM_FAULT_MAX_QUICK: Final = 16
#: In `lwp_flags`: the process is in a fault.
LWP_PAGING: Final = 0x0000008


class Faultstate:
    """struct faultstate: on the stack of the thread that faults.

    `mary` are the pages found: one, except for a bypass.  `ba` is the current layer, `first_ba` the first
    one, where `first_m` is reserved while deeper layers are searched.
    `lookup_still_valid`: 0 the map is not locked; 1 locked shared; -1 locked by the caller, never unlocked
    here.
    `first_ba_held`: the same for the first object.  `first_shared`, `shared`: whether the first object, and
    those below, are locked shared; once cleared they stay so until the fault ends.
    """

    __slots__ = (
        "ba",
        "entry",
        "fault_flags",
        "first_ba",
        "first_ba_held",
        "first_m",
        "first_prot",
        "first_shared",
        "hardfault",
        "lookup_still_valid",
        "map",
        "mary",
        "msoftonly",
        "prot",
        "shared",
        "vm",
        "vp",
        "wflags",
    )

    def __init__(self, vm: VmSystem, fault_flags: int, shared: int) -> None:
        self.vm = vm
        self.mary: list[VmPage] = []
        self.ba: Any = None  # a VmMapBacking, like first_ba
        self.prot = 0
        self.first_m: VmPage | None = None
        self.first_ba: Any = None
        self.first_prot = 0
        self.map: Any = None  # a VmMap
        self.entry: Any = None  # a VmMapEntry
        self.lookup_still_valid = 0
        self.hardfault = 0
        self.fault_flags = fault_flags
        self.shared = shared
        self.first_shared = shared
        self.msoftonly = False
        self.wflags = 0
        self.first_ba_held = 0
        self.vp: Any = None  # a Vnode

    @property
    def m(self) -> VmPage:
        """The one page that was found."""
        return self.mary[0]


def release_page(fs: Faultstate) -> None:
    """Deactivate the page that was found, and drop its busy."""
    vm_page_deactivate(fs.m)
    vm_page_wakeup(fs.m)
    fs.mary = []


def cleanup_fault(fs: Faultstate) -> None:
    """Return from a lower layer to the first one, and free the page reserved there unless it is valid."""
    if fs.ba is not fs.first_ba:
        if fs.first_shared:
            fs.vm.panic("cleanup_fault: a page is reserved in an object that is locked shared")
        if fs.first_m is not None:
            if fs.first_m.valid == VM_PAGE_BITS_ALL:
                vm_page_wakeup(fs.first_m)
            else:
                vm_page_free(fs.first_m)
        vm_object_pip_wakeup(fs.ba.object)
        fs.first_m = None
        vm_object_drop(fs.ba.object)
        fs.ba = fs.first_ba


def unlock_map(fs: Faultstate) -> None:
    """Release the map and the first object, unless the caller locked them."""
    if fs.ba is not fs.first_ba:
        vm_object_drop(fs.ba.object)
    if fs.first_ba is not None and fs.first_ba_held == 1:
        vm_object_drop(fs.first_ba.object)
        fs.first_ba_held = 0
        fs.first_ba = None
    fs.ba = None
    if fs.lookup_still_valid == 1 and fs.map is not None:
        vm_map_lookup_done(fs.map, fs.entry, None)
        fs.lookup_still_valid = 0
        fs.entry = None


def unlock_things(fs: Faultstate) -> None:
    """Release everything but the pages that were found.  Sleeps: to free a reserved page, and in vput."""
    cleanup_fault(fs)
    unlock_map(fs)
    if fs.vp is not None:
        vput(fs.vp)
        fs.vp = None


def TRYPAGER(fs: Faultstate) -> bool:
    """Return whether the pager of the current layer may have the page."""
    wiring = fs.fault_flags & VM_FAULT_WIRE_MASK
    return fs.ba.object.hint("type") != OBJT_DEFAULT and (not wiring or bool(fs.wflags & FW_WIRED))


def set_excl_heur(ba: VmMapBacking, value: int) -> None:
    """Change the one flag of a backing, a hint, atomically, since the map is locked shared."""
    ba.publish("flags", value)


def vm_set_nosync(m: VmPage, entry: VmMapEntry) -> None:
    """Let the syncer skip a clean page that is written through an entry that asks for it (PG_NOSYNC).

    A page written through any other entry loses the flag.  Locks: the page busied by the caller.
    """
    if not entry.eflags & MAP_ENTRY_NOSYNC:
        vm_page_flag_clear(m, PG_NOSYNC)
    elif m.hint("dirty") == 0:
        vm_page_flag_set(m, PG_NOSYNC)


def count_fault(fs: Faultstate) -> None:
    """Count a fault of the process, by whether a pager was asked."""
    gd = fs.vm.mycpu()
    if fs.hardfault:
        gd.ru_majflt += 1
    else:
        gd.ru_minflt += 1
