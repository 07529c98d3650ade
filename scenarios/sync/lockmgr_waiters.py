"""Waiters for a lockmgr lock: grants, timeouts and cancellation."""

from vmsmp import (
    EBUSY,
    ENOLCK,
    EWOULDBLOCK,
    LK_CANCELABLE,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_RELEASE,
    LK_SHARED,
    LK_SLEEPFAIL,
    LK_TIMELOCK,
    LK_UPGRADE,
    scenario,
)
from vmsmp.scenarios._kit import Pair
from vmsmp.sync.lockmgr import lockstatus
from vmsmp.sync.thread import TDF_DEADLKTREAT, curthread


@scenario(cpus=4, tags={"lockmgr"}, locks="exact")
def readers_and_writers(m):
    """Writers keep two words equal; readers must never see them differ, and no CPU may starve."""
    lock = m.lockmgr("pair")
    pair = Pair(m)

    def writer():
        lock.lock(LK_EXCLUSIVE)
        pair.write()
        lock.lock(LK_RELEASE)

    def reader():
        lock.lock(LK_SHARED)
        pair.read()
        lock.lock(LK_RELEASE)

    for n in range(m.ncpus):
        role = writer if n % 2 else reader
        m.spawn(role, name=f"{role.__name__}{n}")
    m.join()
    m.check(pair.left.load() == m.ncpus // 2, "every writer's change is there")


@scenario(cpus=3, tags={"lockmgr"}, locks="exact")
def last_readers_leave(m):
    """Two readers release at the same moment while a writer waits: one of them must grant it."""
    lock = m.lockmgr("obj")
    done = m.cell(0, name="done")

    def reader():
        lock.lock(LK_SHARED)
        lock.lock(LK_RELEASE)

    def writer():
        lock.lock(LK_EXCLUSIVE)
        done.store(1)
        lock.lock(LK_RELEASE)

    for n in range(m.ncpus - 1):
        m.spawn(reader, name=f"reader{n}")
    m.spawn(writer, name="writer")
    m.join()
    m.check(done.load() == 1, "the writer got its turn")


@scenario(cpus=3, tags={"lockmgr", "cancel"}, locks="exact")
def cancel_against_waiters(m):
    """The holder cancels: cancelable waiters give up, the others get the lock in the end.

    A cancelled request may have been granted at the same moment; then it must pass the lock on.
    """
    lock = m.lockmgr("vnode")
    inside = m.cell(0, name="inside")

    def holder():
        lock.lock(LK_EXCLUSIVE)
        lock.cancel_beg()
        m.check(inside.load() == 0, "the holder is alone")
        lock.cancel_end()
        lock.lock(LK_RELEASE)

    def waiter(flags):
        error = lock.lock(flags)
        m.check(error in (0, ENOLCK), "a cancelable request ends well or with ENOLCK")
        m.check(error == 0 or flags & LK_CANCELABLE, "only cancelable requests are cancelled")
        if error == 0:
            if not flags & LK_SHARED:
                inside.store(1)
                inside.store(0)
            lock.lock(LK_RELEASE)

    m.spawn(holder, name="holder")
    kinds = [LK_EXCLUSIVE | LK_CANCELABLE, LK_EXCLUSIVE, LK_SHARED | LK_CANCELABLE]
    for n in range(m.ncpus - 1):
        m.spawn(waiter, kinds[n % len(kinds)], name=f"waiter{n}")
    m.join()


@scenario(cpus=3, tags={"lockmgr", "timeout"}, locks="exact", timeouts="any")
def timeouts_against_grants(m):
    """A timed request gives up at the very moment at which it is granted.

    It may keep the lock and report success, or pass it on and report the timeout; it must not leave
    the lock granted without an owner.
    """
    lock = m.lockmgr("map", timo=10)
    owner = m.cell(0, name="owner")

    def timed(me):
        error = lock.lock(LK_EXCLUSIVE | LK_TIMELOCK)
        m.check(error in (0, EWOULDBLOCK), "granted or timed out")
        if error == 0:
            owner.store(me)
            m.check(owner.load() == me, "the owner is alone")
            lock.lock(LK_RELEASE)

    def reader():
        if lock.lock(LK_SHARED | LK_TIMELOCK) == 0:
            lock.lock(LK_RELEASE)

    for n in range(m.ncpus):
        if n % 3 == 2:
            m.spawn(reader, name=f"reader{n}")
        else:
            m.spawn(timed, n + 1, name=f"timed{n}")
    m.join()
    m.check(lock.lock(LK_EXCLUSIVE) == 0, "the lock can be had afterwards")
    lock.lock(LK_RELEASE)


@scenario(cpus=3, tags={"lockmgr", "timeout", "upgrade"}, locks="exact", timeouts="any")
def timeouts_against_upgrades(m):
    """Upgrades and writers time out against each other; the requests that stay must still be granted."""
    lock = m.lockmgr("map", timo=10)

    def upgrader():
        lock.lock(LK_SHARED)
        if lock.lock(LK_UPGRADE | LK_TIMELOCK) == 0:
            lock.lock(LK_RELEASE)

    def timed_writer():
        if lock.lock(LK_EXCLUSIVE | LK_TIMELOCK) == 0:
            lock.lock(LK_RELEASE)

    def writer():
        lock.lock(LK_EXCLUSIVE)
        lock.lock(LK_RELEASE)

    def reader():
        lock.lock(LK_SHARED)
        lock.lock(LK_RELEASE)

    roles = [upgrader, timed_writer, writer, reader]
    for n in range(m.ncpus):
        m.spawn(roles[n % len(roles)], name=f"{roles[n % len(roles)].__name__}{n}")
    m.join()
    m.check(lock.lock(LK_EXCLUSIVE) == 0, "the lock can be had afterwards")
    lock.lock(LK_RELEASE)


@scenario(cpus=3, tags={"lockmgr", "timeout", "upgrade"}, locks="exact", timeouts="any")
def readers_behind_an_upgrade(m):
    """A reader lets an upgrade go first and sleeps; the upgrade gives up and must wake the reader."""
    lock = m.lockmgr("map", timo=10)
    seen = m.atomic(0, name="seen")

    def upgrader():
        lock.lock(LK_SHARED)
        if lock.lock(LK_UPGRADE | LK_TIMELOCK) == 0:
            lock.lock(LK_RELEASE)

    def reader():
        lock.lock(LK_SHARED)
        seen.fetchadd(1)
        lock.lock(LK_RELEASE)

    m.spawn(upgrader, name="upgrader")
    for n in range(m.ncpus - 1):
        m.spawn(reader, name=f"reader{n}")
    m.join()
    m.check(seen.load() == m.ncpus - 1, "every reader got in")


@scenario(cpus=4, tags={"lockmgr", "timeout"}, locks="exact", timeouts="any")
def writers_behind_a_timed_writer(m):
    """Readers leave while a timed writer, which others wait behind, gives up.

    It may find that the lock is free and take it after all; the writers that wait to be next must be
    woken.
    """
    lock = m.lockmgr("map", timo=10)
    writes = m.cell(0, name="writes")

    def reader():
        lock.lock(LK_SHARED)
        lock.lock(LK_RELEASE)

    def timed_writer():
        if lock.lock(LK_EXCLUSIVE | LK_TIMELOCK) == 0:
            lock.lock(LK_RELEASE)

    def writer():
        lock.lock(LK_EXCLUSIVE)
        writes.store(writes.load() + 1)
        lock.lock(LK_RELEASE)

    roles = [reader, timed_writer, writer, reader]
    for n in range(m.ncpus):
        m.spawn(roles[n % len(roles)], name=f"{roles[n % len(roles)].__name__}{n}")
    m.join()
    m.check(writes.load() == (m.ncpus + 1) // 4, "every patient writer got its turn")


@scenario(cpus=3, tags={"lockmgr", "sleepfail"}, locks="exact")
def sleepfail_passes_on(m):
    """A request with LK_SLEEPFAIL fails after any sleep, even if it was granted."""
    lock = m.lockmgr("vnode")

    def impatient():
        error = lock.lock(LK_EXCLUSIVE | LK_SLEEPFAIL)
        m.check(error in (0, ENOLCK), "granted at once or failed")
        if error == 0:
            lock.lock(LK_RELEASE)

    def patient():
        lock.lock(LK_EXCLUSIVE)
        lock.lock(LK_RELEASE)

    def reader():
        lock.lock(LK_SHARED)
        lock.lock(LK_RELEASE)

    roles = [reader, impatient, patient]
    for n in range(m.ncpus):
        m.spawn(roles[n % len(roles)], name=f"{roles[n % len(roles)].__name__}{n}")
    m.join()


@scenario(cpus=3, tags={"lockmgr", "upgrade"}, locks="exact")
def readers_leave_to_requests(m):
    """Readers that hold the lock from the start release it, or request an upgrade; grants come in order.

    An upgrade is granted before a writer, whichever was requested first; the last reader grants it, even if
    two of them release at the same moment and each sees the other one.
    """
    lock = m.lockmgr("lk")
    inside = m.refcount(m.ncpus, "readers to come")
    version = m.cell(0, name="version")

    def reader():
        lock.acquire_shared()
        inside.release_wakeup()
        if m.choose(2):
            lock.release()
            return
        before = version.load()
        how = (LK_EXCLUPGRADE, LK_UPGRADE)[m.choose(2)]
        error = lock.lock(how)
        m.check(
            error == 0 or (how == LK_EXCLUPGRADE and error == EBUSY),
            "it is granted, or another one was faster",
        )
        if not error:
            m.check(how == LK_UPGRADE or version.load() == before, "nobody wrote during an EXCLUPGRADE")
            version.store(version.load() + 1)
            lock.release()

    for n in range(m.ncpus):
        m.spawn(reader, name=f"reader{n}")
    inside.wait()
    m.check(lock.lock(LK_EXCLUSIVE | LK_CANCELABLE) == 0, "nobody cancels")
    version.store(version.load() + 1)
    lock.release()
    m.join()
    m.check(lock.lock(LK_EXCLUSIVE | LK_NOWAIT) == 0, "the lock can be had afterwards")
    lock.release()


@scenario(cpus=2, tags={"lockmgr", "sleepfail"}, locks="exact")
def sleepfail_is_told(m):
    """Exclusive requests with LK_SLEEPFAIL are granted if they need not wait, and fail if they do."""

    def asker(lock):
        error = lock.lock(LK_EXCLUSIVE | LK_SLEEPFAIL)
        waited = lock.statistics().contested
        m.check(not waited or error == ENOLCK, "it fails if it had to wait")
        m.check(waited or error == 0, "it is granted if it had not")
        if not error:
            lock.release()

    for n in range(m.ncpus):
        lock = m.lockmgr(f"lk[{n}]")
        (lock.acquire, lock.acquire_shared)[m.choose(2)]()
        m.spawn(asker, lock, name=f"asker{n}")
        lock.release()
    m.join()


@scenario(cpus=2, tags={"lockmgr"}, locks="exact")
def readers_that_do_not_wait(m):
    """A reader requests a lock that it already holds shared, and does not let the writers go first.

    They wait for its hold, so it would wait for ever; TDF_DEADLKTREAT, which a thread has while it copies
    from or to user memory, prevents that.
    """
    lock = m.lockmgr("lk")

    def reader():
        td = curthread(m)
        lock.acquire_shared()
        td.td_flags |= TDF_DEADLKTREAT
        lock.acquire_shared()
        td.td_flags &= ~TDF_DEADLKTREAT
        lock.release()
        lock.release()

    def writer():
        how = m.choose(2)
        if how:
            lock.acquire()
        else:
            lock.acquire_shared()
            lock.upgrade()
            m.check(lockstatus(lock, curthread(m)) == LK_EXCLUSIVE, "it is the owner now")
        lock.release()

    for n in range(m.ncpus):
        m.spawn(reader if n % 2 else writer)
    m.join()


@scenario(cpus=2, tags={"lockmgr", "cancel"}, locks="exact")
def cancellation_is_over(m):
    """Once a cancellation has ended, cancelable requests wait again, though the lock is still held."""
    lock = m.lockmgr("lk")

    def holder():
        (lock.acquire, lock.acquire_shared)[m.choose(2)]()
        lock.cancel_beg()
        lock.cancel_end()
        for n in range(m.ncpus - 1):
            m.spawn(asker, name=f"asker{n}")
        lock.release()

    def asker():
        request = (LK_SHARED, LK_EXCLUSIVE)[m.choose(2)]
        m.check(lock.lock(request | LK_CANCELABLE) == 0, "nobody cancels any more")
        lock.release()

    m.spawn(holder, name="holder")
    m.join()


@scenario(cpus=2, tags={"lockmgr", "cancel"}, locks="exact")
def readers_leave_a_cancellation(m):
    """Readers leave at once, of whom one has canceled: nobody has the lock then, and nobody cancels."""
    lock = m.lockmgr("lk")
    there = m.atomic(0, name="there")

    def reader(n):
        lock.acquire_shared()
        there.fetchadd(1)
        while there.load() < m.ncpus:
            m.yield_()
        if n == 0:
            lock.cancel_beg()
        lock.release()

    for n in range(m.ncpus):
        m.spawn(reader, n)
    m.join()
    m.check(lock.lock(LK_EXCLUSIVE | LK_CANCELABLE) == 0, "the lock is free, and requests are not canceled")
    lock.release()
