"""The fixture `vmsmp_store`: a store of the session, as `vmsmp stress --store` makes one."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmsmp import __version__
from vmsmp.campaign.batch import Batch, Report
from vmsmp.campaign.code import code_name
from vmsmp.campaign.findings import explain
from vmsmp.campaign.outcome import Result
from vmsmp.campaign.store.read import Contents, read_store
from vmsmp.campaign.store.write import Store
from vmsmp.campaign.way import Way


class SessionStore:
    """A store that keeps every search of the tests which ask for it; `path` is its file."""

    def __init__(self, path: Path, store: Store) -> None:
        self.path = path
        self._store = store

    def contents(self) -> Contents:
        """All that has been kept so far."""
        return read_store(self.path)

    def keep(self, result: Result) -> None:
        """Keep a search as a batch of its program."""
        way = Way("free" if result.scheduler == "free" else "controlled", result.options.locks)
        if way.engine == "controlled":
            way = Way(way.engine, way.locks, result.scheduler)
        batch = Batch(result.program, way, result.seed, result.executions, result.options)
        known = {}
        for failure in result.failures:
            finding = explain(failure, result.options.repairs)
            known[failure.signature] = finding.name if finding is not None else ""
        report = Report(
            batch,
            result.executions,
            result.steps,
            result.seconds,
            tuple(result.failures),
            result.counts,
            result.certificate,
            complete=True,
        )
        self._store.keep(report, known)


@contextmanager
def session_store(folder: Path) -> Iterator[SessionStore]:
    """A new store in that folder, for the time of a session."""
    path = folder / "store.sqlite"
    with Store(path, code_name()) as store:
        store.begin(
            version=__version__,
            python=platform.python_version(),
            workers=1,
            arguments=(),
            profile="pytest",
        )
        kept = SessionStore(path, store)
        yield kept
        store.end("failed" if kept.contents().new else "clean")
