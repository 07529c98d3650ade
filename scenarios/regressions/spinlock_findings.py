"""Findings in the kernel's spinlocks: the model does what kern_spinlock.c does, step for step."""

from vmsmp import scenario


@scenario(
    cpus=3,
    tags={"spinlock", "finding"},
    locks="exact",
    fixed=True,
    schedule="v1:windowed_reader_starves_writer+exact+steps=2000:3d090c:0.2>2,2.7>0,1.2>3",
)
def windowed_reader_starves_writer(m):
    """A writer queues, one reader passes it in its window, and from then on no reader waits.

    A queued writer has cleared SHARED, which keeps new readers out.  A reader in its window takes the
    lock before it and sets SHARED again.  Every later reader finds SHARED set and enters past the
    waiter; while the readers overlap, the count never falls to 0 and the writer starves (INV-PG2).
    Repair `window-leaves-shared-clear`: a reader that enters beside a queued writer does not set SHARED.
    """
    lock = m.spinlock("lock")
    been_in = m.cell(0, "been in", sloppy="a reader that misses it takes the lock once more")

    def reader():
        while not been_in.load():
            with_lock_shared()

    def with_lock_shared():
        lock.acquire_shared()
        lock.release_shared()

    def writer():
        with lock:
            been_in.store(1)

    m.spawn(reader)
    m.spawn(reader)
    m.spawn(writer)
    m.join()
