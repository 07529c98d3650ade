"""tsleep and wakeup, and reference counts with waiters."""

from vmsmp import EINTR, EWOULDBLOCK, PCATCH, PINTERLOCKED, scenario

LOCKED = 1
WANTED = 2


@scenario(cpus=3, tags={"sleep", "interlock"}, locks="exact")
def busy_bit_handoff(m):
    """The page's busy protocol in miniature: an owner bit, a WANTED bit, sleep and wakeup.

    A waiter interlocks the sleep, sets WANTED by a compare-and-set that fails if the word has
    changed, and only then sleeps.  The owner clears both bits at once and wakes if WANTED was set.
    """
    busy = m.atomic(0, name="busy")
    inside = m.cell(0, name="inside")

    def worker():
        while True:
            old = busy.load()
            if old & LOCKED:
                m.tsleep_interlock("busy")
                if busy.cmpset(old, old | WANTED):
                    m.tsleep("busy", PINTERLOCKED, "pgbusy")
            elif busy.cmpset(old, old | LOCKED):
                break
        m.check(inside.load() == 0, "the owner is alone")
        inside.store(1)
        inside.store(0)
        if busy.clearbits(LOCKED | WANTED) & WANTED:
            m.wakeup("busy")

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()
    m.check(busy.load() == 0, "nobody owns or wants it any more")


@scenario(cpus=4, tags={"sleep"}, locks="exact")
def wakeup_one_each(m):
    """As many tickets as sleepers, and one wakeup_one per ticket: each sleeper gets one.

    A CPU that is only interlocked must not consume the wakeup that a sleeper needs.
    """
    tickets = m.atomic(0, name="tickets")

    def taker():
        while True:
            free = tickets.load()
            if free and tickets.cmpset(free, free - 1):
                return
            m.tsleep_interlock("ticket")
            if tickets.load() == 0:
                m.tsleep("ticket", PINTERLOCKED, "ticket")

    def giver():
        tickets.fetchadd(1)
        m.wakeup_one("ticket")

    for n in range(m.ncpus):
        role = giver if n % 2 else taker
        m.spawn(role, name=f"{role.__name__}{n}")
    if m.ncpus % 2:
        giver()
    m.join()
    m.check(tickets.load() == 0, "every ticket was taken")


@scenario(cpus=2, tags={"sleep", "timeout"}, locks="exact")
def timed_sleep_without_a_waker(m):
    """A delay: no one wakes the sleeper, and no one should; only time passes.

    A sleep may end spuriously, so sleep again for the rest of the delay.
    """

    def delayed():
        end = m.ticks + 5
        while m.ticks < end:
            error = m.tsleep("delay", 0, "delay", end - m.ticks)
            m.check(error in (0, EWOULDBLOCK), "it ends by its timeout or for no reason")
        m.check(m.ticks >= end, "five ticks have passed")

    for _ in range(m.ncpus):
        m.spawn(delayed)
    m.join()


@scenario(cpus=2, tags={"sleep", "signal"}, locks="exact", fixed=True)
def signal_interrupts_a_sleep(m):
    """A sleep with PCATCH ends with EINTR when a signal comes, before or during it."""
    asleep = m.atomic(0, name="asleep")

    def sleeper():
        m.tsleep_interlock("never")
        asleep.store(1)
        while m.tsleep("never", PINTERLOCKED | PCATCH, "never") != EINTR:
            m.tsleep_interlock("never")  # spurious wakeup: only the signal counts

    target = m.spawn(sleeper, name="sleeper")

    def sender():
        while not asleep.load():
            m.pause()
        m.signal(target)

    m.spawn(sender, name="sender")
    m.join()


@scenario(cpus=3, tags={"refcount", "sleep"}, locks="exact")
def refcount_drains(m):
    """Paging in progress: the terminator waits until the last I/O has released the object."""
    pip = m.refcount(0, name="pip")
    alive = m.cell(1, name="alive")

    def io():
        m.check(alive.load() == 1, "the object lives while I/O runs")
        pip.release_wakeup()

    def terminator():
        pip.wait("objpip")
        alive.store(0)

    for n in range(m.ncpus - 1):
        pip.acquire()
        m.spawn(io, name=f"io{n}")
    m.spawn(terminator, name="terminator")
    m.join()
    m.check(pip.references() == 0, "all I/O is done")
    m.check(alive.load() == 0, "the terminator went on")


@scenario(cpus=4, tags={"sleep", "interlock"}, locks="exact")
def sleeps_that_let_go_of_a_lock(m):
    """Tickets under a lock: takers sleep with it released; givers release it, then wake them."""
    lock, sleep = (
        (m.spinlock("spin"), m.ssleep),
        (m.lockmgr("lk"), m.lksleep),
        (m.mutex("mtx"), m.mtxsleep),
    )[m.choose(3)]
    tickets = m.cell(0, name="tickets")

    def taker():
        with lock:
            while not tickets.load():
                sleep("ticket", lock)
            tickets.store(tickets.load() - 1)

    def giver():
        with lock:
            tickets.store(tickets.load() + 1)
        m.wakeup("ticket")

    for n in range(m.ncpus):
        role = giver if n % 2 else taker
        m.spawn(role, name=f"{role.__name__}{n}")
    if m.ncpus % 2:
        giver()
    m.join()
    m.check(tickets.load() == 0, "every ticket was taken")
