"""Bugs as SARIF 2.1.0, which code-scanning pages read: each with its place, and its steps as code flows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from vmsmp import __version__
from vmsmp.campaign.store.read import FIXED, KNOWN, NEW, UNSTEADY
from vmsmp.engine.verdict import FailureKind
from vmsmp.report.dashboard.whereabouts import Spot, spot_of, spot_of_failure
from vmsmp.report.text import again, steps_that_matter

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Failure
    from vmsmp.campaign.story import Row
    from vmsmp.report.dashboard.retold import Retold
    from vmsmp.report.dashboard.values import Bug, Dashboard

VERSION: Final = "2.1.0"
SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
#: How grave a bug is, and whether it was there before.
_LEVELS: Final = {
    NEW: "error",
    UNSTEADY: "error",
    KNOWN: "note",
    FIXED: "none",
}
_BASELINES: Final = {
    NEW: "new",
    UNSTEADY: "new",
    KNOWN: "unchanged",
    FIXED: "absent",
}
#: Steps of a code flow, at most; those that matter and the last ones are kept.
_LONGEST_FLOW: Final = 400

Json = dict[str, Any]


def sarif_json(board: Dashboard, retold: Mapping[str, Retold]) -> bytes:
    """Return the whole file; `retold` has by bug what its line came to, where it was run."""
    kinds = sorted({one.kind for one in board.contents.signatures})
    log = {
        "$schema": SCHEMA,
        "version": VERSION,
        "properties": {"writer": "Written by `vmsmp report`"},
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "vmsmp",
                        "semanticVersion": __version__,
                        "rules": [_rule(kind) for kind in kinds],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(bug, kinds, retold.get(bug.name)) for bug in board.bugs],
            }
        ],
    }
    return (json.dumps(log, indent=1) + "\n").encode()


def _rule(kind: str) -> Json:
    known = {str(one): one.meaning for one in FailureKind}
    return {"id": kind, "name": kind, "shortDescription": {"text": known.get(kind, kind)}}


def _result(bug: Bug, kinds: list[str], retold: Retold | None) -> Json:
    failure = bug.failure
    told = retold.failure if retold is not None and retold.failure is not None else failure
    status = bug.signature.status
    result: Json = {
        "ruleId": failure.kind,
        "ruleIndex": kinds.index(failure.kind),
        "kind": "pass" if status == FIXED else "fail",
        "level": _LEVELS[status],
        "baselineState": _BASELINES[status],
        "message": {"text": "\n".join([bug.title, *failure.facts, *again(failure)])},
        "partialFingerprints": {"vmsmpBug/v1": bug.name},
        "occurrenceCount": max(1, bug.signature.times),
        "properties": {"program": failure.program, "schedule": failure.line, "status": status},
    }
    spot = spot_of_failure(told)
    if spot is not None:
        result["locations"] = [{"physicalLocation": _physical(spot)}]
    if status == KNOWN:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": bug.reason}]
    if told.story is not None and told.story.rows:
        result["codeFlows"] = [{"threadFlows": list(_flows(told))}]
    return result


def _flows(failure: Failure) -> Iterator[Json]:
    """A flow for each CPU that makes a step, with the order of all steps."""
    assert failure.story is not None
    keep = steps_that_matter(failure)
    rows = failure.story.rows
    if len(rows) > _LONGEST_FLOW:
        rows = tuple(row for row in rows if row.step in keep or row.step >= len(rows) - _LONGEST_FLOW // 2)
    for cpu, name in enumerate(failure.story.cpus):
        steps = [_step(row, essential=row.step in keep) for row in rows if row.cpu == cpu]
        if steps:
            yield {"id": name, "locations": steps}


def _step(row: Row, *, essential: bool) -> Json:
    words = f"{row.text}  {row.change}" if row.change else row.text
    location: Json = {"message": {"text": words or "step"}}
    spot = next((spot for place in row.place if (spot := spot_of(place))), None)
    if spot is not None:
        location["physicalLocation"] = _physical(spot)
    importance = "essential" if essential else "unimportant"
    return {"executionOrder": row.step, "importance": importance, "location": location}


def _physical(spot: Spot) -> Json:
    return {"artifactLocation": {"uri": quote(spot.file)}, "region": {"startLine": spot.line}}
