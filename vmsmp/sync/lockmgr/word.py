"""The state word of a lockmgr lock, and functions of it: the 64-bit `lk_count` of sys/sys/lock.h.

| bits | meaning |
|---|---|
| LKC_XMASK | the exclusive recursion count |
| LKC_CANCEL | cancelable waits end |
| LKC_EXREQ2 | others wait to become the owner of EXREQ |
| LKC_UPREQ | a shared holder waits to be upgraded |
| LKC_SHARED | counted requesters are owners |
| LKC_EXREQ | one waiter owns the right to be granted the lock exclusively next |
| LKC_SMASK | counts shared holders and shared requesters alike, in units of LKC_SCOUNT |
"""

from __future__ import annotations

from typing import Final

from vmsmp.sync.errno import LK_CANCELABLE

LKC_XMASK: Final = 0x0000000003FFFFFF
LKC_CANCEL: Final = 0x0000000004000000
LKC_EXREQ2: Final = 0x0000000008000000
LKC_UPREQ: Final = 0x0000000010000000
LKC_SHARED: Final = 0x0000000020000000
LKC_EXREQ: Final = 0x0000000040000000
LKC_SMASK: Final = 0xFFFFFFFF00000000
LKC_SCOUNT: Final = 0x0000000100000000

_BITS: Final = (
    ("CANCEL", LKC_CANCEL),
    ("EXREQ2", LKC_EXREQ2),
    ("UPREQ", LKC_UPREQ),
    ("SHARED", LKC_SHARED),
    ("EXREQ", LKC_EXREQ),
)


def word_text(word: int) -> str:
    """The count as a report shows it: `X1|EXREQ|S2`."""
    parts = [f"X{word & LKC_XMASK}"] if word & LKC_XMASK else []
    parts += [name for name, bit in _BITS if word & bit]
    if word & LKC_SMASK:
        parts.append(f"S{word >> 32}")
    return "|".join(parts) or "0"


def exclusive_grantable(count: int) -> bool:
    """Whether an exclusive request is granted now; ungranted shared requests do not stop it."""
    return not count & (LKC_UPREQ | LKC_EXREQ | LKC_XMASK) and not (count & LKC_SHARED and count & LKC_SMASK)


def grant_exreq(count: int) -> int:
    """The word after a CPU that gives up has granted the lock to the owner of EXREQ."""
    # As in the kernel, a cached SHARED survives the grant and lets readers in beside the new owner.
    return (count + 1) & ~(LKC_EXREQ | LKC_EXREQ2)


def canceled(count: int, flags: int) -> bool:
    """Whether a request with `flags` ends because of LKC_CANCEL."""
    return bool(count & LKC_CANCEL and flags & LK_CANCELABLE)


# -- why a wait should be over ---------------------------------------------------------------------


def shared_admitted(count: int) -> str | None:
    """Why a shared request that is not counted yet may stop waiting, or None."""
    if count & LKC_SHARED and count & (LKC_EXREQ | LKC_UPREQ):
        return None
    return "no writer waits for the readers any more"


def shared_granted(count: int) -> str | None:
    """Why a counted shared requester may stop waiting, or None."""
    if count & LKC_SHARED:
        return "it holds the lock shared"
    if not count & (LKC_XMASK | LKC_EXREQ | LKC_UPREQ):
        return "the lock is free"
    return None


def exclusive_due(count: int) -> str | None:
    """Why an exclusive requester without EXREQ may stop waiting, or waits in vain; or None."""
    if exclusive_grantable(count):
        return "the lock is free"
    if not count & LKC_EXREQ2:
        return "its EXREQ2 is gone, nobody will wake it"
    return None


def grant_due(count: int, bit: int) -> str | None:
    """Why the owner of EXREQ or UPREQ may stop waiting, or waits in vain; or None."""
    if not count & bit:
        return "it holds the lock exclusively"
    if not count & (LKC_XMASK | LKC_SMASK):
        return "nobody is left to grant it the lock"
    return None
