"""SARIF: the properties that the format demands, places, and code flows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boards import DIGEST, LINE, NASTY, SIGNATURE, board, signature
from formats import sarif_mistakes
from vmsmp.report.dashboard.retold import retell
from vmsmp.report.dashboard.sarif import sarif_json

ROOT = Path(__file__).resolve().parents[3]


def log(*bugs, replays=0):
    shown = board(*bugs)
    return json.loads(sarif_json(shown, retell(shown, replays)))


def results(*bugs, **more):
    return log(*bugs, **more)["runs"][0]["results"]


@pytest.fixture(scope="module")
def retold():
    """The README's bug, its line run again."""
    (result,) = results(signature(), replays=1)
    return result


def test_the_log_has_what_the_format_demands():
    whole = log(signature(), signature(kind="leak", signature="leak: x"))
    assert "2.1.0" == whole["version"]
    assert whole["$schema"].endswith("sarif-2.1.0.json")
    (run,) = whole["runs"]
    driver = run["tool"]["driver"]
    assert ("vmsmp", ["leak", "lost-wakeup"]) == (driver["name"], [rule["id"] for rule in driver["rules"]])
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]


def test_the_whole_log_keeps_to_the_schema(retold):
    statuses = [signature(status=status, known="gone") for status in ("new", "unsteady", "known", "fixed")]
    strange = signature(scenario="mine", signature=NASTY, message=NASTY, facts=(NASTY,), kind="leak")
    whole = log(*statuses, strange, signature(), replays=3)
    whole["runs"][0]["results"].append(retold)
    assert [] == [*sarif_mistakes(whole)]
    assert [] == [
        one for one in whole["runs"][0]["results"] if one["kind"] != "fail" and one["level"] != "none"
    ]


@pytest.mark.parametrize(
    ("damage", "mistake"),
    [
        (lambda run: run.pop("tool"), "$.runs[0].tool: it is missing"),
        (lambda run: run["results"][0].pop("message"), "$.runs[0].results[0].message: it is missing"),
        (lambda run: run["results"][0].update(level="bad"), "$.runs[0].results[0].level: 'bad'"),
        (
            lambda run: run["results"][0].update(more=1),
            "$.runs[0].results[0].more: there is no such property",
        ),
        (
            lambda run: run["results"][0].update(occurrenceCount=0),
            "$.runs[0].results[0].occurrenceCount: 0 is no",
        ),
    ],
)
def test_the_schema_sees_what_is_wrong(damage, mistake):
    whole = log(signature())
    damage(whole["runs"][0])
    (found,) = sarif_mistakes(whole)
    assert found.startswith(mistake)


def test_a_store_without_bugs_is_a_log_without_results():
    assert [] == results()


@pytest.mark.parametrize(
    ("status", "kind", "level", "baseline"),
    [
        ("new", "fail", "error", "new"),
        ("unsteady", "fail", "error", "new"),
        ("known", "fail", "note", "unchanged"),
        ("fixed", "pass", "none", "absent"),
    ],
)
def test_how_grave_a_bug_is_follows_from_its_status(status, kind, level, baseline):
    (result,) = results(signature(status=status))
    assert (kind, level, baseline) == (result["kind"], result["level"], result["baselineState"])


def test_a_known_bug_is_suppressed_and_says_why():
    (result,) = results(signature(status="known", known="gone"))
    assert [("external", "gone")] == [(s["kind"], s["justification"]) for s in result["suppressions"]]
    assert "suppressions" not in results(signature())[0]


def test_the_message_has_signature_and_command():
    (result,) = results(signature())
    text = result["message"]["text"]
    assert text.startswith(SIGNATURE)
    assert f"vmsmp replay '{LINE}:{DIGEST}'" in text


def test_two_bugs_have_two_fingerprints_that_stay():
    prints = [r["partialFingerprints"]["vmsmpBug/v1"] for r in results(signature(), signature(scenario="b"))]
    assert 2 == len(set(prints))
    assert prints == [
        r["partialFingerprints"]["vmsmpBug/v1"] for r in results(signature(), signature(scenario="b"))
    ]


def places(value):
    if isinstance(value, dict):
        if "artifactLocation" in value:
            yield value["artifactLocation"]["uri"], value["region"]["startLine"]
        for inner in value.values():
            yield from places(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from places(inner)


def test_every_place_is_a_line_of_a_file_of_the_tree(retold):
    found = [*places(retold)]
    assert len(found) > 10
    for uri, line in found:
        assert 1 <= line <= len((ROOT / uri).read_text(encoding="utf-8").splitlines())


def test_a_bug_whose_line_was_not_run_is_where_its_scenario_begins():
    ((uri, _),) = places(results(signature())[0])
    assert "scenarios/sync/sleeping.py" == uri


def test_a_program_of_one_s_own_has_no_place():
    assert "locations" not in results(signature(scenario="mine"))[0]


def test_a_cpu_is_a_flow_and_the_order_of_all_steps_is_told(retold):
    ((flow,),) = ([flow["threadFlows"] for flow in retold["codeFlows"]],)
    assert ["cpu0", "cpu1 io0", "cpu2 terminator"] == [one["id"] for one in flow]
    order = sorted(step["executionOrder"] for one in flow for step in one["locations"])
    assert [*range(24)] == order
    assert {"essential", "unimportant"} == {s["importance"] for one in flow for s in one["locations"]}


def test_a_long_run_is_cut(failure, story):
    from vmsmp.report.dashboard.retold import Retold

    shown = board(signature())
    many = story(*((n % 2, f"load {n}") for n in range(5000)))
    told = {shown.bugs[0].name: Retold(failure(story=many))}
    (result,) = json.loads(sarif_json(shown, told))["runs"][0]["results"]
    steps = [s["executionOrder"] for f in result["codeFlows"][0]["threadFlows"] for s in f["locations"]]
    assert len(steps) <= 400
    assert 4999 in steps


def test_whatever_a_text_holds_it_is_json():
    assert results(signature(signature=NASTY, message=NASTY, facts=(NASTY,)))


def test_the_file_says_near_its_beginning_who_wrote_it():
    assert b"Written by `vmsmp report`" in sarif_json(board(signature()), {})[:500]
