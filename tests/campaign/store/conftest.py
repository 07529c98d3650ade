"""Stores with something in them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from vmsmp.campaign.batch import Batch, Report
from vmsmp.campaign.certificate import Certificate
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.store.write import Store
from vmsmp.campaign.way import Way
from vmsmp.engine.options import Options

EXACT = Way("controlled", "exact")
FREE = Way("free", "exact")


@pytest.fixture
def failure():
    """A failure of scenario `mine`."""

    def made(message="bad", schedule="v1:mine:0:1.2>2,2.3>1", **more):
        more = {"digest": "00", "trace": schedule, "program": "mine", **more}
        return Failure("check", message, f"check: {message}", schedule, **more)

    return made


@pytest.fixture
def report():
    """What a batch of scenario `mine` came to; `traces` are by number how often each was seen."""

    def made(*failures, seed=0, turn=0, way=EXACT, schedules=8, traces=(), scenario="mine", **more):
        certificate = Certificate(sum(dict(traces).values()), 2, 5, 1, 1.5)
        certificate._traces.update(dict(traces))
        counts = {failure.signature: 3 for failure in failures}
        more = {"executions": schedules, "operations": 10 * schedules, "complete": True, **more}
        batch = Batch(scenario, way, seed, schedules, Options(), turn)
        return Report(batch, failures=failures, counts=counts, certificate=certificate, **more)

    return made


@pytest.fixture
def opened(tmp_path):
    """Open a store, and begin a run; all are closed in the end."""
    stores = []

    def open_(name="s", code="code"):
        store = Store(tmp_path / name, code)
        stores.append(store)
        store.begin(version="1", python="3", workers=2, arguments=["--seed", "0"], profile="")
        return store

    yield open_
    for store in stores:
        store.__exit__()


@pytest.fixture
def rows(tmp_path):
    """All that a store has, as rows without their numbers in this file."""

    def told(name):
        with closing(sqlite3.connect(tmp_path / name)) as base:
            return {
                "runs": base.execute("SELECT token, outcome, ended FROM runs ORDER BY 1").fetchall(),
                "batches": base.execute(
                    "SELECT strands.code, scenario, way, seed, schedules, origin, complete, executions, "
                    "done, token FROM batches JOIN strands ON strand = strands.id JOIN runs ON run = runs.id "
                    "ORDER BY 1, 2, 3, 4, 5, 6"
                ).fetchall(),
                "hits": base.execute(
                    "SELECT scenario, way, seed, origin, text, known, times FROM hits "
                    "JOIN batches ON batch = batches.id JOIN strands ON strand = strands.id "
                    "JOIN signatures ON signature = signatures.id ORDER BY 1, 2, 3, 4, 5"
                ).fetchall(),
                "findings": base.execute(
                    "SELECT ident, scenario, text, known, minimized, first, last, status, judged, "
                    "proof, proven_on "
                    "FROM findings JOIN signatures ON signature = signatures.id ORDER BY 1"
                ).fetchall(),
                "schedules": base.execute(
                    "SELECT ident, line, failed, code, checked, checked_on, outcome FROM schedules "
                    "JOIN findings ON finding = findings.id ORDER BY 1, 2"
                ).fetchall(),
                "traces": base.execute(
                    "SELECT scenario, way, trace, turn, seed, again FROM traces "
                    "JOIN strands ON strand = strands.id ORDER BY 1, 2, 3"
                ).fetchall(),
                **{
                    table: base.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4").fetchall()
                    for table in ("kills", "contention")
                },
                "coverage": base.execute("SELECT * FROM coverage ORDER BY 1, 2").fetchall(),
            }

    return told
