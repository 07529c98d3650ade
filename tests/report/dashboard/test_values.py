"""What a report shows of a store: order, counts, curves."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from boards import DAY, DIGEST, LINE, NIGHT, board, contents, found, points, row, run, signature
from vmsmp.campaign.findings import findings
from vmsmp.errors import UsageError
from vmsmp.report.dashboard.values import Colours, Point, colours_of, day, discovery, searched


def statuses(*bugs):
    return [bug.signature.status for bug in board(*bugs).bugs]


def test_what_must_be_looked_at_comes_first():
    shown = statuses(*[signature(status=status) for status in ("fixed", "known", "unsteady", "new")])
    assert ["new", "unsteady", "known", "fixed"] == shown


def test_of_one_status_what_was_seen_last_comes_first():
    old, late = signature(scenario="old", last=NIGHT), signature(scenario="late", last=NIGHT + 5)
    assert ["late", "old"] == [bug.signature.scenario for bug in board(old, late).bugs]


def test_the_order_does_not_depend_on_that_of_the_store():
    bugs = [signature(scenario=name) for name in ("one", "two", "three")]
    assert board(*bugs).bugs == board(*reversed(bugs)).bugs


def test_a_bug_has_the_same_name_whatever_shows_it_and_another_in_another_scenario():
    same = [signature(ident="a"), signature(ident="b", line="v1:refcount_drains:0:")]
    names = [board(one).bugs[0].name for one in (*same, signature(scenario="mine"))]
    assert names[0] == names[1] != names[2]
    assert names[0].isalnum()


def test_a_bug_says_how_often_each_run_met_it():
    (bug,) = board(signature(history=(("run1", 4),)), runs=(run(0), run(1), run(2))).bugs
    assert (0, 4, 0) == bug.times


def test_a_title_is_one_line():
    assert "check: a b" == board(signature(signature="check: a\n  b")).bugs[0].title


def test_the_failure_of_a_bug_replays():
    failure = board(signature()).bugs[0].failure
    assert (LINE, f"{LINE}:{DIGEST}", True) == (failure.schedule, failure.line, failure.listed)


def test_a_program_that_is_no_scenario_is_not_listed():
    assert not board(signature(scenario="mine")).bugs[0].failure.listed


def test_a_known_bug_has_its_reason():
    known = findings()[0]
    (bug,) = board(signature(known=known.name, status="known")).bugs
    assert f"{known.name}: {known.reason}" == bug.reason


def test_a_bug_that_is_excused_for_a_time_says_until_when(monkeypatch):
    known = replace(findings()[0], expires=date(2027, 1, 31))
    monkeypatch.setattr("vmsmp.report.dashboard.values.findings", lambda: (known,))
    (bug,) = board(signature(known=known.name, status="known")).bugs
    assert bug.reason.endswith(" (excused until 2027-01-31)")


def test_a_bug_known_by_a_name_that_is_gone_has_that_name():
    assert "gone" == board(signature(known="gone", status="known")).bugs[0].reason


def test_a_bug_that_is_known_by_its_repair_says_how_that_was_shown():
    known = findings()[0]
    (bug,) = board(signature(known=known.name, status="known", proof="5 of 7")).bugs
    assert f"{known.name}: {known.reason} (known by its repair: 5 of 7)" == bug.reason


def test_a_new_bug_says_why_it_is_not_known():
    assert "new: it is not" == board(signature(proof="it is not")).bugs[0].reason


def test_an_unknown_bug_has_no_reason():
    assert "" == board(signature()).bugs[0].reason


@pytest.mark.parametrize(
    ("line", "count"),
    [(LINE, 2), (f"{LINE}:{DIGEST}", 2), ("v1:mine:0:", 0), ("", None), ("v9:mine:0:", None)],
)
def test_the_preemptions_of_a_line_are_counted(line, count):
    assert count == board(signature(line=line)).bugs[0].preemptions


def test_bugs_are_counted_by_status():
    shown = board(signature(), signature(scenario="other"), signature(status="fixed"))
    assert {"new": 2, "unsteady": 0, "known": 0, "fixed": 1} == shown.counts
    assert "2 new, 1 fixed" == shown.in_words


def test_no_bugs_are_said_to_be_none():
    assert "no bugs" == board().in_words


def test_the_runs_add_up():
    assert (2_000, 100) == board().executions


def test_all_ways_of_a_scenario_are_together():
    rows = [
        row("b", executions=10, sampled=10, once=5, traces=6),
        row("a"),
        row("b", executions=30, sampled=30, once=5, traces=4),
        row("b", engine="free", executions=7, operations=70, sampled=0, traces=0),
    ]
    a, b = searched(rows)
    assert ("a", "b") == (a.scenario, b.scenario)
    assert (40, 7, 60_070, 10, 0.25) == (b.schedules, b.rounds, b.operations, b.traces, b.unseen)


def test_where_no_run_was_looked_at_nothing_is_known_of_the_next():
    assert [None] == [one.unseen for one in searched([row(sampled=0, once=0)])]


# -- curves ---------------------------------------------------------------------------------------


def test_the_discovery_of_runs_is_one_curve():
    curve = points("run0", (10, 5), (20, 8)) + points("run1", (10, 2))
    shown = discovery(contents(discovery=curve), 100)
    assert [Point(10, 5, 0), Point(20, 8, 0), Point(30, 10, 0)] == shown


def test_the_curve_has_a_bug_from_its_first_sight_on():
    bugs = [signature(first=NIGHT + 90), signature(scenario="b", first=NIGHT + DAY)]
    curve = points("run0", (10, 5), (20, 8)) + points("run1", (10, 2))
    assert [0, 1, 2] == [point.bugs for point in discovery(contents(*bugs, discovery=curve), 100)]


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 1000])
def test_a_long_curve_is_thinned_and_keeps_its_end(count):
    curve = points("run0", *((n, n) for n in range(1, count + 1)))
    shown = discovery(contents(discovery=curve), 100)
    assert min(count, 50) <= len(shown) <= 100
    assert count == shown[-1].executions
    assert sorted(shown, key=lambda point: point.executions) == shown


def test_an_empty_store_has_no_curve():
    assert [] == discovery(contents(), 100)


def test_a_moment_is_told_in_utc():
    assert "2026-11-20 02:00" == day(NIGHT)


# -- contention -----------------------------------------------------------------------------------


def test_the_curve_of_a_bench_is_read():
    content = {"colours": [{"colours": 4, "rate": 10, "contested": 0.5, "more": 1}]}
    assert (Colours(4, 10.0, 0.5),) == colours_of(content, "bench.json")


@pytest.mark.parametrize(
    "content",
    [None, [], {}, {"colours": []}, {"colours": 3}, {"colours": [3]}, {"colours": [{"colours": "x"}]}],
    ids=str,
)
def test_what_no_bench_wrote_is_refused(content):
    with pytest.raises(UsageError, match=r"^'b' has no curve over colours"):
        colours_of(content, "b")


def test_a_finding_of_the_free_engine_has_no_line():
    assert "" == board(signature(found(engine="free", line=""))).bugs[0].failure.line
