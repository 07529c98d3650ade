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
from vmsmp.patches.catalogue import REPAIR_BY_NAME, fitting_repairs
from vmsmp.patches.mutants import VM_MUTANTS, pmap, pmap_inval, swtch

MEASURED_OVER = 2000
#: Those of maps, faults and page tables are not measured here, those of invalidations in `test_invalidation`.
UNMEASURED = ("vmsmp.vm.vm_map", "vmsmp.vm.vm_fault")
ELSEWHERE = (*pmap.MUTANTS, *pmap_inval.MUTANTS, *swtch.MUTANTS)
MUTANTS = {m.ident: m for m in VM_MUTANTS if not m.function.startswith(UNMEASURED) and m not in ELSEWHERE}

#: mutant -> (failing schedules of 2,000, what the signature of a failure begins with)
HITS = {
    "BZ-01": (199, ("accounting: INV-PB1",)),
    "BZ-02": (83, ("check: panic: vm_page_free",)),
    "BZ-03": (1204, ("lost-wakeup: pg[N]",)),
    "BZ-05": (201, ("accounting: INV-PB2",)),
    "BZ-06": (257, ("accounting: INV-PB4", "lost-wakeup: pg[N]")),
    "BZ-07": (249, ("accounting: INV-PB4",)),
    "BZ-10": (855, ("queue: INV-Q5",)),
    "BZ-14": (1579, ("accounting: INV-PB7",)),
    "BZ-16": (213, ("accounting: INV-PB6",)),
    "HW-02": (77, ("check: panic: vm_page_free", "accounting: INV-AL1")),
    "HW-03": (1433, ("accounting: INV-PB7",)),
    "HW-05": (58, ("check: a sweep leaves no page on a hold queue that nobody holds",)),
    "HW-07": (314, ("accounting: INV-V2",)),
    "HW-08": (385, ("accounting: INV-HW2",)),
    "HW-31": (28, ("check: a page is as its owner's calls have left it",)),
    "QU-01": (2000, ("lock-order: pg[].spin -> pq.free[].spin -> pg[].spin",)),
    "QU-02": (99, ("lock-misuse: spinlock 'pq.inactive", "lock-misuse: spinlock 'pq.active")),
    "QU-03": (2000, ("field-lock: pg.queue",)),
    "QU-05": (2000, ("field-lock: pg.tqe_next",)),
    "QU-06": (1548, ("check: panic: pg is on the list of another queue than its own",)),
    "QU-11": (63, ("field-lock: pq.active.tqh_last", "field-lock: pg.tqe_prev")),
    "QU-12": (2000, ("queue: INV-Q8", "queue: INV-Q2")),
    "QU-31a": (240, ("check: a page is as its owner's calls have left it",)),
    "QU-31b": (476, ("check: it says whether it was freed",)),
    "PGO-31": (322, ("queue: INV-Q9",)),
    "AL-03": (10, ("check: panic: vm_page_free",)),
    "AL-05": (1411, ("accounting: INV-AL1",)),
    "AL-06": (1782, ("livelock: no end in sight after the step limit",)),
    "AL-09": (2000, ("field-lock: pg.object",)),
    "AL-10": (1213, ("accounting: INV-O1",)),
    "AL-18": (274, ("queue: INV-Q7",)),
    "AL-19": (5, ("check: a page that was written to is not thrown away",)),
    "AL-20": (2000, ("check: panic: vm_page_free",)),
    "AL-21": (1231, ("check: panic: PAGE RACE",)),
    "AL-23": (49, ("queue: INV-Q5", "check: panic: vm_page_select_free")),
    "AL-25": (964, ("check: panic: vm_page_dirty",)),
    "AL-26": (30, ("accounting: INV-V3",)),
    "AL-27": (1742, ("field-lock: obj.rb_memq",)),
    "HL-01": (186, ("accounting: INV-H1",)),
    "HL-02": (170, ("leak: INV-PB2",)),
    "HL-04": (519, ("accounting: INV-H1",)),
    "HL-06": (573, ("field-lock: pg.object",)),
    "HL-07": (66, ("accounting: INV-PB6",)),
    "VS-02": (1989, ("accounting: INV-V1", "accounting: INV-V2")),
    "VS-03": (40, ("accounting: INV-V4",)),
    "VS-07": (
        11,
        ("lost-wakeup: vmstats.v_free_count",),
    ),
    "CG-01a": (2000, ("field-lock: vm_contig_alist.bl_root",)),
    "CG-01b": (2000, ("field-lock: vm_contig_alist.bl_root",)),
    "CG-02": (2000, ("field-lock: vm_contig_alist.bl_root",)),
    "CG-04": (2000, ("check: pages that are returned are free",)),
    "CG-05a": (293, ("check: panic: vm_contig_pg_alloc: free page",)),
    "CG-05b": (29, ("check: panic: vm_page_free: freeing busy",)),
    "CG-07": (8, ("check: panic: vm_contig_pg_alloc: free page",)),
    "QU-11b": (556, ("check: panic: vm_contig_pg_clean", "queue: INV-Q1")),
    "OB-03": (2000, ("accounting: INV-O5",)),
    "OB-06": (2, ("use-after-free: INV-UAF: file.object",)),
    "OB-11": (2000, ("accounting: INV-PB7",)),
    "OB-12a": (
        148,
        ("check: panic: vm_object_terminate", "check: panic: dev_pager", "check: an object that was"),
    ),
    "OB-12c": (74, ("check: panic: vm_object_terminate: object with resident pages",)),
    "OB-20": (2000, ("field-lock: obj.size", "check: an object that is listed is whole")),
    "OB-21": (840, ("check: panic: vm_object_page_clean: object changed",)),
    "OB-31a": (172, ("check: swap has what was written there",)),
    "OB-31b": (1123, ("check: a page is there", "check: a page holds", "check: swap has")),
    "PC-01": (880, ("check: a sync writes what was there when it began",)),
    "PC-03": (255, ("check: what was written before a sync is on disk after it",)),
    "PC-04": (464, ("check: a sync leaves no page that was dirty before it",)),
    "PC-05": (450, ("check: a sync leaves no page that was dirty before it",)),
    "PC-07": (2000, ("check: panic: vm_page_io_start", "check: panic: vm_page_wakeup")),
    "PC-08a": (1934, ("check: panic: vm_page_io_start", "check: panic: vm_page_free", "accounting: INV-PB5")),
    "PC-08b": (36, ("check: a clean page was written after the last store",)),
    "PC-09": (2000, ("check: panic: vm_page_wakeup", "accounting: INV-PB1", "field-lock: pg.flags")),
    "PC-09b": (1898, ("check: panic: vm_page_wakeup", "accounting: INV-PB1", "field-lock: pg.flags")),
    "PC-09c": (82, ("lost-wakeup: pg[N]",)),
    "PC-09d": (1932, ("lost-wakeup: pg[N]",)),
    "PC-10": (31, ("accounting: INV-O7",)),
    "PC-13": (227, ("check: panic: vm_page_free: freeing wired page",)),
    "PC-14": (225, ("check: a page that was stored to is not removed as a clean one",)),
    "PC-15": (281, ("check: no page of a range that was removed is left",)),
    "PC-16": (1369, ("check: memory that others share is not discarded",)),
    "BL-01": (2000, ("field-lock: obj.backing_list",)),
    "BL-06": (20, ("field-lock: ba.offset", "use-after-free: INV-UAF: ba used")),
    "BL-07": (1590, ("check: a range that somebody uses is not grown over",)),
    "BL-08": (2000, ("check: nothing is in the range that an object has grown over",)),
    "SW-01": (10, ("accounting: INV-SW2",)),
}
#: Mutants that a walk finds seldom or never, since a CPU has to stand still for long; measured with these.
SCHED = {"AL-19": "portfolio", "OB-06": "pct:3", "PC-08b": "portfolio"}


def search(ident, **how):
    sched = SCHED.get(ident, "random")
    how = {"sched": sched, "max_steps": 20_000, "repairs": fitting_repairs([ident]), **how}
    return vmsmp.explore(find_scenario(MUTANTS[ident].scenario), **how)


def test_every_catalogued_mutant_of_the_page_layer_has_a_measured_rate():
    assert sorted(MUTANTS) == sorted(HITS)


@pytest.mark.ci
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


@pytest.mark.nightly
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
