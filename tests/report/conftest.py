"""Stories and failures, of runs that really were and made by hand."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.story import Row, Story
from vmsmp.engine.machine import CpuSnapshot
from vmsmp.engine.source import Place


@pytest.fixture
def tell():
    """Replay a program along the preemptions given, and return the outcome."""

    def told(program, steps="", *, seed=0, options="", **more):
        return vmsmp.replay(program, f"v1:{program.__name__}{options}:{seed:x}:{steps}", **more)

    return told


@pytest.fixture
def story():
    """A story made of (cpu, text) or (cpu, text, before, after) rows."""

    def made(*steps, cpus=("cpu0", "cpu1"), scene=()):
        rows = []
        for n, (cpu, text, *values) in enumerate(steps):
            before, after = values or ("", "")
            rows.append(Row(n, cpu, text, before, after, (Place("program.py", n, "work"),), "", 0))
        return Story(cpus, tuple(rows), scene, 0)

    return made


@pytest.fixture
def failure():
    """A failure made by hand."""

    def made(**parts):
        whole = {
            "kind": "check",
            "message": "the page is busy",
            "signature": "check: the page is busy",
            "schedule": "v1:mine:0:1.2>3",
            "digest": "0123456789abcdef",
            "program": "mine",
            "cpu": 2,
            **parts,
        }
        return Failure(**whole)

    return made


@pytest.fixture
def stand():
    """How one CPU stood."""

    def made(cpu=0, name=None, **parts):
        whole = {"holds": (), "wants": "", "before": "load word", "done": False, "frames": (), **parts}
        return CpuSnapshot(cpu=cpu, name=name or f"cpu{cpu}", **whole)

    return made
