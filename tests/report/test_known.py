"""What is said of a failure that is a known finding, or may be a face of one."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.campaign import cause
from vmsmp.campaign.cause import suspects
from vmsmp.campaign.findings import by_name
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import ReplayDiverged
from vmsmp.library import find_scenario
from vmsmp.report.known import failure_dict, known_lines, suspect_lines

FINDING = by_name("stop-cancels-another-call")
SCENARIO = find_scenario("stop_cancels_another_call")
#: A scenario in which a known finding shows that has its story elsewhere, and a line on which it does.
ELSEWHERE = find_scenario("mutex_owners_become_readers")


@pytest.fixture(scope="module")
def known():
    """The failure along a finding's line, and its options."""
    line = Schedule.parse(FINDING.schedule)
    return vmsmp.replay(SCENARIO, line).failure, line.options


@pytest.fixture(scope="module")
def face():
    """A failure of another scenario that the finding causes, and its options."""
    result = vmsmp.explore(ELSEWHERE, locks="exact", schedules=200)
    return result.failure, result.options


def test_a_known_finding_is_named_with_what_to_do_next(known):
    assert [
        f"known finding {FINDING.name}: {FINDING.reason}",
        "  what lies behind it: vmsmp run stop_cancels_another_call --repair cancel-of-another-call",
        "  its story: vmsmp replay stop-cancels-another-call; its entry is in stress/known.toml",
    ] == known_lines(SCENARIO, *known)


def test_to_go_on_takes_the_repairs_that_were_on_too(known):
    failure, options = known
    more = Options(**{**options_of(options), "repairs": {"vm-wait-interlocks"}})
    (behind,) = (line for line in known_lines(SCENARIO, failure, more) if "behind" in line)
    assert behind.endswith("--repair cancel-of-another-call --repair vm-wait-interlocks")


def options_of(options):
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


def test_with_its_repair_on_a_failure_is_no_known_finding(known):
    failure, options = known
    repaired = Options(**{**options_of(options), "repairs": {FINDING.repair}})
    assert [] == known_lines(SCENARIO, failure, repaired)


def test_a_face_is_not_known_by_the_list(face):
    assert [] == known_lines(ELSEWHERE, *face)


def test_of_a_face_it_is_said_which_finding_may_be_its_cause(face):
    among = suspects(ELSEWHERE, *face)
    assert ["downgrade-gives-its-count-away"] == [one.name for one in among]
    text = suspect_lines(ELSEWHERE, *face, among)
    assert text[0].startswith("known finding downgrade-gives-its-count-away may be its cause: ")
    assert "  vmsmp stress --scenarios mutex_owners_become_readers --schedules 2000" == text[2]
    assert "--repair downgrade-keeps-its-count" in text[3]


@pytest.mark.parametrize("ends", [KeyboardInterrupt, ReplayDiverged("no")])
def test_a_hint_that_cannot_be_had_is_none(face, monkeypatch, ends):
    def replay(*_):
        raise ends

    monkeypatch.setattr(cause._Comparison, "_replay", replay)
    assert () == suspects(ELSEWHERE, *face)


def test_a_hint_that_would_take_long_is_none(face, monkeypatch):
    monkeypatch.setattr(cause, "HINT", 100)
    assert () == suspects(ELSEWHERE, *face)


def test_of_several_that_may_be_the_cause_all_are_named(face):
    failure, options = face
    among = [FINDING, by_name("late-request-keeps-mutex")]
    first = suspect_lines(ELSEWHERE, failure, options, among)[0]
    assert first.endswith(": stop-cancels-another-call, late-request-keeps-mutex")


def test_to_find_out_takes_what_was_planted(face):
    failure, options = face
    planted = Options(**{**options_of(options), "mutants": {"LK-18"}})
    assert suspect_lines(ELSEWHERE, failure, planted, [FINDING])[2].endswith("--mutant LK-18")


def test_where_no_repair_makes_a_difference_nothing_is_suspected():
    def lost_update(m):
        word = m.cell(0, name="word")
        for _ in range(2):
            m.spawn(lambda: word.store(word.load() + 1))
        m.join()
        m.check(word.load() == 2, "both increments are counted")

    result = vmsmp.explore(lost_update)
    assert () == suspects(lost_update, result.failure, result.options)
    assert [] == suspect_lines(lost_update, result.failure, result.options, ())


def test_json_names_the_finding(known, face):
    assert ["stop-cancels-another-call", ""] == [failure_dict(*one)["known"] for one in (known, face)]
