"""Contents of stores made by hand, for reports."""

from __future__ import annotations

from vmsmp.campaign.store.read import Contents, Found, Point, Row, Run, Signature
from vmsmp.report.dashboard.values import Dashboard

#: The bug of the README: a line that replays, its signature and its digest.
LINE = "v1:refcount_drains+exact+cpus=2+mutant=RC-01a:8:1.2>2,2.4>1"
DIGEST = "dcdeed39fcaa233f"
SIGNATURE = "lost-wakeup: pip: pip is N"
#: A moment of the epoch: 2026-11-20 02:00 in UTC.
NIGHT = 1_795_140_000.0
DAY = 86_400.0
#: What must be escaped wherever it is shown.
NASTY = """<b title="x">it's</b> & %0A::error::{{ 7 * 7 }} ]]> | \x1b[31m \ud800 end"""


def run(n=0, **parts):
    """The n-th night."""
    whole = {
        "token": f"run{n}",
        "began": NIGHT + n * DAY,
        "ended": NIGHT + n * DAY + 600.0,
        "code": "0123abcd",
        "version": "0.1.0",
        "python": "3.13.0",
        "workers": 2,
        "arguments": (),
        "profile": "nightly",
        "outcome": "clean",
        "schedules": 1_000,
        "rounds": 50,
        "operations": 40_000,
        **parts,
    }
    return Run(**whole)


def found(ident="f00d", **parts):
    """One finding: the README's bug, unless said otherwise."""
    whole = {
        "ident": ident,
        "scenario": "refcount_drains",
        "signature": SIGNATURE,
        "kind": SIGNATURE.partition(":")[0],
        "known": "",
        "engine": "controlled",
        "status": "new",
        "line": f"{LINE}:{DIGEST}",
        "minimized": True,
        "trace": "0" * 16,
        "digest": DIGEST,
        "message": "pip: pip is 0",
        "facts": ("cpu2 terminator sleeps on pip; only its timeout would wake it",),
        "step": "sleep pip in tsleep",
        "report": "lost-wakeup: pip: pip is 0\nas it was told then",
        "first": NIGHT,
        "last": NIGHT + DAY,
        "code": "0123abcd",
        "checked_on": "",
        "outcome": "",
        **parts,
    }
    return Found(**whole)


def signature(*findings, history=(("run0", 3),), **parts):
    """A signature with its findings; what they say, unless said otherwise."""
    findings = findings or (found(**parts),)
    one = findings[0]
    return Signature(
        one.scenario,
        one.signature,
        one.kind,
        one.known,
        one.status,
        sum(times for _, times in history),
        one.first,
        one.last,
        history,
        findings,
    )


def row(scenario="refcount_drains", **parts):
    """What ran of a scenario."""
    whole = {
        "code": "0123abcd",
        "scenario": scenario,
        "way": "portfolio exact",
        "engine": "controlled",
        "words": "",
        "batches": 4,
        "executions": 800,
        "operations": 30_000,
        "seconds": 2.0,
        "sampled": 200,
        "traces": 90,
        "once": 10,
        "cpus": 3,
        "choices": 40,
        **parts,
    }
    return Row(**whole)


def contents(*signatures, runs=None, rows=(), troubles=(), discovery=(), **measured):
    """The contents of a store."""
    runs = (run(0), run(1)) if runs is None else runs
    return Contents(runs, signatures, rows, troubles, discovery, **measured)


def board(*signatures, verdicts=(), colours=(), **parts):
    """What a report shows of such a store."""
    return Dashboard("nightly.sqlite", contents(*signatures, **parts), verdicts, colours)


def points(run, *pairs):
    """Points of a discovery curve, a minute apart, from (executions, traces)."""
    return tuple(Point(run, 60.0 * n, *pair) for n, pair in enumerate(pairs, 1))
