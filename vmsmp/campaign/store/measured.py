"""What other commands measure, kept in a store beside what campaigns find: kill table, coverage, contention.

All of it is of one code.  Of two verdicts on one guard the one that says more is kept: that it was noticed,
else the one that more schedules were tried for.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vmsmp.campaign.kill_table import Verdict
    from vmsmp.campaign.store.write import Store


@dataclass(frozen=True, slots=True)
class Site:
    """A guard of the model, and in how many places, scenarios at a depth of their locks, its line is run."""

    guard: str
    places: int


@dataclass(frozen=True, slots=True)
class Colours:
    """Page throughput with so many colours a queue type; `contested` is a share of queue grants."""

    colours: int
    rate: float
    contested: float


def keep_verdict(store: Store, verdict: Verdict) -> None:
    """A guard was taken away, and this is what came of it."""
    with store.writing() as base:
        base.execute(_KEEP["kills"], (store.code, *astuple(verdict), time.time()))


def keep_sites(store: Store, places: Mapping[str, int]) -> None:
    """In how many places the line of each guard is run."""
    with store.writing() as base:
        base.executemany(_KEEP["coverage"], ((store.code, *entry) for entry in sorted(places.items())))


def keep_colours(store: Store, python: str, curve: Iterable[Colours], *, parallel: bool) -> None:
    """The contention by colours on an interpreter; `parallel`: its threads run so."""
    now = time.time()
    with store.writing() as base:
        base.executemany(
            _KEEP["contention"], ((store.code, python, parallel, *astuple(one), now) for one in curve)
        )


def kills(base: sqlite3.Connection) -> Iterator[Verdict]:
    """The kill table of the code that was tried last."""
    from vmsmp.campaign.kill_table import Verdict  # it loads all that runs a campaign

    for row in base.execute(
        "SELECT ident, outcome, place, tried, schedules, signature, schedule FROM kills "
        f"WHERE code = ({_LAST.format('code', 'kills')}) ORDER BY ident"
    ):
        yield Verdict(*row)


def sites(base: sqlite3.Connection) -> Iterator[Site]:
    """The guard sites of the code whose kill table is told."""
    for row in base.execute(
        f"SELECT guard, places FROM coverage WHERE code = ({_LAST.format('code', 'kills')}) ORDER BY guard"
    ):
        yield Site(*row)


def colours(base: sqlite3.Connection) -> Iterator[Colours]:
    """The contention that was measured last."""
    for row in base.execute(
        "SELECT colours, rate, contested FROM contention WHERE (code, python, parallel) = "
        f"({_LAST.format('code, python, parallel', 'contention')}) ORDER BY colours"
    ):
        yield Colours(*row)


def merge_measured(mine: sqlite3.Connection, other: sqlite3.Connection) -> None:
    """Take in all that another store has of it."""
    for table, statement in _KEEP.items():
        rows: list[Any] = other.execute(f"SELECT * FROM {table}").fetchall()
        mine.executemany(statement, [tuple(row) for row in rows])


#: The last row of a table.
_LAST: Final = "SELECT {} FROM {} ORDER BY done DESC, code LIMIT 1"

#: By table, how a row is kept: unless one that says more is there, whichever of them comes first.
_KEEP: Final = {
    "kills": """
        INSERT INTO kills (code, ident, outcome, place, tried, schedules, signature, schedule, done)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (code, ident) DO UPDATE SET
            outcome = excluded.outcome, place = excluded.place, tried = excluded.tried,
            schedules = excluded.schedules, signature = excluded.signature, schedule = excluded.schedule,
            done = excluded.done
        WHERE (
            excluded.outcome IN ('found', 'raised', 'hang'), excluded.tried, excluded.done, excluded.outcome,
            excluded.place, excluded.schedules, excluded.signature, excluded.schedule
        ) > (
            outcome IN ('found', 'raised', 'hang'), tried, done, outcome,
            place, schedules, signature, schedule
        )
    """,
    "coverage": """
        INSERT INTO coverage (code, guard, places) VALUES (?, ?, ?)
        ON CONFLICT (code, guard) DO UPDATE SET places = max(places, excluded.places)
    """,
    "contention": """
        INSERT INTO contention (code, python, parallel, colours, rate, contested, done)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (code, python, parallel, colours) DO UPDATE SET
            rate = excluded.rate, contested = excluded.contested, done = excluded.done
        WHERE (excluded.done, excluded.rate, excluded.contested) > (done, rate, contested)
    """,
}
