"""Visible operations: every effect that another CPU could see, as one small integer.

An operation is `identity << 6 | kind`.  The identity names the object it is done to (`identity`).
Integers keep the hot path free of allocation; `Machine.describe` puts one into words.

`TABLE` has a row for each kind.  Everything that is asked about kinds is a column of it, so a new kind
is one constant and one row.  A number never changes: schedules and digests are made of them.

A kind is odd if the operation may change what another CPU sees.  A try is logged under its odd kind
while it is pending, and as the even kind below it if it failed.

Free numbers, for IPI and I/O operations: the even 22 to 42 and 46 to 62 for those that only look, the odd
57 to 63 for those that change something.  Words of page tables and frames of memory need no kinds of
their own: they are words like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
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
FILL: Final = 20
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
STEP: Final = 51
FLUSH: Final = 53
SETTLED: Final = 55


class Subject(Enum):
    """What an operation is done to."""

    WORD = "a word of memory"
    WORDS = "words of memory"
    LOCK = "a lock"
    CHANNEL = "a wait channel"
    CPU = "a CPU"
    THREAD = "the IPI queue of a thread"
    FRAME = "a frame of memory"
    TLB = "a TLB"
    TLBS = "all TLBs"
    NOTHING = "nothing"


class Takes(Enum):
    """How a CPU may come to hold a lock by an operation."""

    NO = "not"
    ONE_MORE = "one hold more"
    PERHAPS = "a hold that it may have had before, or does not get"


class Order(Enum):
    """What an access to a word orders, as C11 says it."""

    NOTHING = "nothing: two of them, one a store, race"
    ACQUIRE = "what was released into the word comes before what follows"
    RELEASE = "what came before is released into the word"
    BOTH = "acquire and release"
    ELSEWHERE = "what it orders is told by an observer's hook, not by the word"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of operation.  `name` is how a report tells it."""

    number: int
    name: str
    subject: Subject
    order: Order
    #: The CPU learns something about shared state.
    reads: bool = False
    #: One of the steps by which locks are taken, given back and asked for.
    locking: bool = False
    #: Does not run until it can have the lock.
    waits: bool = False
    takes: Takes = Takes.NO
    #: Gives a hold back.
    gives: bool = False
    #: Readers do it to a lock in any order.
    shared: bool = False
    #: Begins a critical section: a place to which `minimize` moves a preemption.
    opens: bool = False
    #: A step of going to sleep or waking up.
    sleeping: bool = False
    #: May depend on operations on other objects.
    everywhere: bool = False
    #: Competes with other CPUs for its object.
    contends: bool = True
    #: Lets another CPU run first.
    gives_way: bool = False
    #: The kind as which it is tried, if it is a try that failed.
    tried_as: int | None = None

    @property
    def changes(self) -> bool:
        """Whether it may change what another CPU sees."""
        return bool(self.number & 1)


def _word(number: int, name: str, order: Order, *, reads: bool = False, tried_as: int | None = None) -> Kind:
    return Kind(number=number, name=name, subject=Subject.WORD, order=order, reads=reads, tried_as=tried_as)


def _lock(
    number: int,
    name: str,
    *,
    reads: bool = False,
    waits: bool = False,
    takes: Takes = Takes.NO,
    gives: bool = False,
    shared: bool = False,
    opens: bool = False,
    everywhere: bool = False,
    tried_as: int | None = None,
) -> Kind:
    return Kind(
        number=number,
        name=name,
        subject=Subject.LOCK,
        order=Order.ELSEWHERE,
        reads=reads,
        locking=True,
        waits=waits,
        takes=takes,
        gives=gives,
        shared=shared,
        opens=opens,
        everywhere=everywhere,
        contends=not gives,
        tried_as=tried_as,
    )


def _channel(
    number: int,
    name: str,
    *,
    order: Order = Order.ELSEWHERE,
    takes: Takes = Takes.NO,
    contends: bool = True,
) -> Kind:
    return Kind(
        number=number,
        name=name,
        subject=Subject.CHANNEL,
        order=order,
        takes=takes,
        sleeping=True,
        contends=contends,
    )


def _cpu(number: int, name: str, *, subject: Subject = Subject.CPU, gives_way: bool = False) -> Kind:
    return Kind(
        number=number,
        name=name,
        subject=subject,
        order=Order.ELSEWHERE,
        contends=False,
        gives_way=gives_way,
    )


TABLE: Final[tuple[Kind, ...]] = (
    _word(LOAD, "load", Order.NOTHING, reads=True),
    _word(STORE, "store", Order.NOTHING),
    _word(ATOMIC_LOAD, "load", Order.ACQUIRE, reads=True),
    _word(ATOMIC_STORE, "store", Order.RELEASE),
    _word(FETCHADD, "fetchadd", Order.BOTH, reads=True),
    _word(SWAP, "swap", Order.BOTH, reads=True),
    _word(SETBITS, "setbits", Order.BOTH),
    _word(CLEARBITS, "clearbits", Order.BOTH),
    _word(CMPSET, "cmpset", Order.BOTH, reads=True),
    _word(CMPSET_FAILED, "cmpset failed", Order.ACQUIRE, reads=True, tried_as=CMPSET),
    _word(RMW, "rmw", Order.BOTH, reads=True),
    _lock(ACQUIRE, "acquire", waits=True, takes=Takes.ONE_MORE, opens=True),
    _lock(ACQUIRE_SHARED, "acquire shared", waits=True, takes=Takes.ONE_MORE, shared=True, opens=True),
    _lock(TRY_ACQUIRE, "try", reads=True, takes=Takes.ONE_MORE, opens=True),
    _lock(TRY_FAILED, "try failed", reads=True, tried_as=TRY_ACQUIRE),
    _lock(TRY_ACQUIRE_SHARED, "try shared", takes=Takes.ONE_MORE, shared=True),
    _lock(TRY_SHARED_FAILED, "try shared failed", tried_as=TRY_ACQUIRE_SHARED),
    _lock(RELEASE, "release", gives=True),
    _lock(RELEASE_SHARED, "release shared", gives=True, shared=True),
    _lock(UPGRADE, "upgrade", takes=Takes.PERHAPS),
    _lock(DOWNGRADE, "downgrade"),
    # all tokens at once, under the identity of one of them
    _lock(REACQUIRE, "reacquire", waits=True, takes=Takes.ONE_MORE, everywhere=True),
    _lock(REQUEST, "request", takes=Takes.PERHAPS, opens=True),
    Kind(number=CANCEL, name="cancel", subject=Subject.LOCK, order=Order.ELSEWHERE),
    _channel(INTERLOCK, "interlock"),
    # also a wait for a lockmgr lock, which may end with the lock held
    _channel(SLEEP, "sleep", order=Order.BOTH, takes=Takes.PERHAPS),
    _channel(RESUME, "resume", contends=False),
    _channel(WAKEUP, "wakeup"),
    Kind(number=IPI, name="ipi", subject=Subject.THREAD, order=Order.ELSEWHERE, everywhere=True),
    # several accesses at once, to words that only show when they are made
    Kind(
        number=STEP,
        name="step",
        subject=Subject.WORDS,
        order=Order.ELSEWHERE,
        reads=True,
        everywhere=True,
    ),
    # a translation that names the frame is cached
    Kind(number=FILL, name="fill", subject=Subject.FRAME, order=Order.ELSEWHERE, reads=True, contends=False),
    Kind(number=FLUSH, name="flush", subject=Subject.TLB, order=Order.ELSEWHERE, contends=False),
    # a promise about what every CPU has cached, so about whatever other CPUs do
    Kind(
        number=SETTLED,
        name="settled",
        subject=Subject.TLBS,
        order=Order.ELSEWHERE,
        everywhere=True,
        contends=False,
    ),
    _cpu(SPAWN, "spawn"),
    _cpu(START, "start"),
    _cpu(JOIN, "join"),
    _cpu(JOIN_ALL, "join all"),
    _cpu(YIELD, "yield", subject=Subject.NOTHING, gives_way=True),
    _cpu(PAUSE, "pause", subject=Subject.NOTHING, gives_way=True),
    _cpu(CHOOSE, "choose", subject=Subject.NOTHING),
)


def which(column: Callable[[Kind], bool]) -> frozenset[int]:
    """The numbers of the kinds for which `column` holds."""
    return frozenset(kind.number for kind in TABLE if column(kind))


NAMES: Final[dict[int, str]] = {kind.number: kind.name for kind in TABLE}
KINDS: Final[dict[int, Kind]] = {kind.number: kind for kind in TABLE}
LOCKING: Final = which(lambda kind: kind.locking)
SHARED: Final = which(lambda kind: kind.shared)
#: Kinds that wait until the lock is free, or held by readers only.
WAITING: Final = which(lambda kind: kind.waits)
RELEASING: Final = which(lambda kind: kind.gives)
EVERYWHERE: Final = which(lambda kind: kind.everywhere)
GIVING_WAY: Final = which(lambda kind: kind.gives_way)
FAILED: Final = which(lambda kind: kind.tried_as is not None)
WORDS: Final = which(lambda kind: kind.subject is Subject.WORD)
_SLEEPING: Final = which(lambda kind: kind.sleeping)
#: Kinds that may depend on whatever another CPU does.
ON_ALL: Final = frozenset((IPI, STEP, SETTLED))


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


def as_tried(code: int) -> int:
    """The operation as it stood before it was performed: a try that failed might not have."""
    return code + 1 if code & KIND_MASK in FAILED else code


def dependent(a: int, b: int) -> bool:
    """Whether two operations of different CPUs may fail to commute.

    On the safe side: an IPI may concern whatever its target does next, a step of several accesses may
    touch any word, a promise about all TLBs is about any access, and a wait channel without an identity may
    be any other without one.
    """
    kind, other = a & KIND_MASK, b & KIND_MASK
    if kind in ON_ALL or other in ON_ALL:
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
