"""The exact depth does what the kernel's own lock code did, access by access, in every recording."""

import itertools

import pytest

from families import family_of
from follower import Difference, follow
from recording import folder, read
from vmsmp.engine.workers import WorkerPool

#: Runs of each file that are followed always.
SAMPLE = 12
PLACE = folder()
FILES = [p for p in sorted(PLACE.glob("*.txt.gz")) if family_of(p.name)] if PLACE else []

pytestmark = pytest.mark.skipif(
    not FILES,
    reason="NO RECORDING IS FOLLOWED: ../shared/golden/locks is not there beside this checkout",
)


def differences(path, runs):
    found = []
    with WorkerPool() as pool:
        for run in runs:
            try:
                follow(run, family_of(path.name), pool)
            except Difference as difference:
                found.append(f"{run}: {difference}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])
def test_the_first_runs_of_a_file_are_followed(path):
    assert [] == differences(path, itertools.islice(read(path), SAMPLE))


@pytest.mark.ci
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])
def test_all_runs_of_a_file_are_followed(path):
    assert [] == differences(path, read(path))
