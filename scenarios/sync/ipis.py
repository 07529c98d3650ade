"""Functions that CPUs run for one another: flushes of cached copies, and CPUs that are held."""

from vmsmp import PINTERLOCKED, scenario
from vmsmp.scenarios._kit import Pair
from vmsmp.sync.ipiq import (
    Cpusync,
    lwkt_cpusync_deinterlock,
    lwkt_cpusync_interlock,
    lwkt_cpusync_quick,
    lwkt_cpusync_simple,
    send,
)
from vmsmp.sync.thread import crit_enter, crit_exit, curthread, thread_of


@scenario(cpus=3, tags={"ipi"}, locks="exact")
def flush_before_reuse(m):
    """TLB shootdown in miniature: a page is given to others only when no CPU has it cached any more.

    A user reads the table once and then trusts its own cached copy until an IPI flushes it.  The owner of a
    page empties the table, has the others flush, and waits for all of them before the page gets a new owner.
    Two owners flush at the same time, in critical sections, and answer one another while they wait.
    """
    tables = [m.atomic(1, name=f"table{n}") for n in range(2)]
    pages = [m.cell("ours", name=f"page{n}") for n in range(2)]
    cached: set[tuple[int, int]] = set()

    def flush(n):
        cached.discard((m.curcpu.index, n))

    def user(n):
        for _ in m.rounds(2):
            m.splz()
            key = m.curcpu.index, n
            if key not in cached and tables[n].load():
                cached.add(key)
            for _ in range(6):
                if key in cached:
                    m.check(pages[n].load() == "ours", "what is cached is still ours")

    def owner(n):
        others = [cpu for cpu in m.cpus if cpu is not m.curcpu]
        crit_enter(curthread(m))
        tables[n].store(0)
        for cpu, number in [(cpu, m.send_ipiq(cpu, flush, n)) for cpu in others]:
            m.wait_ipiq(cpu, number)
        pages[n].store("somebody else's")
        crit_exit(curthread(m))

    for n in range(m.ncpus - 1):
        m.spawn(user, n % 2, name="user")
    m.spawn(owner, 0, name="owner")
    owner(1)
    m.join()


@scenario(cpus=3, tags={"ipi"}, locks="exact")
def ipis_while_asleep_and_waiting(m):
    """CPUs that sleep, wait for a lock or have ended run functions that others send, which count."""
    counted = m.atomic(0, name="counted")
    go = m.atomic(0, name="go")
    lock = m.lockmgr("lk")
    everybody = (1 << m.ncpus + 1) - 1

    def sleeper():
        m.tsleep("nothing", 0, "nothing", 5)

    def worker():
        while not go.load():
            m.pause()
        with lock:
            before = counted.load()
            lwkt_cpusync_simple(m, everybody, counted.fetchadd, 1)
            m.check(counted.load() == before + m.ncpus + 1, "every CPU has counted")

    others = [m.spawn(sleeper, name="sleeper")] if m.ncpus > 1 else []
    others += [m.spawn(worker, name="worker") for _ in range(m.ncpus - 2)]
    last = m.spawn(worker, name="worker")
    go.store(1)
    for cpu in others:
        cpu.join()
    last.join()


@scenario(cpus=3, tags={"ipi", "sleep", "token", "clock"}, locks="exact", fixed=True)
def ipis_wake_no_sleeper(m):
    """CPUs run functions while they sleep, and while they want their token back: none is awake too early."""
    token = m.token("tok")
    asleep, counted, woken = (m.atomic(0, name=name) for name in ("asleep", "counted", "woken"))

    def sleeper():
        with token:
            m.tsleep_interlock("event")
            asleep.fetchadd(1)
            m.tsleep("event", PINTERLOCKED, "event")
            m.check(woken.load(), "a function that a CPU runs does not end its thread's sleep")
            m.check(counted.load() >= m.ncpus - 1, "and it is run while that sleeps")

    def waker():
        others = [cpu for cpu in m.cpus if cpu is not m.curcpu]
        while asleep.load() < m.ncpus - 1:
            m.yield_()
        for turn in range(2):
            with token:
                if turn:
                    woken.store(1)
                    m.wakeup("event")
                for cpu, number in [(cpu, m.send_ipiq(cpu, counted.fetchadd, 1)) for cpu in others]:
                    m.wait_ipiq(cpu, number)

    for n in range(m.ncpus):
        m.spawn(sleeper if n else waker)
    m.join()


@scenario(cpus=3, tags={"ipi", "spinlock", "mutex"}, locks="exact")
def ipis_want_what_is_held(m):
    """CPUs send each other functions that take locks which the targets use: each runs when they are free.

    A CPU that spins for a lock or holds one takes no IPIs, so the function never waits for its own CPU.
    """
    spin, mtx = m.spinlock("spin"), m.mutex("mtx")
    pairs = Pair(m), Pair(m)
    ran = m.atomic(0, name="ran")

    def under_spin():
        with spin:
            pairs[0].write()

    def shared_under_spin():
        spin.acquire_shared()
        pairs[0].read()
        spin.release_shared()

    def tried():
        if spin.try_acquire():
            pairs[0].write()
            spin.release()

    def upgraded():
        spin.acquire_shared()
        (pairs[0].write if spin.try_upgrade() else pairs[0].read)()
        spin.release()

    def under_mutex():
        mtx.spinlock()
        pairs[1].write()
        mtx.spinunlock()

    def tried_mutex():
        if mtx.try_spinlock():
            pairs[1].write()
            mtx.spinunlock()

    deeds = [under_spin, shared_under_spin, tried, upgraded, under_mutex, tried_mutex]

    def function(deed, done):
        deed()
        ran.fetchadd(1)
        done.store(1)

    def worker(me):
        sent = []
        for _ in m.rounds(2):
            target = m.cpus[(me + m.choose(2)) % len(m.cpus)]
            done = m.atomic(0, name="done")
            sent.append((target, m.send_ipiq(target, function, deeds[m.choose(len(deeds))], done), done))
            m.check(target is not m.curcpu or done.load(), "what a CPU sends to itself is done at once")
            deeds[m.choose(len(deeds))]()
        for target, number, done in sent:
            m.wait_ipiq(target, number)
            m.check(done.load(), "what was waited for is done")

    for n in range(m.ncpus):
        m.spawn(worker, n, name=f"worker{n}")
    m.join()
    m.check(ran.load() == m.ncpus * len(m.rounds(2)), "each function was run")


@scenario(cpus=2, tags={"ipi"}, locks="exact")
def fifos_run_full(m):
    """CPUs that take no IPIs themselves send each other more than a FIFO holds; waiting senders make room."""
    ready = m.barrier(m.ncpus + 1, "ready")
    #: What each CPU has received, which only that CPU reads until everything has come.
    came = [[] for _ in range(m.ncpus)]

    def sender(n):
        target = (n + 1) % m.ncpus
        ready.wait()
        cpu = m.cpus[target + 1]
        crit_enter(curthread(m))
        for number in range(130):
            send(m, thread_of(m, cpu), lambda number=number: came[target].append(number))
        m.wait_ipiq(cpu, m.send_ipiq(cpu, came[target].append, 130))
        m.check(came[target] == list(range(131)), "what one CPU sends comes in order")
        crit_exit(curthread(m))

    for n in range(m.ncpus):
        m.spawn(sender, n, name=f"sender{n}")
    ready.wait()
    m.join()


@scenario(cpus=3, tags={"ipi"}, locks="exact")
def held_cpus_see_nothing_half(m):
    """A CPU holds others while it changes two words: they read them without a lock, and find them equal.

    Another one does so at the same time with words of its own.  Each CPU of the mask, held or not, runs the
    function once; the sender itself only if it is in the mask.
    """
    users = max(1, m.ncpus - 1)
    pairs = Pair(m), Pair(m)
    everybody = (1 << m.ncpus + 1) - 1
    ready = m.barrier(m.ncpus + 1, "ready")

    def user():
        ready.wait()
        for _ in m.rounds(3):
            for pair in pairs:
                m.splz()
                pair.read()

    def holder(pair):
        ran = m.atomic(0, name="ran")
        cs = Cpusync(m, everybody & ~(m.choose(2) << m.curcpu.index), ran.fetchadd, 1)

        def hold():
            lwkt_cpusync_interlock(cs)
            pair.write()
            lwkt_cpusync_deinterlock(cs)
            return cs.cs_mask

        def ask():
            lwkt_cpusync_quick(cs)
            return cs.cs_mask

        def send():
            m.send_ipiq_mask(everybody, ran.fetchadd, 1)
            m.synchronize_ipiqs()
            return everybody

        ready.wait()
        for _ in m.rounds(3):
            before = ran.load()
            mask = (hold, ask, send)[m.choose(3)]()
            m.check(ran.load() == before + mask.bit_count(), "each CPU has run it once")

    for n in range(users):
        m.spawn(user, name=f"user{n}")
    if m.ncpus > users:
        m.spawn(holder, pairs[1], name="holder")
    holder(pairs[0])
    m.join()
