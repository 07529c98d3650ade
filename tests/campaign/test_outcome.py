"""Outcomes: signatures without numbers, the line that shows a failure again, results as plain data."""

from __future__ import annotations

import pickle

import pytest

from vmsmp.campaign.outcome import (
    Failure,
    History,
    Outcome,
    Result,
    Unread,
    replaying,
    signature_of,
    without_addresses,
)
from vmsmp.engine.options import Options
from vmsmp.engine.verdict import Violation
from vmsmp.report.text import failure_text

LINE = "v1:mine:0:1.2>3"


def failure(**parts):
    whole = {
        "kind": "check",
        "message": "the page is busy",
        "signature": "check: the page is busy",
        "schedule": LINE,
        "digest": "0123456789abcdef",
        "program": "mine",
    }
    return Failure(**whole | parts)


# -- signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "signature"),
    [
        ("pg[17] is busy", "check: pg[N] is busy"),
        ("the count is -3", "check: the count is N"),
        ("the rate is 0.25", "check: the rate is N"),
        ("INV-PB1: pg[3] has two owners", "check: INV-PB1: pg[N] has two owners"),
        ("<object at 0x7f12ab>", "check: <object at N>"),
    ],
)
def test_a_signature_has_no_instance_numbers(message, signature):
    assert signature == signature_of(Violation("check", message))


def test_an_address_is_replaced_in_a_message():
    assert "at N and N, not 17" == without_addresses("at 0xdead and 0xbeef, not 17")


# -- again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "check", "words"),
    [
        (True, True, f"vmsmp replay '{LINE}'"),
        (True, False, f"vmsmp replay --no-check '{LINE}'"),
        (False, True, f"vmsmp.replay(mine, '{LINE}')"),
        (False, False, f"vmsmp.replay(mine, '{LINE}', check=False)"),
    ],
)
def test_a_line_is_shown_again_by_a_command_or_a_call(listed, check, words):
    assert words == replaying("mine", LINE, listed=listed, check=check)


@pytest.mark.parametrize("place", ["my file.py", "mine.py::one"])
def test_a_line_of_a_program_in_a_file_is_shown_again_by_a_command_that_names_it(place):
    quoted = f"'{place}'" if " " in place else place
    assert f"vmsmp replay '{LINE}' {quoted}" == replaying("mine", LINE, listed=False, place=place)


def test_a_failure_s_report_is_its_text():
    assert failure_text(failure()) == failure().report()


# -- values ---------------------------------------------------------------------------------------


def test_a_failure_travels_between_processes():
    whole = failure(history=History((), (("cpu0", ("load word",)),)))
    assert whole == pickle.loads(pickle.dumps(whole))


def test_a_failure_turns_into_plain_data():
    assert LINE == failure().as_dict()["schedule"]


def test_an_outcome_without_a_failure_is_clean():
    assert Outcome("mine", "00", 3).ok


def test_an_outcome_with_a_failure_is_not():
    assert not Outcome("mine", "00", 3, failure()).ok


def test_the_failure_of_a_result_is_its_first():
    one, other = failure(), failure(schedule="v1:mine:1:")
    assert one is Result("mine", "random", Options(), failures=[one, other]).failure


def test_a_result_without_failures_has_none():
    assert None is Result("mine", "random", Options()).failure


# -- unread ---------------------------------------------------------------------------------------


@pytest.fixture
def unread():
    return Unread.of(Result("mine", "random", Options(), seed=7, executions=3, failures=[failure()]))


def test_a_copy_is_unread(unread):
    assert not unread.read


def test_a_copy_has_the_same_numbers(unread):
    assert (3, 7) == (unread.executions, unread.seed)


def test_numbers_are_no_verdict(unread):
    assert 3 == unread.executions
    assert not unread.read


@pytest.mark.parametrize("verdict", ["failure", "failures", "ok", "counts"])
def test_whoever_looks_at_the_verdict_has_read_it(unread, verdict):
    getattr(unread, verdict)
    assert unread.read
