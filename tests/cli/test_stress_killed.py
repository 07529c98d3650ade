"""`vmsmp stress` that is killed at random moments and started again comes to what an undisturbed one does."""

from __future__ import annotations

import os
import random
import signal
import subprocess

import pytest

from stores import seen

WORDS = ("stress", "--workers", "2", "--scenarios", "spin_writers_queue", "--mutant", "SP-05", "--json")


@pytest.mark.parametrize(
    ("kills", "schedules"),
    [pytest.param(3, 400, marks=pytest.mark.ci), pytest.param(20, 4_000, marks=pytest.mark.nightly)],
)
def test_killed_again_and_again_it_comes_to_the_same(started, process, tmp_path, kills, schedules):
    words = (*WORDS, "--schedules", str(schedules))
    moments = random.Random(kills)
    for _ in range(kills):
        child = started(*words, "--store", tmp_path / "killed")
        try:
            child.communicate(timeout=moments.uniform(0.5, 4.0))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate(timeout=100)
    assert 1 == process(*words, "--store", tmp_path / "killed").code
    assert 1 == process(*words, "--store", tmp_path / "whole").code
    assert seen(tmp_path / "whole") == seen(tmp_path / "killed")
    assert schedules == sum(row[3] for row in seen(tmp_path / "killed")[0])
    assert seen(tmp_path / "killed")[1]
