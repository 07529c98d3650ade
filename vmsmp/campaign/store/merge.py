"""Stores of several machines made one: a union by content, in which no order and no repetition matters.

What both have is had once.  Where they differ (a batch that one of them cut short, a finding that one has
seen later, or minimized) the same one of the two wins whichever comes first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from vmsmp.campaign.store.measured import merge_measured
from vmsmp.campaign.store.rows import KEEP_TRACE, signature_id, strand_id
from vmsmp.campaign.store.schema import connect
from vmsmp.campaign.store.write import Store

_RUN: Final = "token, began, ended, code, version, python, workers, arguments, profile, outcome"
_BATCH: Final = (
    "seed, schedules, origin, turn, done, executions, operations, seconds, complete, error, sampled, cpus, "
    "choices, watched, magnitude"
)
_FINDING: Final = (
    "ident, scenario, known, engine, trace, digest, message, facts, step, minimized, report, first, last, "
    "status, judged, place, proof, proven_on"
)
#: What is thought of a finding, since when; the later of two wins.
_JUDGEMENT: Final = "judged, status, known, proof, proven_on"


def merge(into: Path, others: Iterable[Path]) -> None:
    """Put all that the others have into the store `into`, which is made if it is not there.

    Raises: UsageError for what is no store, or of a newer version; StoreError if it cannot be written.
    """
    with ExitStack() as opened:
        bases = [_opened(other, opened) for other in others]
        store = opened.enter_context(Store(into, code=""))
        for base in bases:
            with store.writing() as mine:
                _Merger(mine, base).run()


def _opened(path: Path, opened: ExitStack) -> sqlite3.Connection:
    """A store to read from."""
    base = opened.enter_context(closing(connect(path, write=False)))
    base.row_factory = sqlite3.Row
    return base


class _Merger:
    """One store taken into another, in one transaction."""

    def __init__(self, mine: sqlite3.Connection, other: sqlite3.Connection) -> None:
        self.mine = mine
        self.other = other
        self.signatures: dict[int, int] = {}
        self.strands: dict[int, int] = {}
        self.runs: dict[int, int] = {}

    def run(self) -> None:
        for row in self.other.execute("SELECT * FROM signatures ORDER BY id"):
            self.signatures[row["id"]] = signature_id(self.mine, row["kind"], row["text"])
        for row in self.other.execute("SELECT * FROM strands ORDER BY id"):
            key = (row["code"], row["scenario"], row["way"], row["engine"], row["words"])
            self.strands[row["id"]] = strand_id(self.mine, *key)
        for row in self.other.execute("SELECT * FROM runs ORDER BY id"):
            self._run(row)
        for row in self.other.execute("SELECT * FROM batches ORDER BY id"):
            self._batch(row)
        for row in self.other.execute("SELECT * FROM findings ORDER BY id"):
            self._finding(row)
        for row in self.other.execute("SELECT * FROM traces"):
            place = self.strands[row["strand"]], row["trace"], row["turn"], row["seed"], row["again"]
            self.mine.execute(KEEP_TRACE, place)
        merge_measured(self.mine, self.other)

    def _insert(self, table: str, columns: str, row: Any, **more: int) -> int:
        names = [*columns.split(", "), *more]
        values = [*(row[name] for name in columns.split(", ")), *more.values()]
        number = self.mine.execute(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values
        ).lastrowid
        assert number is not None
        return number

    def _run(self, row: Any) -> None:
        mine = self.mine.execute("SELECT id, ended FROM runs WHERE token = ?", (row["token"],)).fetchone()
        if mine is None:
            self.runs[row["id"]] = self._insert("runs", _RUN, row)
            return
        self.runs[row["id"]], ended = mine
        if (row["ended"] or 0.0) > (ended or 0.0):
            self.mine.execute(
                "UPDATE runs SET ended = ?, outcome = ? WHERE id = ?", (row["ended"], row["outcome"], mine[0])
            )

    def _batch(self, row: Any) -> None:
        strand = self.strands[row["strand"]]
        mine = self.mine.execute(
            "SELECT batches.id, complete, executions, done, token FROM batches JOIN runs ON run = runs.id "
            "WHERE strand = ? AND seed = ? AND schedules = ? AND origin = ?",
            (strand, row["seed"], row["schedules"], row["origin"]),
        ).fetchone()
        if mine is not None:
            token = self.other.execute("SELECT token FROM runs WHERE id = ?", (row["run"],)).fetchone()[0]
            theirs = (row["complete"], row["executions"], -row["done"], token)
            if theirs <= (mine[1], mine[2], -mine[3], mine[4]):
                return
            self.mine.execute("DELETE FROM batches WHERE id = ?", (mine[0],))
        number = self._insert("batches", _BATCH, row, strand=strand, run=self.runs[row["run"]])
        for hit in self.other.execute("SELECT * FROM hits WHERE batch = ?", (row["id"],)).fetchall():
            values = (number, self.signatures[hit["signature"]], hit["known"], hit["times"])
            self.mine.execute("INSERT INTO hits VALUES (?, ?, ?, ?)", values)

    def _finding(self, row: Any) -> None:
        mine = self.mine.execute(
            f"SELECT id, {_JUDGEMENT} FROM findings WHERE ident = ?", (row["ident"],)
        ).fetchone()
        if mine is None:
            number = self._insert("findings", _FINDING, row, signature=self.signatures[row["signature"]])
        else:
            number = mine[0]
            theirs = tuple(row[name] for name in _JUDGEMENT.split(", "))
            self.mine.execute(
                "UPDATE findings SET first = min(first, ?), last = max(last, ?), "
                "minimized = max(minimized, ?), place = max(place, ?), judged = ?, status = ?, known = ?, "
                "proof = ?, proven_on = ? WHERE id = ?",
                (
                    *(row["first"], row["last"], row["minimized"], row["place"]),
                    *max(theirs, tuple(mine[1:])),
                    number,
                ),
            )
        for line in self.other.execute("SELECT * FROM schedules WHERE finding = ?", (row["id"],)).fetchall():
            self._line(number, line)

    def _line(self, finding: int, row: Any) -> None:
        failed = row["failed"], row["code"]
        checked = row["checked"], row["checked_on"], row["outcome"]
        mine = self.mine.execute(
            "SELECT failed, code, checked, checked_on, outcome FROM schedules WHERE finding = ? AND line = ?",
            (finding, row["line"]),
        ).fetchone()
        if mine is not None:
            failed, checked = max(failed, mine[:2]), max(checked, mine[2:])
        values = (finding, row["line"], *failed, *checked)
        self.mine.execute("INSERT OR REPLACE INTO schedules VALUES (?, ?, ?, ?, ?, ?, ?)", values)
