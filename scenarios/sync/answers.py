"""Results of requests while a lock is held, and the ends of sleeps."""

from vmsmp import (
    EBUSY,
    EINTR,
    ENOLCK,
    EWOULDBLOCK,
    LK_CANCELABLE,
    LK_EXCLUPGRADE,
    LK_EXCLUSIVE,
    LK_NOWAIT,
    LK_PCATCH,
    LK_SHARED,
    LK_SLEEPFAIL,
    LK_TIMELOCK,
    LK_UPGRADE,
    PCATCH,
    PINTERLOCKED,
    scenario,
)
from vmsmp.scenarios._kit import Pair
from vmsmp.sync.errno import EINPROGRESS
from vmsmp.sync.sleepq.exact import bucket_of

#: The requests for a lock that is held exclusively all the while, and their allowed results.
REFUSED = (
    (LK_NOWAIT, {EBUSY}),
    (LK_TIMELOCK, {EWOULDBLOCK}),
    (LK_TIMELOCK | LK_SLEEPFAIL, {EWOULDBLOCK, ENOLCK}),
    (LK_CANCELABLE, {ENOLCK}),
    (LK_PCATCH, {EINTR}),
    (LK_PCATCH | LK_SLEEPFAIL, {EINTR, ENOLCK}),
)
#: Channels of which two pairs hash to one sleep queue.
CHANNELS = ("channel 1", "channel 2", "channel 3", "channel 4")


@scenario(cpus=3, tags={"lockmgr", "cancel", "timeout", "signal"}, locks="exact")
def refused_while_held(m):
    """The holder releases only when every other request has been refused, each as its flags say."""
    lock = m.lockmgr("lk", timo=3)
    others = m.refcount(0, name="others")
    signalled = []

    def signal():
        for cpu in signalled:
            m.signal(cpu)

    def asker(mode, flags, allowed):
        error = lock.lock(mode | flags)
        m.check(error in allowed, "a request that cannot be granted is refused as its flags say")
        others.release_wakeup()

    def holder():
        lock.lock(LK_EXCLUSIVE)
        for n in range(1, m.ncpus):
            others.acquire()
            flags, allowed = REFUSED[m.choose(len(REFUSED))]
            cpu = m.spawn(asker, (LK_EXCLUSIVE, LK_SHARED)[m.choose(2)], flags, allowed, name=f"asker{n}")
            if flags & LK_PCATCH:
                signalled.append(cpu)
        if m.choose(2):
            lock.cancel_beg()
            signal()
        else:
            signal()
            lock.cancel_beg()
        others.wait("answers")
        lock.cancel_end()
        lock.release()

    m.spawn(holder, name="holder")
    m.join()
    m.check(lock.lock(LK_EXCLUSIVE | LK_NOWAIT) == 0, "the lock can be had afterwards")
    lock.release()


@scenario(cpus=4, tags={"lockmgr", "cancel", "timeout", "signal", "upgrade"}, locks="exact", timeouts="any")
def refused_while_shared(m):
    """A reader releases only when every request to become a writer has been refused, as its flags say.

    Readers that come meanwhile get in, or are refused, too: they let the writers go first, one of which waits
    without a limit.
    """
    lock = m.lockmgr("lk", timo=3)
    others = m.refcount(0, name="others")
    signalled = []

    def signal():
        for cpu in signalled:
            m.signal(cpu)

    def asker(request, flags, allowed):
        error = lock.lock(LK_SHARED | flags) if request != LK_EXCLUSIVE else 0
        if not error and request != LK_SHARED:
            error = lock.lock(request | flags)
        lost = request == LK_EXCLUPGRADE and error == EBUSY  # another one was faster
        m.check(
            error in allowed or lost or (request == LK_SHARED and not error), "it is refused as its flags say"
        )
        if not error:
            lock.release()
        others.release_wakeup()

    def patient():
        lock.acquire()
        lock.release()

    def holder():
        lock.acquire_shared()
        for n in range(1, m.ncpus):
            if n == 3:
                m.spawn(patient, name="patient")
                continue
            others.acquire()
            flags, allowed = REFUSED[m.choose(len(REFUSED))]
            request = (LK_SHARED, LK_EXCLUSIVE, LK_UPGRADE, LK_EXCLUPGRADE)[m.choose(4)]
            cpu = m.spawn(asker, request, flags, allowed, name=f"asker{n}")
            if flags & LK_PCATCH:
                signalled.append(cpu)
        if m.choose(2):
            lock.cancel_beg()
            signal()
        else:
            signal()
            lock.cancel_beg()
        others.wait("answers")
        lock.cancel_end()
        lock.release()

    m.spawn(holder, name="holder")
    m.join()
    m.check(lock.lock(LK_EXCLUSIVE | LK_NOWAIT) == 0, "the lock can be had afterwards")
    lock.release()


@scenario(cpus=3, tags={"mutex", "cancel", "timeout"}, locks="exact")
def mutex_refused_while_held(m):
    """The owner releases when every other request has been refused: in time, by a try, or by an abort."""
    mtx = m.mutex("mtx")
    others = m.refcount(0, name="others")
    linked = []

    def asker(ask, allowed):
        m.check(ask() in allowed, "a request that cannot be granted is refused")
        others.release_wakeup()

    def aborted(callback=None):
        linked.append(mtx.link(callback))
        return (mtx.lock_ex_link, mtx.lock_sh_link)[m.choose(2)], linked[-1]

    def told(error):
        m.check(error == ENOLCK, "it is told of its abort")
        others.release_wakeup()

    def some_request():
        which = m.choose(6)
        if which == 0:
            return lambda: mtx.lock_timed(3), {EWOULDBLOCK}
        if which == 1:
            link = mtx.link()
            return lambda: mtx.lock_sh_link(link, 3), {EWOULDBLOCK}
        if which == 2:
            return mtx.try_lock, {False}
        if which == 3:
            return mtx.try_lock_shared, {False}
        if which == 4:
            ask, link = aborted()
            return lambda: ask(link), {ENOLCK}
        ask, link = aborted(told)
        others.acquire()

        def ask_and_go_on():
            error = ask(link)
            if error == ENOLCK:  # aborted before it was made
                others.release_wakeup()
            return error

        return ask_and_go_on, {EINPROGRESS, ENOLCK}

    def owner():
        mtx.lock()
        for n in range(1, m.ncpus):
            others.acquire()
            m.spawn(asker, *some_request(), name=f"asker{n}")
        for link in linked:
            mtx.abort_link(link)
        others.wait("answers")
        mtx.unlock()

    m.spawn(owner, name="owner")
    m.join()
    m.check(mtx.try_lock(), "the mutex can be had afterwards")
    mtx.unlock()


@scenario(cpus=3, tags={"spinlock", "token", "lockmgr", "mutex", "rwlock"}, locks="exact")
def readers_meet_inside(m):
    """Readers wait for an owner, and then for one another, inside: they must all get in together."""
    lock = (m.spinlock("spin"), m.token("token"), m.lockmgr("lk"), m.mutex("mtx"), m.rwlock("rw"))[
        m.choose(5)
    ]
    inside = m.atomic(0, name="inside")

    def reader():
        lock.acquire_shared()
        inside.fetchadd(1)
        while inside.load() < m.ncpus:
            m.pause()
        lock.release()

    lock.acquire()
    for n in range(m.ncpus):
        m.spawn(reader, name=f"reader{n}")
    lock.release()
    m.join()


@scenario(cpus=3, tags={"lockmgr", "downgrade"}, locks="exact")
def readers_beside_a_downgrade(m):
    """A writer becomes a reader, and stays until all readers have been in beside it."""
    lock = m.lockmgr("lk")
    outside = m.refcount(m.ncpus - 1, name="outside")

    def writer():
        lock.acquire()
        lock.downgrade()
        outside.wait("readers")
        lock.release()

    def reader():
        lock.acquire_shared()
        lock.release()
        outside.release_wakeup()

    m.spawn(writer, name="writer")
    for n in range(m.ncpus - 1):
        m.spawn(reader, name=f"reader{n}")
    m.join()


@scenario(cpus=3, tags={"token", "lockmgr", "mutex", "sleep"}, locks="exact")
def tokens_in_waits(m):
    """A CPU that holds a lock needs a token before it releases; another with the token wants the lock."""
    lock = (m.lockmgr("lk"), m.mutex("mtx"), m.rwlock("rw"))[m.choose(3)]
    token, other = m.token("token"), m.token("other")
    inside = m.cell(0, name="inside")

    def alone():
        inside.store(inside.load() + 1)
        m.check(inside.load() == 1, "the token is its holder's alone")
        inside.store(inside.load() - 1)

    def lock_first():
        with lock, token:
            alone()

    def token_first():
        with other, token:
            alone()
            with lock:
                alone()
            alone()

    for n in range(m.ncpus):
        m.spawn(token_first if n % 2 else lock_first)
    m.join()


@scenario(cpus=4, tags={"sleep", "interlock", "timeout", "signal"}, locks="exact")
def wakeups_of_other_channels(m):
    """Sleepers on channels that share queues, in domains that share channels: each wakeup is for its own.

    A sleep returns 0 only if a wakeup of its channel and domain was in progress since its interlock, or if
    the CPU has announced another sleep since then.  It times out only when its time is over, and is
    interrupted only with PCATCH.
    """
    _sleep_and_wake(m)


@scenario(cpus=4, tags={"sleep", "interlock", "timeout", "signal"}, locks="exact", timeouts="any")
def wakeups_against_timeouts(m):
    """The same, while any timeout may fire at any moment."""
    _sleep_and_wake(m)


def _sleep_and_wake(m):
    """Half of the CPUs sleep with a timeout, the others wake and interrupt them."""
    channels = [(one, domain) for one in CHANNELS for domain in (0, 0x10000)]
    everyone = range((m.ncpus + 1) // 2)
    # wakeups of a channel, or of all channels of one sleeper: those begun, and those done
    begun, done = (
        {key: m.atomic(0, name=f"{what} {key}") for key in (*channels, *everyone)}
        for what in ("begun", "done")
    )
    signals = [m.atomic(0, name=f"signals {n}") for n in everyone]

    def drawn():
        return channels[m.choose(len(channels))]

    def sleeper(me):
        interrupted = 0
        for _ in m.rounds(3):
            channel, domain = key = drawn()
            before = done[key].load() + done[me].load()
            if m.choose(2):
                m.tsleep_interlock(*drawn())
            m.tsleep_interlock(channel, domain)
            last = drawn() if m.choose(4) == 0 else key
            if last != key:
                m.tsleep_interlock(*last)
            start, catches = m.ticks, m.choose(2)
            flags = PINTERLOCKED | domain | catches * PCATCH
            error = m.tsleep(channel, flags, "channel", 2, overdue=lambda: None)
            if error == EINTR:
                interrupted += 1
                m.check(catches and interrupted <= signals[me].load(), "a signal has come")
            elif error:
                m.check(error == EWOULDBLOCK, "it was late")
                m.check(last == key, "it does not sleep on what it was not announced for last")
                m.check(m.ticks >= start + 2 or m.options.timeouts == "any", "its time is over")
            else:
                woken = begun[key].load() + begun[me].load() > before
                m.check(
                    woken or last != key or m.options.spurious, "without a wakeup of its own it ends late"
                )

    def waker():
        for _ in m.rounds(3):
            channel, domain = key = drawn()
            n = m.choose(len(everyone))
            how = m.choose(4)
            if how == 0:
                (m.wakeup_mycpu, m.wakeup_mycpu_one)[m.choose(2)](channel)
            elif how == 1:
                signals[n].fetchadd(1)
                m.signal(sleepers[n])
            elif how == 2 and not domain:
                begun[n].fetchadd(1)
                (m.wakeup_oncpu, m.wakeup_oncpu_one)[m.choose(2)](sleepers[n], channel)
                done[n].fetchadd(1)
            else:
                begun[key].fetchadd(1)
                (m.wakeup_domain, m.wakeup_domain_one)[m.choose(2)](channel, domain)
                done[key].fetchadd(1)

    sleepers = [m.spawn(sleeper, n, name=f"sleeper{n}") for n in everyone]
    for n in range(m.ncpus // 2):
        m.spawn(waker, name=f"waker{n}")
    m.join()


@scenario(cpus=3, tags={"sleep", "interlock", "timeout"}, locks="exact")
def more_channels_than_hints(m):
    """A CPU sleeps on more channels of a queue than the queue has hints, then on one until it is woken."""
    names = (f"channel {n}" for n in range(1_000))
    channels = [name for name in names if bucket_of(name) == bucket_of("channel 0")][:7]
    ready = m.atomic(0, name="ready")

    def sleeper(me):
        last, naps = m.choose(len(channels)), m.choose(2)
        for n in range(len(channels)):
            m.tsleep_interlock(channels[n - me])
            if naps:  # a sleep that ends leaves its hint behind
                m.tsleep(channels[n - me], PINTERLOCKED, "short", 1)
        while not ready.load():
            m.tsleep_interlock(channels[last])
            if not ready.load():
                m.tsleep(channels[last], PINTERLOCKED, "ready")

    def waker():
        ready.store(1)
        for channel in channels:
            m.wakeup(channel)

    for n in range(m.ncpus):
        m.spawn(sleeper, n, name=f"sleeper{n}")
    waker()
    m.join()


@scenario(
    cpus=3, tags={"token", "refcount", "semaphore", "barrier", "condvar", "futex", "sleep"}, locks="exact"
)
def tokens_in_every_wait(m):
    """A waiter holds a token that its waker needs first; after the wait it holds the token again."""
    token = m.token("token")
    lock, filled = m.lockmgr("lk"), m.condvar("filled")
    refs, units, both = m.refcount(1, "refs"), m.semaphore(0, "units"), m.barrier(2, "both")
    ready = m.atomic(0, name="ready")
    inside = m.cell(0, name="inside")

    def alone():
        m.check(token.held(), "the token is there")
        inside.store(inside.load() + 1)
        m.check(inside.load() == 1, "it is its holder's alone")
        inside.store(inside.load() - 1)

    def wait_for_word():
        while not ready.load():
            m.futex_wait(ready, 0)

    def set_word():
        ready.store(1)
        m.futex_wake(ready)

    def sleep():
        while not ready.load():
            m.tsleep_interlock("ready")
            if not ready.load():
                m.tsleep("ready", PINTERLOCKED, "ready")

    def wake():
        ready.store(1)
        m.wakeup("ready")

    def wait_for_signal():
        with lock:
            while not ready.load():
                filled.wait(lock)

    def signal():
        with lock:
            ready.store(1)
            filled.signal()

    wait, end = (
        (refs.wait, refs.release_wakeup),
        (units.acquire, units.release),
        (both.wait, both.wait),
        (wait_for_word, set_word),
        (sleep, wake),
        (wait_for_signal, signal),
        (m.synchronize_ipiqs, lambda: None),
    )[m.choose(7)]

    def waiter():
        with token:
            alone()
            wait()
            alone()

    def ender():
        with token:
            alone()
            if m.choose(2):
                end()
                return
        end()

    def visitor():
        with token:
            alone()

    m.spawn(waiter, name="waiter")
    for n in range(m.ncpus - 2):
        m.spawn(visitor, name=f"visitor{n}")
    (m.spawn(ender, name="ender").join if m.ncpus > 1 else ender)()
    m.join()


@scenario(
    cpus=4, tags={"sleep", "lockmgr", "mutex", "rwlock", "semaphore", "futex"}, locks="exact", spurious=True
)
def waits_end_for_no_reason(m):
    """Sleeps may end without a wakeup; a waiter tests its condition again."""
    pair = Pair(m)
    locks = (m.lockmgr("lk"), m.mutex("mtx"), m.rwlock("rw"), m.token("token"))
    lock = locks[m.choose(len(locks))]
    units, refs, both = m.semaphore(0, "units"), m.refcount(0, "refs"), m.barrier(m.ncpus, "both")
    arrived = m.atomic(0, name="arrived")

    def reader():
        lock.acquire_shared()
        pair.read()
        lock.release()

    def writer():
        with lock:
            pair.write()

    def worker(me):
        for _ in m.rounds(2):
            (reader, writer)[m.choose(2)]()
        refs.acquire()
        arrived.fetchadd(1)
        both.wait()
        m.check(arrived.load() == m.ncpus, "everybody has come")
        if me:
            m.check(units.acquire() == 0, "a unit is waited for as long as it takes")
        units.release()
        refs.release_wakeup()
        refs.wait()
        m.check(units.value() == 1, "everybody is through")

    for n in range(m.ncpus):
        m.spawn(worker, n, name=f"worker{n}")
    m.join()


@scenario(cpus=3, tags={"lockmgr", "mutex", "rwlock"}, locks="exact")
def writer_gets_in(m):
    """Readers come and go, each of them staying for a while until the next one is in; a writer gets in."""
    lock = (m.lockmgr("lk"), m.mutex("mtx"), m.rwlock("rw"))[m.choose(3)]
    written = m.atomic(0, name="written")
    arrivals = m.atomic(0, name="arrivals")

    def reader():
        while not written.load():
            lock.acquire_shared()
            mine = arrivals.fetchadd(1) + 1
            for _ in range(20):
                if arrivals.load() != mine or written.load():
                    break
                m.pause()
            lock.release()

    def writer():
        with lock:
            written.store(1)

    for n in range(m.ncpus - 1):
        m.spawn(reader, name=f"reader{n}")
    m.spawn(writer, name="writer")
    m.join()
