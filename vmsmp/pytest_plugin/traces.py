"""Traces of failures, in a folder that the command line names."""

from __future__ import annotations

import re
from pathlib import Path

from vmsmp.campaign.outcome import Failure, Outcome
from vmsmp.report.perfetto import perfetto_trace


def write_trace(folder: str, nodeid: str, failure: Failure) -> str:
    """Write the trace of a failure that has a story, and return where it is."""
    name = re.sub(r"\W+", "-", nodeid).strip("-")[:100]
    path = Path(folder) / f"{name}-{failure.digest}.json"
    outcome = Outcome(failure.program, failure.digest, 0, failure, failure.schedule, story=failure.story)
    path.write_text(perfetto_trace(outcome), encoding="utf-8")
    return str(path)
