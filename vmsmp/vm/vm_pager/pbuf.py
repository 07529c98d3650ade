"""Physical buffers: a pool of buffers for transfers of pages, and how many of them one client may have.

Models: getpbuf_kva, trypbuf_kva, relpbuf and pbuf_adjcount of sys/vm/vm_pager.c, for one pool.
A client's limit is the count of buffers that it may still take.  A client that finds no buffer sleeps on that
count, or on the pool's, without a timeout.
Locks: each list has a spinlock; the counts are atomic, and tested before a list is locked, so several may
pass a test together and a count may be below zero.
Deviations:
  * a buffer is its number: it maps nothing, and has no lock.
  * transfers of swap take none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.sync.errno import PINTERLOCKED

if TYPE_CHECKING:
    from vmsmp.records.home import Home
    from vmsmp.sync.atomic import Atomic
    from vmsmp.sync.spinlock import Spinlock

BSWHSIZE: Final = 16
BSWHMASK: Final = BSWHSIZE - 1


class PbufPool:
    """A pool of `size` buffers; buffer `i` belongs to list `i & BSWHMASK`."""

    def __init__(self, vm: Home, size: int) -> None:
        machine = vm.machine
        self.vm = vm
        self.size = size
        self.count: Atomic = machine.atomic(size, name="pbuf_kva_count")
        self.spins: list[Spinlock] = [machine.spinlock(f"bswspin_kva[{n}]") for n in range(BSWHSIZE)]
        self.lists: list[list[int]] = [[*range(n, size, BSWHSIZE)] for n in range(BSWHSIZE)]


def getpbuf_kva(pool: PbufPool, cpu: int, pfreecnt: Atomic | None) -> int:
    """Take a buffer, beginning with the CPU's list; `pfreecnt` is the client's limit.

    Sleeps: until the limit and the pool have one.
    """
    machine = pool.vm.machine
    while True:
        while pfreecnt is not None and pfreecnt.load() <= 0:
            machine.tsleep_interlock(pfreecnt)
            if pfreecnt.load() <= 0:
                machine.tsleep(pfreecnt, PINTERLOCKED, "wswbuf2", 0)
        if pool.count.load() <= 0:
            machine.tsleep_interlock(pool.count)
            if pool.count.load() <= 0:
                machine.tsleep(pool.count, PINTERLOCKED, "wswbuf3", 0)
            continue
        bp = _take(pool, cpu, pfreecnt, tested=False)
        if bp is not None:
            return bp


def trypbuf_kva(pool: PbufPool, cpu: int, pfreecnt: Atomic) -> int | None:
    """Take a buffer if there is one now; return None if not, or if the client is at its limit."""
    return _take(pool, cpu, pfreecnt, tested=True)


def _take(pool: PbufPool, cpu: int, pfreecnt: Atomic | None, *, tested: bool) -> int | None:
    """Take a buffer from the first list that has one; with `tested`, while the limit allows it."""
    for n in range(cpu, cpu + BSWHSIZE):
        home = n & BSWHMASK
        if not pool.lists[home]:
            continue
        spin = pool.spins[home]
        spin.acquire()
        allowed = not tested or (pfreecnt is not None and pfreecnt.load() > 0)
        if pool.lists[home] and allowed:
            bp = pool.lists[home].pop(0)
            pool.count.fetchadd(-1)
            if pfreecnt is not None:
                pfreecnt.fetchadd(-1)
            spin.release()
            return bp
        spin.release()
    return None


def relpbuf(pool: PbufPool, bp: int, pfreecnt: Atomic | None) -> None:
    """Give a buffer back, and wake those who wait once there is more than one, or a fourth of the pool.

    Locks: takes the spinlock of the buffer's list.
    """
    machine = pool.vm.machine
    home = bp & BSWHMASK
    wake_limit = False
    pool.spins[home].acquire()
    pool.lists[home].insert(0, bp)
    wake_pool = pool.count.fetchadd(1) == pool.size // 4
    if pfreecnt is not None:
        wake_limit = pfreecnt.fetchadd(1) == 1
    pool.spins[home].release()
    if wake_pool:
        machine.wakeup(pool.count)
    if wake_limit and pfreecnt is not None:
        machine.wakeup(pfreecnt)


def pbuf_adjcount(pool: PbufPool, pfreecnt: Atomic, n: int) -> None:
    """Raise a client's limit by `n` buffers, and wake those who wait for it."""
    if n:
        pfreecnt.fetchadd(n)
        pool.vm.machine.wakeup(pfreecnt)
