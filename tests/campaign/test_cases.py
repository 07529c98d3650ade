"""Cases: what waits to be decided, in which order, and what closes a case."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from vmsmp.campaign.cases import NEVER_TWICE, Cases, Sighting
from vmsmp.campaign.cause import WITH_ALL, Cause, Verdict
from vmsmp.campaign.errand import Inquired
from vmsmp.campaign.findings import findings
from vmsmp.campaign.outcome import Failure
from vmsmp.engine.options import Options
from vmsmp.patches.catalogue import REPAIR_BY_NAME

AS_IT_IS = Options()
REPAIRED = Options(repairs=frozenset(REPAIR_BY_NAME))
PROVEN = Cause(Verdict.PROVEN, "a-finding", "5 of 7")
REFUTED = Cause(Verdict.REFUTED, evidence="it is not")


def failure(signature="check: bad", program="mine", **more):
    kind, _, message = signature.partition(": ")
    return Failure(
        kind, message, signature, more.pop("schedule", "v1:mine:0:"), "00", program=program, **more
    )


@pytest.fixture
def cases():
    return Cases(date(2026, 1, 1), None)


def sighted(cases, *signatures, **more):
    """So many failures that have to be decided."""
    sightings = [Sighting(failure(one, **more), AS_IT_IS) for one in signatures]
    for one in sightings:
        cases.open(one)
    return sightings


def answer(cases, cause):
    """Decide what is to be decided next."""
    (inquiry,) = cases.inquiries()
    return cases.answer(Inquired(inquiry, cause))


def test_what_nothing_was_seen_of_has_to_be_decided(cases):
    assert cases.why_new(failure(), AS_IT_IS) is None


@pytest.mark.parametrize("kind", ["nondeterminism", "hang"])
def test_what_never_comes_twice_is_new(cases, kind):
    assert NEVER_TWICE == cases.why_new(failure(f"{kind}: it is"), AS_IT_IS)


def test_with_all_repairs_a_failure_is_new_and_closes_its_case(cases):
    assert WITH_ALL == cases.why_new(failure(), REPAIRED)
    assert WITH_ALL == cases.why_new(failure(), AS_IT_IS)


def test_another_signature_or_scenario_is_another_case(cases):
    cases.why_new(failure(), REPAIRED)
    others = [failure("check: worse"), failure(program="yours")]
    assert [None, None] == [cases.why_new(other, AS_IT_IS) for other in others]


def test_of_a_case_one_failure_at_a_time_is_asked_about(cases):
    one, two, other = sighted(cases, "check: a", "check: a", "check: b")
    assert [one.failure, other.failure] == [inquiry.failure for inquiry in cases.inquiries()]
    assert [] == [*cases.inquiries()]
    assert (one, two, other) == cases.undecided


def test_of_a_case_the_failure_of_the_job_that_began_first_is_decided_first(cases):
    late, early = (Sighting(failure("check: a"), AS_IT_IS, job=number) for number in (7, 3))
    for one in (late, early):
        cases.open(one)
    assert [(early, PROVEN)] == answer(cases, PROVEN)
    assert [(late, PROVEN)] == answer(cases, PROVEN)


def test_nothing_is_decided_while_an_earlier_job_is_under_way(cases):
    for number, signature in ((7, "check: a"), (3, "check: b")):
        cases.open(Sighting(failure(signature), AS_IT_IS, job=number))
    assert ["check: b"] == [one.failure.signature for one in cases.inquiries(before=5)]
    assert [] == [*cases.inquiries(before=7)]
    assert ["check: a"] == [one.failure.signature for one in cases.inquiries(before=8)]


def test_a_proof_decides_one_and_is_tried_first_on_the_next(cases):
    one, two = sighted(cases, "check: a", "check: a")
    assert [(one, PROVEN)] == answer(cases, PROVEN)
    (inquiry,) = cases.inquiries()
    assert (two.failure, ("a-finding",)) == (inquiry.failure, inquiry.faces)


@pytest.mark.parametrize("verdict", [Verdict.REFUTED, Verdict.UNDECIDED])
def test_what_is_not_proven_closes_the_case_for_all_that_wait(cases, verdict):
    cause = Cause(verdict, evidence="it is not")
    one, two = sighted(cases, "check: a", "check: a")
    assert [(one, cause), (two, cause)] == answer(cases, cause)
    assert "it is not" == cases.why_new(failure("check: a"), AS_IT_IS)
    assert () == cases.undecided


def test_a_case_that_is_closed_meanwhile_believes_no_proof(cases):
    (one,) = sighted(cases, "check: a")
    (inquiry,) = cases.inquiries()
    cases.why_new(failure("check: a"), REPAIRED)
    assert [(one, Cause(Verdict.REFUTED, evidence=WITH_ALL))] == cases.answer(Inquired(inquiry, PROVEN))


def test_what_was_decided_before_is_remembered(cases):
    cases.remember("mine", "check: a", "a-finding", "5 of 7")
    cases.remember("mine", "check: b", "", "it is not")
    sighted(cases, "check: a")
    assert [("a-finding",)] == [inquiry.faces for inquiry in cases.inquiries()]
    assert "it is not" == cases.why_new(failure("check: b"), AS_IT_IS)


def test_an_inquiry_takes_no_story_with_it(cases):
    sighted(cases, "check: a", story=object(), history=object())
    (inquiry,) = cases.inquiries()
    assert (None, None) == (inquiry.failure.story, inquiry.failure.history)


def test_what_expires_is_not_among_the_findings_that_may_be_the_cause(monkeypatch):
    first = findings()[0]
    monkeypatch.setattr("vmsmp.campaign.cases.findings", lambda: (first, expiring(findings()[1])))
    kept = []
    for day in (1, 2):
        cases = Cases(date(2026, 1, day), None)
        sighted(cases, "check: a")
        kept += [len(inquiry.among) for inquiry in cases.inquiries()]
    assert [2, 1] == kept


def expiring(finding):
    return replace(finding, expires=date(2026, 1, 2))


# -- failures without a line ----------------------------------------------------------------------

UNDECIDED = Cause(Verdict.UNDECIDED, evidence="too rare")


def freely(cases, times=1):
    """So many failures of the free engine."""
    return sighted(cases, *["check: a"] * times, schedule="")


def test_what_is_too_rare_to_be_decided_closes_nothing(cases):
    free = freely(cases, 2)
    assert [] == answer(cases, UNDECIDED)
    free += freely(cases)
    assert ([], (), 3) == ([*cases.inquiries()], cases.undecided, cases.put_by)
    (line,) = sighted(cases, "check: a")
    assert [line.failure] == [inquiry.failure for inquiry in cases.inquiries()]


def test_it_is_looked_into_again_once_a_line_is_a_face_of_a_finding(cases):
    (free,) = freely(cases)
    answer(cases, UNDECIDED)
    (line,) = sighted(cases, "check: a")
    assert [(line, PROVEN)] == answer(cases, PROVEN)
    assert ((free,), 0) == (cases.undecided, cases.put_by)
    (inquiry,) = cases.inquiries()
    assert (free.failure, ("a-finding",)) == (inquiry.failure, inquiry.faces)
    assert [(free, PROVEN)] == cases.answer(Inquired(inquiry, PROVEN))


def test_a_line_that_is_none_closes_the_case_for_what_was_put_by_too(cases):
    (free,) = freely(cases)
    answer(cases, UNDECIDED)
    (line,) = sighted(cases, "check: a")
    assert [(line, REFUTED), (free, REFUTED)] == answer(cases, REFUTED)
    assert 0 == cases.put_by


def test_what_is_still_put_by_in_the_end_is_new_for_its_own_reason(cases):
    (free,) = freely(cases)
    answer(cases, UNDECIDED)
    assert [(free, UNDECIDED)] == cases.give_up()
    assert [] == cases.give_up()


def test_a_failure_without_a_line_that_is_refuted_closes_its_case(cases):
    (free,) = freely(cases)
    assert [(free, REFUTED)] == answer(cases, REFUTED)
    assert "it is not" == cases.why_new(failure("check: a"), AS_IT_IS)
