"""What campaigns have found, in words and as JSON."""

from __future__ import annotations

import json

import pytest

from boards import DIGEST, LINE, NASTY, SIGNATURE, board, found, row, signature
from vmsmp.campaign.kill_table import Verdict
from vmsmp.campaign.store.measured import Colours, Site
from vmsmp.campaign.store.read import Trouble
from vmsmp.report.dashboard.text import LEAST, dashboard_dict, dashboard_text


def lines(*bugs, **parts):
    return dashboard_text(board(*bugs, **parts)).splitlines()


def test_a_bug_has_its_signature_its_history_and_the_command_that_replays_it():
    assert [
        "new: no known finding explains it",
        f"  {SIGNATURE}",
        "    in refcount_drains, 3 times in 1 of 2 runs, first 2026-11-20 02:00, last 2026-11-21 02:00",
        "    finding f00d",
        f"    replay: vmsmp replay '{LINE}:{DIGEST}'",
        "",
        "nightly.sqlite: 2 runs, 2,000 schedules, 100 free rounds; 1 new",
    ] == lines(signature())


def test_bugs_stand_under_their_status():
    shown = lines(signature(), signature(scenario="b"), signature(status="fixed", known="it"))
    heads = [line.partition(":")[0] for line in shown if line and line[0] != " "]
    assert ["new", "fixed", "nightly.sqlite"] == heads


def test_a_known_bug_says_why():
    assert "    gone" in lines(signature(status="known", known="gone"))


def test_findings_of_one_signature_are_counted():
    one, two, three = (found(ident=ident) for ident in "abc")
    assert "    finding a and 1 other, told apart by the order of their steps" in lines(signature(one, two))
    assert "    finding a and 2 others, told apart by the order of their steps" in lines(
        signature(one, two, three)
    )


def test_a_bug_of_the_free_engine_says_how_to_look_for_it():
    shown = lines(signature(engine="free", line="", digest=""))
    assert "    vmsmp run refcount_drains --schedules 10000" in shown


def test_a_program_of_one_s_own_is_replayed_by_a_call():
    assert "    replay: vmsmp.replay(mine, 'v1:mine:0:')" in lines(
        signature(scenario="mine", line="v1:mine:0:", digest="")
    )


def test_what_ran_of_a_scenario_is_a_row():
    (shown,) = (line for line in lines(rows=(row(),)) if line.startswith("  refcount_drains"))
    assert ["refcount_drains", "800", "0", "30,000", "90", "5.0%"] == shown.split()


def test_where_few_scenarios_ran_all_are_shown():
    assert "what ran:" in lines(rows=(row("a"), row("b")))


def test_the_least_explored_scenarios_are_shown():
    rows = [row(f"s{n:02}", once=n) for n in range(LEAST + 3)] + [row("dark", sampled=0)]
    shown = lines(rows=rows)
    at = shown.index(f"the {LEAST} least explored of {LEAST + 4} scenarios:")
    assert ["dark", "s12", "s11"] == [line.split()[0] for line in shown[at + 3 : at + 6]]
    assert "unknown" == shown[at + 3].split()[-1]
    assert LEAST == sum(line.startswith(("  s0", "  s1", "  dark")) for line in shown)


def test_what_could_not_be_run_is_an_error():
    trouble = Trouble("run0", "mine", "free exact", 3, "it was\nkilled")
    assert "error: mine (free exact): it was killed" in lines(troubles=(trouble,))


def test_an_empty_store_is_one_line():
    shown = dashboard_text(board(runs=()))
    assert "nightly.sqlite: 0 runs, 0 schedules, 0 free rounds; no bugs" == shown


@pytest.mark.parametrize("part", ["signature", "scenario", "known"])
def test_a_text_of_several_lines_takes_one(part):
    plain = len(lines(signature(status="known", **{part: "a b"})))
    assert plain == len(lines(signature(status="known", **{part: "a\n\nb"})))


def test_the_json_has_bugs_runs_and_scenarios():
    shown = json.loads(json.dumps(dashboard_dict(board(signature(), rows=(row(),)))))
    (bug,) = shown["bugs"]
    assert ("new", SIGNATURE, f"{LINE}:{DIGEST}", 3, {"run0": 3}) == (
        *(bug["status"], bug["signature"], bug["line"], bug["times"], bug["history"]),
    )
    assert ["run0", "run1"] == [run["token"] for run in shown["runs"]]
    assert ["refcount_drains"] == [one["scenario"] for one in shown["scenarios"]]
    assert 1 == shown["counts"]["new"]


def test_the_json_has_every_finding_of_a_signature():
    (bug,) = dashboard_dict(board(signature(found(ident="a"), found(ident="b"))))["bugs"]
    assert ["a", "b"] == [one["finding"] for one in bug["findings"]]


def test_whatever_a_message_holds_the_json_can_be_written():
    json.dumps(dashboard_dict(board(signature(message=NASTY, signature=NASTY))))


def test_guards_are_counted_in_a_line_each():
    verdicts = (Verdict("RC-01a", "found"), Verdict("RC-01b", "hang"), Verdict("BZ-01", "survived"))
    text = dashboard_text(board(verdicts=verdicts, sites=(Site("a", 2), Site("b", 0))))
    assert "guards: 2 of 3 removals noticed\nguard sites: 1 of 2 run by some scenario\n" in text


def test_what_was_measured_is_in_the_json():
    verdicts = (Verdict("RC-01a", "found", schedules=3),)
    told = dashboard_dict(board(verdicts=verdicts, sites=(Site("a", 2),), colours=(Colours(4, 2.0, 0.25),)))
    assert (verdicts[0].as_dict(), {"a": 2}) == (told["kills"][0], told["sites"])
    assert [{"colours": 4, "rate": 2.0, "contested": 0.25}] == told["colours"]
