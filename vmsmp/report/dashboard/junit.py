"""Bugs and scenarios as JUnit XML, which every CI server shows.

A bug is a test case: new, it has failed; one of vmsmp itself is an error; a known one was skipped, with its
reason; one that is fixed passes.  A scenario in which nothing was found is a test case that passes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from vmsmp.campaign.store.read import KNOWN, NEW, UNSTEADY
from vmsmp.report.dashboard.values import MEANING, day, searched

if TYPE_CHECKING:
    from vmsmp.report.dashboard.values import Bug, Dashboard

#: What XML 1.0 has no way to write.
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: The element that says what became of a test case; none for one that passes.
_ELEMENTS: Final = {NEW: "failure", UNSTEADY: "error", KNOWN: "skipped"}


def junit_xml(board: Dashboard) -> bytes:
    """Return the whole file."""
    suite = ET.Element("testsuite", name="vmsmp")
    suite.extend(_case_of(bug) for bug in board.bugs)
    broken = {one.scenario for one in board.contents.signatures}
    for one in searched(board.contents.rows):
        if one.scenario not in broken:
            suite.append(_case("vmsmp.scenarios", one.scenario))
    for trouble in board.contents.troubles:
        case = _case("vmsmp.campaign", f"{trouble.scenario} ({trouble.way}), seed {trouble.seed}")
        ET.SubElement(case, "error", type="campaign", message=_text(trouble.error))
        suite.append(case)
    counts = {"tests": len(suite)}
    for name, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        counts[name] = len(suite.findall(f"testcase/{element}"))
    seconds = sum((run.ended or run.began) - run.began for run in board.contents.runs)
    suite.attrib.update({name: str(count) for name, count in counts.items()}, time=f"{seconds:.3f}")
    whole = {
        name: value for name, value in suite.attrib.items() if name != "skipped"
    }  # xunit2 has none there
    root = ET.Element("testsuites", whole)
    root.append(ET.Comment(" Written by `vmsmp report` "))
    root.append(suite)
    ET.indent(root)
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _case(classname: str, name: str) -> ET.Element:
    return ET.Element("testcase", classname=_text(classname), name=_text(name), time="0")


def _case_of(bug: Bug) -> ET.Element:
    status = bug.signature.status
    case = _case(f"vmsmp.{bug.signature.scenario}", bug.title)
    properties = ET.SubElement(case, "properties")
    for name, value in _properties(bug).items():
        ET.SubElement(properties, "property", name=f"vmsmp.{name}", value=_text(value))
    element = _ELEMENTS.get(status)
    if element is not None:
        message = bug.found.message if status == NEW else bug.reason or MEANING[status]
        said = ET.SubElement(case, element, type=_text(bug.signature.kind), message=_text(message))
        said.text = _text(bug.found.report)
    return case


def _properties(bug: Bug) -> dict[str, str]:
    """What the pytest plugin says of a failure too, and what a store knows beyond that."""
    return {
        "signature": bug.signature.text,
        "schedule": bug.failure.line,
        "finding": bug.found.ident,
        "status": bug.signature.status,
        "times": str(bug.signature.times),
        "first": day(bug.signature.first),
        "last": day(bug.signature.last),
    }


def _text(text: str) -> str:
    """The text with escapes for what XML cannot hold."""
    return _UNWRITABLE.sub(lambda found: ascii(found[0])[1:-1], text)
