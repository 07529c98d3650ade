"""Letters: what they ask for, alone and combined."""

from __future__ import annotations

import pytest

import vmsmp
from things import OWNER, Home, Thing
from vmsmp.check.field_locks import FieldLocks
from vmsmp.records.letters import Letter, alternatives, in_words, requirement


def letters_of(act, kept=()):
    """What the field-lock checker says of `act(thing)` by a CPU that holds what `kept` says."""

    def program(m):
        home = Home(m)
        thing = Thing(home, label="a")
        thing.__class__ = Thing.checked
        checker = FieldLocks()
        m.hooks.unlocked = (checker.unlocked,)
        thing.free = 0 if "zero" in kept else 1

        def worker():
            if "spin" in kept:
                thing.spin.acquire()
            if "owner" in kept:
                thing.took(OWNER)
            act(thing)

        checker.spawned(m.curcpu, m.spawn(worker))
        m.join()

    failure = vmsmp.explore(program, sched="dfs:0", schedules=1, check=False).failure
    return failure and (failure.kind, failure.message)


def write_both(thing):
    thing.both = 1


def write_either(thing):
    thing.either = 1


BOTH = "thing.both written without thing.spin and its own share"
EITHER = "thing.either written without thing.spin, or its own share"


@pytest.mark.parametrize(
    ("act", "kept", "message"),
    [
        (write_both, (), BOTH),
        (write_both, ("spin",), BOTH),
        (write_both, ("owner",), BOTH),
        (write_both, ("spin", "owner"), None),
        (lambda thing: thing.both, (), "thing.both read without thing.spin"),
        (lambda thing: thing.both, ("owner",), "thing.both read without thing.spin"),
        (lambda thing: thing.both, ("spin",), None),
        (write_either, (), EITHER),
        (write_either, ("spin",), None),
        (write_either, ("owner",), None),
        (lambda thing: thing.free, (), None),
        (lambda thing: thing.seen, (), None),
        (lambda thing: setattr(thing, "seen", 1), (), "thing.seen written without thing.spin"),
        (lambda thing: thing.changing("items"), (), "thing.items written without thing.spin"),
    ],
)
def test_plus_means_both_bar_means_either_and_no_letter_means_anybody(act, kept, message):
    assert (message and ("field-lock", message)) == letters_of(act, kept)


# -- combining ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("S", ("S",)),
        ("S+Q", ("SQ",)),
        ("S|Q", ("S", "Q")),
        ("S+Q|B", ("SQ", "B")),
        ("B|O+N", ("B", "ON")),
    ],
)
def test_alternatives_are_letters_that_must_all_hold(letters, expected):
    assert expected == alternatives(letters)


def test_no_letter_asks_for_nothing():
    assert requirement({}, "") is None


TRUTHS = {
    "T": Letter("a truth", lambda _cpu, _thing: True),
    "F": Letter("a falsehood", lambda _cpu, _thing: False),
}


@pytest.mark.parametrize(
    ("letters", "holds"),
    [("T", True), ("F", False), ("T+F", False), ("T|F", True), ("F|T+F", False), ("F|T+T", True)],
)
def test_letters_hold_if_all_of_one_alternative_do(letters, holds):
    assert requirement(TRUTHS, letters)(None, None) is holds


@pytest.mark.parametrize(
    ("letters", "words"),
    [
        ("T", "a truth"),
        ("T+F", "a truth and a falsehood"),
        ("T|F", "a truth, or a falsehood"),
        ("T+F|T", "a truth and a falsehood, or a truth"),
    ],
)
def test_letters_are_told_in_the_words_of_their_legend(letters, words):
    assert words == in_words(TRUTHS, letters)


def test_a_letter_that_the_legend_does_not_have_is_an_error_when_the_class_is_made():
    with pytest.raises(KeyError, match="X"):
        requirement(TRUTHS, "X")
