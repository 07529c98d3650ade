"""Pools: the identities of records, and who finds, names and guards them."""

from __future__ import annotations

import pytest

import vmsmp
from things import Home, Thing, run
from vmsmp.engine import ops
from vmsmp.records.field import field, plain
from vmsmp.records.observer import RecordObserver
from vmsmp.records.pool import RecordPool, record_of
from vmsmp.records.record import FIRST_FIELD, SPIN, STRIDE, Record, record

SIZES = pytest.mark.parametrize("size", [None, 8], ids=["without a size", "with a size"])


@record()
class Bare(Record):
    """A record whose fields name no lock."""

    hint_only = field("")
    label = plain()

    @property
    def name(self):
        return f"bare[{self.label}]"


class Watcher(RecordObserver):
    """Writes down which field of which record is accessed without its locks."""

    def __init__(self):
        self.seen = []

    def unlocked(self, cpu, record, field, write):
        self.seen.append((record.label, field.name))


class Deaf(RecordObserver):
    """Does not ask for accesses."""


# -- identities -----------------------------------------------------------------------------------


def test_in_a_pool_with_a_size_an_identity_is_that_of_the_place_whoever_is_made_first():
    def program(_m, home):
        pool = RecordPool(home, Thing, 4)
        last, first = pool.make(3, label="d"), pool.make(0, label="a")
        return last.ident - first.ident >> ops.CPU_BITS

    assert 3 * STRIDE == run(program)


def test_in_a_pool_without_a_size_identities_follow_each_other_as_records_are_made():
    def program(_m, home):
        pool = RecordPool(home, Thing)
        one, other = pool.make(label="a"), pool.make(label="b")
        return other.ident - one.ident >> ops.CPU_BITS

    assert STRIDE == run(program)


def test_a_record_of_a_pool_without_a_size_has_an_identity_of_the_cpu_that_makes_it():
    cpus = []

    def program(m):
        pool = RecordPool(Home(m), Thing)
        m.spawn(lambda: cpus.append(pool.make(label="a").ident & ops.MAX_CPUS - 1))
        m.join()

    assert None is vmsmp.explore(program, sched="dfs:0", schedules=1, check=False).failure
    assert [1] == cpus


def test_a_record_of_a_pool_with_a_size_has_an_identity_of_the_cpu_that_made_the_pool():
    cpus = []

    def program(m):
        pool = RecordPool(Home(m), Thing, 4)
        m.spawn(lambda: cpus.append(pool.make(0, label="a").ident & ops.MAX_CPUS - 1))
        m.join()

    assert None is vmsmp.explore(program, sched="dfs:0", schedules=1, check=False).failure
    assert [0] == cpus


def test_two_pools_share_no_identity():
    def program(_m, home):
        one, other = RecordPool(home, Thing, 2), RecordPool(home, Thing, 2)
        return other.make(0, label="a").ident - one.make(0, label="b").ident >> ops.CPU_BITS

    assert 2 * STRIDE == run(program)


# -- making ---------------------------------------------------------------------------------------


def test_records_come_in_the_order_of_their_making():
    def program(_m, home):
        pool = RecordPool(home, Thing, 4)
        made = [pool.make(place, label=str(place)) for place in (2, 0, 3)]
        return made == list(pool)

    assert True is run(program)


def test_records_are_kept_by_their_place():
    def program(_m, home):
        pool = RecordPool(home, Thing, 4)
        pool.make(2, label="c")
        return {place: thing.label for place, thing in pool.records.items()}

    assert {2: "c"} == run(program)


def test_a_record_may_be_made_while_somebody_looks_at_all():
    def program(_m, home):
        pool = RecordPool(home, Thing)
        pool.make(label="a")
        for thing in pool:
            pool.make(label=thing.label + "b")
        return [thing.label for thing in pool]

    assert ["a", "ab"] == run(program)


def test_the_first_use_of_a_place_makes_its_record():
    def program(_m, home):
        return RecordPool(home, Thing, 4).first_use(3, label="d").label

    assert "d" == run(program)


def test_a_further_use_of_a_place_finds_the_record_that_was_made():
    def program(_m, home):
        pool = RecordPool(home, Thing, 4)
        return pool.first_use(3, label="d") is pool.first_use(3, label="e")

    assert True is run(program)


def test_parallel_cpus_that_use_a_place_first_get_the_same_record():
    seen = []

    def program(m):
        pool = RecordPool(Home(m), Thing, 50)
        used = [[] for _ in range(3)]

        def worker(mine):
            mine.extend(id(pool.first_use(place, label=place)) for place in range(50))

        for mine in used:
            m.spawn(worker, mine)
        m.join()
        seen.append(used[0] == used[1] == used[2])

    outcome = vmsmp.run(program, engine="free", seed=1, time_s=5, check=False)
    assert None is outcome.failure
    assert [True] == seen


# -- guards ---------------------------------------------------------------------------------------


@SIZES
def test_from_the_guard_on_accesses_to_earlier_and_later_records_are_seen(size):
    watcher = Watcher()

    def program(_m, home):
        pool = RecordPool(home, Thing, size)
        pool.make(0 if size else None, label="early").both = 1
        pool.guard()
        pool.make(1 if size else None, label="late")
        for thing in pool:
            thing.both = 2

    run(program, watcher)
    assert [("early", "both"), ("late", "both")] == watcher.seen


def test_no_record_is_guarded_if_no_checker_asks_for_accesses():
    def program(_m, home):
        pool = RecordPool(home, Thing)
        pool.make(label="early")
        pool.guard()
        pool.make(label="late")
        return [type(thing) for thing in pool]

    assert [Thing, Thing] == run(program, Deaf())


def test_records_without_letters_have_nothing_to_guard():
    watcher = Watcher()

    def program(_m, home):
        pool = RecordPool(home, Bare)
        pool.guard()
        pool.make(label="a").hint_only = 1
        return [type(thing) for thing in pool]

    assert [Bare] == run(program, watcher)
    assert [] == watcher.seen


# -- spinlocks ------------------------------------------------------------------------------------


def test_the_spinlocks_of_a_pool_are_those_that_somebody_wanted():
    def program(_m, home):
        pool = RecordPool(home, Thing)
        things = [pool.make(label=label) for label in "abc"]
        with things[2].spin, things[0].spin:
            pass
        return [spin.name for spin in pool.spinlocks()]

    assert ["thing[a].spin", "thing[c].spin"] == run(program)


def test_looking_for_spinlocks_makes_none():
    def program(_m, home):
        pool = RecordPool(home, Thing)
        pool.make(label="a")
        return [*pool.spinlocks(), *pool.spinlocks()]

    assert [] == run(program)


# -- finding --------------------------------------------------------------------------------------


@SIZES
@pytest.mark.parametrize("offset", [0, SPIN, SPIN + 1, FIRST_FIELD, FIRST_FIELD + 1, STRIDE - 1])
def test_every_identity_of_a_record_leads_to_it(size, offset):
    def program(m, home):
        pool = RecordPool(home, Thing, size)
        pool.make(0 if size else None, label="a")
        thing = pool.make(1 if size else None, label="b")
        return record_of(m, thing.ident + (offset << ops.CPU_BITS)) is thing

    assert True is run(program)


@pytest.mark.parametrize("offset", [0, SPIN, SPIN + 1, FIRST_FIELD, STRIDE - 1])
def test_every_identity_of_a_record_in_no_pool_leads_to_it(offset):
    def program(m, home):
        thing = Thing(home, label="a")
        return record_of(m, thing.ident + (offset << ops.CPU_BITS)) is thing

    assert True is run(program)


def test_an_operation_s_object_is_the_part_of_the_record_that_it_is_about():
    def program(m, home):
        thing = RecordPool(home, Thing, 2).make(1, label="b")
        return m.find(thing.ident + (Thing.fields["both"].offset << ops.CPU_BITS)).name

    assert "thing[b].both" == run(program)


@pytest.mark.parametrize("offset", [0, SPIN, FIRST_FIELD])
def test_no_record_is_at_a_place_that_is_not_made_yet(offset):
    def program(m, home):
        pool = RecordPool(home, Thing, 4)
        ident = pool.make(0, label="a").ident + (STRIDE + offset << ops.CPU_BITS)
        return record_of(m, ident), m.find(ident)

    assert (None, None) == run(program)


def test_what_is_no_record_is_none():
    def program(m, _home):
        return record_of(m, m.atomic(0).ident), record_of(m, m.identify("a name"))

    assert (None, None) == run(program)
