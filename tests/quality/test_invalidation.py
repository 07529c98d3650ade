"""The tool's own power over invalidations: every step that is left out is found, and how fast.

`HITS` is measured: failing schedules among 1,000 of the portfolio (seed 2026, atomic locks, step limit
20,000); see `test_pages`.
"""

import pytest

import vmsmp
from rates import budget, by_rate
from vmsmp.library import find_scenario
from vmsmp.patches.mutants import pmap_inval, swtch

MEASURED_OVER = 1000
MUTANTS = {mutant.ident: mutant for mutant in (*pmap_inval.MUTANTS, *swtch.MUTANTS)}

STALE = "check: INV-T1"
EARLY = "check: INV-T3"
PANIC = "check: panic: pmap_inval_smp: mode != INVDONE"
ENDLESS = "livelock: "
LEFT = "leak: INV-T6"
GONE = "use-after-free: INV-P2"

#: mutant -> (failing schedules of 1,000, what the signature of a failure begins with)
HITS = {
    "TLB-01": (448, (EARLY, STALE, LEFT)),
    "TLB-02": (432, (STALE,)),
    "TLB-02B": (41, (STALE,)),
    "TLB-02C": (887, (STALE,)),
    "TLB-03": (72, (STALE,)),
    "TLB-07": (33, (ENDLESS,)),
    "TLB-08": (28, (PANIC, ENDLESS)),
    "TLB-09": (17, (STALE,)),
    "TLB-10B": (3, (STALE,)),
    "TLB-12": (22, (GONE,)),
    "TLB-14": (31, (STALE,)),
    "TLB-15": (848, (PANIC, EARLY, ENDLESS, LEFT)),
    "TLB-16": (166, (ENDLESS,)),
    "TLB-17": (31, (GONE,)),
    "TLB-04": (70, (STALE,)),
    "TLB-04B": (33, (STALE,)),
    "TLB-04C": (20, (STALE,)),
    "TLB-10": (143, (STALE,)),
    "TLB-05": (196, (STALE,)),
}


def search(ident, **how):
    scenario = find_scenario(MUTANTS[ident].scenario)
    return vmsmp.explore(scenario, sched="portfolio", max_steps=20_000, **how)


def test_every_catalogued_mutant_of_invalidations_has_a_measured_rate():
    assert list(MUTANTS) == list(HITS)


@pytest.mark.parametrize("ident", by_rate(HITS, MEASURED_OVER))
def test_a_mutant_is_found_by_its_checker_and_its_line_brings_it_back(ident):
    hits, signatures = HITS[ident]
    failure = search(ident, mutants=[ident], schedules=budget(hits, MEASURED_OVER), seed=7).failure
    assert failure is not None
    assert failure.signature.startswith(signatures)
    again = vmsmp.replay(find_scenario(MUTANTS[ident].scenario), failure.schedule).failure
    assert (failure.signature, failure.digest) == (again.signature, again.digest)
    assert f"mutant={ident}" in failure.schedule


@pytest.mark.ci
@pytest.mark.parametrize("ident", sorted({MUTANTS[i].scenario: i for i in HITS}.values()))
def test_without_a_mutant_the_same_search_finds_nothing(ident):
    result = search(ident, schedules=100, seed=7, repairs=["several-threads-tell-each-other"])
    assert (None, 100) == (result.failure, result.executions)
