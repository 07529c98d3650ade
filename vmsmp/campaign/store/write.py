"""The writing side of a store: runs, batches and findings as they come, a transaction each."""

from __future__ import annotations

import fcntl
import json
import secrets
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Final, Self

from vmsmp.campaign.batch import ENDS, Batch, Report
from vmsmp.campaign.certificate import Certificate
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.store.read import FIXED, KNOWN, NEW, UNSTEADY
from vmsmp.campaign.store.schema import connect, refuse, writing_failed

#: Lines that are kept of a new signature in a scenario, before and after they are minimized; of a known one
#: a single one.
LINES: Final = 6
#: Digits of a finding's name.
DIGITS: Final = 12
#: The range of a trace's fingerprint, and of an integer that SQLite takes.
_WORD: Final = 1 << 64
_HALF: Final = 1 << 63
#: What came of a line's replay.
FAILS: Final = "fails"
PASSES: Final = "passes"


@dataclass(frozen=True, slots=True)
class Asked:
    """A line of the corpus, to be replayed: the finding that it has shown, and the code that it did so on."""

    ident: str
    scenario: str
    signature: str
    line: str
    code: str


class Store:
    """A store to write to; `path` None: one in memory.  One process at a time may write to a file.

    Raises: UsageError if the file cannot be a store of ours, or somebody writes to it; every method raises
    StoreError when it cannot be written any more.
    """

    def __init__(self, path: Path | None, code: str) -> None:
        self.path = path
        self.code = code
        self._run = 0
        self._token = ""
        self._strands: dict[tuple[str, str, str], int] = {}
        self._lock = _locked(path)
        try:
            self._base = connect(path, write=True)
        except BaseException:
            if self._lock is not None:
                Path(self._lock.name).unlink(missing_ok=True)
            self._unlock()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write to it no more."""
        self._base.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction.

        Raises: StoreError if it cannot be written; nothing of it is then.
        """
        try:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise writing_failed(self.path, error) from None

    # -- runs -------------------------------------------------------------------------------------

    def begin(
        self, *, version: str, python: str, workers: int, arguments: Sequence[str], profile: str
    ) -> None:
        """A campaign begins."""
        self._token = secrets.token_hex(8)
        with self.writing() as base:
            cursor = base.execute(
                "INSERT INTO runs (token, began, code, version, python, workers, arguments, profile, "
                "outcome) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'running')",
                (
                    *(self._token, time.time(), self.code, version, python, workers),
                    *(json.dumps(list(arguments)), profile),
                ),
            )
            self._run = cursor.lastrowid or 0

    def end(self, outcome: str) -> None:
        """The campaign ends, with that outcome."""
        with self.writing() as base:
            base.execute(
                "UPDATE runs SET ended = ?, outcome = ? WHERE id = ?", (time.time(), outcome, self._run)
            )

    # -- batches ----------------------------------------------------------------------------------

    def keep(self, report: Report, known: Mapping[str, str]) -> tuple[Failure, ...]:
        """A batch is done: its counts, its traces, and its failures if they are the first.

        `known` has for each signature the entry that explains it, or "".  Returns the failures that nothing
        explains and that are findings now.
        """
        added = []
        batch = report.batch
        with self.writing() as base:
            strand = self._strand(base, batch)
            origin = self._token if batch.free else ""
            base.execute(
                "DELETE FROM batches WHERE strand = ? AND seed = ? AND schedules = ? AND origin = ?",
                (strand, batch.seed, batch.schedules, origin),
            )
            certificate = report.certificate
            values = (
                *(strand, batch.seed, batch.schedules, origin, self._run, batch.turn, time.time()),
                *(report.executions, report.operations, report.seconds, report.complete, report.error),
                *(certificate.sampled, certificate.cpus, certificate.choices),
                *(certificate.watched, certificate.magnitude),
            )
            number = base.execute(
                "INSERT INTO batches (strand, seed, schedules, origin, run, turn, done, executions, "
                "operations, seconds, complete, error, sampled, cpus, choices, watched, magnitude) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            ).lastrowid
            for failure in report.failures:
                signature = signature_id(base, failure.kind, failure.signature)
                explained = known.get(failure.signature, "")
                times = report.counts.get(failure.signature, 1)
                base.execute("INSERT INTO hits VALUES (?, ?, ?, ?)", (number, signature, explained, times))
                if self._note(base, failure, signature, explained):
                    added += [] if explained else [failure]
            if report.complete:
                self._keep_traces(base, strand, batch, certificate)
        return tuple(added)

    def _strand(self, base: sqlite3.Connection, batch: Batch) -> int:
        key = batch.scenario, str(batch.way), batch.words
        if key not in self._strands:
            number = strand_id(base, self.code, key[0], key[1], batch.way.engine, key[2])
            self._strands[key] = number
        return self._strands[key]

    def _keep_traces(
        self, base: sqlite3.Connection, strand: int, batch: Batch, certificate: Certificate
    ) -> None:
        base.executemany(
            KEEP_TRACE,
            (
                (strand, (trace + _HALF) % _WORD - _HALF, batch.turn, batch.seed, times > 1)
                for trace, times in sorted(certificate.seen.items())
            ),
        )

    def done(self, batch: Batch) -> Report | None:
        """What a complete batch came to when it was run on this code before; None if it was not.

        Its failures are those that stand for their signatures.
        """
        row = self._base.execute(
            """
            SELECT batches.id, executions, operations, seconds
            FROM batches JOIN strands ON strand = strands.id
            WHERE code = ? AND scenario = ? AND way = ? AND words = ?
                AND seed = ? AND schedules = ? AND complete
            """,
            (self.code, batch.scenario, str(batch.way), batch.words, batch.seed, batch.schedules),
        ).fetchone()
        if row is None:
            return None
        number, executions, operations, seconds = row
        counts: dict[str, int] = {}
        failures = []
        for signature, text, known, times in self._base.execute(
            "SELECT signature, text, known, times FROM hits JOIN signatures ON signature = signatures.id "
            "WHERE batch = ? ORDER BY text",
            (number,),
        ).fetchall():
            counts[text] = times
            failures += list(self._failures(batch.scenario, signature, known))[:1]
        return Report(batch, executions, operations, seconds, tuple(failures), counts, complete=True)

    def fresh(self, turn: int) -> dict[tuple[str, str], int]:
        """How many traces were first seen in that round on this code, by scenario and way."""
        rows = self._base.execute(
            "SELECT scenario, way, count(*) FROM traces JOIN strands ON strand = strands.id "
            "WHERE code = ? AND turn = ? GROUP BY scenario, way",
            (self.code, turn),
        )
        return {(scenario, way): count for scenario, way, count in rows}

    # -- findings ---------------------------------------------------------------------------------

    def note(self, failure: Failure, known: str) -> None:
        """A failure was seen outside of any batch."""
        with self.writing() as base:
            self._note(base, failure, signature_id(base, failure.kind, failure.signature), known)

    def _note(self, base: sqlite3.Connection, failure: Failure, signature: int, known: str) -> bool:
        """A failure was seen: a finding of its own if there are not enough like it yet, and whether it is."""
        group = failure.program, signature, known
        now = time.time()
        seen = base.execute(
            "UPDATE findings SET last = max(last, ?) WHERE scenario = ? AND signature = ? AND known = ? "
            "RETURNING id",
            (now, *group),
        ).fetchall()
        base.execute(  # it came back
            "UPDATE findings SET status = ?, judged = ? "
            "WHERE scenario = ? AND signature = ? AND known = ? AND status = ?",
            (KNOWN if known else NEW, now, *group, FIXED),
        )
        lines = base.execute(
            "SELECT count(*) FROM schedules JOIN findings ON finding = findings.id "
            "WHERE scenario = ? AND signature = ? AND known = ?",
            group,
        ).fetchone()[0]
        enough = lines >= (1 if known else LINES) or not failure.schedule
        if seen and enough:
            return False
        self._add(base, failure, signature, known, minimized=False)
        return True

    def _add(
        self, base: sqlite3.Connection, failure: Failure, signature: int, known: str, *, minimized: bool
    ) -> None:
        now = time.time()
        ident = ident_of(failure)
        base.execute(
            "INSERT INTO findings (ident, scenario, signature, known, engine, trace, digest, message, facts, "
            "step, minimized, report, first, last, status, judged, place) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (ident) DO UPDATE SET "
            "last = excluded.last, minimized = max(minimized, excluded.minimized), place = excluded.place",
            (
                *(ident, failure.program, signature, known, failure.engine, failure.trace, failure.digest),
                *(failure.message, json.dumps(list(failure.facts)), failure.step, minimized),
                *(zlib.compress(failure.report().encode()), now, now, KNOWN if known else NEW, now),
                failure.place,
            ),
        )
        if failure.schedule:
            self._add_line(base, ident, failure.schedule)

    def _add_line(self, base: sqlite3.Connection, ident: str, line: str) -> None:
        now = time.time()
        base.execute(
            "INSERT OR IGNORE INTO schedules SELECT id, ?, ?, ?, ?, ?, ? FROM findings WHERE ident = ?",
            (line, now, self.code, now, self.code, FAILS, ident),
        )

    def replace(self, first: Failure, short: Failure) -> None:
        """A failure that nothing explains has been minimized: the short one stands for it."""
        with self.writing() as base:
            signature = signature_id(base, short.kind, short.signature)
            row = base.execute("SELECT first FROM findings WHERE ident = ?", (ident_of(first),)).fetchone()
            base.execute("DELETE FROM findings WHERE ident = ?", (ident_of(first),))
            self._add(base, short, signature, "", minimized=True)
            self._add_line(base, ident_of(short), first.schedule)
            if row is not None:
                base.execute(
                    "UPDATE findings SET first = min(first, ?) WHERE ident = ?", (row[0], ident_of(short))
                )

    def unminimized(self) -> list[Failure]:
        """The failures with a line, found on this code, that nothing explains and nobody has minimized."""
        rows = self._base.execute(
            f"{_FAILURES} WHERE NOT minimized AND known = '' AND code = ? AND kind NOT IN (?, ?) "
            "ORDER BY ident",
            (self.code, *ENDS),
        ).fetchall()
        return list(map(_failure, rows))

    def _failures(self, scenario: str, signature: int, known: str) -> Iterator[Failure]:
        """The failures that stand for a signature, shortest line first; those without a line last."""
        rows = self._base.execute(
            f"{_FAILURES} WHERE scenario = ? AND signature = ? AND known = ? "
            "ORDER BY line IS NULL, NOT minimized, length(line), line",
            (scenario, signature, known),
        ).fetchall()
        yield from map(_failure, rows)

    # -- the corpus -------------------------------------------------------------------------------

    def corpus(self) -> list[Asked]:
        """The shortest line of every finding, of those whose runs are the same again."""
        kept: dict[str, Asked] = {}
        for ident, scenario, signature, line, code in self._base.execute(
            """
            SELECT ident, scenario, text, line, code
            FROM schedules JOIN findings ON finding = findings.id JOIN signatures ON signature = signatures.id
            WHERE kind NOT IN (?, ?) ORDER BY scenario, ident, length(line), line
            """,
            ENDS,
        ):
            kept.setdefault(ident, Asked(ident, scenario, signature, line, code))
        return list(kept.values())

    def checked(self, asked: Asked, outcome: str, known: str) -> str:
        """A line of the corpus was replayed; the status that its finding has from now on.

        `outcome` is `FAILS` if the same signature came back, `PASSES` if the line fails no more, the other
        signature that came instead, or why it cannot be replayed.  `known` is the entry that explains it now.
        """
        if outcome == FAILS:
            status = KNOWN if known else NEW
        else:
            status = UNSTEADY if asked.code == self.code else FIXED
        now = time.time()
        with self.writing() as base:
            base.execute(
                "UPDATE schedules SET checked = ?, checked_on = ?, outcome = ? "
                "WHERE line = ? AND finding = (SELECT id FROM findings WHERE ident = ?)",
                (now, self.code, outcome, asked.line, asked.ident),
            )
            base.execute(
                "UPDATE findings SET status = ?, judged = ? WHERE ident = ?", (status, now, asked.ident)
            )
            if outcome == FAILS:
                self._explain(base, asked, known)
                base.execute("UPDATE findings SET last = ? WHERE ident = ?", (now, asked.ident))
                base.execute(
                    "UPDATE schedules SET failed = checked, code = checked_on "
                    "WHERE line = ? AND finding = (SELECT id FROM findings WHERE ident = ?)",
                    (asked.line, asked.ident),
                )
        return status

    def _explain(self, base: sqlite3.Connection, asked: Asked, known: str) -> None:
        """The entry that explains a finding from now on, and what was counted of it."""
        row = base.execute("SELECT known, signature FROM findings WHERE ident = ?", (asked.ident,)).fetchone()
        if row is None:
            return  # it was met again meanwhile and minimized: another stands for it
        before, signature = row
        if before == known:
            return
        base.execute("UPDATE findings SET known = ? WHERE ident = ?", (known, asked.ident))
        base.execute(
            "UPDATE hits SET known = ? WHERE signature = ? AND known = ? AND batch IN "
            "(SELECT batches.id FROM batches JOIN strands ON strand = strands.id WHERE scenario = ?)",
            (known, signature, before, asked.scenario),
        )


def _locked(path: Path | None) -> IO[bytes] | None:
    """Keep other writers away from a file: one beside it is locked, since a lock of SQLite's lasts no longer
    than a transaction.

    Raises: UsageError if somebody writes to it.
    """
    if path is None:
        return None
    if path.is_dir():
        refuse(path, "it is no file")
    try:
        lock = path.with_name(f"{path.name}-writer").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            lock.close()
            raise
    except BlockingIOError:
        refuse(path, "another campaign is writing to it")
    except OSError as error:
        refuse(path, error.strerror or error)
    return lock


def ident_of(failure: Failure) -> str:
    """The name of a finding: the same for failures of one signature that the same steps led to."""
    text = f"{failure.program}\0{failure.signature}\0{failure.trace}\0{failure.engine}"
    return "f" + blake2b(text.encode(), digest_size=DIGITS).hexdigest()[:DIGITS]


def signature_id(base: sqlite3.Connection, kind: str, text: str) -> int:
    """The number of a signature in this file."""
    base.execute("INSERT OR IGNORE INTO signatures (kind, text) VALUES (?, ?)", (kind, text))
    found: int = base.execute("SELECT id FROM signatures WHERE text = ?", (text,)).fetchone()[0]
    return found


def strand_id(base: sqlite3.Connection, code: str, scenario: str, way: str, engine: str, words: str) -> int:
    """The number of a strand in this file."""
    base.execute(
        "INSERT OR IGNORE INTO strands (code, scenario, way, engine, words) VALUES (?, ?, ?, ?, ?)",
        (code, scenario, way, engine, words),
    )
    found: int = base.execute(
        "SELECT id FROM strands WHERE code = ? AND scenario = ? AND way = ? AND words = ?",
        (code, scenario, way, words),
    ).fetchone()[0]
    return found


#: A trace was seen in a batch: the first one that did, in the order of the campaign, keeps it.
KEEP_TRACE: Final = """
    INSERT INTO traces (strand, trace, turn, seed, again) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (strand, trace) DO UPDATE SET
        again = max(again, excluded.again, (turn, seed) != (excluded.turn, excluded.seed)),
        turn = min(turn, excluded.turn),
        seed = CASE WHEN (excluded.turn, excluded.seed) < (turn, seed) THEN excluded.seed ELSE seed END
"""

_FAILURES: Final = """
    SELECT kind, message, text, line, digest, facts, scenario, engine, trace, step
    FROM findings JOIN signatures ON signature = signatures.id LEFT JOIN schedules ON finding = findings.id
"""


def _failure(row: Sequence[Any]) -> Failure:
    """A finding as a failure, without its story."""
    kind, message, text, line, digest, facts, scenario, engine, trace, step = row
    return Failure(
        kind,
        message,
        text,
        line or "",
        digest,
        tuple(json.loads(facts)),
        scenario,
        engine=engine,
        trace=trace,
        step=step,
    )
