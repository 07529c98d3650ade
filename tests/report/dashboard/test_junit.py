"""JUnit XML: what each bug is to a CI server, and text that XML cannot hold."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from boards import DIGEST, LINE, NASTY, SIGNATURE, board, row, signature
from formats import junit_mistakes
from vmsmp.campaign.store.read import Trouble
from vmsmp.report.dashboard.junit import junit_xml


def suite(*bugs, **parts):
    return ET.fromstring(junit_xml(board(*bugs, **parts))).find("testsuite")


def test_a_new_bug_is_a_test_that_has_failed():
    (case,) = suite(signature()).findall("testcase")
    assert ("vmsmp.refcount_drains", SIGNATURE) == (case.get("classname"), case.get("name"))
    failure = case.find("failure")
    assert ("lost-wakeup", "pip: pip is 0") == (failure.get("type"), failure.get("message"))
    assert "as it was told then" in failure.text


@pytest.mark.parametrize(
    ("status", "element"),
    [("new", "failure"), ("unsteady", "error"), ("known", "skipped"), ("fixed", None)],
)
def test_what_a_bug_is_follows_from_its_status(status, element):
    (case,) = suite(signature(status=status)).findall("testcase")
    assert ([element] if element else []) == [child.tag for child in case if child.tag != "properties"]


def test_a_known_bug_says_why_it_was_left_out():
    (case,) = suite(signature(status="known", known="gone")).findall("testcase")
    assert "gone" == case.find("skipped").get("message")


def test_a_bug_has_the_properties_that_a_test_of_the_plugin_has():
    (case,) = suite(signature()).findall("testcase")
    properties = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert (f"{LINE}:{DIGEST}", SIGNATURE) == (properties["vmsmp.schedule"], properties["vmsmp.signature"])
    assert ("new", "3") == (properties["vmsmp.status"], properties["vmsmp.times"])


def test_a_scenario_without_bugs_is_a_test_that_passes():
    cases = suite(signature(), rows=(row(), row("clean"))).findall("testcase")
    assert ["refcount_drains", "scenarios"] == [case.get("classname").partition(".")[2] for case in cases]
    assert ("clean", 0) == (cases[1].get("name"), len(cases[1]))


def test_what_could_not_be_run_is_an_error():
    shown = suite(troubles=(Trouble("run0", "mine", "free exact", 3, "killed"),))
    (case,) = shown.findall("testcase")
    assert ("mine (free exact), seed 3", "killed") == (case.get("name"), case.find("error").get("message"))


def test_the_suite_adds_up():
    bugs = [signature(status=status) for status in ("new", "unsteady", "known", "fixed")]
    shown = suite(*bugs, rows=(row("clean"),))
    assert ("5", "1", "1", "1") == tuple(
        shown.get(name) for name in ("tests", "failures", "errors", "skipped")
    )
    assert "1200.000" == shown.get("time")


def test_the_whole_file_keeps_to_the_schema():
    statuses = [signature(status=status, known="gone") for status in ("new", "unsteady", "known", "fixed")]
    parts = {"rows": (row("clean"),), "troubles": (Trouble("run0", NASTY, "free exact", 3, NASTY),)}
    root = ET.fromstring(junit_xml(board(*statuses, signature(signature=NASTY, message=NASTY), **parts)))
    assert ("testsuites", []) == (root.tag, [*junit_mistakes(root)])


def test_the_schema_sees_what_is_wrong():
    root = ET.fromstring(junit_xml(board(signature())))
    root.set("skipped", "1")
    case = root.find("testsuite/testcase")
    del case.attrib["name"]
    assert ["testsuites: attribute skipped='1'", "testcase: no attribute name"] == [*junit_mistakes(root)]


def test_whatever_a_text_holds_the_file_is_well_formed():
    shown = suite(signature(signature=NASTY, message=NASTY, report=NASTY))
    failure = shown.find("testcase/failure")
    assert """<b title="x">it's</b> & %0A::error::{{ 7 * 7 }} ]]> | \\x1b[31m \\ud800 end""" == failure.text


def test_the_file_says_near_its_beginning_who_wrote_it():
    assert b"Written by `vmsmp report`" in junit_xml(board(signature()))[:500]
