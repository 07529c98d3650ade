"""Storms: every CPU draws its next operation, so the search varies the programs as well.

The draws are part of the schedule, so a schedule line replays them too.
"""

from vmsmp import (
    LK_CANCELABLE,
    LK_CANRECURSE,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_RELEASE,
    LK_SHARED,
    LK_SLEEPFAIL,
    LK_TIMELOCK,
    LK_UPGRADE,
    PINTERLOCKED,
    scenario,
)
from vmsmp.scenarios._kit import Pair

_HOW = [0, 0, LK_NOWAIT, LK_TIMELOCK, LK_SLEEPFAIL, LK_CANCELABLE]


@scenario(cpus=4, tags={"lockmgr", "storm"}, locks="exact", timeouts="any")
def lockmgr_storm(m):
    """Any lockmgr request against any other, with every way to fail it."""
    lock = m.lockmgr("lk", timo=10)
    pair = Pair(m)

    def reader(how):
        if lock.lock(LK_SHARED | how) == 0:
            pair.read()
            lock.lock(LK_RELEASE)

    def writer(how):
        if lock.lock(LK_EXCLUSIVE | how) == 0:
            pair.write()
            lock.lock(LK_RELEASE)

    def recursive(how):
        if lock.lock(LK_EXCLUSIVE | how) == 0:
            lock.lock(LK_SHARED | LK_CANRECURSE)
            pair.write()
            lock.lock(LK_RELEASE)
            pair.write()
            lock.lock(LK_RELEASE)

    def canceler(how):
        if lock.lock(LK_EXCLUSIVE | how) == 0:
            lock.cancel_beg()
            pair.write()
            lock.lock(LK_RELEASE)

    def downgrader(how):
        if lock.lock(LK_EXCLUSIVE | how) == 0:
            pair.write()
            before = pair.left.load()
            lock.downgrade()
            m.check(pair.left.load() == before, "nobody writes during a downgrade")
            lock.lock(LK_RELEASE)

    def upgrader(how):
        if lock.lock(LK_SHARED) == 0:
            before = pair.left.load()
            if lock.lock(LK_EXCLUPGRADE | how) == 0:
                m.check(pair.left.load() == before, "nobody writes during an EXCLUPGRADE")
                pair.write()
                lock.lock(LK_RELEASE)

    def patient_upgrader(how):
        if lock.lock(LK_SHARED) == 0 and lock.lock(LK_UPGRADE | how) == 0:
            pair.write()
            lock.lock(LK_RELEASE)

    deeds = [reader, writer, recursive, canceler, downgrader, upgrader, patient_upgrader]

    def worker():
        for _ in m.rounds(2):
            deeds[m.choose(len(deeds))](_HOW[m.choose(len(_HOW))])

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()
    m.check(lock.lock(LK_EXCLUSIVE) == 0, "the lock can be had afterwards")
    lock.lock(LK_RELEASE)


@scenario(cpus=4, tags={"spinlock", "storm"}, locks="exact")
def spin_storm(m):
    """Any spinlock operation against any other, on two locks in the allowed order."""
    page, queue = m.spinlock("page"), m.spinlock("queue")
    pair = Pair(m)

    def reader():
        page.acquire_shared()
        pair.read()
        page.release_shared()

    def writer():
        with page:
            pair.write()

    def both():
        with page, queue:
            pair.write()

    def reverse():
        with queue:
            if page.try_acquire():
                pair.write()
                page.release()

    def upgrader():
        page.acquire_shared()
        if page.try_upgrade():
            pair.write()
            page.release()
        else:
            pair.read()
            page.release_shared()

    deeds = [reader, writer, both, reverse, upgrader]

    def worker():
        for _ in m.rounds(2):
            deeds[m.choose(len(deeds))]()

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()


@scenario(cpus=3, tags={"token", "storm"}, locks="exact")
def token_storm(m):
    """Stacks of tokens in any order and mode, with sleeps in the middle."""
    tokens = [m.token(f"t[{n}]") for n in range(3)]
    pairs = [Pair(m) for _ in tokens]
    awake = m.atomic(0, name="awake")

    def dive(depth, mine):
        n = m.choose(len(tokens))
        tokens[n].held_any()  # the answer may be old when it is given
        if n in mine or m.choose(2):
            if n in mine and not tokens[n].held():
                return  # an exclusive request over the CPU's own shared hold is a caller's bug
            tokens[n].acquire()
            m.check(tokens[n].held_excl(), "its owner is told so")
            pairs[n].write()
        elif m.choose(2):
            tokens[n].acquire_shared()
            pairs[n].read()
        elif tokens[n].try_acquire():
            pairs[n].write()
        else:
            return
        if depth:
            dive(depth - 1, {*mine, n})
        elif m.choose(2):
            m.tsleep_interlock("storm")
            if not awake.load():
                m.tsleep("storm", PINTERLOCKED, "storm", 3)
        if tokens[n].held():
            pairs[n].write()
        else:
            pairs[n].read()
        tokens[n].release()

    def worker():
        dive(2, set())
        awake.store(1)
        m.wakeup("storm")

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()


@scenario(cpus=4, tags={"sleep", "refcount", "storm"}, locks="exact")
def sleep_storm(m):
    """Sleepers and wakers on several idents, some of which share a queue, and a count to drain."""
    idents = [f"ident{n}" for n in range(max(6, m.ncpus))]
    flags = [m.atomic(0, name=f"flag[{n}]") for n in range(len(idents))]
    refs = m.refcount(m.ncpus, "refs")

    def wait_for(n):
        while not flags[n].load():
            m.tsleep_interlock(idents[n])
            if m.choose(4) == 0:
                m.tsleep_interlock(idents[n - 1])  # an interlock without a sleep
                continue
            if not flags[n].load():
                m.tsleep(idents[n], PINTERLOCKED, "storm")

    def set_flag(n):
        flags[n].store(1)
        if m.choose(2):
            m.wakeup(idents[n])
        else:
            m.wakeup_one(idents[n])
            m.wakeup(idents[n])

    def worker(me):
        order = list(range(m.ncpus))
        set_flag(me)
        wait_for(order[(me + 1 + m.choose(m.ncpus - 1)) % m.ncpus] if m.ncpus > 1 else me)
        refs.release_wakeup()

    for n in range(m.ncpus):
        m.spawn(worker, n)
    refs.wait("drain")
    m.join()
