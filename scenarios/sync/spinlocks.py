"""Spinlocks under readers and writers."""

from vmsmp import scenario


@scenario(cpus=3, tags={"spinlock"}, locks="exact")
def spin_readers_and_writers(m):
    """Readers and writers take turns on one spinlock; a writer always holds it alone."""
    spin = m.spinlock("pg")
    value = m.cell(0, name="value")

    def writer():
        spin.acquire()
        value.store(value.load() + 1)
        spin.release()

    def reader():
        for _ in m.rounds(2):
            spin.acquire_shared()
            value.load()
            spin.release_shared()

    for n in range(m.ncpus):
        role = reader if n % 3 else writer
        m.spawn(role, name=f"{role.__name__}{n}")
    m.join()
    m.check(value.load() == (m.ncpus + 2) // 3, "every writer's change is there")


@scenario(cpus=3, tags={"spinlock"}, locks="exact")
def spin_writers_queue(m):
    """Writers queue in the word's upper bits and move to the lower ones one by one."""
    spin = m.spinlock("pq")
    count = m.cell(0, name="count")

    def writer():
        with spin:
            count.store(count.load() + 1)

    for _ in range(m.ncpus):
        m.spawn(writer)
    m.join()
    m.check(count.load() == m.ncpus, "every writer's change is there")


@scenario(cpus=3, tags={"spinlock", "try"}, locks="exact")
def spin_try_leaves_no_trace(m):
    """The page queues' two orders: queue first, then pages by trylock, against page first, then queue.

    The reverse order is allowed because it never waits.  A failed try must leave nothing in the
    word that would block the next acquisition.
    """
    page = m.spinlock("page")
    queue = m.spinlock("queue")
    moves = m.atomic(0, name="moves")

    def mover():
        with page, queue:
            moves.fetchadd(1)

    def scanner():
        with queue:
            if page.try_acquire():
                moves.fetchadd(1)
                page.release()

    for n in range(m.ncpus):
        role = scanner if n % 2 else mover
        m.spawn(role, name=f"{role.__name__}{n}")
    m.join()
    m.check(moves.load() >= (m.ncpus + 1) // 2, "the movers got through")


@scenario(cpus=3, tags={"spinlock", "upgrade"}, locks="exact")
def spin_upgrade(m):
    """A reader that finds itself alone becomes the writer; with company it does not."""
    spin = m.spinlock("pg")
    value = m.cell(0, name="value")
    changed = m.atomic(0, name="changed")

    def reader():
        spin.acquire_shared()
        seen = value.load()
        if spin.try_upgrade():
            m.check(value.load() == seen, "nobody wrote before the upgrade")
            value.store(seen + 1)
            changed.fetchadd(1)
            spin.release()
        else:
            spin.release_shared()

    for _ in range(m.ncpus):
        m.spawn(reader)
    m.join()
    m.check(value.load() == changed.load(), "every upgrade's change is there")
