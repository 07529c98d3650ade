"""One CPU and a lock: it draws its requests, and each of them has one right result."""

from vmsmp import (
    EBUSY,
    EWOULDBLOCK,
    LK_CANRECURSE,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_SHARED,
    LK_TIMELOCK,
    LK_UPGRADE,
    scenario,
)
from vmsmp.sync.lockmgr import lockinuse, lockowned, lockstatus
from vmsmp.sync.thread import curthread
from vmsmp.sync.token import lwkt_cnttoken, lwkt_relpooltoken, lwkt_token_pool_lookup


def each_alone(m, requests, leave):
    """One CPU after the other draws requests among those allowed, and then releases the lock."""

    def worker():
        for _ in m.rounds(12):
            requests[m.choose(len(requests))]()
        leave()

    for n in range(m.ncpus):
        m.spawn(worker, name=f"worker{n}").join()


@scenario(cpus=2, tags={"lockmgr", "try"}, locks="exact")
def lockmgr_alone(m):
    """Requests that need not wait, or may not: recursion, upgrades, downgrades, tries."""
    lock = m.lockmgr("lk", timo=2)
    exclusive = shared = 0

    def answers(flags, expected):
        m.check(lock.lock(flags) == expected, "a request has one right answer")
        look()

    def look():
        status = LK_EXCLUSIVE if exclusive else LK_SHARED if shared else 0
        m.check(
            lockstatus(lock) == lockstatus(lock, curthread(m)) == status, "so has who asks for the status"
        )
        m.check(lockowned(lock) == lockinuse(lock) == bool(status), "the lock is in use if it is held")

    def writer():
        nonlocal exclusive
        free = not exclusive and not shared
        exclusive += free
        answers(LK_EXCLUSIVE | (0 if free else LK_NOWAIT), 0 if free else EBUSY)

    def reader():
        nonlocal shared
        shared += not exclusive
        answers(LK_SHARED | (LK_NOWAIT if exclusive or m.choose(2) else 0), EBUSY if exclusive else 0)

    def recursive():
        nonlocal exclusive
        if exclusive:
            exclusive += 1
            answers((LK_EXCLUSIVE, LK_SHARED)[m.choose(2)] | LK_CANRECURSE | m.choose(2) * LK_NOWAIT, 0)

    def upgrader():
        nonlocal exclusive, shared
        if not exclusive and not shared:
            return
        how = (LK_UPGRADE, LK_EXCLUPGRADE)[m.choose(2)]
        last = exclusive or shared == 1
        if not exclusive:
            exclusive, shared = int(last), shared - 1
        if last:
            answers(how, 0)
        else:
            wait = m.choose(2)
            answers(how | (LK_TIMELOCK if wait else LK_NOWAIT), EWOULDBLOCK if wait else EBUSY)

    def downgrader():
        nonlocal exclusive, shared
        if exclusive == 1:
            exclusive, shared = 0, 1
            lock.downgrade()
            look()

    def leaver():
        nonlocal exclusive, shared
        if exclusive or shared:
            exclusive, shared = (exclusive - 1, shared) if exclusive else (0, shared - 1)
            lock.release()
            look()

    def leave():
        while exclusive or shared:
            leaver()

    each_alone(m, [writer, reader, recursive, upgrader, downgrader, leaver], leave)


@scenario(cpus=2, tags={"mutex", "try"}, locks="exact")
def mutex_alone(m):
    """The owner takes the mutex again, readers share it, and a single reader may become the owner."""
    mtx = m.mutex("mtx")
    exclusive, count = False, 0

    def takes(how, expected):
        nonlocal count
        m.check(bool(how()) == bool(expected), "a request has one right answer")
        count += bool(expected)

    def owner():
        nonlocal exclusive
        may = exclusive or not count
        exclusive = exclusive or not count
        if may and m.choose(2):
            mtx.lock()
            takes(lambda: True, True)
        else:
            takes(mtx.try_lock, may)

    def timed_owner():
        nonlocal exclusive
        if exclusive or not count:
            exclusive = True
            takes(lambda: mtx.lock_timed(3) == 0, True)

    def reader():
        takes(mtx.try_lock_shared, not exclusive)

    def upgrader():
        nonlocal exclusive
        if count:
            may = exclusive or count == 1
            m.check(mtx.try_upgrade() == may, "the only reader may become the owner")
            exclusive = may

    def downgrader():
        nonlocal exclusive
        if count:
            mtx.downgrade()
            exclusive = False

    def spinner():
        may = exclusive or not count
        if m.choose(2) and may:
            mtx.spinlock()
        else:
            m.check(mtx.try_spinlock() == may, "who spins for it has it as others have")
        if may:
            mtx.spinunlock()

    def linked():
        nonlocal exclusive
        link = mtx.link()
        mtx.abort_link(link)
        if exclusive or not count:  # it need not wait, so the abort has no effect
            exclusive = True
            takes(lambda: mtx.lock_ex_link(link) == 0, True)

    def leaver():
        nonlocal exclusive, count
        if count:
            mtx.unlock()
            count -= 1
            exclusive = exclusive and count > 0

    def leave():
        while count:
            leaver()

    each_alone(m, [owner, timed_owner, reader, upgrader, downgrader, spinner, linked, leaver], leave)


@scenario(cpus=2, tags={"token", "try", "sleep"}, locks="exact")
def tokens_alone(m):
    """A stack of refs to two tokens, in any order and mode, swapped and lost in sleeps."""
    tokens = [m.token("one"), m.token("other")]
    taken = m.token("somebody else's")
    stack = []

    def look():
        for token in tokens:
            modes = [mode for mine, mode in stack if mine is token]
            m.check(token.held_any() == bool(modes), "a token is held if there is a ref to it")
            m.check(token.held_excl() == (True in modes), "it is owned if one of them is exclusive")
            m.check(lwkt_cnttoken(token, curthread(m)) == len(modes), "refs are counted")
        m.check(not taken.held_any() and not taken.held_excl(), "what another CPU owns is not held")

    def taker():
        token = tokens[m.choose(2)]
        modes = [mode for mine, mode in stack if mine is token]
        exclusive = m.choose(2) == 1 and (not modes or True in modes)
        if not exclusive:
            token.acquire_shared()
        elif m.choose(2):
            token.acquire()
        else:
            m.check(token.try_acquire(), "a token that nobody else holds is had at once")
        stack.append((token, exclusive))
        look()

    def pooled():
        token = m.pool_token("page 7")
        m.check(token.held_excl(), "a pool token is a token")
        lwkt_relpooltoken(m, "page 7")
        m.check(not token.held_any(), "it is released by what it was taken for")
        others = [lwkt_token_pool_lookup(m, f"page {n}") for n in range(8)]
        m.check(any(other is not token for other in others), "not all have the same")

    def swapper():
        if len(stack) > 1 and stack[-1][0] is not stack[-2][0]:
            m.token_swap()
            stack[-2:] = reversed(stack[-2:])
            look()

    def sleeper():
        m.check(m.tsleep("nap", 0, "nap", 1) or m.options.spurious, "nobody wakes it")
        look()

    def leaver():
        if stack:
            stack.pop()[0].release()
            look()

    def leave():
        while stack:
            leaver()

    with taken:
        each_alone(m, [taker, taker, pooled, swapper, sleeper, leaver], leave)


@scenario(cpus=2, tags={"spinlock", "rwlock", "try"}, locks="exact")
def readers_and_tries_alone(m):
    """A spinlock and a reader-writer lock: tries, shared holds and the spinlock's upgrade."""
    spin, rw = m.spinlock("spin"), m.rwlock("rw")

    def spinning():
        m.check(spin.try_acquire(), "a free spinlock is had at once")
        spin.release()

    def spinning_shared():
        spin.acquire_shared()
        if m.choose(2):
            m.check(spin.try_upgrade(), "the only reader becomes the owner")
            spin.release()
        else:
            spin.release_shared()

    def writing():
        if m.choose(2):
            m.check(rw.try_acquire(), "a free lock is had at once")
        else:
            rw.acquire()
        rw.release()

    def reading():
        rw.acquire_shared()
        m.check(rw.try_acquire_shared(), "a reader may come in beside readers")
        rw.release()
        rw.release_shared()

    each_alone(m, [spinning, spinning_shared, writing, reading], lambda: None)


@scenario(cpus=2, tags={"semaphore", "refcount"}, locks="exact")
def counts_alone(m):
    """A semaphore and a reference count: units that exist are given, missing ones refused in time."""
    units, refs = m.semaphore(2, "units"), m.refcount(1, "refs")
    taken, held = 0, 1

    def taker():
        nonlocal taken
        before = m.ticks
        if m.choose(2):
            m.check(units.try_acquire() == (taken < 2), "a unit is had if there is one")
        elif taken == 2:
            m.check(units.acquire(3) == EWOULDBLOCK, "nobody gives one")
            m.check(m.ticks >= before + 3, "the time is over")
        else:
            m.check(units.acquire(3) == 0, "there is one")
        taken = min(2, taken + 1)

    def giver():
        nonlocal taken
        if taken:
            units.release()
            taken -= 1
        m.check(units.value() == 2 - taken, "units are counted")

    def holder():
        nonlocal held
        refs.acquire()
        held += 1

    def dropper():
        nonlocal held
        if held:
            held -= 1
            drop = (refs.release, refs.release_wakeup)[m.choose(2)]
            m.check(drop() == (not held), "the last reference says so")
        else:
            refs.wait("none")
        m.check(refs.references() == held, "references are counted")

    def leave():
        while taken:
            giver()

    each_alone(m, [taker, giver, holder, dropper], leave)
