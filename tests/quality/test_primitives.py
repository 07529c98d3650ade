"""The tool's own power: every catalogued guard removal in the primitives is found, and how fast.

`HITS` is measured: failing schedules among 3,000 of a uniform random walk (seed 2026, exact locks,
repairs on, step limit 3,000).  From the rate p follows the number of schedules after which a miss
is less likely than one in a million, ln(1e-6) / ln(1 - p); within that many, under another seed,
the mutant must be found.  A checker that lost its eyes fails here, not in a nightly.
"""

import pytest

import vmsmp
from rates import budget, by_rate
from vmsmp.library import find_scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME
from vmsmp.patches.mutants import SYNC_MUTANTS

MEASURED_OVER = 3000
MUTANTS = {mutant.ident: mutant for mutant in SYNC_MUTANTS}

#: mutant -> (failing schedules of 3,000, kinds of failure that say what is wrong)
HITS = {
    "SP-01": (2238, {"livelock", "check"}),
    "SP-04": (326, {"check"}),
    "SP-05": (1938, {"check"}),
    "SP-06": (455, {"check"}),
    "SP-07": (10, {"check"}),
    "SP-08": (2555, {"livelock"}),
    "TK-01": (2998, {"check"}),
    "TK-05": (79, {"check"}),
    "TK-06": (487, {"livelock"}),
    "TK-08": (3000, {"check"}),
    "TK-10": (3000, {"check"}),
    "TK-11": (2050, {"livelock", "check"}),
    "TK-13": (1725, {"livelock", "check"}),
    "TK-16": (3000, {"check"}),
    "TK-21": (240, {"check"}),
    "TK-22": (3000, {"check"}),
    "TK-23": (675, {"check"}),
    "LK-07": (203, {"lost-wakeup"}),
    "LK-08": (2988, {"check"}),
    "LK-10": (15, {"lost-wakeup"}),
    "LK-12": (1110, {"lost-wakeup"}),
    "LK-13": (8, {"check"}),
    "LK-14": (2998, {"check"}),
    "LK-15": (2831, {"check"}),
    "LK-16": (270, {"lost-wakeup"}),
    "LK-17": (847, {"check"}),
    "LK-18": (1537, {"check"}),
    "LK-19": (497, {"deadlock"}),
    "SL-03": (1, {"lost-wakeup"}),
    "SL-13": (22, {"lost-wakeup", "deadlock"}),
    "RC-01a": (204, {"lost-wakeup"}),
    "RC-01b": (1190, {"lost-wakeup"}),
    "RC-03": (26, {"lost-wakeup"}),
    "MX-01": (479, {"lost-wakeup"}),
    "MX-02": (2492, {"check"}),
    "MX-03": (2259, {"check"}),
    "MX-04": (1447, {"check", "deadlock"}),
    "MX-05": (650, {"check"}),
    "IP-01": (766, {"livelock"}),
    "IP-02": (87, {"check"}),
    "IP-03": (2813, {"livelock"}),
    "IP-04": (2926, {"check"}),
    "CO-01": (75, {"lost-wakeup"}),
    "CO-02": (2960, {"check"}),
    "CO-03": (27, {"check"}),
    "CO-04": (291, {"lost-wakeup"}),
}


#: All but one, behind which nobody sets SHARED under a queued writer: then SP-04 guards against nothing.
REPAIRS = [name for name in REPAIR_BY_NAME if name != "window-leaves-shared-clear"]


def search(ident, **how):
    how = {"sched": "random", "locks": "exact", "max_steps": 3000, "repairs": REPAIRS, **how}
    return vmsmp.explore(find_scenario(MUTANTS[ident].scenario), **how)


def test_every_catalogued_mutant_has_a_measured_rate():
    assert list(MUTANTS) == list(HITS)


@pytest.mark.parametrize("ident", by_rate(HITS, MEASURED_OVER))
def test_a_mutant_is_found_within_the_schedules_its_rate_promises(ident):
    hits, kinds = HITS[ident]
    result = search(ident, mutants=[ident], schedules=budget(hits, MEASURED_OVER), seed=7)
    assert result.failure is not None
    assert result.failure.kind in kinds


@pytest.mark.ci
@pytest.mark.parametrize("ident", HITS)
def test_a_mutants_line_brings_it_back_and_names_it(ident):
    hits, _ = HITS[ident]
    failure = search(ident, mutants=[ident], schedules=budget(hits, MEASURED_OVER), seed=7).failure
    again = vmsmp.replay(find_scenario(MUTANTS[ident].scenario), failure.schedule)
    assert failure.signature == again.failure.signature
    assert failure.digest == again.digest
    assert f"mutant={ident}" in failure.schedule


@pytest.mark.ci
@pytest.mark.parametrize("scenario", sorted({mutant.scenario for mutant in MUTANTS.values()}))
def test_without_a_mutant_the_same_search_finds_nothing(scenario):
    result = vmsmp.explore(
        find_scenario(scenario),
        sched="random",
        locks="exact",
        max_steps=20_000,
        repairs=REPAIRS,
        schedules=400,
        seed=7,
    )
    assert result.failure is None


@pytest.mark.ci
def test_the_portfolio_finds_every_mutant_that_a_tenth_of_random_schedules_shows():
    missed = [
        ident
        for ident, (hits, _) in HITS.items()
        if hits >= MEASURED_OVER // 10
        and search(ident, sched="portfolio", mutants=[ident], schedules=400, seed=7).failure is None
    ]
    assert [] == missed
