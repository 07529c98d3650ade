"""CLOCK: CPUs use and write pages while others fault and sweep over them."""

from vmsmp import scenario
from vmsmp.check.linearize import History
from vmsmp.check.specs import Register
from vmsmp.mmu.textbook.clock import ClockPager
from vmsmp.mmu.textbook.thrashing import Detector, Load


@scenario(cpus=3, tags={"textbook", "clock"})
def clock_keeps_writes(m):
    """Each CPU counts in a page of its own, with fewer frames than pages: no count is lost to an eviction."""
    pager = ClockPager(m, m.ncpus, max(1, m.ncpus - 1))
    rounds = m.rounds(2)

    def writer(me):
        for _ in rounds:
            pager.store(me, pager.load(me) + 1)

    for n in range(m.ncpus):
        m.spawn(writer, n)
    m.join()
    counts = [pager.load(n) for n in range(m.ncpus)]
    m.check(counts == [len(rounds)] * m.ncpus, "a page that was written to is not thrown away")


@scenario(cpus=3, tags={"textbook", "clock"})
def clock_shares_a_page(m):
    """CPUs that fault on one page at the same time bring it in once."""
    pager = ClockPager(m, 3, 2)

    def reader(me):
        for n in m.rounds(2):
            pager.load(0)
            pager.load(1 + (me + n) % 2)

    for n in range(m.ncpus):
        m.spawn(reader, n)
    m.join()
    present = [page for page in pager.pages if pager.is_present(page)]
    m.check(len(present) <= len(pager.frames), "a page is in one frame at most")


@scenario(cpus=3, tags={"textbook", "clock"})
def clock_without_pressure(m):
    """With a frame for each page every page faults once, however many CPUs use it."""
    pager = ClockPager(m, 3, 3)

    def user(me):
        for n in m.rounds(2):
            pager.store((me + n) % 3, me)

    for n in range(m.ncpus):
        m.spawn(user, n)
    m.join()
    touched = sum(pager.is_present(page) for page in pager.pages)
    m.check(pager.faults == touched, "no page faults twice")


@scenario(cpus=2, tags={"textbook", "clock", "thrashing"})
def clock_thrashes(m):
    """CPUs go round a hot set together: while it fits each page faults once, beyond that most accesses do."""
    frames = 3
    # a CPU that falls behind hits pages that others have loaded again, but at most once in a round
    pages = frames + 2 * m.ncpus
    accesses = 2 * pages
    turn = m.atomic(0, name="turn")
    worlds = [(ClockPager(m, n, frames), Detector(frames, accesses), n) for n in (frames, pages)]

    def user():
        while (mine := turn.fetchadd(1)) < accesses:
            for pager, detector, count in worlds:
                served = pager.access(mine % count)
                detector.saw(mine % count, fault=served.faults > 0)

    for _ in range(m.ncpus):
        m.spawn(user)
    m.join()
    (fits, calm, _), (too_large, alarmed, _) = worlds
    m.check(fits.faults <= frames, "a hot set that fits is loaded once")
    m.check(calm.verdict() is None, "and nobody speaks of thrashing")
    m.check(Load(accesses, too_large.faults).per_fault < 2, "beyond memory most accesses fault")
    wanted = f"thrashing: a hot set of {pages} pages in {frames} frames"
    m.check(alarmed.verdict() == wanted, "which the detector names")


@scenario(cpus=2, tags={"textbook", "clock", "history"})
def clock_history(m):
    """A page that is evicted and loaded again is one register: a load returns what was stored last."""
    pager = ClockPager(m, 2, 1)
    history = History(m)

    def user(me):
        with history.operation("store", me + 1):
            pager.store(0, me + 1)
        pager.load(1)
        with history.operation("load") as op:
            op.result = pager.load(0)

    for n in range(m.ncpus):
        m.spawn(user, n)
    m.join()
    history.judge(Register())
