"""Callouts that fire while they are set again, stopped and torn down."""

from contextlib import nullcontext

from vmsmp import scenario
from vmsmp.sync.lockmgr.word import LKC_CANCEL


@scenario(cpus=2, tags={"callout"}, locks="exact", timeouts="any")
def callout_torn_down(m):
    """A structure with a periodic callout is torn down: nothing is called once the teardown is over.

    The owner cancels, which waits for a call that has begun and drops a callout that this sets again.
    Another CPU sets the callout and requests a stop meanwhile, without waiting.
    """
    alive = m.cell(1, name="alive")
    callout = m.callout("tick")

    def tick():
        for _ in range(5):
            m.check(alive.load() == 1, "the structure is there while it ticks")
        callout.reset(1, tick)

    def meddler():
        for _ in m.rounds(2):
            callout.reset(1, tick)
            callout.stop()

    others = [m.spawn(meddler, name="meddler") for _ in range(m.ncpus - 1)]
    callout.reset(1, tick)
    for cpu in others:
        cpu.join()
    callout.cancel()
    alive.store(0)


@scenario(cpus=2, tags={"callout", "lockmgr"}, locks="exact", timeouts="any")
def callout_with_a_lock(m):
    """The function of a callout needs the lock that its stopper holds: the stop makes it give up."""

    def stopper(n):
        lock = m.lockmgr(f"lk[{n}]")
        callout = m.callout(f"locked[{n}]", lock)
        words = [m.cell(0, name=f"word[{n}].{which}") for which in range(2)]

        def function():
            for word in words:
                word.store(word.load() + 1)

        for _ in m.rounds(2):
            callout.reset(1, function)
            with lock:
                prevented = callout.stop()
                first, second = (word.load() for word in words)
                m.check(first == second, "no function is in the middle")
                m.check(prevented or first, "it was called, or prevented")
                m.check(
                    not lock.read_count() & LKC_CANCEL, "requests for the lock are not cancelled any more"
                )

    for n in range(m.ncpus - 1):
        m.spawn(stopper, n, name="stopper")
    m.join()


@scenario(cpus=3, tags={"callout"}, locks="exact", timeouts="any")
def calls_are_counted(m):
    """Each reset leads to one call, unless it was replaced, or a stop says that it prevented the call."""

    def owner(n):
        callout, spin = m.callout(f"timer[{n}]"), m.spinlock(f"spin[{n}]")
        calls = m.atomic(0, name=f"calls[{n}]")

        def call(due):
            m.check(m.ticks >= due, "it is not called early")
            calls.fetchadd(1)

        def reset(ticks):
            callout.reset(ticks, call, m.ticks + max(1, ticks))

        for _ in m.rounds(3):
            before = calls.load()
            is_set = m.choose(2)
            if is_set:
                reset(m.choose(3))
                m.check(callout.active(), "it is active once it is set")
                if m.choose(2):
                    m.tsleep("while", 0, "while", 1 + m.choose(2))
            how = m.choose(4)
            with spin if how < 2 else nullcontext():  # neither of the first two waits
                prevented = (callout.stop, callout.deactivate, callout.cancel, callout.drain)[how]()
            m.check(not callout.active(), "it is not active once it is stopped")
            done = calls.load() - before
            m.check(done <= (not prevented), "what was prevented is not called, and nothing is called twice")
            m.check(
                how < 2 or done == is_set - prevented, "who waits for the end knows which of the two it was"
            )
            callout.cancel()
            m.check(not callout.pending(), "it stands on no wheel any more")
            m.check(calls.load() - before <= (not prevented), "nor is it called later")
        reset(1)
        callout.terminate()
        before = calls.load()
        m.tsleep("later", 0, "later", 3)
        m.check(calls.load() == before, "what is terminated is not called")

    for n in range(m.ncpus - 1):
        m.spawn(owner, n, name=f"owner{n}")
    owner(m.ncpus)
    m.join()


@scenario(cpus=2, tags={"callout", "timeout", "clock"}, locks="exact")
def calls_come_in_time(m):
    """A CPU sets several callouts, some of them twice, and sleeps: all have been called by then, in order.

    This holds as long as time passes only when no CPU can run.
    """

    def owner(n):
        called = []
        dues = []
        for which in range(3):
            callout = m.callout(f"timer[{n}].{which}")

            def call(due, which=which):
                m.check(m.ticks >= due, "it is not called early")
                called.append((due, which))

            for _ in range(1 + m.choose(2)):
                ticks = m.choose(4)
                due = m.ticks + max(1, ticks)
                callout.reset(ticks, call, due)
            m.check(callout.pending() or called, "it waits for its time")
            dues.append((due, which))
        end = m.ticks + 8
        while m.ticks < end:
            m.tsleep("enough", 0, "enough", end - m.ticks)
        while len(called) < len(dues) and m.ticks < end + 500:  # where time is the host's, calls may be late
            m.tsleep("enough", 0, "late", 1)
        m.check(sorted(called) == sorted(dues), "each is called once, as it was set last")
        times = [due for due, _ in called]
        m.check(times == sorted(times), "who is due first is called first")

    for n in range(m.ncpus - 1):
        m.spawn(owner, n, name=f"owner{n}").join()


@scenario(cpus=2, tags={"callout"}, locks="exact", timeouts="any")
def callouts_act_on_themselves(m):
    """Functions set their own callouts again, stop or cancel them, with a lock and without."""

    def owner(n):
        lock = m.lockmgr(f"lk[{n}]") if m.choose(2) else None
        callout = m.callout(f"timer[{n}]", lock)
        sibling = m.callout(f"sibling[{n}]")
        over = m.refcount(1, "over")
        left, settings, calls = (
            m.atomic(value, name=name) for value, name in ((2, "left"), (0, "set"), (0, "calls"))
        )

        def count():
            m.check(calls.fetchadd(1) < settings.load(), "each setting comes to one call at most")

        def call():
            if m.choose(2):
                settings.fetchadd(1)
                sibling.reset(1 + m.choose(2), count)
            else:
                sibling.stop()
            m.check(lock is None or lock.held(), "it is called with its lock")
            if not left.load():
                m.check(callout.stop() is False, "a function cannot prevent its own call")
                over.release_wakeup()
                return
            left.fetchadd(-1)
            if m.choose(2):
                callout.stop()
            callout.reset(1 + m.choose(2), call)
            m.check(callout.active(), "it is set again")

        callout.reset(1, call)
        over.wait("over")
        with lock or nullcontext():
            callout.cancel()
        sibling.cancel()
        m.check(over.references() == 0 and not callout.pending(), "the last call set nothing")

    for n in range(m.ncpus - 1):
        m.spawn(owner, n, name=f"owner{n}")
    owner(m.ncpus)
    m.join()


@scenario(cpus=3, tags={"callout"}, locks="exact", timeouts="any")
def callouts_are_set_anew(m):
    """A callout is set again once its function has begun, perhaps while it runs: it is called again."""

    def call(pending, word):
        pending.release_wakeup()
        for _ in range(3):
            word.load()

    def owner(n):
        callout = m.callout(f"timer[{n}]")
        word = m.atomic(0, name=f"word[{n}]")
        for _ in m.rounds(3):
            pending = m.refcount(1, f"pending[{n}]")
            callout.reset(1, call, pending, word)
            pending.wait("call")
        callout.terminate()

    for n in range(m.ncpus - 1):
        m.spawn(owner, n, name=f"owner{n}")
    owner(m.ncpus)
    m.join()


@scenario(cpus=2, tags={"callout", "token"}, locks="exact", timeouts="any")
def callouts_want_a_token(m):
    """The function of a callout needs the token that its stopper holds, which loses it while it waits."""
    token = m.token("token")
    inside = m.cell(0, name="inside")

    def alone():
        inside.store(inside.load() + 1)
        m.check(inside.load() == 1, "the token is its holder's alone")
        inside.store(inside.load() - 1)

    def call():
        with token:
            alone()

    def stopper(n):
        callout = m.callout(f"timer[{n}]")
        for _ in m.rounds(2):
            with token:
                callout.reset(1, call)
                alone()
                m.tsleep("while", 0, "while", 1)
                alone()
                callout.cancel()
                m.check(token.held(), "the token is back")
                alone()

    for n in range(m.ncpus - 1):
        m.spawn(stopper, n, name=f"stopper{n}")
    stopper(m.ncpus)
    m.join()
