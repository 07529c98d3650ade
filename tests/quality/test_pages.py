"""The tool's own power over the page layer: every catalogued guard removal is found, and how fast.

`HITS` is measured: failing schedules among 2,000 of a uniform random walk (seed 2026, atomic locks,
repairs on, step limit 20,000).  From the rate p follows the number of schedules after which a miss is
less likely than one in a million, ln(1e-6) / ln(1 - p); within that many, under another seed, the
mutant must be found, by the checker that is named.
"""

import pytest

import vmsmp
from rates import budget, by_rate
from vmsmp.library import find_scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME
from vmsmp.patches.mutants import VM_MUTANTS

MEASURED_OVER = 2000
MUTANTS = {mutant.ident: mutant for mutant in VM_MUTANTS}

#: mutant -> (failing schedules of 2,000, what the signature of a failure begins with)
HITS = {
    "BZ-01": (200, ("accounting: INV-PB1",)),
    "BZ-02": (3, ("check: panic: vm_page_free",)),
    "BZ-03": (1204, ("lost-wakeup: pg[N]",)),
    "BZ-05": (195, ("accounting: INV-PB2",)),
    "BZ-06": (243, ("accounting: INV-PB4", "lost-wakeup: pg[N]")),
    "BZ-07": (249, ("accounting: INV-PB4",)),
    "BZ-10": (843, ("queue: INV-Q5",)),
    "BZ-14": (1577, ("accounting: INV-PB7",)),
    "BZ-16": (213, ("accounting: INV-PB6",)),
    "HW-02": (47, ("check: panic: vm_page_free", "accounting: INV-AL1")),
    "HW-03": (1419, ("accounting: INV-PB7",)),
    "HW-05": (116, ("check: a sweep leaves no page on a hold queue that nobody holds",)),
    "HW-07": (291, ("accounting: INV-V2",)),
    "HW-08": (363, ("accounting: INV-HW2",)),
    "QU-01": (2000, ("lock-order: pg[].spin -> pq.free[].spin -> pg[].spin",)),
    "QU-02": (71, ("lock-misuse: spinlock 'pq.inactive", "lock-misuse: spinlock 'pq.active")),
    "QU-03": (2000, ("field-lock: pg.queue",)),
    "QU-05": (2000, ("field-lock: pg.tqe_next",)),
    "QU-06": (1959, ("check: panic: pg is on the list of another queue than its own",)),
    "QU-11": (69, ("field-lock: pq.active.tqh_last", "field-lock: pg.tqe_prev")),
    "QU-12": (2000, ("queue: INV-Q8", "queue: INV-Q2")),
    "AL-03": (13, ("check: panic: vm_page_free",)),
    "AL-05": (1365, ("accounting: INV-AL1",)),
    "AL-06": (1782, ("livelock: the same steps come back, and what they use is as it was",)),
    "AL-09": (2000, ("field-lock: pg.object",)),
    "AL-10": (1194, ("accounting: INV-O1",)),
    "AL-18": (5, ("queue: INV-Q7",)),
    "AL-19": (3, ("check: a page that was written to is not thrown away",)),
    "AL-20": (2000, ("check: panic: vm_page_free",)),
    "AL-21": (1178, ("check: panic: PAGE RACE",)),
    "AL-23": (235, ("queue: INV-Q5", "check: panic: vm_page_select_free")),
    "AL-25": (964, ("check: panic: vm_page_dirty",)),
    "AL-26": (133, ("accounting: INV-V3",)),
    "AL-27": (1742, ("field-lock: obj.rb_memq",)),
    "HL-01": (374, ("accounting: INV-H1",)),
    "HL-02": (3, ("leak: INV-PB2",)),
    "HL-04": (870, ("accounting: INV-H1",)),
    "HL-06": (584, ("field-lock: pg.object",)),
    "HL-07": (184, ("accounting: INV-PB6",)),
    "VS-02": (1979, ("accounting: INV-V1", "accounting: INV-V2")),
    "VS-03": (237, ("accounting: INV-V4",)),
    "VS-07": (
        14,
        ("lost-wakeup: vmstats.v_free_count",),
    ),
    "OB-12c": (440, ("check: panic: vm_object_terminate: object with resident pages",)),
}


def search(ident, **how):
    how = {"sched": "random", "max_steps": 20_000, "repairs": REPAIR_BY_NAME, **how}
    return vmsmp.explore(find_scenario(MUTANTS[ident].scenario), **how)


def test_every_catalogued_mutant_of_the_page_layer_has_a_measured_rate():
    assert sorted(MUTANTS) == sorted(HITS)


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
    result = vmsmp.explore(
        find_scenario(scenario),
        sched="random",
        max_steps=20_000,
        repairs=REPAIR_BY_NAME,
        schedules=300,
        seed=7,
    )
    assert result.failure is None
