"""What the schemas of SARIF 2.1.0 and of JUnit XML (xunit2) demand, as far as we write these formats.

The properties and attributes are those of sarif-schema-2.1.0.json and of junit-10.xsd; whatever is not listed
here we do not write, so it is a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

#: A property bag: an object with any content.
BAG = {"": object}


def of(*values: str) -> re.Pattern[str]:
    """One of these words."""
    return re.compile("|".join(map(re.escape, values)))


#: By kind of object, its properties: "name!" is required; a value is a kind of object, a list of one with the
#: least number of items, a type, a pattern of texts, or for integers the least value.
SARIF: dict[str, dict[str, Any]] = {
    "log": {
        "$schema": re.compile(r"https://\S+/sarif-(schema-)?2\.1\.0\.json"),
        "version!": of("2.1.0"),
        "runs!": ["run", 0],
        "properties": BAG,
    },
    "run": {
        "tool!": "tool",
        "columnKind": of("utf16CodeUnits", "unicodeCodePoints"),
        "results": ["result", 0],
    },
    "tool": {"driver!": "component"},
    "component": {
        "name!": str,
        "semanticVersion": re.compile(r"\d+\.\d+\.\d+([-+][\w.+-]+)?"),
        "rules": ["rule", 0],
    },
    "rule": {"id!": str, "name": str, "shortDescription": "text"},
    "text": {"text!": str},
    "result": {
        "ruleId": str,
        "ruleIndex": 0,
        "kind": of("notApplicable", "pass", "fail", "review", "open", "informational"),
        "level": of("none", "note", "warning", "error"),
        "baselineState": of("new", "unchanged", "updated", "absent"),
        "message!": "text",
        "partialFingerprints": {"": str},
        "occurrenceCount": 1,
        "properties": BAG,
        "locations": ["location", 0],
        "suppressions": ["suppression", 0],
        "codeFlows": ["codeFlow", 0],
    },
    "suppression": {
        "kind!": of("inSource", "external"),
        "status": of("accepted", "underReview", "rejected"),
        "justification": str,
    },
    "codeFlow": {"threadFlows!": ["threadFlow", 1]},
    "threadFlow": {"id": str, "locations!": ["step", 1]},
    "step": {
        "executionOrder": -1,
        "importance": of("important", "essential", "unimportant"),
        "location": "location",
    },
    "location": {"message": "text", "physicalLocation": "place"},
    "place": {"artifactLocation!": "artifact", "region": "region"},
    "artifact": {"uri": re.compile(r"([\w.~/-]|%[0-9A-F]{2})+")},
    "region": {"startLine": 1},
}


def sarif_mistakes(value: Any, rule: Any = "log", where: str = "$") -> Iterator[str]:
    """Whatever breaks a rule of the format, with its place."""
    match rule:
        case str():
            yield from _object_mistakes(value, SARIF[rule], where)
        case dict():
            (inner,) = rule.values()
            if not isinstance(value, dict) or not all(isinstance(one, inner) for one in value.values()):
                yield f"{where}: {value!r}"
        case [inner, least]:
            if not isinstance(value, list) or len(value) < least:
                yield f"{where}: no list of {least} or more"
            else:
                for n, one in enumerate(value):
                    yield from sarif_mistakes(one, inner, f"{where}[{n}]")
        case int():
            if type(value) is not int or value < rule:
                yield f"{where}: {value!r} is no integer from {rule}"
        case re.Pattern():
            if not isinstance(value, str) or not rule.fullmatch(value):
                yield f"{where}: {value!r}"
        case _:
            if not isinstance(value, rule):
                yield f"{where}: {value!r}"


def _object_mistakes(value: Any, rules: dict[str, Any], where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: no object"
        return
    known = {name.rstrip("!"): inner for name, inner in rules.items()}
    yield from (f"{where}.{name}: there is no such property" for name in value if name not in known)
    yield from (
        f"{where}.{name[:-1]}: it is missing" for name in rules if name[-1] == "!" and name[:-1] not in value
    )
    for name, inner in known.items():
        if name in value:
            yield from sarif_mistakes(value[name], inner, f"{where}.{name}")


_COUNT = re.compile(r"\d+")
_TIME = re.compile(r"\d+(\.\d*)?")
#: By element, what may be in it, and its attributes; "name!" is required.  As pytest does, we give a test
#: case properties, which that schema knows of a suite alone.
JUNIT: dict[str, tuple[set[str], dict[str, re.Pattern[str] | None]]] = {
    "testsuites": (
        {"testsuite"},
        {"name": None, "time": _TIME, "tests": _COUNT, "failures": _COUNT, "errors": _COUNT},
    ),
    "testsuite": (
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
        {
            "name!": None,
            "tests!": _COUNT,
            "failures!": _COUNT,
            "errors!": _COUNT,
            "skipped": _COUNT,
            "time": _TIME,
            "timestamp": None,
            "hostname": None,
        },
    ),
    "testcase": (
        {"properties", "skipped", "error", "failure", "system-out", "system-err"},
        {"name!": None, "classname": None, "time": _TIME},
    ),
    "properties": ({"property"}, {}),
    "property": (set(), {"name!": None, "value!": None}),
    **{name: (set(), {"type": None, "message": None}) for name in ("failure", "error", "skipped")},
}


def junit_mistakes(element: ET.Element) -> Iterator[str]:
    """Whatever breaks a rule of the format."""
    inner, rules = JUNIT[element.tag]
    known = {name.rstrip("!"): pattern for name, pattern in rules.items()}
    for name in rules:
        if name[-1] == "!" and name[:-1] not in element.attrib:
            yield f"{element.tag}: no attribute {name[:-1]}"
    for name, value in element.attrib.items():
        pattern = known.get(name)
        if name not in known or (pattern is not None and not pattern.fullmatch(value)):
            yield f"{element.tag}: attribute {name}={value!r}"
    for child in element:
        if child.tag not in inner:
            yield f"{element.tag}: element {child.tag}"
        else:
            yield from junit_mistakes(child)
