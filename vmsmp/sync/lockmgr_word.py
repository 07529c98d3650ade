"""The state word of a lockmgr lock: the 64-bit `lk_count` of sys/sys/lock.h.

LKC_XMASK is the exclusive recursion count; LKC_EXREQ one waiter owns the right to be granted the
lock exclusively next, LKC_EXREQ2 others wait to become that one; LKC_UPREQ a shared holder waits to
be upgraded; LKC_SHARED counted requesters are owners; LKC_CANCEL cancelable waits end; the upper
half counts shared holders and shared requesters alike in units of LKC_SCOUNT.
"""

from __future__ import annotations

from typing import Final

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
