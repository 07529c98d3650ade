"""POS, URW and SURW: what they sample, and that they are the same for a seed."""

from collections import Counter
from math import comb

import pytest

import vmsmp
from lost_update import lost_update
from vmsmp.engine.identity import FIRST_BLOCK
from vmsmp.engine.ops import CPU_BITS, KIND_BITS, LOAD, RELEASE, STORE
from vmsmp.sched.profile import target_of

KINDS = ("pos", "urw", "surw", "sticky")


def orders(sched, program, schedules, seed=1):
    """How often each order in which CPUs come was seen: programs append to `seen`."""
    counts = Counter()

    def counted(m):
        seen = []
        program(m, seen)
        counts["".join(map(str, seen))] += 1

    result = vmsmp.explore(counted, sched=sched, schedules=schedules, seed=seed, check=False)
    assert (schedules, None) == (result.executions, result.failure)
    return counts


def racers(lengths, shared):
    """CPUs that store so often, to one word or to a word each."""

    def program(m, seen):
        words = [m.cell(0) for _ in lengths]

        def racer(n):
            for _ in range(lengths[n]):
                words[0 if shared else n].store(n)
                seen.append(n)

        for n in range(len(lengths)):
            m.spawn(racer, n)
        m.join()

    return program


@pytest.mark.parametrize("sched", KINDS)
def test_what_takes_one_preemption_is_found(sched):
    assert "check" == vmsmp.explore(lost_update, sched=sched, schedules=200).failure.kind


@pytest.mark.parametrize("sched", KINDS)
def test_a_search_of_the_same_seed_goes_the_same_way(sched):
    one, other = (
        vmsmp.explore(lost_update, sched=sched, schedules=100, seed=7, stop="never") for _ in range(2)
    )
    assert (one.counts, one.steps, one.failure.schedule) == (
        other.counts,
        other.steps,
        other.failure.schedule,
    )


@pytest.mark.parametrize("sched", KINDS)
def test_searches_of_different_seeds_go_different_ways(sched):
    assert 1 < len({vmsmp.explore(lost_update, sched=sched, schedules=20, seed=s).steps for s in range(9)})


@pytest.mark.parametrize("sched", KINDS)
def test_a_spin_loop_ends(sched):
    def program(m):
        flag = m.cell(0)

        def spinner():
            while not flag.load():
                m.yield_()

        m.spawn(spinner)
        m.spawn(flag.store, 1)
        m.join()

    assert None is vmsmp.explore(program, sched=sched, schedules=200, max_steps=2_000).failure


@pytest.mark.parametrize("sched", KINDS)
def test_a_cpu_that_spawns_is_followed(sched):
    def program(m):
        word = m.cell(0)

        def parent():
            m.spawn(word.store, 1)
            word.store(2)

        m.spawn(parent)
        m.spawn(parent)
        m.join()

    assert None is vmsmp.explore(program, sched=sched, schedules=200).failure


def test_urw_makes_every_interleaving_about_as_likely_where_a_random_walk_does_not():
    program = racers((1, 5), shared=True)
    total = 4_000
    likely = total / comb(6, 1)
    urw, walk = (orders(sched, program, total) for sched in ("urw", "random"))
    # starts and joins are operations too, so the orders of the stores are not quite uniform
    assert [] == [order for order, n in urw.items() if not likely / 2 < n < likely * 2]
    assert (6, True) == (len(urw), min(walk.values()) < likely / 3)


def test_surw_makes_every_order_of_accesses_to_one_object_about_as_likely():
    program = racers((1, 5), shared=True)
    total = 4_000
    likely = total / comb(6, 1)
    counts = orders("surw", program, total)
    assert 6 == len(counts)
    assert [] == [order for order, n in counts.items() if abs(n - likely) > 5 * (likely * 5 / 6) ** 0.5]


def test_pos_leaves_the_priority_of_an_operation_that_nothing_depends_on():
    """A long CPU of its own does not push a short one's single operation to the front."""
    counts = orders("pos", racers((1, 12), shared=False), 2_000)
    last = sum(n for order, n in counts.items() if order.index("0") == 12)
    assert last > 2_000 / 30  # a random walk gives 1 in 4,096


@pytest.mark.parametrize("kind", [LOAD, STORE])
def test_the_fields_of_one_record_are_one_target(kind):
    first = FIRST_BLOCK << CPU_BITS + KIND_BITS
    field = 1 << CPU_BITS + KIND_BITS
    assert [target_of(first | kind)] * 2 == [target_of(first + n * field | kind) for n in (1, 31)]
    assert target_of(first | kind) != target_of(first + 32 * field | kind)


def test_a_release_is_no_access():
    assert None is target_of(5 << KIND_BITS | RELEASE)
