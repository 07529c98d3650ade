"""Atomic words inside records."""

from __future__ import annotations

import pytest

import vmsmp
from things import Home, Thing, operations, run

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


@pytest.mark.parametrize(
    ("act", "expected", "left"),
    [
        (lambda w: w.load(), 7, 7),
        (lambda w: w.store(2), None, 2),
        (lambda w: w.fetchadd(3), 7, 10),
        (lambda w: w.swap(1), 7, 1),
        (lambda w: w.cmpset(7, 8), True, 8),
        (lambda w: w.cmpset(6, 8), False, 7),
        (lambda w: w.fcmpset(7, 8), (True, 7), 8),
        (lambda w: w.fcmpset(6, 8), (False, 7), 7),
        (lambda w: w.setbits(8), 7, 15),
        (lambda w: w.clearbits(3), 7, 4),
        (lambda w: w.rmw(lambda old: -old), 7, -7),
    ],
)
@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_a_word_does_what_an_atomic_does(act, expected, left, engine):
    seen = []

    def program(m):
        thing = Thing(Home(m), label="a")
        seen.append((act(thing.count), thing.count.peek()))

    outcome = vmsmp.run(program, engine=engine, check=False)
    assert (None, [(expected, left)]) == (outcome.failure, seen)


def test_every_operation_on_a_word_is_one_visible_operation_on_its_own_identity():
    def program(_m, home):
        thing = Thing(home, label="a")

        def act():
            thing.count.fetchadd(1)
            thing.count.cmpset(99, 0)
            thing.count.load()

        return act

    expected = ["fetchadd thing[a].count", "cmpset failed thing[a].count", "load thing[a].count"]
    assert expected == operations(program)


def test_a_word_shows_its_value_in_the_form_it_was_declared_with():
    def program(_m, home):
        thing = Thing(home, label="a")
        return thing.count.state(), thing.count.name, repr(thing.count)

    assert ("0x7", "thing[a].count", "thing[a].count") == run(program)


def test_words_of_two_records_are_two_words():
    def program(_m, home):
        one, other = Thing(home, label="a"), Thing(home, label="b")
        one.count.fetchadd(1)
        return one.count.peek(), other.count.peek()

    assert (8, 7) == run(program)


@DEPTHS
def test_no_increment_of_a_word_is_lost_between_parallel_cpus(locks):
    seen = []

    def program(m):
        thing = Thing(Home(m), label="a")

        def adder():
            for _ in range(200):
                thing.count.fetchadd(1)

        for _ in range(3):
            m.spawn(adder)
        m.join()
        seen.append(thing.count.peek())

    outcome = vmsmp.run(program, engine="free", seed=1, time_s=5, locks=locks, check=False)
    assert (None, [607]) == (outcome.failure, seen)
