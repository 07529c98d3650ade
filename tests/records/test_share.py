"""Shares of a record: in whose hands they are."""

from __future__ import annotations

import dataclasses

import pytest

from things import OWNER, READER, WIRING, Thing, run
from vmsmp.records.record import has
from vmsmp.records.share import Share


def test_a_share_of_one_s_own_is_in_the_hands_of_the_cpu_that_took_it():
    def program(_m, home):
        thing = Thing(home, label="a")
        thing.took(OWNER)
        taken = [(cpu.index, share) for cpu, share in thing.holders]
        thing.gave(OWNER)
        return taken, thing.holders

    assert ([(0, OWNER)], []) == run(program)


def test_a_share_that_is_merely_counted_is_in_nobody_s_hands():
    def program(m, home):
        thing = Thing(home, label="a")
        thing.took(WIRING)
        return thing.holders, m.curcpu.held

    assert ([], []) == run(program)


def test_of_two_shares_of_one_kind_one_is_given_back_at_a_time():
    def program(_m, home):
        thing, other = Thing(home, label="a"), Thing(home, label="b")
        for taken in (thing, thing, other):
            taken.took(READER)
        thing.gave(READER)
        return len(thing.holders), len(other.holders)

    assert (1, 1) == run(program)


def test_a_share_given_back_leaves_those_of_other_kinds():
    def program(_m, home):
        thing = Thing(home, label="a")
        thing.took(OWNER)
        thing.took(READER)
        thing.gave(OWNER)
        return [share for _, share in thing.holders]

    assert [READER] == run(program)


def test_a_share_is_told_by_its_name():
    assert "owner" == str(OWNER)


def test_two_shares_declared_alike_are_two():
    assert Share("owner", owned=True, invariant="INV-X1") != OWNER


def test_a_share_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        OWNER.invariant = "INV-X9"


def test_a_cpu_has_a_share_of_the_record_that_it_took_one_of_and_of_no_other():
    def program(m, home):
        thing, other = Thing(home, label="a"), Thing(home, label="b")
        thing.took(OWNER)
        return has(m.curcpu, thing, OWNER), has(m.curcpu, other, OWNER)

    assert (True, False) == run(program)


@pytest.mark.parametrize(("wanted", "expected"), [((READER,), False), ((READER, OWNER), True), ((), False)])
def test_a_cpu_is_asked_for_any_of_several_shares(wanted, expected):
    def program(m, home):
        thing = Thing(home, label="a")
        thing.took(OWNER)
        return has(m.curcpu, thing, *wanted)

    assert expected is run(program)


# -- handed on ------------------------------------------------------------------------------------


def test_a_share_handed_on_is_in_nobody_s_hands():
    def program(_m, home):
        thing = Thing(home, label="a")
        thing.took(OWNER)
        thing.handed(OWNER)
        return thing.holders, thing.in_progress

    assert ([], (OWNER,)) == run(program)


def test_a_share_taken_over_is_in_the_hands_of_the_cpu_that_did():
    def program(m, home):
        thing = Thing(home, label="a")

        def starter():
            thing.took(OWNER)
            thing.handed(OWNER)

        m.spawn(starter).join()
        taken = thing.taken_over(OWNER)
        return taken, [(cpu.index, share) for cpu, share in thing.holders], thing.in_progress

    assert (True, [(0, OWNER)], ()) == run(program)


@pytest.mark.parametrize("handed", [(), (READER,)], ids=["nothing", "another"])
def test_a_share_that_was_not_handed_on_is_not_taken_over(handed):
    def program(_m, home):
        thing = Thing(home, label="a")
        for share in handed:
            thing.took(share)
            thing.handed(share)
        return thing.taken_over(OWNER), thing.holders

    assert (False, []) == run(program)


def test_of_two_shares_handed_on_one_is_taken_over_at_a_time():
    def program(_m, home):
        thing = Thing(home, label="a")
        for _ in range(2):
            thing.took(READER)
            thing.handed(READER)
        thing.taken_over(READER)
        return thing.in_progress, len(thing.holders)

    assert ((READER,), 1) == run(program)


def test_who_has_no_share_hands_none_on():
    def program(_m, home):
        thing = Thing(home, label="a")
        thing.handed(OWNER)
        return thing.in_progress

    assert () == run(program)
