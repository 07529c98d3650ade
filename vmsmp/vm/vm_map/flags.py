"""The constants of maps: results, protections, kinds and flags of entries, flags of requests, sizes.

Models: sys/vm/vm_map.h, vm_param.h, vm_prot.h, vm_inherit.h, vm_kern.h and the parts of sys/mman.h that reach
a map.
Locks: none; constants.
Deviations:
  * names and values are those of the newer tree where it differs: COWF_* for the flags of an insertion, with
    COWF_SHARED and COWF_32BIT; no VM_MAPTYPE_VPAGETABLE, whose number stays unused; VM_SUBSYS_NVMM.
  * the kernel's range of addresses is one range of 8 TiB.
"""

from __future__ import annotations

from typing import Final

from vmsmp.vm.vm_page.flags import PAGE_SIZE

PAGE_SHIFT: Final = PAGE_SIZE.bit_length() - 1
PAGE_MASK: Final = PAGE_SIZE - 1


def trunc_page(address: int) -> int:
    """Return the address of the page that `address` is in."""
    return address & ~PAGE_MASK


def round_page(address: int) -> int:
    """Return the first address of a page that is not below `address`."""
    return address + PAGE_MASK & ~PAGE_MASK


# -- results --------------------------------------------------------------------------------------

KERN_SUCCESS: Final = 0
KERN_INVALID_ADDRESS: Final = 1
KERN_PROTECTION_FAILURE: Final = 2
KERN_NO_SPACE: Final = 3
KERN_INVALID_ARGUMENT: Final = 4
KERN_FAILURE: Final = 5
KERN_RESOURCE_SHORTAGE: Final = 6
KERN_NOT_RECEIVER: Final = 7
KERN_NO_ACCESS: Final = 8
KERN_TRY_AGAIN: Final = 9
KERN_FAILURE_NOFAULT: Final = 10

# -- addresses ------------------------------------------------------------------------------------

VM_MIN_USER_ADDRESS: Final = 0
VM_MAX_USER_ADDRESS: Final = 1 << 47
USRSTACK: Final = VM_MAX_USER_ADDRESS
VM_MIN_KERNEL_ADDRESS: Final = (1 << 64) - (1 << 43)
VM_MAX_KERNEL_ADDRESS: Final = (1 << 64) - PAGE_SIZE
#: Addresses are 64 bits wide: a sum beyond wraps around.
ADDRESS_MASK: Final = (1 << 64) - 1

# -- protection, inheritance, kind ----------------------------------------------------------------

VM_PROT_NONE: Final = 0x00
VM_PROT_READ: Final = 0x01
VM_PROT_WRITE: Final = 0x02
VM_PROT_EXECUTE: Final = 0x04
VM_PROT_OVERRIDE_WRITE: Final = 0x08
VM_PROT_NOSYNC: Final = 0x10
VM_PROT_RW: Final = VM_PROT_READ | VM_PROT_WRITE
VM_PROT_ALL: Final = VM_PROT_READ | VM_PROT_WRITE | VM_PROT_EXECUTE
VM_PROT_DEFAULT: Final = VM_PROT_ALL

VM_INHERIT_SHARE: Final = 0
VM_INHERIT_COPY: Final = 1
VM_INHERIT_NONE: Final = 2
VM_INHERIT_DEFAULT: Final = VM_INHERIT_COPY

VM_MAPTYPE_UNSPECIFIED: Final = 0
VM_MAPTYPE_NORMAL: Final = 1
VM_MAPTYPE_SUBMAP: Final = 3
VM_MAPTYPE_UKSMAP: Final = 4

# -- entries --------------------------------------------------------------------------------------

MAP_ENTRY_NOSYNC: Final = 0x0001
MAP_ENTRY_STACK: Final = 0x0002
MAP_ENTRY_COW: Final = 0x0004
MAP_ENTRY_NEEDS_COPY: Final = 0x0008
MAP_ENTRY_NOFAULT: Final = 0x0010
MAP_ENTRY_USER_WIRED: Final = 0x0020
MAP_ENTRY_BEHAV_NORMAL: Final = 0x0000
MAP_ENTRY_BEHAV_SEQUENTIAL: Final = 0x0040
MAP_ENTRY_BEHAV_RANDOM: Final = 0x0080
MAP_ENTRY_BEHAV_RESERVED: Final = 0x00C0
MAP_ENTRY_BEHAV_MASK: Final = 0x00C0
MAP_ENTRY_IN_TRANSITION: Final = 0x0100
MAP_ENTRY_NEEDS_WAKEUP: Final = 0x0200
MAP_ENTRY_NOCOREDUMP: Final = 0x0400
MAP_ENTRY_KSTACK: Final = 0x0800

VM_MAP_BACK_EXCL_HEUR: Final = 0x0001
VM_MAP_BACKING_LIMIT: Final = 5

MAP_ENTRY_PARTITION_SIZE: Final = 32 << 20
MAP_ENTRY_PARTITION_MASK: Final = MAP_ENTRY_PARTITION_SIZE - 1

UKSMAPOP_ADD: Final = 1
UKSMAPOP_REM: Final = 2
UKSMAPOP_FAULT: Final = 3
#: Minors of the devices whose mappings show a process, the kernel, or a thread.
UPMAP: Final = 5
KPMAP: Final = 6
LPMAP: Final = 7

# -- requests -------------------------------------------------------------------------------------

COWF_UNUSED_01: Final = 0x0001
COWF_COPY_ON_WRITE: Final = 0x0002
COWF_NOFAULT: Final = 0x0004
COWF_PREFAULT: Final = 0x0008
COWF_PREFAULT_PARTIAL: Final = 0x0010
COWF_DISABLE_SYNCER: Final = 0x0020
COWF_IS_STACK: Final = 0x0040
COWF_IS_KSTACK: Final = 0x0080
COWF_DISABLE_COREDUMP: Final = 0x0100
COWF_PREFAULT_MADVISE: Final = 0x0200
COWF_PREFAULT_RELOCK: Final = COWF_PREFAULT_MADVISE
COWF_SHARED: Final = 0x0800
COWF_32BIT: Final = 0x1000

# of backing_replicated, clip_range, a wiring and a map
MAP_BACK_CLIPPED: Final = 0x0001
MAP_BACK_BASEOBJREFD: Final = 0x0002
MAP_CLIP_NO_HOLES: Final = 0x0001
FW_WIRED: Final = 0x0001
FW_DIDCOW: Final = 0x0002
MAP_WIREFUTURE: Final = 0x0001
ILOCK_WAITING: Final = 0x0001

# of mmap
MAP_SHARED: Final = 0x0001
MAP_PRIVATE: Final = 0x0002
MAP_COPY: Final = MAP_PRIVATE
MAP_FIXED: Final = 0x0010
MAP_INHERIT: Final = 0x0080
MAP_STACK: Final = 0x0400
MAP_NOSYNC: Final = 0x0800
MAP_ANON: Final = 0x1000
MAP_VPAGETABLE: Final = 0x2000
MAP_TRYFIXED: Final = 0x00010000
MAP_NOCORE: Final = 0x00020000
MAP_SIZEALIGN: Final = 0x00040000
MAP_32BIT: Final = 0x00080000

MADV_NORMAL: Final = 0
MADV_RANDOM: Final = 1
MADV_SEQUENTIAL: Final = 2
MADV_WILLNEED: Final = 3
MADV_DONTNEED: Final = 4
MADV_FREE: Final = 5
MADV_NOSYNC: Final = 6
MADV_AUTOSYNC: Final = 7
MADV_NOCORE: Final = 8
MADV_CORE: Final = 9
MADV_INVAL: Final = 10
MADV_SETMAP: Final = 11

MCL_CURRENT: Final = 1
MCL_FUTURE: Final = 2

VM_FAULT_NORMAL: Final = 0x00
VM_FAULT_CHANGE_WIRING: Final = 0x01
VM_FAULT_USER_WIRE: Final = 0x02
VM_FAULT_BURST: Final = 0x04
VM_FAULT_DIRTY: Final = 0x08
VM_FAULT_UNSWAP: Final = 0x10
VM_FAULT_BURST_QUICK: Final = 0x20
VM_FAULT_USERMODE: Final = 0x40
VM_FAULT_WIRE_MASK: Final = VM_FAULT_CHANGE_WIRING | VM_FAULT_USER_WIRE

KM_PAGEABLE: Final = 0x0001
KM_KRESERVE: Final = 0x0002
KM_STACK: Final = 0x0004
KM_NOTLBSYNC: Final = 0x0008
KM_CPU_SPEC: Final = 0x0010
KM_CPU_SHIFT: Final = 16
#: Flags of an allocation of kernel memory.
M_NOWAIT: Final = 0x0001
M_WAITOK: Final = 0x0002
M_ZERO: Final = 0x0100
M_USE_RESERVE: Final = 0x0200
M_NULLOK: Final = 0x0400
M_USE_INTERRUPT_RESERVE: Final = 0x1000

# -- address spaces -------------------------------------------------------------------------------

VM_REF_DELETED: Final = 0x80000000
VMSPACE_EXIT1: Final = 0x0001
VMSPACE_EXIT2: Final = 0x0002
VMSPACE_HOLDEXIT: Final = 0x80000000

# -- sizes ----------------------------------------------------------------------------------------

VM_MAP_FFCOUNT: Final = 4
VM_MAP_FFMASK: Final = VM_MAP_FFCOUNT - 1
#: Entries that an operation reserves; each CPU starts with a debt of twice as many, which zalloc keeps.
MAP_RESERVE_COUNT: Final = 4
MAP_RESERVE_SLOP: Final = 512
MAP_RESERVE_HYST: Final = 448
MAXCPU: Final = 256
MAPENTRYBSP_CACHE: Final = MAXCPU + 1
MAPENTRYAP_CACHE: Final = 8
MAX_KMAP: Final = 10

MAXSSIZ: Final = 512 << 20
DFLSSIZ: Final = 8 << 20
SGROWSIZ: Final = 128 << 10
MAXDSIZ: Final = 32 << 30

# -- who maps -------------------------------------------------------------------------------------

#: vm_subsys_t, in order of its numbers.
VM_SUBSYS: Final = (
    "UNKNOWN",
    "KMALLOC",
    "STACK",
    "IMGACT",
    "EFI",
    "RESERVED",
    "INIT",
    "PIPE",
    "PROC",
    "SHMEM",
    "SYSMAP",
    "MMAP",
    "BRK",
    "BOGUS",
    "BUF",
    "BUFDATA",
    "GD",
    "IPIQ",
    "PVENTRY",
    "PML4",
    "MAPDEV",
    "ZALLOC",
    "DM",
    "CONTIG",
    "DRM",
    "DRM_GEM",
    "DRM_SCAT",
    "DRM_VMAP",
    "DRM_TTM",
    "HAMMER",
    "VMPGHASH",
    "NVMM",
    "LIMIT",
)
VM_SUBSYS_UNKNOWN: Final = VM_SUBSYS.index("UNKNOWN")
VM_SUBSYS_KMALLOC: Final = VM_SUBSYS.index("KMALLOC")
VM_SUBSYS_STACK: Final = VM_SUBSYS.index("STACK")
VM_SUBSYS_IMGACT: Final = VM_SUBSYS.index("IMGACT")
VM_SUBSYS_RESERVED: Final = VM_SUBSYS.index("RESERVED")
VM_SUBSYS_SYSMAP: Final = VM_SUBSYS.index("SYSMAP")
VM_SUBSYS_MMAP: Final = VM_SUBSYS.index("MMAP")
VM_SUBSYS_BRK: Final = VM_SUBSYS.index("BRK")
VM_SUBSYS_ZALLOC: Final = VM_SUBSYS.index("ZALLOC")
VM_SUBSYS_CONTIG: Final = VM_SUBSYS.index("CONTIG")

_EFLAGS: Final = {
    MAP_ENTRY_NOSYNC: "NOSYNC",
    MAP_ENTRY_STACK: "STACK",
    MAP_ENTRY_COW: "COW",
    MAP_ENTRY_NEEDS_COPY: "NEEDS_COPY",
    MAP_ENTRY_NOFAULT: "NOFAULT",
    MAP_ENTRY_USER_WIRED: "USER_WIRED",
    MAP_ENTRY_BEHAV_SEQUENTIAL: "SEQUENTIAL",
    MAP_ENTRY_BEHAV_RANDOM: "RANDOM",
    MAP_ENTRY_IN_TRANSITION: "IN_TRANSITION",
    MAP_ENTRY_NEEDS_WAKEUP: "NEEDS_WAKEUP",
    MAP_ENTRY_NOCOREDUMP: "NOCOREDUMP",
    MAP_ENTRY_KSTACK: "KSTACK",
}


def eflags_format(eflags: int) -> str:
    """Return the flags of an entry as text."""
    return "|".join(name for bit, name in _EFLAGS.items() if eflags & bit) or "0"


def VM_MAP_ENTRY_WITHIN_PARTITION(start: int, end: int) -> bool:
    """Return whether the range is in one partition; one that ends on a boundary is not."""
    return not (start ^ end) & ~MAP_ENTRY_PARTITION_MASK
