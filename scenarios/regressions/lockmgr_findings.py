"""Findings in the kernel's lockmgr: the model does what kern_lock.c does, step for step.

Each needs a request that gives up (a timeout, a signal, LK_SLEEPFAIL, a cancellation) at an unlucky moment.
The VM map's only timed request is shared, which triggers none of these, so the map alone is not affected;
other users of timed or interruptible exclusive requests and upgrades are.
"""

from vmsmp import (
    LK_CANCELABLE,
    LK_EXCLUSIVE,
    LK_RELEASE,
    LK_SHARED,
    LK_SLEEPFAIL,
    LK_TIMELOCK,
    LK_UPGRADE,
    scenario,
)


@scenario(
    cpus=3,
    tags={"lockmgr", "finding"},
    locks="exact",
    timeouts="any",
    fixed=True,
    schedule="v1:abandoned_upgrade_admits_writer+exact+any:2b:1.3>2,2.13>3,3.10>2",
)
def abandoned_upgrade_admits_writer(m):
    """An upgrade that times out hands the lock to a waiting writer while a reader still holds it.

    Two readers hold the lock; one requests an upgrade and waits for the other; a writer owns EXREQ.
    The upgrade times out.  `undo_upreq` finds no exclusive count and EXREQ set, and grants the
    writer at once.  Nothing checks whether other shared holders are left: the writer and the second
    reader hold the lock together.
    Repair `undo-upreq-spares-readers`: with readers left, only UPREQ is cleared; the last reader
    grants EXREQ as usual.
    """
    lock = m.lockmgr("lk", timo=10)
    value = m.cell(0, name="value")

    def reader():
        lock.lock(LK_SHARED)
        seen = value.load()
        m.check(value.load() == seen, "nothing is written while a reader reads")
        lock.lock(LK_RELEASE)

    def upgrader():
        lock.lock(LK_SHARED)
        if lock.lock(LK_UPGRADE | LK_TIMELOCK) == 0:
            lock.lock(LK_RELEASE)

    def writer():
        lock.lock(LK_EXCLUSIVE)
        value.store(value.load() + 1)
        lock.lock(LK_RELEASE)

    m.spawn(reader, name="reader")
    m.spawn(upgrader, name="upgrader")
    m.spawn(writer, name="writer")
    m.join()


@scenario(
    cpus=3,
    tags={"lockmgr", "finding"},
    locks="exact",
    timeouts="any",
    fixed=True,
    schedule="v1:abandoned_writer_strands_reader+exact+any:2faffcd:1.5>2,2.10>2,2.12>3,1.8>2",
)
def abandoned_writer_strands_reader(m):
    """A writer that times out removes the only reason to wake a reader that deferred to it.

    A reader that finds the lock shared with EXREQ set lets the writer go first and sleeps without
    being counted.  The holder upgrades in one step, which leaves EXREQ set under the exclusive
    count.  The writer times out: `undo_exreq` clears EXREQ and wakes only if EXREQ2 was set.  When
    the holder releases, the word has no EXREQ, no EXREQ2 and no shared count left, so it wakes
    no one either.  The reader sleeps on a free lock until an unrelated wakeup.
    Repair `undo-exreq-wakes-readers`: clearing EXREQ under an exclusive count also wakes.
    """
    lock = m.lockmgr("lk", timo=10)

    def holder():
        lock.lock(LK_SHARED)
        lock.lock(LK_UPGRADE)
        lock.lock(LK_RELEASE)

    def timed_writer():
        if lock.lock(LK_EXCLUSIVE | LK_TIMELOCK) == 0:
            lock.lock(LK_RELEASE)

    def reader():
        lock.lock(LK_SHARED)
        lock.lock(LK_RELEASE)

    m.spawn(holder, name="holder")
    m.spawn(timed_writer, name="timed_writer")
    m.spawn(reader, name="reader")
    m.join()


@scenario(
    cpus=4,
    tags={"lockmgr", "finding"},
    locks="exact",
    timeouts="any",
    fixed=True,
    schedule="v1:abandoned_upgrade_leaves_shared_set+exact+any:73d:1.4>3,3.10>1,2.4>3,2.5>4,2.6>3",
)
def abandoned_upgrade_leaves_shared_set(m):
    """A grant by a request that gives up leaves SHARED set beside the exclusive count.

    A reader sees two shared holders and releases through `undo_shreq`.  The other holder meanwhile
    turns its count into UPREQ, so the decrement leaves SHARED set with a count of 0.  Before the
    reader's undo can grant anything, the upgrade times out: `undo_upreq` grants the waiting writer,
    adding to XMASK, but does not clear SHARED, as every other grant does.  A new reader takes SHARED
    for its own grant and holds the lock together with the writer.
    Repair `undo-grant-clears-shared`: the grant clears SHARED.
    """
    lock = m.lockmgr("lk", timo=10)

    def reader():
        lock.lock(LK_SHARED)
        lock.lock(LK_RELEASE)

    def upgrader():
        lock.lock(LK_SHARED)
        if lock.lock(LK_UPGRADE | LK_TIMELOCK) == 0:
            lock.lock(LK_RELEASE)

    def writer():
        lock.lock(LK_EXCLUSIVE)
        lock.lock(LK_RELEASE)

    m.spawn(reader, name="reader1")
    m.spawn(reader, name="reader2")
    m.spawn(upgrader, name="upgrader")
    m.spawn(writer, name="writer")
    m.join()


@scenario(
    cpus=3,
    tags={"lockmgr", "cancel", "finding"},
    locks="exact",
    fixed=True,
    schedule="v1:polite_reader_misses_cancel+exact:1d:1.6>2,1.7>3,3.7>1",
)
def polite_reader_misses_cancel(m):
    """A reader that lets a writer go first sleeps through the cancellation that should end its wait.

    A reader holds the lock and a writer waits.  A second reader, cancelable, finds no CANCEL.  The holder
    cancels and wakes all sleepers; only then does the second reader announce its sleep.  It reads the word
    again, and tests whether it still has to wait, but not CANCEL.  The holder, which waits until all
    cancelable requests have ended, and the reader wait for each other.
    Repair `polite-reader-sees-cancel`: the word read after the announcement is tested for CANCEL, too.
    """
    lock = m.lockmgr("lk")
    refused = m.refcount(1, name="refused")

    def holder():
        lock.acquire_shared()
        m.spawn(writer, name="writer")
        m.spawn(reader, name="reader")
        lock.cancel_beg()
        refused.wait("readers")
        lock.cancel_end()
        lock.release()

    def writer():
        lock.acquire()
        lock.release()

    def reader():
        if lock.lock(LK_SHARED | LK_CANCELABLE) == 0:
            lock.release()
        refused.release_wakeup()

    m.spawn(holder, name="holder")
    m.join()


@scenario(
    cpus=3,
    tags={"lockmgr", "sleepfail", "finding", "clock"},
    locks="exact",
    fixed=True,
    schedule="v1:polite_reader_sleeps_and_has_it+exact:0:",
)
def polite_reader_sleeps_and_has_it(m):
    """A reader that is to fail if it has to sleep sleeps, and has the lock.

    Who asks with LK_SLEEPFAIL looks at everything anew after a sleep, since it may have changed.  A reader
    that sleeps to let a writer go first is not told: what it knew may be as old as that.
    Repair `sleepfail-minds-every-sleep`: fail after this sleep, too.
    """
    lock = m.lockmgr("lk")
    version = m.atomic(0, name="version")

    def holder():
        lock.acquire_shared()
        m.spawn(writer, name="writer")
        m.tsleep("a while", 0, "a while", 2, overdue=lambda: None)
        m.spawn(reader, name="reader")
        m.tsleep("a while", 0, "a while", 2, overdue=lambda: None)
        lock.release()

    def writer():
        lock.acquire()
        version.store(1)
        lock.release()

    def reader():
        before = version.load()
        if lock.lock(LK_SHARED | LK_SLEEPFAIL) == 0:
            m.check(version.load() == before, "nobody had the lock since it was asked for")
            lock.release()

    m.spawn(holder, name="holder")
    m.join()
