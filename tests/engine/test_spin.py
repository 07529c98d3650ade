"""What a spinning CPU read, and who is woken by which write."""

from __future__ import annotations

import pytest

from vmsmp.engine import ops
from vmsmp.engine.spin import SPIN_ROUNDS, Spinners, only_read

X, Y = ops.identity(0, 1), ops.identity(0, 2)
LOAD_X, LOAD_Y = ops.op(X, ops.LOAD), ops.op(Y, ops.LOAD)
STORE_X, STORE_Y = ops.op(X, ops.STORE), ops.op(Y, ops.STORE)


def turn_of(cpu):
    """The mark in a log that says whose steps follow."""
    return -1 - cpu


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ([LOAD_X], {X}),
        ([LOAD_X, LOAD_Y], {X, Y}),
        ([], set()),
        ([STORE_X], None),
        ([LOAD_X, STORE_Y], None),
        ([LOAD_X, turn_of(2), STORE_X], None),
        ([LOAD_X, turn_of(2), STORE_Y], {X}),
        ([turn_of(2), STORE_X, turn_of(1), LOAD_X], {X}),
        ([LOAD_X, turn_of(2), LOAD_Y, turn_of(1), LOAD_X], {X}),
    ],
)
def test_a_turn_only_read_if_nobody_wrote_what_it_had_read(log, expected):
    assert expected == only_read(log, 0, 1)


def test_what_came_before_the_turn_does_not_count():
    assert {X} == only_read([STORE_X, LOAD_X], 1, 1)


@pytest.fixture
def spinners():
    """Two that spin: one reads X, the other X and Y."""
    made = Spinners()
    made.reads = {"one": frozenset([X]), "both": frozenset([X, Y])}
    return made


@pytest.mark.parametrize(("ident", "expected"), [(X, ["one", "both"]), (Y, ["both"]), (9, [])])
def test_a_write_wakes_those_who_read_that_object(spinners, ident, expected):
    assert expected == spinners.written(ident)


def test_who_was_woken_spins_no_more(spinners):
    spinners.written(Y)
    assert ["one"] == list(spinners.reads)


def test_all_are_let_go_at_once(spinners):
    assert (["one", "both"], {}) == (spinners.release(), spinners.reads)


def test_so_many_rounds_in_which_nothing_is_written_may_be_taken(spinners):
    assert [True] * SPIN_ROUNDS + [False] == [
        spinners.may_look_again([LOAD_X]) for _ in range(SPIN_ROUNDS + 1)
    ]


def test_a_write_begins_the_count_of_futile_rounds_anew(spinners):
    for _ in range(SPIN_ROUNDS):
        spinners.may_look_again([LOAD_X])
    assert spinners.may_look_again([LOAD_X, STORE_Y])
