"""A bug's line, run again for a report."""

from __future__ import annotations

import json

import pytest

from boards import DIGEST, LINE, SIGNATURE, board, found, signature
from vmsmp.report.dashboard.retold import retell, retold
from vmsmp.report.dashboard.values import failure_of


def told(**parts):
    return retold(failure_of(found(**parts)))


def test_a_line_is_run_again_with_its_story_its_trace_and_its_test():
    one = told()
    assert (SIGNATURE, DIGEST, "") == (one.failure.signature, one.failure.digest, one.note)
    assert len(one.failure.story.rows) == 24
    assert json.loads(one.trace)["otherData"]["digest"] == DIGEST
    assert f'SCHEDULE = "{LINE}"' in one.test


@pytest.mark.parametrize(
    ("parts", "note"),
    [
        ({"line": "", "digest": "", "engine": "free"}, "A free run cannot be replayed"),
        ({"scenario": "mine", "line": "v1:mine:0:", "digest": ""}, "Its program is no scenario"),
        ({"line": "v1:refcount_drains+mutant=XX-99:0:", "digest": ""}, "Its line is none of this version"),
        ({"kind": "livelock"}, "A livelock is not run again for a report"),
        ({"line": "v1:refcount_drains:0:", "digest": ""}, "On this code its line is clean"),
        ({"signature": "leak: something else"}, f"On this code its line ends otherwise: {SIGNATURE}"),
    ],
)
def test_what_does_not_come_again_says_why(parts, note):
    one = told(**parts)
    assert one.note.startswith(note)
    assert (None, "", "") == (one.failure, one.trace, one.test)


def test_a_run_that_is_another_one_is_told_with_a_note():
    one = told(line=f"{LINE}:0000000000000000", digest="0000000000000000")
    assert SIGNATURE == one.failure.signature
    assert "the line does not fit this program" in one.note


def test_only_so_many_lines_are_run_and_the_others_say_so():
    first, second = signature(), signature(status="fixed", known="it")
    shown = board(second, first)
    notes = [retell(shown, 1)[bug.name] for bug in shown.bugs]
    assert [True, False] == [one.failure is not None for one in notes]
    assert "Only the lines of the first 1 bugs were run again for this report." == notes[1].note


def test_a_long_run_has_no_trace_and_says_how_to_have_one(monkeypatch):
    monkeypatch.setattr("vmsmp.report.dashboard.retold.LONGEST_TRACE", 23)
    one = told()
    assert (SIGNATURE, "") == (one.failure.signature, one.trace)
    assert "Its trace is long: `vmsmp replay --trace FILE` writes it." == one.note
