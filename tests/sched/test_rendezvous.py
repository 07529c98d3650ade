"""The pair strategy: CPUs are held at their places, meet, and go on one right after the other."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vmsmp.campaign.search import Runner
from vmsmp.engine import ops, trace
from vmsmp.engine.schedule import Options, Schedule
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.sched.rendezvous import Breakpoint, Rendezvous
from vmsmp.sched.replay import Preempting

SEEDS = range(20)
DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
SORTS = pytest.mark.parametrize("sort", ["spinlock", "lockmgr"])

#: The first object that the boot CPU of these programs makes.
X = ops.identity(0, 1)
LOAD, STORE = Breakpoint(ops.op(X, ops.LOAD)), Breakpoint(ops.op(X, ops.STORE))


def far_apart(m):
    """A store at the beginning of one CPU's life, a load at the end of another's."""
    x, noise = m.cell(0, name="x"), m.cell(0)
    assert X == x.ident

    def writer():
        x.store(1)
        for _ in range(10):
            noise.load()

    def reader():
        for _ in range(30):
            noise.load()
        x.load()

    m.spawn(writer)
    m.spawn(reader)
    m.join()


def pairs(log, *places):
    """Where the operations stand in a log that the CPUs performed one right after the other."""
    steps = list(trace.steps(log))
    wanted = sorted(place.code for place in places)
    return [
        n
        for n, (one, other) in enumerate(pairwise(steps))
        if sorted((one[1], other[1])) == wanted and one[0] != other[0]
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_cpus_meet_at_their_places(tell, seed):
    rendezvous = Rendezvous((STORE, LOAD), seed)
    _, log, _ = tell(far_apart, rendezvous)
    assert (True, 1) == (rendezvous.met, len(pairs(log, STORE, LOAD)))


def test_either_may_go_first(tell):
    first = set()
    for seed in SEEDS:
        _, log, _ = tell(far_apart, Rendezvous((STORE, LOAD), seed))
        first.add(next(code for _, code in trace.steps(log) if code in (STORE.code, LOAD.code)))
    assert {STORE.code, LOAD.code} == first


def test_the_order_of_the_places_does_not_matter(tell):
    rendezvous = Rendezvous((LOAD, STORE), 0)
    tell(far_apart, rendezvous)
    assert rendezvous.met


def test_the_same_seed_makes_the_same_run(tell):
    one, other = (tell(far_apart, Rendezvous((STORE, LOAD), 7))[0] for _ in range(2))
    assert (one.schedule, one.digest) == (other.schedule, other.digest)


def test_other_seeds_make_other_runs(tell):
    assert 1 < len({tell(far_apart, Rendezvous((STORE, LOAD), seed))[0].digest for seed in SEEDS})


def test_a_run_in_which_they_met_comes_back_from_its_line(tell):
    outcome, _, _ = tell(far_apart, Rendezvous((STORE, LOAD), 3))
    schedule = Schedule.parse(outcome.schedule)
    assert outcome.digest == tell(far_apart, Preempting(schedule.preemptions))[0].digest


@pytest.mark.parametrize("seed", SEEDS)
def test_two_cpus_can_be_held_at_the_same_place(tell, seed):
    def program(m):
        x, noise = m.cell(0), m.cell(0)

        def writer(turns):
            for _ in range(turns):
                noise.load()
            x.store(turns)

        m.spawn(writer, 0)
        m.spawn(writer, 25)
        m.join()

    rendezvous = Rendezvous((STORE, STORE), seed)
    _, log, _ = tell(program, rendezvous)
    assert (True, 1) == (rendezvous.met, len(pairs(log, STORE, STORE)))


@pytest.mark.parametrize("seed", SEEDS)
def test_three_cpus_can_meet(tell, seed):
    def program(m):
        x, noise = m.cell(0), m.cell(0)

        def writer(turns):
            for _ in range(turns):
                noise.load()
            x.store(turns)

        for turns in (0, 9, 18):
            m.spawn(writer, turns)
        m.join()

    rendezvous = Rendezvous((STORE,) * 3, seed)
    _, log, _ = tell(program, rendezvous)
    at = [n for n, (_, code) in enumerate(trace.steps(log)) if code == STORE.code]
    assert (True, 2) == (rendezvous.met, at[-1] - at[0])


@pytest.mark.parametrize("seed", range(5))
def test_one_is_let_go_if_nobody_else_can_run(tell, seed):
    """The other waits for what the held one does next: they cannot meet, and the run ends all the same."""

    def program(m):
        x, lock = m.cell(0), m.spinlock()

        def writer():
            with lock:
                x.store(1)

        def reader():
            with lock:
                x.load()

        m.spawn(writer)
        m.spawn(reader)
        m.join()

    rendezvous = Rendezvous((STORE, LOAD), seed)
    outcome, _, _ = tell(program, rendezvous)
    assert (True, False) == (outcome.ok, rendezvous.met)


def test_a_place_that_nobody_comes_to_holds_nobody_for_ever(tell):
    rendezvous = Rendezvous((STORE, Breakpoint(ops.op(X, ops.SWAP))), 0)
    outcome, _, _ = tell(far_apart, rendezvous)
    assert (True, False) == (outcome.ok, rendezvous.met)


def again(m):
    """The first store alone lets the reader go on to its load, which can meet the second."""
    x, flag = m.cell(0), m.atomic(0)

    def writer():
        x.store(1)
        flag.store(1)
        x.store(2)

    def reader():
        while not flag.load():
            m.pause()
        x.load()

    m.spawn(writer)
    m.spawn(reader)
    m.join()


@pytest.mark.parametrize("seed", range(5))
def test_who_had_to_go_on_alone_is_held_at_its_next_visit(tell, seed):
    rendezvous = Rendezvous((STORE, LOAD), seed)
    _, log, _ = tell(again, rendezvous)
    assert (True, 1) == (rendezvous.met, len(pairs(log, STORE, LOAD)))


def test_who_was_let_go_is_held_at_its_next_visit():
    """As the search runs it for a hint: asked at every step, also where only one CPU can run."""
    rendezvous = Rendezvous((STORE, LOAD), 0)
    with WorkerPool(current_core()) as pool:
        runner = Runner(pool, again, Options(), check=False)
        rendezvous.begin()
        pool.drive(lambda: runner.run(rendezvous, 0).close())
    assert rendezvous.met


def test_begin_forgets_the_run_before(tell):
    rendezvous = Rendezvous((STORE, LOAD), 0)
    tell(far_apart, rendezvous)
    assert (True, False) == (rendezvous.begin(), rendezvous.met)


def test_one_instance_serves_many_runs(tell):
    rendezvous = Rendezvous((STORE, LOAD), 0)
    met = []
    for _ in range(10):
        tell(far_apart, rendezvous)
        met.append(rendezvous.met)
    assert [True] * 10 == met


# -- at locks -------------------------------------------------------------------------------------


def opposite(sort, a="a", b="b"):
    def program(m):
        first, second, noise = getattr(m, sort)(a), getattr(m, sort)(b), m.cell(0)

        def nest(outer, inner, turns):
            for _ in range(turns):
                noise.load()
            with outer, inner:
                noise.load()

        m.spawn(nest, first, second, 0)
        m.spawn(nest, second, first, 20)
        m.join()

    return program


@DEPTHS
@SORTS
@pytest.mark.parametrize(("a", "b"), [("a", "b"), ("pg#1", "pq[2]")])
def test_cpus_that_meet_before_opposite_locks_deadlock(tell, locks, sort, a, b):
    """Locks are named by name or by class."""
    classes = {"pg#1": "pg[]", "pq[2]": "pq[]"}
    one, other = classes.get(a, a), classes.get(b, b)
    places = (Breakpoint(holds=one, wants=other), Breakpoint(holds=other, wants=one))
    ended = []
    for seed in range(10):
        outcome, _, _ = tell(
            opposite(sort, a, b), Rendezvous(places, seed), options=Options(locks=locks), check=False
        )
        ended.append(outcome.failure and outcome.failure.kind)
    assert ["deadlock"] * 10 == ended


@DEPTHS
def test_three_cpus_can_meet_before_their_locks(tell, locks):
    def program(m):
        made = [m.spinlock(name) for name in "abc"]

        def nest(n):
            with made[n], made[(n + 1) % 3]:
                pass

        for n in range(3):
            m.spawn(nest, n)
        m.join()

    places = [Breakpoint(holds="abc"[n], wants="bca"[n]) for n in range(3)]
    ended = []
    for seed in range(10):
        outcome, _, _ = tell(program, Rendezvous(places, seed), options=Options(locks=locks))
        ended.append(outcome.failure and outcome.failure.kind)
    assert ["deadlock"] * 10 == ended


@DEPTHS
@SORTS
def test_who_wants_the_lock_while_it_holds_nothing_is_not_held(tell, locks, sort):
    def program(m):
        m.spawn(getattr(m, sort)("a").acquire)
        m.join()

    rendezvous = Rendezvous((Breakpoint(holds="b", wants="a"),), 0)
    tell(program, rendezvous, options=Options(locks=locks))
    assert not rendezvous.met


@DEPTHS
@SORTS
def test_who_releases_the_lock_is_not_held(tell, locks, sort):
    """It holds it already, and what it does to it is no request."""

    def program(m):
        a, b = getattr(m, sort)("a"), getattr(m, sort)("b")
        with b, a:
            pass
        with a:
            b.acquire()
            b.release()

    rendezvous = Rendezvous((Breakpoint(holds="a", wants="b"), Breakpoint(holds="b", wants="b")), 0)
    tell(program, rendezvous, options=Options(locks=locks))
    assert not rendezvous.met
