"""Protocols of users: condition variables, semaphores, barriers, rwlocks, futexes, memory, steps."""

from vmsmp import EAGAIN, ERESTART, EWOULDBLOCK, PCATCH, PINTERLOCKED, scenario
from vmsmp.sync.futex import ALL
from vmsmp.sync.sequence import (
    SequenceLock,
    spin_access_check_inprog,
    spin_access_end,
    spin_access_end_only,
    spin_access_start,
    spin_access_start_only,
    spin_lock_update,
    spin_unlock_update,
)


@scenario(cpus=4, tags={"condvar"})
def bounded_queue(m):
    """Producers and consumers share a queue of one place; each side waits for the other.

    Both kinds wait on condition variables of their own, and look again after every wait.
    """
    lock, room, filled = m.lockmgr("queue"), m.condvar("room"), m.condvar("filled")
    length = m.cell(0, name="length")

    def producer():
        with lock:
            while length.load():
                room.wait(lock)
            length.store(1)
            filled.signal()

    def consumer():
        with lock:
            while not length.load():
                filled.wait(lock)
            length.store(0)
            room.signal()

    for n in range(m.ncpus):
        role = consumer if n % 2 else producer
        m.spawn(role, name=f"{role.__name__}{n}")
    if m.ncpus % 2:
        consumer()
    m.join()
    m.check(length.load() == 0, "what was produced was consumed")


@scenario(cpus=3, tags={"semaphore"})
def buffers_are_enough(m):
    """Two buffers for any number of users: a semaphore counts them, a word says which are taken."""
    free, taken = m.semaphore(2, "free"), m.atomic(0, name="taken", format=bin)

    def user():
        with free:
            mine = 1
            while taken.setbits(mine) & mine:  # with a unit there is a free buffer, though not at once
                mine = 3 - mine
            taken.clearbits(mine)

    for _ in range(m.ncpus):
        m.spawn(user)
    m.join()
    m.check((free.value(), taken.load()) == (2, 0), "all buffers are back")


@scenario(cpus=3, tags={"rwlock"})
def table_and_readers(m):
    """Readers find a table whole while writers change both of its words."""
    lock = m.rwlock("table")
    first, second = m.cell(0, name="first"), m.cell(0, name="second")

    def reader():
        lock.acquire_shared()
        m.check(first.load() == second.load(), "the table is whole")
        lock.release()

    def writer():
        with lock:
            first.store(first.load() + 1)
            second.store(second.load() + 1)

    for n in range(m.ncpus):
        role = reader if n % 3 == 1 else writer
        m.spawn(role, name=f"{role.__name__}{n}")
    m.join()
    m.check(first.load() == sum(n % 3 != 1 for n in range(m.ncpus)), "each writer counts")


@scenario(cpus=3, tags={"barrier"})
def phases(m):
    """In each phase every CPU reads what its neighbour wrote in the phase before."""
    barrier = m.barrier(m.ncpus, "phase")
    cells = [m.cell(0, name=f"cell[{n}]") for n in range(m.ncpus)]
    last = m.atomic(0, name="last")

    def worker(me):
        for phase in m.rounds(2):
            cells[me].store(phase + 1)
            last.fetchadd(barrier.wait())
            m.check(cells[me - 1].load() == phase + 1, "the neighbour has come as far")
            last.fetchadd(barrier.wait())

    for me in range(m.ncpus):
        m.spawn(worker, me)
    m.join()
    m.check(last.load() == 2 * len(m.rounds(2)), "one CPU of each phase is told that it came last")


@scenario(cpus=3, tags={"futex"})
def futex_mutex(m):
    """A mutex in one word: 0 is free, 1 is taken, 2 is taken and somebody may sleep.

    As in Drepper's "Futexes are tricky": a CPU that has slept sets it to 2, since others may still sleep.
    """
    word, count = m.atomic(0, name="mutex"), m.cell(0, name="count")

    def lock():
        if word.cmpset(0, 1):
            return
        while word.swap(2):
            m.futex_wait(word, 2)

    def unlock():
        if word.swap(0) == 2:
            m.futex_wake(word)

    def worker():
        lock()
        count.store(count.load() + 1)
        unlock()

    for _ in range(m.ncpus):
        m.spawn(worker)
    m.join()
    m.check(count.load() == m.ncpus, "each worker counts")


@scenario(cpus=3, tags={"futex", "requeue"})
def broadcast_requeues(m):
    """A broadcast wakes one waiter and moves the others to the word they would wait on next.

    After its wait a waiter takes the mutex as one that others may still sleep on.
    """
    turn, mutex, ready = m.atomic(0, name="turn"), m.atomic(0, name="mutex"), m.cell(0, name="ready")

    def acquire():
        while mutex.swap(2):
            m.futex_wait(mutex, 2)

    def release():
        mutex.store(0)
        m.futex_wake(mutex)

    def waiter():
        acquire()
        while not ready.load():
            now = turn.load()
            release()
            m.futex_wait(turn, now)
            acquire()
        release()

    for _ in range(m.ncpus):
        m.spawn(waiter)
    acquire()
    ready.store(1)
    turn.fetchadd(1)
    m.futex_requeue(turn, mutex, 1, ALL)
    release()
    m.join()


@scenario(cpus=3, tags={"allocate"})
def last_reference_frees(m):
    """Users of one thing count themselves; the last one frees it."""
    thing = m.allocate("thing", value=7, ref=m.atomic(m.ncpus, name="thing.ref"))

    def user():
        m.check(thing.value.load() == 7, "it is what it was")
        if thing.ref.fetchadd(-1) == 1:
            thing.free()

    for _ in range(m.ncpus):
        m.spawn(user)
    m.join()


@scenario(cpus=3, tags={"step"})
def versioned_stack(m):
    """A stack whose head and version change by one compare-and-set of two words.

    Without the version a pop could mistake a node that is on top again for an unchanged stack (ABA).
    """
    head, version = m.atomic(None, name="head"), m.atomic(0, name="version")
    below = {}

    def exchange(old, seen, new):
        with m.step():
            if (head.load(), version.load()) != (old, seen):
                return False
            head.store(new)
            version.store(seen + 1)
            return True

    def look():
        with m.step():
            return head.load(), version.load()

    def push(node):
        while True:
            top, seen = look()
            below[node].store(top)
            if exchange(top, seen, node):
                return

    def pop():
        while True:
            top, seen = look()
            if top is None or exchange(top, seen, below[top].load()):
                return top

    def worker(node):
        push(node)
        popped.append(pop())

    popped = []
    for node in range(m.ncpus):
        below[node] = m.cell(None, name=f"below[{node}]")
    for node in range(m.ncpus):
        m.spawn(worker, node)
    m.join()
    m.check(sorted(popped) == [*range(m.ncpus)], "each node was popped once")


@scenario(cpus=4, tags={"condvar", "timeout"})
def everybody_goes_on(m):
    """Waiters, some with a timeout, wait for a broadcast; each holds the lock again after its wait."""
    lock, opened = m.mutex("gate"), m.condvar("opened")
    is_open = m.cell(0, name="is open")

    def waiter():
        with lock:
            while not is_open.load():
                m.check(opened.wait(lock) == 0, "without a limit a wait ends by a signal")
                m.check(lock.held(), "the lock is back")

    def timed_waiter():
        with lock:
            end = m.ticks + 3
            while not is_open.load() and m.ticks < end:
                error = opened.wait(lock, end - m.ticks)
                m.check(lock.held(), "the lock is back")
                m.check(error in (0, EWOULDBLOCK), "it ends by a signal or in time")

    def opener():
        with lock:
            is_open.store(1)
            opened.broadcast()

    for n in range(m.ncpus):
        role = timed_waiter if n % 2 else waiter
        m.spawn(role, name=f"{role.__name__}{n}")
    opener()
    m.join()


@scenario(cpus=2, tags={"condvar", "semaphore", "futex", "timeout"})
def nobody_comes(m):
    """Waits that only their timeout ends: they end then, and not before."""
    lock, never = m.lockmgr("lk"), m.condvar("never")
    units, word = m.semaphore(0, "units"), m.atomic(0, name="word")

    def waiter():
        for _ in m.rounds(2):
            start, limit = m.ticks, 1 + m.choose(3)
            which = m.choose(5)
            if which == 0:
                m.check(units.acquire(limit) == EWOULDBLOCK, "nobody gives a unit")
                m.check(m.ticks >= start + limit, "the time is over")
            elif which == 1:
                with lock:
                    error = never.wait(lock, limit)
                m.check(error or m.options.spurious, "nobody signals")
            elif which == 2:
                m.signal(m.curcpu, restart=True)
                m.check(m.tsleep("never", PCATCH, "never", limit) == ERESTART, "a signal to itself has come")
            elif which == 3:
                m.check(m.futex_wait(word, 0, limit) or m.options.spurious, "nobody wakes")
            else:
                m.check(m.futex_wait(word, 1) == EAGAIN, "the word is another one")
                m.check(m.ticks == start or m.ncpus > 1, "so nobody waits")

    for n in range(m.ncpus):
        m.spawn(waiter, name=f"waiter{n}")
    m.join()
    m.check(m.futexes.waiting(word) == 0, "no waiter is left behind")


@scenario(cpus=4, tags={"semaphore", "timeout"}, timeouts="any")
def units_are_kept(m):
    """Units of a semaphore are taken in every way, sometimes in vain; none is lost or given twice."""
    units = m.semaphore(1, "units")
    inside = m.cell(0, name="inside")

    def use():
        inside.store(inside.load() + 1)
        m.check(inside.load() == 1, "there is only one unit")
        inside.store(inside.load() - 1)
        units.release()

    def user():
        for _ in m.rounds(2):
            how = m.choose(3)
            if how == 0:
                units.acquire()
                use()
            elif (units.acquire(1) == 0) if how == 1 else units.try_acquire():
                use()

    for n in range(m.ncpus):
        m.spawn(user, name=f"user{n}")
    m.join()
    m.check(units.try_acquire() and not units.try_acquire(), "the unit is there, once")
    units.release()


@scenario(cpus=4, tags={"rwlock", "try"})
def table_is_tried(m):
    """Readers and writers try a reader-writer lock, and then go on without it or wait; writers go first."""
    lock = m.rwlock("table")
    first, second = m.cell(0, name="first"), m.cell(0, name="second")
    changes = m.atomic(0, name="changes")

    def read():
        m.check(first.load() == second.load(), "the table is whole")
        lock.release()

    def write():
        first.store(first.load() + 1)
        second.store(second.load() + 1)
        changes.fetchadd(1)
        lock.release()

    def worker():
        for _ in m.rounds(2):
            which = m.choose(4)
            if which == 0:
                lock.acquire()
                write()
            elif which == 1:
                lock.acquire_shared()
                read()
            elif which == 2 and lock.try_acquire():
                write()
            elif which == 3 and lock.try_acquire_shared():
                read()

    for n in range(m.ncpus):
        m.spawn(worker, name=f"worker{n}")
    m.join()
    m.check(first.load() == changes.load(), "every change is there")
    m.check(lock.try_acquire(), "the lock is free")
    write()


@scenario(cpus=3, tags={"futex", "requeue"})
def wakes_are_counted(m):
    """A wake returns how many it woke; they go on, and no others, whatever was moved meanwhile."""
    word, other = m.atomic(0, name="word"), m.atomic(0, name="other")
    ended = m.atomic(0, name="ended")

    def waiter():
        while m.futex_wait(word, 0):
            m.check(False, "nobody changes the word")
        ended.fetchadd(1)

    for n in range(m.ncpus):
        m.spawn(waiter, name=f"waiter{n}")
    woken = 0
    while woken < m.ncpus and (not m.options.spurious or ended.load() < m.ncpus):
        how = m.choose(4)
        if how == 0:
            woken += m.futex_wake(word)
        elif how == 1:
            m.check(m.futex_requeue(word, other, 1, ALL, expected=7) == -EAGAIN, "the word is not 7")
        elif how == 2:
            m.check(m.futex_requeue(word, other, 0, 1, expected=0) >= 0, "the word is 0")
        else:
            woken += m.futex_wake(other, ALL)
        m.check(m.options.spurious or ended.load() <= woken, "only who was woken goes on")
        m.pause()
    m.join()
    m.check(ended.load() == m.ncpus, "everybody was woken")


@scenario(cpus=3, tags={"spinlock", "sequence"})
def readers_without_the_lock(m):
    """Writers keep two words equal; a reader without the lock learns whether its values are consistent."""
    lock = SequenceLock(m, m.spinlock("seq"))
    words = m.atomic(0, name="first"), m.atomic(0, name="second")
    writes = m.atomic(0, name="writes")

    def writer():
        for _ in m.rounds(2):
            spin_lock_update(lock)
            for word in words:
                word.store(word.load() + 1)
            spin_unlock_update(lock)
            writes.fetchadd(1)

    def look():
        done = writes.load()
        first, second = (word.load() for word in words)
        return first == second and first >= done

    def reader():
        while True:
            update = spin_access_start(lock)
            alike = look()
            if not spin_access_end(lock, update):
                m.check(alike, "what may be believed is whole and not old")
                return

    def reader_without():
        update = spin_access_start_only(lock)
        if not spin_access_check_inprog(update):
            alike = look()
            m.check(alike or spin_access_end_only(lock, update), "what may be believed is whole")

    roles = [writer, reader, reader_without]
    for n in range(m.ncpus):
        role = roles[n % 3]
        m.spawn(role, name=f"{role.__name__}{n}")
    m.join()
    update = spin_access_start(lock)
    m.check(not spin_access_end(lock, update), "nobody writes any more")


@scenario(cpus=2, tags={"sleep", "interlock"})
def flag_and_wakeup(m):
    """Each CPU sleeps until the one before it has set its flag and woken it, and then sets its own."""
    flags = [m.atomic(0, name=f"flag{n}") for n in range(m.ncpus)]

    def wait_for(n):
        while not flags[n].load():
            m.tsleep_interlock(n)
            if not flags[n].load():
                m.tsleep(n, PINTERLOCKED, "flag")

    def put_up(n):
        flags[n].store(1)
        sleeper = (n + 2) % (m.ncpus + 1)
        if sleeper < len(m.cpus) and m.choose(2):
            m.wakeup_oncpu(m.cpus[sleeper], n)
        else:
            m.wakeup(n)

    def worker(me):
        if me:
            wait_for(me - 1)
        put_up(me)

    for n in range(m.ncpus):
        m.spawn(worker, n, name=f"worker{n}")
    wait_for(m.ncpus - 1)
    m.join()
