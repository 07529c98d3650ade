"""The tool's own power over TLBs: every step of a shootdown that is left out is found, and how fast.

`HITS` is measured: failing schedules among 2,000 of a uniform random walk (seed 2026, atomic locks, step
limit 20,000); see `test_pages`.
"""

import pytest

import vmsmp
from rates import budget, by_rate
from vmsmp.library import find_scenario
from vmsmp.patches.mutants import MMU_MUTANTS

MEASURED_OVER = 2000
MUTANTS = {mutant.ident: mutant for mutant in MMU_MUTANTS}

#: mutant -> (failing schedules of 2,000, what the signature of a failure begins with)
HITS = {
    "TB-01": (436, "check: INV-T1"),
    "TB-02": (105, "check: INV-T1"),
    "TB-03": (64, "check: INV-T1"),
    "TB-04": (132, "check: INV-T1"),
    "TB-05": (178, "check: what was written is told by M"),
    "TB-06": (19, "check: INV-T1"),
    "TB-07": (52, "check: INV-T1"),
    "TB-08": (76, "check: a page that nobody may write stays as it is"),
    "TB-09": (2000, "check: INV-T1"),
}


def test_every_catalogued_mutant_of_the_room_has_a_measured_rate():
    assert list(MUTANTS) == list(HITS)


@pytest.mark.parametrize("ident", by_rate(HITS, MEASURED_OVER))
def test_a_mutant_is_found_by_its_checker_and_its_line_brings_it_back(ident):
    hits, signature = HITS[ident]
    scenario = find_scenario(MUTANTS[ident].scenario)
    schedules = budget(hits, MEASURED_OVER)
    failure = vmsmp.explore(
        scenario, sched="random", max_steps=20_000, mutants=[ident], schedules=schedules, seed=7
    ).failure
    assert failure is not None
    assert failure.signature.startswith(signature)
    again = vmsmp.replay(scenario, failure.schedule).failure
    assert (failure.signature, failure.digest) == (again.signature, again.digest)
    assert f"mutant={ident}" in failure.schedule
