"""The tool's own power over the textbook's mechanisms: every guard removal is found, and how fast.

`HITS` is measured: failing schedules among 2,000 of a uniform random walk (seed 2026, atomic locks, step
limit 20,000).  From the rate p follows the number of schedules after which a miss is less likely than one in
a million, ln(1e-6) / ln(1 - p); within that many, under another seed, the mutant must be found, by the
checker that is named.
"""

import pytest

import vmsmp
from rates import budget, by_rate
from vmsmp.library import find_scenario
from vmsmp.patches.mutants import TEXTBOOK_MUTANTS

MEASURED_OVER = 2000
MUTANTS = {mutant.ident: mutant for mutant in TEXTBOOK_MUTANTS}

#: mutant -> (failing schedules of 2,000, what the signature of a failure begins with)
HITS = {
    "BD-01a": (2000, ("field-lock: zone.free_area",)),
    "BD-01b": (2000, ("field-lock: zone.given",)),
    "BD-02": (2000, ("accounting: INV-BD2",)),
    "BD-03": (234, ("accounting: INV-BD1",)),
    "BD-04": (2000, ("accounting: INV-BD3",)),
    "BD-05": (2000, ("check: the zone asked for is the highest",)),
    "CK-01": (1976, ("accounting: INV-CK1",)),
    "CK-02": (50, ("check: a page that was written to is not thrown away",)),
    "CK-03": (59, ("check: a page that was written to is not thrown away",)),
    "CK-04": (24, ("check: a page that was written to is not thrown away",)),
    "CK-05": (41, ("linearizability: Register",)),
}


def search(ident, **how):
    how = {"sched": "random", "max_steps": 20_000, **how}
    return vmsmp.explore(find_scenario(MUTANTS[ident].scenario), **how)


def test_every_catalogued_mutant_of_the_textbook_has_a_measured_rate():
    assert list(MUTANTS) == list(HITS)


@pytest.mark.parametrize("ident", by_rate(HITS, MEASURED_OVER))
def test_a_mutant_is_found_by_its_checker_and_its_line_brings_it_back(ident):
    hits, signatures = HITS[ident]
    failure = search(ident, mutants=[ident], schedules=budget(hits, MEASURED_OVER), seed=7).failure
    assert failure is not None
    assert failure.signature.startswith(signatures)
    again = vmsmp.replay(find_scenario(MUTANTS[ident].scenario), failure.schedule).failure
    assert failure.signature == again.signature
    assert failure.digest == again.digest
    assert f"mutant={ident}" in failure.schedule


@pytest.mark.ci
@pytest.mark.parametrize("scenario", sorted({mutant.scenario for mutant in MUTANTS.values()}))
def test_without_a_mutant_the_same_search_finds_nothing(scenario):
    result = vmsmp.explore(find_scenario(scenario), sched="random", max_steps=20_000, schedules=300, seed=7)
    assert result.failure is None
