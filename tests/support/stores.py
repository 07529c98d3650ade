"""What campaigns have left in a store, without when, and without what no two campaigns have in common."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from vmsmp.campaign.store.read import read_store


def seen(path):
    """What was run under control, what was found there, and how often."""
    contents = read_store(path)
    rows = [
        (row.scenario, row.way, row.batches, row.executions, row.operations, row.traces, row.once)
        for row in contents.rows
        if row.engine == "controlled"
    ]
    with closing(sqlite3.connect(path)) as base:
        hits = base.execute(
            "SELECT scenario, way, seed, text, known, times FROM hits "
            "JOIN batches ON batch = batches.id JOIN strands ON strand = strands.id "
            "JOIN signatures ON signature = signatures.id "
            "WHERE engine = 'controlled' ORDER BY scenario, way, seed, text"
        ).fetchall()
    statuses = sorted(
        (one.scenario, one.text, one.status) for one in contents.signatures if one.findings[0].line
    )
    return rows, hits, statuses
