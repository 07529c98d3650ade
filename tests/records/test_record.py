"""Shared records: slots, hints, publications, identities and spinlocks."""

from __future__ import annotations

import pytest

import vmsmp
from things import OWNER, Home, Marked, Thing, operations, run
from vmsmp.engine import ops
from vmsmp.records.record import SPIN, STRIDE

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


@pytest.mark.parametrize("made", [Thing, Thing.checked], ids=["plain", "checked"])
def test_a_plain_field_is_a_slot_and_no_visible_operation(made):
    def program(_m, home):
        thing = made(home, label="a")

        def act():
            thing.both = 3
            assert 3 == thing.both

        return act

    assert [] == operations(program)


def test_a_raw_name_reads_the_slot_of_a_checked_record_and_no_guard_sees_it():
    def program(m, home):
        seen = []
        m.hooks.unlocked = (lambda *access: seen.append(access),)
        thing = Thing.checked(home, label="a")
        thing.either = 3
        guarded = len(seen)
        return thing.raw_either, guarded > 0, len(seen) - guarded

    assert (3, True, 0) == run(program)


@pytest.mark.parametrize("made", [Thing, Thing.checked], ids=["plain", "checked"])
def test_a_record_has_no_room_for_what_it_did_not_declare(made):
    def program(_m, home):
        with pytest.raises(AttributeError):
            made(home, label="a").undeclared = 1
        return True

    assert True is run(program)


@pytest.mark.parametrize("owned", [False, True])
def test_a_hint_of_a_field_that_stands_still_is_no_operation(owned):
    def program(_m, home):
        thing = Marked(home, label="a", size=5)
        if owned:
            thing.took(OWNER)

        def act():
            assert 5 == thing.hint("size")

        return act

    assert ([] if owned else ["load marked[a].size"]) == operations(program)


def test_a_hint_reads_the_field_in_one_visible_operation():
    def program(_m, home):
        thing = Thing(home, label="a")
        thing.both = 5

        def act():
            assert 5 == thing.hint("both")

        return act

    assert ["load thing[a].both"] == operations(program)


def test_publishing_stores_the_field_in_one_visible_operation():
    def program(_m, home):
        thing = Thing(home, label="a")

        def act():
            thing.publish("both", 9)
            assert 9 == thing.both

        return act

    assert ["store thing[a].both"] == operations(program)


def test_a_peek_sees_fields_and_words_and_nobody_sees_it():
    def program(_m, home):
        thing = Thing.checked(home, label="a")

        def act():
            assert [0, 7] == [thing.peek("both"), thing.peek("count")]

        return act

    assert [] == operations(program)


def test_a_record_finds_its_fields_its_word_and_its_spinlock_by_identity():
    def program(m, home):
        thing = Thing(home, label="a")

        def at(offset):
            return m.find(thing.ident + (offset << ops.CPU_BITS))

        assert thing is at(0)
        assert thing.spin is at(SPIN)
        assert thing.count is at(Thing.fields["count"].offset)
        return at(Thing.fields["both"].offset).name, at(Thing.fields["both"].offset).state()

    assert ("thing[a].both", "<0>") == run(program)


def test_two_records_have_no_identity_in_common():
    def program(_m, home):
        one, other = Thing(home, label="a"), Thing(home, label="b")
        return (other.ident - one.ident) >> ops.CPU_BITS

    assert STRIDE == run(program)


def test_a_record_s_spinlock_is_made_once_and_named_after_it():
    def program(_m, home):
        thing = Thing(home, label="a")
        return thing.spin is thing.spin, thing.spin.name

    assert (True, "thing[a].spin") == run(program)


@DEPTHS
def test_a_spinlock_s_identity_does_not_depend_on_who_wants_it_first(locks):
    def seen_by(first):
        told = []

        def program(m):
            things = [Thing(Home(m), label=n) for n in range(3)]

            def worker(order):
                for n in order:
                    with things[n].spin:
                        pass

            m.spawn(worker, first)
            m.join()
            told.append([thing.spin.ident - thing.ident for thing in things])

        assert None is vmsmp.explore(program, sched="dfs:0", schedules=1, locks=locks, check=False).failure
        return told[0]

    assert [SPIN << ops.CPU_BITS] * 3 == seen_by([0, 1, 2]) == seen_by([2, 1, 0])


@DEPTHS
def test_two_cpus_that_want_a_spinlock_first_get_the_same_one(locks):
    def program(m):
        thing = Thing(Home(m), label="a")
        inside = m.atomic(0)

        def worker():
            with thing.spin:
                m.check(inside.fetchadd(1) == 0, "one spinlock, one holder")
                inside.fetchadd(-1)

        m.spawn(worker)
        m.spawn(worker)
        m.join()

    result = vmsmp.explore(program, sched="dfs:2", schedules=200, locks=locks, check=False)
    assert [] == [f.report() for f in result.failures]


@DEPTHS
def test_parallel_cpus_that_want_a_spinlock_first_get_the_same_one(locks):
    seen = []

    def program(m):
        things = [Thing(Home(m), label=n) for n in range(50)]
        locked = [set() for _ in range(3)]

        def worker(mine):
            for thing in things:
                with thing.spin:
                    mine.add((thing.label, id(thing.spin)))

        for mine in locked:
            m.spawn(worker, mine)
        m.join()
        seen.append(len(set.union(*locked)))

    outcome = vmsmp.run(program, engine="free", seed=1, time_s=5, locks=locks, check=False)
    assert (None, [50]) == (outcome.failure, seen)


def test_a_record_s_class_name_is_its_name_without_the_number():
    def program(_m, home):
        return Thing(home, label="17").klass

    assert "thing" == run(program)
