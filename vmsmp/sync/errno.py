"""The kernel's error numbers and flag words that programs pass and get back."""

from __future__ import annotations

from typing import Final

ERESTART: Final = -1
ENOENT: Final = 2
EINTR: Final = 4
EIO: Final = 5
EDEADLK: Final = 11
ENOMEM: Final = 12
EACCES: Final = 13
EFAULT: Final = 14
EBUSY: Final = 16
EEXIST: Final = 17
ENODEV: Final = 19
EINVAL: Final = 22
EAGAIN: Final = 35
EWOULDBLOCK: Final = EAGAIN
EINPROGRESS: Final = 36
EOPNOTSUPP: Final = 45
ENOLCK: Final = 77
ENOSYS: Final = 78

# lockmgr request types (low four bits) and flags
LK_SHARED: Final = 0x01
LK_EXCLUSIVE: Final = 0x02
LK_UPGRADE: Final = 0x03
LK_EXCLUPGRADE: Final = 0x04
LK_DOWNGRADE: Final = 0x05
LK_RELEASE: Final = 0x06
LK_EXCLOTHER: Final = 0x08
LK_CANCEL_BEG: Final = 0x09
LK_CANCEL_END: Final = 0x0A
LK_TYPE_MASK: Final = 0x0F
LK_NOWAIT: Final = 0x10
LK_SLEEPFAIL: Final = 0x20
LK_CANRECURSE: Final = 0x40
LK_NOCOLLSTATS: Final = 0x80
LK_CANCELABLE: Final = 0x01000000
LK_TIMELOCK: Final = 0x02000000
LK_PCATCH: Final = 0x04000000
LK_EXTFLG_MASK: Final = 0x070000F0

# tsleep flags
PCATCH: Final = 0x0100
PINTERLOCKED: Final = 0x0400
PWAKEUP_MYCPU: Final = 0x4000
PWAKEUP_ONE: Final = 0x8000
PDOMAIN_MASK: Final = 0xFFFF0000
PDOMAIN_UMTX: Final = 0x10000
PDOMAIN_XLOCK: Final = 0x20000
