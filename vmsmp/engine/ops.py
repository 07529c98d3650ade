"""Visible operations: every effect that another CPU could see, as one small integer.

An operation is `identity << 6 | kind`.  The identity names the object it is done to and is given
by creation, `n << 6 | cpu` for the n-th object that the CPU made, so it does not depend on the
interleaving, on addresses or on hashes.  What is nothing but a name has
its identity from that.  Integers keep the hot path free of allocation; whoever wants words asks
`describe`.

A kind is odd if the operation may change what another CPU sees; a try that turned out to fail is
logged as the even kind below it.  `dependent` is what schedulers
and searches mean by two operations that do not commute.
"""

from __future__ import annotations

from typing import Final

KIND_BITS: Final = 6
KIND_MASK: Final = (1 << KIND_BITS) - 1
CPU_BITS: Final = 6
MAX_CPUS: Final = 1 << CPU_BITS

# Kinds that only look (even).  A try that fails is written down as the kind below it.
LOAD: Final = 0
ATOMIC_LOAD: Final = 2
JOIN: Final = 4
YIELD: Final = 6
PAUSE: Final = 8
START: Final = 10
CMPSET_FAILED: Final = 12
TRY_FAILED: Final = 14
RESUME: Final = 16
JOIN_ALL: Final = 18
TRY_SHARED_FAILED: Final = 44

# Kinds that may change something (odd).
STORE: Final = 1
ATOMIC_STORE: Final = 3
FETCHADD: Final = 5
SWAP: Final = 7
SETBITS: Final = 9
CLEARBITS: Final = 11
CMPSET: Final = 13
TRY_ACQUIRE: Final = 15
RMW: Final = 17
ACQUIRE: Final = 19
ACQUIRE_SHARED: Final = 21
RELEASE: Final = 23
UPGRADE: Final = 25
DOWNGRADE: Final = 27
CANCEL: Final = 29
SPAWN: Final = 31
CHOOSE: Final = 33
INTERLOCK: Final = 35
SLEEP: Final = 37
WAKEUP: Final = 39
IPI: Final = 41
REACQUIRE: Final = 43
TRY_ACQUIRE_SHARED: Final = 45
RELEASE_SHARED: Final = 47
REQUEST: Final = 49

NAMES: Final[dict[int, str]] = {
    LOAD: "load",
    ATOMIC_LOAD: "load",
    JOIN: "join",
    JOIN_ALL: "join all",
    YIELD: "yield",
    PAUSE: "pause",
    START: "start",
    CMPSET_FAILED: "cmpset failed",
    TRY_FAILED: "try failed",
    RESUME: "resume",
    STORE: "store",
    ATOMIC_STORE: "store",
    FETCHADD: "fetchadd",
    SWAP: "swap",
    CMPSET: "cmpset",
    SETBITS: "setbits",
    CLEARBITS: "clearbits",
    RMW: "rmw",
    ACQUIRE: "acquire",
    ACQUIRE_SHARED: "acquire shared",
    TRY_ACQUIRE: "try",
    RELEASE: "release",
    UPGRADE: "upgrade",
    DOWNGRADE: "downgrade",
    CANCEL: "cancel",
    SPAWN: "spawn",
    CHOOSE: "choose",
    INTERLOCK: "interlock",
    SLEEP: "sleep",
    WAKEUP: "wakeup",
    IPI: "ipi",
    REACQUIRE: "reacquire",
    TRY_SHARED_FAILED: "try shared failed",
    TRY_ACQUIRE_SHARED: "try shared",
    RELEASE_SHARED: "release shared",
    REQUEST: "request",
}


def identity(cpu: int, n: int) -> int:
    """Name the n-th object that `cpu` created."""
    return n << CPU_BITS | cpu


def op(ident: int, kind: int) -> int:
    """Code of doing `kind` to the object `ident`."""
    return ident << KIND_BITS | kind


def kind_of(code: int) -> int:
    return code & KIND_MASK


def object_of(code: int) -> int:
    return code >> KIND_BITS


def writes(code: int) -> bool:
    """Whether the operation may change what another CPU sees."""
    return bool(code & 1)


#: What is done to locks: taking several tokens at once is one operation under one of their names.
LOCKING: Final = frozenset(
    (
        ACQUIRE,
        ACQUIRE_SHARED,
        TRY_ACQUIRE,
        TRY_FAILED,
        TRY_ACQUIRE_SHARED,
        TRY_SHARED_FAILED,
        RELEASE,
        RELEASE_SHARED,
        UPGRADE,
        DOWNGRADE,
        REACQUIRE,
        REQUEST,
    )
)
#: What readers do to a lock, which they may do in any order.
SHARED: Final = frozenset((ACQUIRE_SHARED, TRY_ACQUIRE_SHARED, RELEASE_SHARED))
_SLEEPING: Final = frozenset((INTERLOCK, SLEEP, RESUME, WAKEUP))


def dependent(a: int, b: int) -> bool:
    """Whether two operations of different CPUs may fail to commute.

    On the safe side: an IPI may concern whatever its target does next, and a wait channel without
    an identity may be any other without one.
    """
    kind, other = a & KIND_MASK, b & KIND_MASK
    if IPI in (kind, other):
        return True
    if REACQUIRE in (kind, other):
        return kind in LOCKING and other in LOCKING
    if kind == SPAWN and other == SPAWN:
        return True  # the first gets the lower number
    thing = a >> KIND_BITS
    if thing != b >> KIND_BITS:
        return False
    if not thing:  # giving way and drawing data touch nothing
        return kind in _SLEEPING and other in _SLEEPING
    if kind in SHARED and other in SHARED:
        return False
    return bool((a | b) & 1)
