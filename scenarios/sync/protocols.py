"""Protocols of users: condition variables, semaphores, barriers, rwlocks, futexes, memory, steps."""

from vmsmp import scenario
from vmsmp.sync.futex import ALL


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
            while taken.setbits(mine) & mine:  # whoever has a unit finds a free one, though not at once
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

    def worker(me):
        for phase in m.rounds(2):
            cells[me].store(phase + 1)
            barrier.wait()
            m.check(cells[me - 1].load() == phase + 1, "the neighbour has come as far")
            barrier.wait()

    for me in range(m.ncpus):
        m.spawn(worker, me)
    m.join()


@scenario(cpus=3, tags={"futex"})
def futex_mutex(m):
    """A mutex in one word: 0 is free, 1 is taken, 2 is taken and somebody may sleep.

    As in Drepper's "Futexes are tricky": who has slept takes it as 2, for others may sleep still.
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

    A waiter takes the mutex after its wait, as one that may have others behind it.
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

    Without the version a pop would take what is on top again for what was there before (ABA).
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
