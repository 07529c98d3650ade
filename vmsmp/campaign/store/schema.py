"""The tables of a store, their migrations, and how a file is opened as one, or refused in a line."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final, NoReturn

from vmsmp.campaign.store.copy import copied
from vmsmp.errors import UsageError, VmsmpError, quoted

#: What says in a file's head that it is a store ("vmsm").
APPLICATION: Final = 0x766D736D
#: What every SQLite file begins with.
MAGIC: Final = b"SQLite format 3\0"
#: Seconds that a connection waits for another one.
BUSY_S: Final = 10.0

#: What makes a store of each version out of one of the version before; a new file has version 0.
MIGRATIONS: Final = (
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        token TEXT NOT NULL UNIQUE,
        began REAL NOT NULL,
        ended REAL,
        code TEXT NOT NULL,
        version TEXT NOT NULL,
        python TEXT NOT NULL,
        workers INTEGER NOT NULL,
        arguments TEXT NOT NULL,
        profile TEXT NOT NULL,
        outcome TEXT NOT NULL
    );
    -- one scenario in one way, on one code, under given options
    CREATE TABLE strands (
        id INTEGER PRIMARY KEY,
        code TEXT NOT NULL,
        scenario TEXT NOT NULL,
        way TEXT NOT NULL,
        engine TEXT NOT NULL,
        words TEXT NOT NULL,
        UNIQUE (code, scenario, way, words)
    );
    -- origin: of a free batch the run that made it, since another run makes another of it; else ''
    CREATE TABLE batches (
        id INTEGER PRIMARY KEY,
        strand INTEGER NOT NULL REFERENCES strands,
        seed INTEGER NOT NULL,
        schedules INTEGER NOT NULL,
        origin TEXT NOT NULL,
        run INTEGER NOT NULL REFERENCES runs,
        turn INTEGER NOT NULL,
        done REAL NOT NULL,
        executions INTEGER NOT NULL,
        operations INTEGER NOT NULL,
        seconds REAL NOT NULL,
        complete INTEGER NOT NULL,
        error TEXT NOT NULL,
        sampled INTEGER NOT NULL,
        cpus INTEGER NOT NULL,
        choices INTEGER NOT NULL,
        watched INTEGER NOT NULL,
        magnitude REAL NOT NULL,
        UNIQUE (strand, seed, schedules, origin)
    );
    CREATE TABLE signatures (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        text TEXT NOT NULL UNIQUE
    );
    -- how often a batch met a signature; known: the entry of the known findings that explains it, or ''
    CREATE TABLE hits (
        batch INTEGER NOT NULL REFERENCES batches ON DELETE CASCADE,
        signature INTEGER NOT NULL REFERENCES signatures,
        known TEXT NOT NULL,
        times INTEGER NOT NULL,
        PRIMARY KEY (batch, signature)
    ) WITHOUT ROWID;
    CREATE TABLE findings (
        id INTEGER PRIMARY KEY,
        ident TEXT NOT NULL UNIQUE,
        scenario TEXT NOT NULL,
        signature INTEGER NOT NULL REFERENCES signatures,
        known TEXT NOT NULL,
        engine TEXT NOT NULL,
        trace TEXT NOT NULL,
        digest TEXT NOT NULL,
        message TEXT NOT NULL,
        facts TEXT NOT NULL,
        step TEXT NOT NULL,
        minimized INTEGER NOT NULL,
        report BLOB NOT NULL,
        first REAL NOT NULL,
        last REAL NOT NULL,
        status TEXT NOT NULL,
        judged REAL NOT NULL
    );
    CREATE INDEX findings_by_signature ON findings (scenario, signature);
    -- the lines that have shown a finding: when and on which code each did so last; and what came of its last
    -- replay, when and on which code that was
    CREATE TABLE schedules (
        finding INTEGER NOT NULL REFERENCES findings ON DELETE CASCADE,
        line TEXT NOT NULL,
        failed REAL NOT NULL,
        code TEXT NOT NULL,
        checked REAL NOT NULL,
        checked_on TEXT NOT NULL,
        outcome TEXT NOT NULL,
        PRIMARY KEY (finding, line)
    ) WITHOUT ROWID;
    -- the traces of a strand, with the first batch that saw each; again: another run saw it, too
    CREATE TABLE traces (
        strand INTEGER NOT NULL REFERENCES strands,
        trace INTEGER NOT NULL,
        turn INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        again INTEGER NOT NULL,
        PRIMARY KEY (strand, trace)
    ) WITHOUT ROWID;
    """,
    """
    -- where the program is that a line is of, if it is no scenario of the library
    ALTER TABLE findings ADD COLUMN place TEXT NOT NULL DEFAULT '';
    -- what came of taking away a guard, as `vmsmp mutants` tells it
    CREATE TABLE kills (
        code TEXT NOT NULL,
        ident TEXT NOT NULL,
        outcome TEXT NOT NULL,
        place TEXT NOT NULL,
        tried INTEGER NOT NULL,
        schedules INTEGER NOT NULL,
        signature TEXT NOT NULL,
        schedule TEXT NOT NULL,
        done REAL NOT NULL,
        PRIMARY KEY (code, ident)
    ) WITHOUT ROWID;
    -- in how many places (scenarios at a depth of their locks) the line of a guard is run
    CREATE TABLE coverage (
        code TEXT NOT NULL,
        guard TEXT NOT NULL,
        places INTEGER NOT NULL,
        PRIMARY KEY (code, guard)
    ) WITHOUT ROWID;
    -- page throughput by colours of the queues, as `vmsmp bench` measures it
    CREATE TABLE contention (
        code TEXT NOT NULL,
        python TEXT NOT NULL,
        parallel INTEGER NOT NULL,
        colours INTEGER NOT NULL,
        rate REAL NOT NULL,
        contested REAL NOT NULL,
        done REAL NOT NULL,
        PRIMARY KEY (code, python, parallel, colours)
    ) WITHOUT ROWID;
    -- what runs of a strand are worth: those `sampled` showed `traces` traces, `once` of them a single time
    CREATE VIEW certificates AS
        SELECT strand,
            sum(CASE complete WHEN 1 THEN sampled ELSE 0 END) AS sampled,
            (SELECT count(*) FROM traces WHERE traces.strand = batches.strand) AS traces,
            (SELECT total(NOT again) FROM traces WHERE traces.strand = batches.strand) AS once,
            max(cpus) AS cpus, max(choices) AS choices, sum(watched) AS watched, sum(magnitude) AS magnitude
        FROM batches GROUP BY strand;
    """,
    """
    -- why a finding that no list explains is new, or a face of the known one; '' if that is not decided
    ALTER TABLE findings ADD COLUMN proof TEXT NOT NULL DEFAULT '';
    -- the code on which that was decided
    ALTER TABLE findings ADD COLUMN proven_on TEXT NOT NULL DEFAULT '';
    """,
)
VERSION: Final = len(MIGRATIONS)


class StoreError(VmsmpError):
    """A store cannot be written any more: the disk is full, or the file has become read-only.

    What was written before is kept.
    """


def refuse(path: Path, why: object) -> NoReturn:
    """Raises: UsageError in one line."""
    raise UsageError(f"store {quoted(path, 300)}: {why}")


def connect(path: Path | None, *, write: bool) -> sqlite3.Connection:
    """Open a store to write to, made if there is none, or a copy of one to read; None: one in memory.

    A copy is of one moment, whoever writes meanwhile, and brought up to this version; nothing is left beside
    the file, which may be in a folder that cannot be written to.
    Raises: UsageError in one line for what is no store, is damaged, or cannot be read or written.
    """
    if path is None:
        return _prepared(sqlite3.connect(":memory:", isolation_level=None))
    try:
        fresh = _is_fresh(path, write=write)
        made = write and not path.exists()
        base = _opened(path) if write else copied(path, BUSY_S)
        try:
            _check(path, base, fresh=fresh)
            return _prepared(base)
        except BaseException:
            base.close()
            if made:  # nobody has anything in it
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
            raise
    except sqlite3.Error as error:
        refuse(path, _reason(error))
    except OSError as error:
        refuse(path, error.strerror or error)


def _opened(path: Path) -> sqlite3.Connection:
    """The file itself, to write to."""
    name = f"{path.resolve().as_uri()}?mode=rwc"
    return sqlite3.connect(name, uri=True, timeout=BUSY_S, isolation_level=None)


def _is_fresh(path: Path, *, write: bool) -> bool:
    """Whether nothing is there yet.

    Raises: UsageError or OSError for what cannot be a store.
    """
    if not path.exists():
        if not write:
            refuse(path, "there is no such file")
        return True
    if not path.is_file():
        refuse(path, "it is no file")
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if not head and write:
        return True
    if head != MAGIC:
        refuse(path, "it is no store of vmsmp's")
    return False


def _check(path: Path, base: sqlite3.Connection, *, fresh: bool) -> None:
    """Raises: UsageError for a database of somebody else's, of a newer version, or a damaged one."""
    if fresh:
        return
    application, version = (
        base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application != APPLICATION:
        tables = base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables or application:
            refuse(path, "it is a database, and no store of vmsmp's")
        return  # whoever began it was killed before it had a table
    if version > VERSION:
        refuse(path, f"it has version {version}; this vmsmp reads up to {VERSION}")
    found = base.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        refuse(path, "it is damaged")


def _prepared(base: sqlite3.Connection) -> sqlite3.Connection:
    """Bring a store up to this version, ready to be written to."""
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = NORMAL")
    base.execute("PRAGMA foreign_keys = ON")
    version = base.execute("PRAGMA user_version").fetchone()[0]
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        base.executescript(
            f"BEGIN IMMEDIATE; {script}; PRAGMA application_id = {APPLICATION}; "
            f"PRAGMA user_version = {number}; COMMIT;"
        )
    return base


def _reason(error: sqlite3.Error) -> str:
    """What SQLite says, in the words of a store."""
    words = str(error)
    if isinstance(error, sqlite3.OperationalError):
        return "it is read-only" if "readonly" in words else words
    return "it is damaged"


def writing_failed(path: Path | None, error: sqlite3.Error) -> StoreError:
    """The error that ends a campaign which can write no more."""
    reason = "cannot write to it" if isinstance(error, sqlite3.OperationalError) else "it is damaged"
    where = quoted(path or ":memory:", 300)
    return StoreError(f"store {where}: {reason}: {error}; what was found before is kept")
