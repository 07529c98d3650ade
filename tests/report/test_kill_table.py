"""The kill table as text."""

from __future__ import annotations

from vmsmp.campaign.kill_table import Verdict
from vmsmp.patches.removals import removals_of
from vmsmp.report.kill_table import kill_text

REMOVAL = removals_of("vmsmp.vm.vm_page.busy:vm_page_wakeup")[0]
FOUND = Verdict("BZ-03", "found", "busy_handoff (atomic)", 9, 7, "lost-wakeup: pg[N]", "v1:busy_handoff:0:")
LOST = Verdict("BZ-01", "survived", tried=4_000)
UNREACHED = Verdict(REMOVAL.ident, "not reached")


def text(*verdicts, planned=None, interrupted=False):
    return kill_text(verdicts, planned or len(verdicts), interrupted=interrupted)


def test_what_was_found_has_its_schedules_its_scenario_and_its_signature():
    assert "BZ-03  found            7  busy_handoff (atomic)  lost-wakeup: pg[N]" == text(FOUND)[2]


def test_what_made_a_run_impossible_is_told_with_the_error_and_counts():
    told = text(Verdict("BZ-03", "raised", "busy_handoff (atomic)", 9, signature="UsageError: no CPU 9"))
    assert "BZ-03  raised           9  busy_handoff (atomic)  UsageError: no CPU 9" == told[2]
    assert "1 of 1 noticed" in told


def test_what_survived_has_all_schedules_that_were_tried():
    assert "BZ-01  survived      4,000" == text(LOST)[2]


def test_what_nobody_noticed_is_told_with_its_story():
    told = text(FOUND, LOST)
    assert told[told.index("not noticed:") + 1].startswith("  BZ-01, survived: ")


def test_a_removal_that_nobody_noticed_is_told_with_its_line():
    assert f"  {REMOVAL.ident}, not reached: {REMOVAL.text}" in text(UNREACHED)


def test_if_all_were_noticed_nothing_is_listed():
    assert "not noticed:" not in text(FOUND)


def test_the_total_is_told():
    assert "1 of 3 noticed" in text(FOUND, LOST, UNREACHED)


def test_an_interrupted_table_says_what_was_not_tried():
    assert "interrupted: 4 of 5 were not tried" == text(LOST, planned=5, interrupted=True)[-1]


def test_a_line_shows_how_to_see_one():
    assert "see one: vmsmp replay 'v1:busy_handoff:0:'" == text(FOUND)[-1]
