"""URW: every interleaving about as likely."""

from collections import Counter
from math import comb
from types import SimpleNamespace

from sampling import orders, racers
from vmsmp.sched.urw import Urw


def test_urw_makes_every_interleaving_about_as_likely_where_a_random_walk_does_not():
    program = racers((1, 5), shared=True)
    total = 4_000
    likely = total / comb(6, 1)
    urw, walk = (orders(sched, program, total) for sched in ("urw", "random"))
    # starts and joins are operations too, so the orders of the stores are not quite uniform
    assert [] == [order for order, n in urw.items() if not likely / 2 < n < likely * 2]
    assert (6, True) == (len(urw), min(walk.values()) < likely / 3)


def of_counts(*left):
    """URW in a run whose CPUs have that many operations left."""
    machine = SimpleNamespace(engine=SimpleNamespace(log=[], current=None))
    cpus = [SimpleNamespace(index=n, machine=machine) for n in range(len(left))]
    machine.engine.current = cpus[0]
    urw = Urw(1)
    for cpu in cpus:
        urw.spawned(cpu)
    urw._left = list(left)
    return urw, machine, cpus


def test_a_cpu_is_picked_as_often_as_it_has_operations_left():
    urw, _, cpus = of_counts(1, 3)
    picks = Counter(urw.pick(cpus[0], cpus).index for _ in range(4_000))
    assert 2_850 < picks[1] < 3_150  # 3,000, standard deviation 27


def test_an_operation_performed_is_no_longer_left():
    urw, machine, cpus = of_counts(4, 3)
    machine.engine.log += [7, 7, -2, 7]
    urw.pick(cpus[0], cpus)
    assert [2, 2] == urw._left


def test_a_cpu_that_does_more_than_was_counted_keeps_one_left():
    urw, machine, cpus = of_counts(1, 3)
    machine.engine.log += [7, 7, 7]
    urw.pick(cpus[0], cpus)
    assert 1 == urw._left[0]


def test_the_counts_are_those_of_the_run_before():
    urw, machine, cpus = of_counts(1, 1)
    machine.engine.log += [7, 7, -2, 7, 7, 7]
    urw.begin()
    machine.engine.log = []
    for cpu in cpus:
        urw.spawned(cpu)
    assert [2, 3] == urw._left
