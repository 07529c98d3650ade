"""Vector clocks: what each CPU knows of every other's time."""

from types import SimpleNamespace

import pytest

from vmsmp.check.clocks import Clocks, join, known

CPUS = [SimpleNamespace(index=n) for n in range(4)]


@pytest.mark.parametrize(("index", "count"), [(0, 3), (1, 5), (2, 0), (9, 0)])
def test_a_clock_knows_nothing_of_a_cpu_beyond_its_end(index, count):
    assert count == known([3, 5], index)


@pytest.mark.parametrize(
    ("mine", "theirs", "after"),
    [
        ([1, 4], [2, 3], [2, 4]),
        ([1], [0, 3, 2], [1, 3, 2]),
        ([1, 2, 3], [5], [5, 2, 3]),
        ([1, 2], [], [1, 2]),
        ([], [1, 2], [1, 2]),
    ],
)
def test_who_joins_a_clock_knows_the_most_that_either_knew(mine, theirs, after):
    join(mine, theirs)
    assert after == mine


def test_a_join_leaves_the_other_clock_as_it_was():
    theirs = [0, 3]
    join([9], theirs)
    assert [0, 3] == theirs


def test_a_cpu_begins_at_one_and_knows_nothing_of_others():
    assert [0, 0, 1] == Clocks().of(CPUS[2])


def test_a_cpu_has_one_clock():
    clocks = Clocks()
    assert clocks.of(CPUS[1]) is clocks.of(CPUS[1])


def test_a_child_knows_what_its_parent_did_before_and_not_what_it_does_afterwards():
    clocks = Clocks()
    clocks.of(CPUS[0])[0] = 7
    clocks.spawned(CPUS[0], CPUS[1])
    assert (7, 8) == (known(clocks.of(CPUS[1]), 0), known(clocks.of(CPUS[0]), 0))


def test_a_parent_knows_nothing_of_its_child_before_it_saw_its_end():
    clocks = Clocks()
    clocks.spawned(CPUS[0], CPUS[1])
    assert 0 == known(clocks.of(CPUS[0]), 1)


def test_who_saw_a_cpu_end_knows_all_that_it_did():
    clocks = Clocks()
    clocks.spawned(CPUS[0], CPUS[1])
    clocks.of(CPUS[1])[1] = 5
    clocks.joined(CPUS[0], CPUS[1])
    assert 5 == known(clocks.of(CPUS[0]), 1)


def test_what_a_cpu_learnt_of_a_third_is_passed_on():
    clocks = Clocks()
    clocks.spawned(CPUS[0], CPUS[1])
    clocks.spawned(CPUS[1], CPUS[2])
    clocks.of(CPUS[2])[2] = 4
    clocks.joined(CPUS[1], CPUS[2])
    clocks.joined(CPUS[0], CPUS[1])
    assert 4 == known(clocks.of(CPUS[0]), 2)
