"""What rows of a store are called: the numbers and names by which others find them."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b
from typing import Final

from vmsmp.campaign.outcome import Failure

#: Digits of a finding's name.
DIGITS: Final = 12


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
