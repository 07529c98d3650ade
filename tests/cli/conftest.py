"""The command line, called in this process or in one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from patience import PROCESS_S, patient
from vmsmp.cli import main

ROOT = Path(__file__).resolve().parents[2]
#: The fixtures that start processes.
PROCESSES = frozenset(("environment", "process", "started"))


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def complaint(self):
        """Exit code, what went to standard output, and how many lines went to standard error."""
        return self.code, self.out, self.err.count("\n")


def clean_environment(**extra):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VMSMP_")}
    return {**kept, "PYTHONPATH": str(ROOT), **extra}


@pytest.fixture(autouse=True)
def _no_mirrors(monkeypatch):
    for name in os.environ:
        if name.startswith("VMSMP_"):
            monkeypatch.delenv(name)


def pytest_collection_modifyitems(items):
    """A test that starts processes waits for them."""
    here = str(Path(__file__).parent)
    for item in items:
        starts = not PROCESSES.isdisjoint(getattr(item, "fixturenames", ()))
        if starts and str(item.path).startswith(here) and item.get_closest_marker("timeout") is None:
            item.add_marker(patient)


@pytest.fixture
def vmsmp(capsys):
    """Run a command in this process."""

    def call(*words):
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        return Ended(code, *capsys.readouterr())

    return call


def call_process(*words, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "vmsmp", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PROCESS_S,
        env=clean_environment(**environment),
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def environment():
    """The environment of a process that finds this package, without mirrors of options; and more, by name."""
    return clean_environment


@pytest.fixture(scope="session")
def process():
    """Run a command in a process of its own, with the given environment variables."""
    return call_process


@pytest.fixture
def started():
    """Start a command in a process group of its own; whatever is left of the group dies at the end.

    `code` is run instead of the command line, which it has as its arguments.
    """
    groups = []

    def start(*words, code=None):
        program = ["-m", "vmsmp"] if code is None else ["-c", code]
        child = subprocess.Popen(
            [sys.executable, *program, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
            start_new_session=True,
        )
        groups.append(child)
        return child

    yield start
    for child in groups:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.communicate()
