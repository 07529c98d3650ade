"""What a store has, as values: for reports, and for whoever asks what a finding's name stands for."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vmsmp.campaign.store import measured
from vmsmp.campaign.store.schema import connect, refuse

if TYPE_CHECKING:
    from vmsmp.campaign.kill_table import Verdict

# what a finding's status can be
NEW: Final = "new"
KNOWN: Final = "known"
FIXED: Final = "fixed"
UNSTEADY: Final = "unsteady"


@dataclass(frozen=True, slots=True)
class Run:
    """One campaign; times are seconds of the Unix epoch.

    `code` names the code that ran.  `outcome` is "clean", "failed", "interrupted" or "error"; "running" is
    one under way, or one that was killed.
    """

    token: str
    began: float
    ended: float | None
    code: str
    version: str
    python: str
    workers: int
    arguments: tuple[str, ...]
    profile: str
    outcome: str
    schedules: int = 0
    rounds: int = 0
    operations: int = 0
    failed: int = 0
    known: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: a signature in a scenario, and what led to it up to the order of independent steps.

    `line` replays it ("" for what only the free engine saw); `minimized`: it is as short as can be.  `report`
    is the story as text, as it was told when it was found.  `outcome` is what came of the line's last replay
    on the code `checked_on` ("" if nobody has replayed it).  `place` is where a program of the user's own is.
    `proof` says how it was shown that the finding `known` causes it, or why it is new; "" where a list
    explains it, or nobody has asked.
    """

    ident: str
    scenario: str
    signature: str
    kind: str
    known: str
    engine: str
    status: str
    line: str
    minimized: bool
    trace: str
    digest: str
    message: str
    facts: tuple[str, ...]
    step: str
    report: str
    first: float
    last: float
    code: str
    checked_on: str
    outcome: str
    place: str = ""
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """All findings of one signature in one scenario, and how often it came, in all and by run (its token).

    `status` is "new" while nothing explains it, "known" (the finding `known` does), "fixed" (its lines fail
    no longer on newer code) or "unsteady": a line fails no longer on the very code that it was found on,
    which is a defect of vmsmp itself.
    """

    scenario: str
    text: str
    kind: str
    known: str
    status: str
    times: int
    first: float
    last: float
    history: tuple[tuple[str, int], ...]
    findings: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """What ran of one scenario in one way, on one code.

    `sampled` runs were looked at: they showed `traces` traces, `once` of them a single time, so that the next
    run shows a new one with probability once / sampled (Good-Turing).  `cpus` and `choices` are the most that
    a run had.
    """

    code: str
    scenario: str
    way: str
    engine: str
    words: str
    batches: int
    executions: int
    operations: int
    seconds: float
    sampled: int
    traces: int
    once: int
    cpus: int
    choices: int

    @property
    def unseen(self) -> float:
        """The probability that one more run shows a trace not seen yet."""
        return self.once / self.sampled if self.sampled else 1.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """A batch that could not be run: its worker died, hung or took too much memory."""

    run: str
    scenario: str
    way: str
    seed: int
    error: str


@dataclass(frozen=True, slots=True)
class Point:
    """How far a run had come: `seconds` after it began, all its executions and distinct traces until then."""

    run: str
    seconds: float
    executions: int
    traces: int


@dataclass(frozen=True, slots=True)
class Contents:
    """All of a store: runs oldest first, signatures by their first sight.

    `kills` is the kill table of the code that was tried last, `sites` are its guards; `colours` is the
    contention.
    """

    runs: tuple[Run, ...]
    signatures: tuple[Signature, ...]
    rows: tuple[Row, ...]
    troubles: tuple[Trouble, ...]
    discovery: tuple[Point, ...]
    kills: tuple[Verdict, ...] = ()
    sites: tuple[measured.Site, ...] = ()
    colours: tuple[measured.Colours, ...] = ()

    @property
    def new(self) -> tuple[Signature, ...]:
        """The signatures that nothing explains."""
        return tuple(one for one in self.signatures if one.status == NEW)


def read_store(path: Path) -> Contents:
    """All that a store has.

    Raises: UsageError in one line for what is no store.
    """
    with closing(connect(path, write=False)) as base:
        base.row_factory = sqlite3.Row
        try:
            return Contents(
                tuple(_runs(base)),
                tuple(_signatures(base)),
                tuple(_rows(base)),
                tuple(_troubles(base)),
                tuple(_discovery(base)),
                tuple(measured.kills(base)),
                tuple(measured.sites(base)),
                tuple(measured.colours(base)),
            )
        except sqlite3.Error as error:
            refuse(path, f"it cannot be read: {error}")


def _runs(base: sqlite3.Connection) -> Iterator[Run]:
    for row in base.execute(
        """
        SELECT runs.*,
            total(CASE engine WHEN 'free' THEN 0 ELSE executions END) AS schedules,
            total(CASE engine WHEN 'free' THEN executions ELSE 0 END) AS rounds,
            total(operations) AS operations
        FROM runs LEFT JOIN batches ON run = runs.id LEFT JOIN strands ON strand = strands.id
        GROUP BY runs.id ORDER BY began, token
        """
    ):
        hits = dict(
            base.execute(
                "SELECT known != '', sum(times) FROM hits JOIN batches ON batch = batches.id "
                "WHERE run = ? GROUP BY known != ''",
                (row["id"],),
            ).fetchall()
        )
        yield Run(
            row["token"],
            row["began"],
            row["ended"],
            row["code"],
            row["version"],
            row["python"],
            row["workers"],
            tuple(json.loads(row["arguments"])),
            row["profile"],
            row["outcome"],
            int(row["schedules"]),
            int(row["rounds"]),
            int(row["operations"]),
            hits.get(0, 0),
            hits.get(1, 0),
        )


def _signatures(base: sqlite3.Connection) -> Iterator[Signature]:
    groups: dict[tuple[str, str, str], list[Found]] = {}
    for found in _found(base):
        groups.setdefault((found.scenario, found.signature, found.known), []).append(found)
    history: dict[tuple[str, str, str], dict[str, int]] = {}
    for scenario, text, known, token, times in base.execute(
        """
        SELECT scenario, text, known, token, sum(times)
        FROM hits JOIN batches ON batch = batches.id JOIN strands ON strand = strands.id
            JOIN signatures ON signature = signatures.id JOIN runs ON run = runs.id
        GROUP BY scenario, text, known, runs.id ORDER BY began, token
        """
    ):
        history.setdefault((scenario, text, known), {})[token] = times
    for key, findings in sorted(groups.items(), key=lambda item: (min(f.first for f in item[1]), item[0])):
        scenario, text, known = key
        nights = history.get(key, {})
        yield Signature(
            scenario,
            text,
            findings[0].kind,
            known,
            status_of(found.status for found in findings),
            sum(nights.values()),
            min(found.first for found in findings),
            max(found.last for found in findings),
            tuple(nights.items()),
            tuple(sorted(findings, key=_rank)),
        )


def _rank(found: Found) -> tuple[bool, bool, int, str]:
    """Findings that replay come first, the shortest of them first of all."""
    return not found.line, not found.minimized, len(found.line), found.ident


def status_of(statuses: Iterator[str]) -> str:
    """The status of several findings together: fixed only if all are."""
    found = set(statuses)
    return next(status for status in (UNSTEADY, NEW, KNOWN, FIXED) if status in found)


_FOUND: Final = """
    SELECT findings.*, signatures.text, signatures.kind, line, code, checked_on, outcome
    FROM findings JOIN signatures ON signature = signatures.id
        LEFT JOIN schedules ON finding = findings.id
"""


def _found(base: sqlite3.Connection) -> Iterator[Found]:
    """Every finding, with the shortest of its lines."""
    kept: dict[str, Found] = {}
    for row in base.execute(f"{_FOUND} ORDER BY length(line), line"):
        kept.setdefault(row["ident"], _as_found(row))
    yield from kept.values()


def _as_found(row: Any) -> Found:
    return Found(
        row["ident"],
        row["scenario"],
        row["text"],
        row["kind"],
        row["known"],
        row["engine"],
        row["status"],
        row["line"] or "",
        bool(row["minimized"]),
        row["trace"],
        row["digest"],
        row["message"],
        tuple(json.loads(row["facts"])),
        row["step"],
        zlib.decompress(row["report"]).decode(),
        row["first"],
        row["last"],
        row["code"] or "",
        row["checked_on"] or "",
        row["outcome"] or "",
        row["place"],
        row["proof"],
    )


def find(path: Path, ident: str) -> Found:
    """The finding whose name begins so.

    Raises: UsageError if there is none or more than one.
    """
    with closing(connect(path, write=False)) as base:
        base.row_factory = sqlite3.Row
        found = [one for one in _found(base) if one.ident.startswith(ident)]
    if len(found) != 1:
        refuse(path, f"{len(found) or 'no'} findings have a name that begins with {ident!r}")
    return found[0]


def _rows(base: sqlite3.Connection) -> Iterator[Row]:
    for row in base.execute(
        """
        SELECT code, scenario, way, engine, words, batches, executions, operations, seconds,
            sampled, traces, CAST(once AS INTEGER), cpus, choices
        FROM strands JOIN certificates ON certificates.strand = strands.id JOIN (
            SELECT strand, count(*) AS batches, sum(executions) AS executions, sum(operations) AS operations,
                sum(seconds) AS seconds
            FROM batches GROUP BY strand
        ) AS ran ON ran.strand = strands.id
        ORDER BY scenario, way, words, code
        """
    ):
        yield Row(*row)


def _troubles(base: sqlite3.Connection) -> Iterator[Trouble]:
    for row in base.execute(
        """
        SELECT token, scenario, way, seed, error
        FROM batches JOIN strands ON strand = strands.id JOIN runs ON run = runs.id
        WHERE error != '' ORDER BY done, scenario, way, seed
        """
    ):
        yield Trouble(*row)


def _discovery(base: sqlite3.Connection) -> Iterator[Point]:
    """The points of the discovery curve of every run, a point a batch."""
    fresh = {
        (strand, seed): count
        for strand, seed, count in base.execute(
            "SELECT strand, seed, count(*) FROM traces GROUP BY strand, seed"
        )
    }
    run, executions, traces = "", 0, 0
    for token, seconds, strand, seed, count in base.execute(
        """
        SELECT token, done - began, strand, seed, executions
        FROM batches JOIN runs ON run = runs.id JOIN strands ON strand = strands.id
        WHERE engine != 'free' ORDER BY began, token, done, strand, seed
        """
    ):
        if token != run:
            run, executions, traces = token, 0, 0
        executions += count
        traces += fresh.get((strand, seed), 0)
        yield Point(run, seconds, executions, traces)
