"""`vmsmp stress` that is killed at random moments and started again comes to what an undisturbed one does."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from stores import seen
from vmsmp.campaign.store.read import read_store
from vmsmp.errors import UsageError

WORDS = ("stress", "--workers", "2", "--scenarios", "spin_*", "--mutant", "SP-05", "--json")
#: Seconds that a campaign may take on the busiest machine.
LIMIT_S = 1_000
#: Batches that a campaign does, at most, and seconds that it goes on behind them, before it is killed.
MOST_BATCHES = 6
MOST_S = 0.5
#: A campaign that says in a file when it is about to end, and then waits to be killed.
ENDLESS = """
import signal, sys
from pathlib import Path
from vmsmp.campaign.store.write import Store
from vmsmp.cli import main

def end(self, outcome):
    Path(sys.argv[1]).touch()
    while True:
        signal.pause()

Store.end = end
main(sys.argv[2:])
"""

pytestmark = pytest.mark.timeout(4 * LIMIT_S)


def batches(path):
    """How many batches a store has; none while there is no store yet."""
    try:
        return sum(row.batches for row in read_store(path).rows)
    except UsageError:
        return 0


@pytest.mark.parametrize(
    ("kills", "schedules"),
    [pytest.param(3, 120, marks=pytest.mark.ci), pytest.param(20, 1_200, marks=pytest.mark.nightly)],
)
def test_killed_again_and_again_it_comes_to_the_same(started, tmp_path, kills, schedules):
    moments = random.Random(kills)
    words = (*WORDS, "--schedules", str(schedules))
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for n in range(kills):
        over = tmp_path / f"over{n}"
        child = started(over, *words, "--store", killed, code=ENDLESS)
        wanted = batches(killed) + moments.randrange(MOST_BATCHES)
        while not over.exists() and batches(killed) < wanted:
            assert child.poll() is None, child.communicate()
            time.sleep(0.2)
        time.sleep(moments.uniform(0.0, MOST_S))
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate(timeout=LIMIT_S)
        assert -signal.SIGKILL == child.returncode
    for path in (killed, whole):
        child = started(*words, "--store", path)
        child.communicate(timeout=LIMIT_S)
        assert 1 == child.returncode
    assert seen(whole) == seen(killed)
    assert schedules == sum(row[3] for row in seen(killed)[0])
    assert seen(killed)[1]
