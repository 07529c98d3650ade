"""The seven reference programs of the search literature, and how many schedules the design found each in.

A scheduling point lies before every shared read, write, lock, unlock, spawn and join.
"""


def account(m):
    """A deposit and a withdrawal; the check has the wrong sign, and fails once it sees both."""
    x, y, z = 1, 2, 4
    balance, lock = m.cell(1, name="balance"), m.spinlock("m")
    dep_done, wd_done = m.cell(0, name="dep_done"), m.cell(0, name="wd_done")

    def checker():
        with lock:
            if dep_done.load() and wd_done.load():
                m.check(balance.load() == (x - y) - z, "the balance is right")

    def depositor():
        with lock:
            balance.store(balance.load() + y)
            dep_done.store(1)

    def withdrawer():
        with lock:
            balance.store(balance.load() - z)
            wd_done.store(1)

    for role in (checker, depositor, withdrawer):
        m.spawn(role)


def bluetooth(m):
    """A driver is stopped between another's look at `stopping` and its count."""
    pending, stopping = m.atomic(1, name="pendingIo"), m.cell(0, name="stopping")
    event, stopped = m.cell(0, name="event"), m.cell(0, name="stopped")

    def decrement():
        if pending.fetchadd(-1) == 1:
            event.store(1)

    def stop():
        stopping.store(1)
        decrement()
        if event.load():
            stopped.store(1)

    stopper = m.spawn(stop)
    if not stopping.load():
        pending.fetchadd(1)
        m.check(not stopped.load(), "a driver that works is not stopped")
        decrement()
        stopper.join()


def deadlock01(m):
    a, b, c = m.spinlock("a"), m.spinlock("b"), m.cell(0, name="c")

    def one():
        with a, b:
            c.store(c.load() + 1)

    def other():
        with b, a:
            c.store(c.load() - 1)

    m.spawn(one)
    m.spawn(other)


def lazy01(m):
    lock, d = m.spinlock("m"), m.cell(0, name="d")

    def add(n):
        with lock:
            d.store(d.load() + n)

    def check():
        with lock:
            m.check(d.load() < 3, "not both have been added")

    m.spawn(add, 1)
    m.spawn(add, 2)
    m.spawn(check)


def reorder(n):
    def program(m):
        a, b = m.cell(0, name="a"), m.cell(0, name="b")

        def setter():
            a.store(1)
            b.store(-1)

        def checker():
            together = (a.load() == 0 and b.load() == 0) or (a.load() == 1 and b.load() == -1)
            m.check(together, "both or none are set")

        for _ in range(n - 1):
            m.spawn(setter)
        m.spawn(checker)

    program.__name__ = f"reorder_{n}"
    return program


def twostages(writers, readers):
    def program(m):
        first, second = m.spinlock("L1"), m.spinlock("L2")
        d1, d2 = m.cell(0, name="d1"), m.cell(0, name="d2")

        def writer():
            with first:
                d1.store(1)
            with second:
                d2.store(d1.load() + 1)

        def reader():
            with first:
                if d1.load() == 0:
                    return
                seen = d1.load()
            with second:
                then = d2.load()
            m.check(then == seen + 1, "the second stage follows the first")

        for _ in range(writers):
            m.spawn(writer)
        for _ in range(readers):
            m.spawn(reader)

    program.__name__ = f"twostage_{writers}_{readers}"
    return program


twostage = twostages(1, 1)


def wronglock(m):
    data, this, v = m.spinlock("data"), m.spinlock("this"), m.cell(0, name="v")

    def right():
        with data:
            x = v.load()
            v.store(v.load() + 1)
            m.check(v.load() == x + 1, "nobody writes under the lock")

    def wrong():
        with this:
            v.store(v.load() + 1)

    m.spawn(right)
    for _ in range(3):
        m.spawn(wrong)


#: program -> mean schedules of the design's portfolio
MEAN = {
    account: 4,
    bluetooth: 12,
    deadlock01: 6,
    lazy01: 2,
    reorder(3): 14,
    reorder(4): 20,
    reorder(5): 32,
    twostage: 8,
    wronglock: 4,
}
