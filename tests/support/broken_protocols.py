"""Protocols with the mistakes that are made most: what the tool must find, and how often random runs do."""

from __future__ import annotations

from vmsmp.sync.futex import ALL


def waits_with_if(m):
    """A consumer looks once before it waits and not again after it."""
    lock, cv, things = m.lockmgr("l"), m.condvar("cv"), m.cell(0, "things")

    def consumer():
        with lock:
            if not things.load():
                cv.wait(lock)
            m.check(things.load(), "there is a thing")
            things.store(things.load() - 1)

    def producer():
        with lock:
            things.store(things.load() + 1)
            cv.signal()

    for role in (consumer, consumer, producer, producer):
        m.spawn(role)
    m.join()


def signals_without_the_lock(m):
    """The flag is set and signalled beside the lock that the waiter looks under."""
    lock, cv, flag = m.lockmgr("l"), m.condvar("cv"), m.atomic(0, "flag")

    def waiter():
        with lock:
            while not flag.load():
                cv.wait(lock)

    m.spawn(waiter)
    flag.store(1)
    cv.signal()
    m.join()


def posts_too_early(m):
    """The semaphore says that the data is there before it is."""
    sem, data = m.semaphore(0, "s"), m.cell(0, "data")

    def producer():
        sem.release()
        data.store(1)

    m.spawn(producer)
    sem.acquire()
    m.check(data.load(), "the data is there")
    m.join()


def two_semaphores_in_opposite_orders(m):
    """As locks, semaphores deadlock as locks do, though nobody owns them."""
    a, b = m.semaphore(1, "a"), m.semaphore(1, "b")

    def nest(first, second):
        with first, second:
            pass

    m.spawn(nest, a, b)
    m.spawn(nest, b, a)
    m.join()


def barrier_reused_too_soon(m):
    """A barrier made of a count: who wakes late meets the count of the next turn, and waits for ever."""
    lock, cv, count = m.lockmgr("l"), m.condvar("cv"), m.cell(0, "count")

    def wait():
        with lock:
            count.store(count.load() + 1)
            if count.load() == 2:
                count.store(0)
                cv.broadcast()
                return
            while count.load():
                cv.wait(lock)

    def worker():
        wait()
        wait()

    m.spawn(worker)
    m.spawn(worker)
    m.join()


def futex_without_another_look(m):
    """Who was woken takes it for granted that the mutex is its own."""
    word, inside = m.atomic(0, "mutex"), m.atomic(0, "inside")

    def worker():
        if word.swap(2):
            m.futex_wait(word, 2)
        m.check(not inside.swap(1), "the owner is alone")
        inside.store(0)
        word.store(0)
        m.futex_wake(word)

    for _ in range(3):
        m.spawn(worker)
    m.join()


def futex_forgets_who_sleeps(m):
    """Who has slept takes the mutex as if nobody slept behind it, and its unlock wakes nobody."""
    word = m.atomic(0, "mutex")

    def worker():
        if not word.cmpset(0, 1):
            word.cmpset(1, 2)
            while not word.cmpset(0, 1):
                m.futex_wait(word, 2)
        if word.swap(0) == 2:
            m.futex_wake(word)

    for _ in range(3):
        m.spawn(worker)
    m.join()


def requeued_behind_nobody(m):
    """Waiters are moved to a word on which nobody will wake them: the mutex is not held."""
    turn, mutex = m.atomic(0, "turn"), m.atomic(0, "mutex")

    def waiter():
        m.futex_wait(turn, 0)
        mutex.swap(0)

    m.spawn(waiter)
    m.spawn(waiter)
    turn.store(1)
    m.futex_requeue(turn, mutex, 1, ALL)
    m.join()


def upgrade_by_two_steps(m):
    """A reader lets go to become a writer, and believes what it read before."""
    lock, count = m.rwlock("rw"), m.cell(0, "count")

    def worker():
        lock.acquire_shared()
        seen = count.load()
        lock.release()
        with lock:
            count.store(seen + 1)

    m.spawn(worker)
    m.spawn(worker)
    m.join()
    m.check(count.load() == 2, "both workers count")


def reader_asks_again(m):
    """A reader reads within a read, and a writer comes in between."""
    lock = m.rwlock("rw")

    def reader():
        lock.acquire_shared()
        lock.acquire_shared()
        lock.release()
        lock.release()

    m.spawn(reader)
    m.spawn(lambda: (lock.acquire(), lock.release()))
    m.join()


def counts_down_before_the_last_look(m):
    """A user gives up its reference before it is done with the thing."""
    thing = m.allocate("thing", value=1, ref=m.atomic(2, "thing.ref"))

    def user():
        last = thing.ref.fetchadd(-1) == 1
        thing.value.load()
        if last:
            thing.free()

    m.spawn(user)
    m.spawn(user)
    m.join()


def last_by_two_looks(m):
    """Whether a reference was the last is asked in another operation than the one that drops it."""
    thing = m.allocate("thing", value=1)
    ref = m.atomic(2, "ref")

    def user():
        ref.fetchadd(-1)
        if not ref.load():
            thing.free()

    m.spawn(user)
    m.spawn(user)
    m.join()


def stack_without_a_version(m):
    """ABA: a pop looks at what lies below, and the top goes and comes back meanwhile."""
    head, taken = m.atomic(1, "head"), m.atomic(0, "taken", format=bin)
    below = {1: m.atomic(2, "below[1]"), 2: m.atomic(None, "below[2]")}

    def pop():
        while (top := head.load()) is not None:
            under = below[top].load()
            if head.cmpset(top, under):
                m.check(not taken.setbits(1 << top) & 1 << top, "a node is in one pair of hands")
                return top
        return None

    def push(node):
        taken.clearbits(1 << node)
        while True:
            top = head.load()
            below[node].store(top)
            if head.cmpset(top, node):
                return

    def pops_two_and_gives_one_back():
        first = pop()
        pop()
        if first is not None:
            push(first)

    def pops_two():
        pop()
        pop()

    m.spawn(pops_two)
    m.spawn(pops_two_and_gives_one_back)
    m.join()


BROKEN = {
    program.__name__: program
    for program in (
        waits_with_if,
        signals_without_the_lock,
        posts_too_early,
        two_semaphores_in_opposite_orders,
        barrier_reused_too_soon,
        futex_without_another_look,
        futex_forgets_who_sleeps,
        requeued_behind_nobody,
        upgrade_by_two_steps,
        reader_asks_again,
        counts_down_before_the_last_look,
        last_by_two_looks,
        stack_without_a_version,
    )
}
