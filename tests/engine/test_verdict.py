"""Kinds of failure: a row each, and a kind is its name."""

from __future__ import annotations

import json

import pytest

from vmsmp.engine.verdict import FailureKind, Violation

kinds = pytest.mark.parametrize("kind", FailureKind)


@kinds
def test_every_kind_says_what_it_means(kind):
    assert kind.meaning.strip()


@kinds
def test_a_kind_is_found_by_its_name(kind):
    assert kind is FailureKind(str(kind))


@kinds
def test_a_kind_is_equal_to_its_name(kind):
    assert kind.value == kind


def test_a_kind_in_json_is_its_name():
    assert '["lost-wakeup"]' == json.dumps([FailureKind.LOST_WAKEUP])


@kinds
def test_what_is_the_doing_of_all_ends_a_run(kind):
    assert kind.of_all <= kind.final


def test_a_run_ends_with_these_kinds_even_if_the_rest_is_wanted():
    final = {"deadlock", "lost-wakeup", "livelock", "interrupted"}
    assert final == {kind for kind in FailureKind if kind.final}


def test_these_kinds_are_the_doing_of_all_cpus():
    assert {"deadlock", "lost-wakeup", "livelock"} == {kind for kind in FailureKind if kind.of_all}


def test_a_kind_that_is_not_in_the_table_is_refused(controlled):
    seen = []

    def program(m):
        with pytest.raises(ValueError, match="misfortune"):
            m.fail("misfortune", "it rains")
        seen.append(m.violation)

    controlled(program)
    assert [None] == seen


def test_a_violation_found_by_running_is_of_that_kind(controlled):
    assert FailureKind.CHECK is controlled(lambda m: m.fail("check", "it rains")).violation.kind


def test_what_simply_happened_is_held_nowhere():
    assert () == Violation(FailureKind.CHECK, "it rains").hold_at
