"""The cliff, and the detector that names thrashing and nothing else."""

from __future__ import annotations

import random

import pytest

from vmsmp.mmu.textbook.thrashing import FAULT_COST, Detector, Load, cliff, loop, scatter

FRAMES = 10


def points(accesses, *hot_sets):
    return cliff(accesses, FRAMES, hot_sets, 400, random.Random(1))


def told(accesses):
    """What the detector says after these accesses, each a page and whether it faulted."""
    detector = Detector(FRAMES, window=40)
    for page, fault in accesses:
        detector.saw(page, fault=fault)
    return detector.verdict()


def test_useful_time_is_what_is_left_beside_the_faults():
    assert (0.5, 1000.0) == (Load(FAULT_COST, 1).useful, Load(1000, 1).per_fault)
    assert (1.0, 50.0, 1.0) == (Load(50, 0).useful, Load(50, 0).per_fault, Load(0, 0).useful)


def test_a_loop_that_fits_never_faults_and_one_page_more_faults_always():
    fits, beyond = points(loop, FRAMES, FRAMES + 1)
    assert (0, 400) == (fits.load.faults, beyond.load.faults)
    assert (None, "thrashing: a hot set of 11 pages in 10 frames") == (fits.verdict, beyond.verdict)


def test_useful_time_falls_off_a_cliff_where_the_hot_set_outgrows_memory():
    below, beyond = points(scatter, FRAMES, FRAMES + FRAMES // 5)
    assert (1.0, None) == (below.load.useful, below.verdict)
    assert beyond.load.useful < 0.01
    assert beyond.verdict is not None


def test_accesses_without_locality_are_named_so():
    (point,) = points(scatter, 1000)
    assert point.verdict.startswith("thrashing: no temporal locality, ")


def test_nothing_is_said_before_the_window_is_full():
    assert told((n, True) for n in range(39)) is None


def test_a_program_that_begins_and_then_stays_does_not_thrash():
    assert told([*((n, True) for n in range(10)), *((n % 10, False) for n in range(40))]) is None


def test_few_pages_that_fault_are_no_thrashing():
    """They fit: whatever makes them fault, it is not their number."""
    assert told((n % 5, True) for n in range(40)) is None


def test_many_pages_that_hit_are_no_thrashing():
    assert told((n, False) for n in range(40)) is None


@pytest.mark.parametrize(
    ("pages", "words"), [(12, "a hot set of 12 pages"), (40, "no temporal locality, 40 pages")]
)
def test_what_faults_all_the_time_is_named_by_its_cause(pages, words):
    assert words in told((n % pages, True) for n in range(40))


def test_the_detector_forgets_what_is_past():
    detector = Detector(FRAMES, window=40)
    for n in range(100):
        detector.saw(n, fault=True)
    for _ in range(40):
        detector.saw(1, fault=False)
    assert (None, Load(40, 0)) == (detector.verdict(), detector.load)
