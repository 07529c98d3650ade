"""Atomic words inside records."""

from __future__ import annotations

import pytest

import vmsmp
from things import OWNER, Home, Marked, Thing, operations, run
from vmsmp.engine import ops
from vmsmp.records.observer import RecordObserver

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


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda w: w.fetchadd(1), ops.FETCHADD),
        (lambda w: w.setbits(8), ops.SETBITS),
        (lambda w: w.clearbits(3), ops.CLEARBITS),
        (lambda w: w.rmw(lambda old: -old), ops.RMW),
    ],
)
@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_who_looks_at_a_cpu_sees_the_kind_of_its_operation(act, kind, engine):
    seen = []

    def program(m):
        thing = Thing(Home(m), label="a")
        act(thing.count)
        seen.append(ops.kind_of(m.curcpu.pending))

    assert None is vmsmp.run(program, engine=engine, check=False).failure
    assert [kind] == seen


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


# -- bits with locks of their own -------------------------------------------------------------------


def reading(bits, *, owned):
    """The operations of a look at bits of a word whose value is 5."""

    def program(_m, home):
        thing = Marked(home, label="a")
        if owned:
            thing.took(OWNER)

        def act():
            assert 5 & bits == thing.marks.bits(bits)

        return act

    return operations(program)


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_who_holds_what_keeps_bits_still_reads_them_unseen(bits):
    assert [] == reading(bits, owned=True)


@pytest.mark.parametrize("bits", [1, 3, 4])
def test_without_that_bits_are_loaded(bits):
    assert ["load marked[a].marks"] == reading(bits, owned=False)


@pytest.mark.parametrize("bits", [4, 5, 8])
def test_bits_that_the_same_locks_do_not_keep_still_are_loaded(bits):
    assert ["load marked[a].marks"] == reading(bits, owned=True)


class Told(RecordObserver):
    def __init__(self):
        self.told = []

    def unlocked(self, cpu, record, field, write):
        self.told.append((record.name, field.name, write))


CHANGES = [
    pytest.param(lambda w: w.setbits(2), True, id="setbits"),
    pytest.param(lambda w: w.setbits(10), True, id="setbits among others"),
    pytest.param(lambda w: w.clearbits(1), True, id="clearbits"),
    pytest.param(lambda w: w.store(4), True, id="store"),
    pytest.param(lambda w: w.swap(0), True, id="swap"),
    pytest.param(lambda w: w.cmpset(5, 6), True, id="cmpset"),
    pytest.param(lambda w: w.fcmpset(5, 4), True, id="fcmpset"),
    pytest.param(lambda w: w.fetchadd(1), True, id="fetchadd"),
    pytest.param(lambda w: w.rmw(lambda old: old ^ 1), True, id="rmw"),
    pytest.param(lambda w: w.setbits(1), False, id="it is set"),
    pytest.param(lambda w: w.clearbits(2), False, id="it is clear"),
    pytest.param(lambda w: w.cmpset(4, 6), False, id="cmpset that fails"),
    pytest.param(lambda w: w.clearbits(4), False, id="bits that need nothing"),
    pytest.param(lambda w: w.fetchadd(16), False, id="other bits"),
    pytest.param(lambda w: w.load(), False, id="load"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
@pytest.mark.parametrize("held", [False, True], ids=["unlocked", "locked"])
def test_a_twin_s_word_tells_of_bits_changed_without_their_letters(change, told, held):
    observer = Told()

    def program(_m, home):
        thing = Marked(home, label="a")
        thing.guard()
        if held:
            thing.spin.acquire()
        change(thing.marks)

    run(program, observer)
    expected = [("marked[a]", "marks 0x3", True)] if told and not held else []
    assert expected == observer.told


@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_a_twin_s_word_does_what_the_word_does(engine):
    seen = []

    def program(m):
        thing = Marked(Home(m), label="a")
        thing.guard()
        seen.extend(
            [thing.marks.fetchadd(16), thing.marks.setbits(8), thing.marks.swap(1), thing.marks.peek()]
        )

    outcome = vmsmp.run(program, engine=engine, check=False)
    assert (None, [5, 21, 29, 1]) == (outcome.failure, seen)
