"""Histories: the results of lock operations, checked against a sequential specification.

Each operation is recorded from its call to its return.  At the end there must be an order of the
operations, consistent with real time, in which the specification gives the same results.
"""

from vmsmp import LK_EXCLUSIVE, LK_NOWAIT, LK_SHARED, scenario
from vmsmp.check.linearize import History
from vmsmp.check.specs import RwLock


class Recorded:
    """A lock that records every operation in a history."""

    def __init__(self, m, lock):
        self.machine = m
        self.lock = lock
        self.history = History(m)
        self.inside = m.atomic(0, name="inside")

    def do(self, name, action):
        """Do `action` as the running CPU's operation `name`, and return its result."""
        with self.history.operation(name, str(self.machine.curcpu)) as op:
            op.result = action()
        self.inside.load()  # a switch point between two operations
        return op.result

    def writer(self):
        """A CPU's role: acquire and release the lock."""
        for _ in self.machine.rounds(2):
            self.do("acquire", self.lock.acquire)
            self.do("release", self.lock.release)

    def trier(self):
        """A CPU's role: try to acquire the lock."""
        for _ in self.machine.rounds(2):
            if self.do("try_acquire", self.lock.try_acquire):
                self.do("release", self.lock.release)


def use(lock, roles):
    """Run one CPU for each role, and judge the recorded history."""
    m = lock.machine
    for n in range(m.ncpus):
        role = roles[n % len(roles)]
        m.spawn(role, name=f"{role.__name__}{n}")
    m.join()
    lock.history.judge(RwLock(may_fail=True))


@scenario(cpus=3, tags={"spinlock", "history"})
def spinlock_history(m):
    """A spinlock is a readers-writer lock whose tries may fail under contention."""
    spin = m.spinlock("spin")
    lock = Recorded(m, spin)

    def reader():
        lock.do("acquire_shared", spin.acquire_shared)
        name = "release" if lock.do("try_upgrade", spin.try_upgrade) else "release_shared"
        lock.do(name, spin.release)

    use(lock, [lock.writer, reader, lock.trier])


@scenario(cpus=3, tags={"token", "history"})
def token_history(m):
    """A token held without sleeping is a readers-writer lock, and its try may fail."""
    token = m.token("token")
    lock = Recorded(m, token)

    def reader():
        for _ in m.rounds(2):
            lock.do("acquire_shared", token.acquire_shared)
            lock.do("release_shared", token.release)

    use(lock, [lock.writer, reader, lock.trier])


@scenario(cpus=3, tags={"lockmgr", "history"})
def lockmgr_history(m):
    """A lockmgr lock is a readers-writer lock with a downgrade; LK_NOWAIT may fail."""
    lk = m.lockmgr("lk")
    lock = Recorded(m, lk)

    def writer():
        lock.do("acquire", lk.acquire)
        lock.do("downgrade", lk.downgrade)
        lock.do("release_shared", lk.release)

    def reader():
        lock.do("acquire_shared", lk.acquire_shared)
        lock.do("release_shared", lk.release)
        if lock.do("try_acquire_shared", lambda: lk.lock(LK_SHARED | LK_NOWAIT) == 0):
            lock.do("release_shared", lk.release)

    def trier():
        for _ in m.rounds(2):
            if lock.do("try_acquire", lambda: lk.lock(LK_EXCLUSIVE | LK_NOWAIT) == 0):
                lock.do("release", lk.release)

    use(lock, [writer, reader, trier])
