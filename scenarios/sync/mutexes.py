"""Mutexes: writers that take turns, readers that come in together, tries and upgrades beside them."""

from vmsmp import scenario
from vmsmp.scenarios._kit import Pair


@scenario(cpus=3, tags={"mutex"}, locks="exact")
def mutex_hands_over(m):
    """Writers and readers of a pair that the mutex keeps equal; each release may find others waiting."""
    mtx = m.mutex("mtx")
    pair = Pair(m)

    def writer():
        for _ in m.rounds(2):
            with mtx:
                pair.write()

    def reader():
        for _ in m.rounds(2):
            mtx.lock_shared()
            pair.read()
            mtx.unlock()

    for n in range(m.ncpus):
        role = reader if n % 2 else writer
        m.spawn(role, name=f"{role.__name__}{n}")
    m.join()


@scenario(cpus=4, tags={"mutex"}, locks="exact")
def mutex_lets_readers_in(m):
    """Readers wait for an owner who takes the mutex twice; one of them tries to become the owner."""
    mtx = m.mutex("mtx")
    pair = Pair(m)

    def owner():
        with mtx:
            pair.write()
            if mtx.try_lock():
                pair.write()
                mtx.unlock()
            pair.write()

    def reader():
        mtx.lock_shared()
        pair.read()
        mtx.unlock()

    def upgrader():
        mtx.lock_shared()
        if mtx.try_upgrade():
            pair.write()
        else:
            pair.read()
        mtx.unlock()

    def trier():
        for attempt in (mtx.try_lock_shared, mtx.try_lock):
            if attempt():
                pair.read()
                mtx.unlock()

    roles = [owner, reader, upgrader, trier]
    for n in range(m.ncpus):
        role = roles[n % 4]
        m.spawn(role, name=f"{role.__name__}{n}")
    m.join()
