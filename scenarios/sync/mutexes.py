"""Mutexes: writers that take turns, readers that come in together, tries and upgrades beside them."""

from vmsmp import ENOLCK, EWOULDBLOCK, scenario
from vmsmp.scenarios._kit import Pair
from vmsmp.sync.errno import EINPROGRESS


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


@scenario(cpus=4, tags={"mutex", "cancel"}, locks="exact")
def mutex_requests_aborted(m):
    """Requests are aborted while the mutex is handed over: each gets the mutex, or fails with ENOLCK.

    An abort, which may come in an IPI, refuses one request at most.
    """
    mtx = m.mutex("mtx")
    pair = Pair(m)
    links = [mtx.link() for _ in range(m.ncpus)]
    aborts = [m.atomic(0, name=f"aborts[{n}]") for n in range(m.ncpus)]

    def requester(n):
        aborted = 0
        for _ in m.rounds(3):
            shared = m.choose(2)
            error = (mtx.lock_ex_link, mtx.lock_sh_link)[shared](links[n])
            if error:
                aborted += 1
                m.check(error == ENOLCK and aborted <= aborts[n].load(), "it is granted, or was aborted")
            else:
                (pair.write, pair.read)[shared]()
                mtx.unlock()

    def aborter(_n):
        for n, link in enumerate(links):
            aborts[n].fetchadd(1)
            if m.choose(2):
                mtx.abort_link(link)
            else:
                m.send_ipiq(m.cpus[m.choose(len(m.cpus))], mtx.abort_link, link)
            with mtx:
                pair.write()

    for n in range(m.ncpus):
        role = aborter if n % 4 == 3 else requester
        m.spawn(role, n, name=f"{role.__name__}{n}")
    m.join()
    m.check(mtx.try_lock(), "the mutex can be had afterwards")
    mtx.unlock()


@scenario(cpus=3, tags={"mutex", "cancel"}, locks="exact")
def mutex_calls_back(m):
    """Requests with a callback do not wait: each is granted the mutex later, or aborted, once."""
    mtx = m.mutex("mtx")
    pair = Pair(m)

    def worker():
        pending = m.refcount(0, "pending")
        answers = m.cell((), name="answers")

        def called(error):
            answers.store((*answers.load(), error))
            pending.release_wakeup()

        link = mtx.link(called)
        asked = 0
        for _ in m.rounds(2):
            shared = m.choose(2)
            pending.acquire()
            error = (mtx.lock_ex_link, mtx.lock_sh_link)[shared](link)
            if error == EINPROGRESS:
                asked += 1
                for _ in range(m.choose(3)):
                    mtx.abort_link(link)
                pending.wait()
                m.check(len(answers.load()) == asked, "it is called once")
                error = answers.load()[-1]
            else:
                pending.release()
            m.check(error in (0, ENOLCK), "it is granted or aborted")
            if not error:
                (pair.write, pair.read)[shared]()
                mtx.unlock()
            with mtx:
                pair.write()

    for n in range(m.ncpus):
        m.spawn(worker, name=f"worker{n}")
    m.join()
    m.check(mtx.try_lock(), "the mutex can be had afterwards")
    mtx.unlock()


@scenario(cpus=4, tags={"mutex", "timeout"}, locks="exact", timeouts="any")
def mutex_requests_time_out(m):
    """Timed requests give up at the very moment at which they are granted, among others that do not.

    Meanwhile IPIs abort requests of others.
    """
    mtx = m.mutex("mtx")
    pair = Pair(m)
    stranger = mtx.link()

    def timed():
        error = mtx.lock_timed(2)
        m.check(error in (0, EWOULDBLOCK), "it is granted or late")
        if not error:
            pair.write()
            mtx.unlock()

    def timed_reader():
        error = mtx.lock_sh_link(mtx.link(), 2)
        m.check(error in (0, EWOULDBLOCK), "it is granted or late")
        if not error:
            pair.read()
            mtx.unlock()

    def patient():
        with mtx:
            pair.write()

    def patient_reader():
        mtx.lock_shared()
        pair.read()
        mtx.unlock()

    def aborter():
        m.send_ipiq(m.cpus[m.choose(len(m.cpus))], mtx.abort_link, stranger)

    roles = [timed, patient, timed_reader, patient_reader, aborter]

    def worker():
        for _ in m.rounds(2):
            roles[m.choose(len(roles))]()

    for n in range(m.ncpus):
        m.spawn(worker, name=f"worker{n}")
    m.join()
    m.check(mtx.try_lock(), "the mutex can be had afterwards")
    mtx.unlock()


@scenario(cpus=3, tags={"mutex", "downgrade", "timeout"}, locks="exact", timeouts="any")
def mutex_owners_become_readers(m):
    """Owners let readers in beside them; no CPU writes between an owner's write and its next read."""
    mtx = m.mutex("mtx")
    stamp = m.cell(0, name="stamp")

    def owner(mine):
        levels = 1 + m.choose(2)
        for _ in range(levels):
            mtx.lock()
        stamp.store(mine)
        mtx.downgrade()
        m.check(stamp.load() == mine, "nobody wrote between the downgrade and the look")
        for _ in range(levels):
            mtx.unlock()

    def reader():
        mtx.lock_shared()
        seen = stamp.load()
        m.check(stamp.load() == seen, "the stamp stands still while it is read")
        mtx.unlock()

    for n in range(m.ncpus):
        if n % 3 == 1:
            m.spawn(reader, name=f"reader{n}")
        else:
            m.spawn(owner, n + 1, name=f"owner{n}")
    m.join()
    m.check(mtx.try_lock(), "the mutex can be had afterwards")
    mtx.unlock()


@scenario(cpus=3, tags={"mutex", "downgrade", "timeout"}, locks="exact", timeouts="any")
def readers_beside_an_owner(m):
    """An owner becomes a reader, and stays until all readers have been in beside it."""
    mtx = m.mutex("mtx")
    outside = m.refcount(m.ncpus - 1, name="outside")

    def owner():
        mtx.lock()
        mtx.downgrade()
        outside.wait("readers")
        mtx.unlock()

    def reader():
        mtx.lock_shared()
        mtx.unlock()
        outside.release_wakeup()

    m.spawn(owner, name="owner")
    for n in range(m.ncpus - 1):
        m.spawn(reader, name=f"reader{n}")
    m.join()


@scenario(cpus=3, tags={"mutex", "cancel", "timeout", "try"}, locks="exact")
def mutex_refused_while_shared(m):
    """A reader stays until others have tried: would-be owners are refused, readers are let in."""
    mtx = m.mutex("mtx")
    others = m.refcount(0, name="others")
    links = []

    def let_in(error):
        if not error:
            mtx.unlock()
        return error

    def asker(ask, allowed):
        m.check(ask() in allowed, "a request has the answer that it must have")
        others.release_wakeup()

    def some_request():
        link = mtx.link()
        requests = (
            (lambda: mtx.lock_timed(3), {EWOULDBLOCK}),
            (lambda: let_in(mtx.lock_sh_link(link, 3)), {0, EWOULDBLOCK}),
            (mtx.try_lock, {False}),
            (lambda: let_in(not mtx.try_lock_shared()), {0}),
            (lambda: mtx.lock_ex_link(link), {ENOLCK}),
        )
        which = m.choose(len(requests))
        if which == len(requests) - 1:
            links.append(link)
        return requests[which]

    def reader():
        mtx.lock_shared()
        for n in range(1, m.ncpus):
            others.acquire()
            m.spawn(asker, *some_request(), name=f"asker{n}")
        for link in links:
            mtx.abort_link(link)
        others.wait("answers")
        mtx.unlock()

    m.spawn(reader, name="reader")
    m.join()
    m.check(mtx.try_lock(), "the mutex can be had afterwards")
    mtx.unlock()
