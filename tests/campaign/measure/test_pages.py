"""The shape of what is measured of the page layer; how fast anything is, no test says."""

from __future__ import annotations

import math

import pytest

from vmsmp.campaign.free_run import run
from vmsmp.campaign.measure import pages as measure_pages
from vmsmp.campaign.measure.pages import Throughput, boot_sizes, colour_curve, page_figures, size_figures
from vmsmp.campaign.outcome import Outcome
from vmsmp.sync.lock import LockStatistics

CASES = [("1 CPU", 1, 64), ("2 CPUs, 64 colours", 2, 64), ("2 CPUs, 1 colour", 2, 1)]


@pytest.fixture
def small(monkeypatch):
    """Machines and loops of a size that a test can wait for."""
    monkeypatch.setattr(measure_pages, "PAGES", 64)
    monkeypatch.setattr(measure_pages, "FEW_PAGES", 50)
    monkeypatch.setattr(measure_pages, "ALLOCATIONS", 20)


@pytest.fixture
def storm(small):
    """Run the storm for so many operations, and return its counts and its outcome."""

    def call(cpus, colours, *, check=True):
        counts = [0] * cpus
        program = measure_pages.page_storm(cpus, colours, counts, [])
        return counts, run(program, time_s=60, max_ops=4_000, perturb=0, check=check)

    return call


def outcome(seconds, locks=()):
    return Outcome(
        "storm", "", 0, None, seconds=seconds, locks=tuple(LockStatistics(*lock) for lock in locks)
    )


# -- the storm ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cpus", "colours"), [(1, 64), (2, 64), (2, 1), (3, 4)])
def test_every_cpu_of_the_storm_takes_and_gives_pages_and_nothing_fails(storm, cpus, colours):
    counts, ended = storm(cpus, colours)
    assert (None, cpus) == (ended.failure, len(counts))
    assert sum(counts) > 0


def test_cpus_with_colours_enough_for_all_never_meet_at_a_queue(storm):
    _, ended = storm(2, 64, check=False)
    queues = [lock for lock in ended.locks if lock.name.startswith("pq.")]
    assert (True, 0) == (bool(queues), sum(lock.contested for lock in queues))


def test_with_one_colour_there_is_one_queue_to_meet_at(storm):
    _, ended = storm(2, 1)
    assert ["pq.free[0].spin"] == [lock.name for lock in ended.locks if lock.name.startswith("pq.")]


def test_one_cpu_goes_through_all_the_colours(storm):
    _, ended = storm(1, 16, check=False)
    taken = {lock.name for lock in ended.locks if lock.name.startswith("pq.")}
    assert {f"pq.free[{n}].spin" for n in range(16)} == taken


# -- throughput -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("cpus", "colours"), [(1, 4), (2, 4), (2, 1)])
def test_a_throughput_is_a_rate_and_a_share(small, cpus, colours):
    found = measure_pages.throughput(cpus, colours, 0.2)
    assert [] == [n for n in (found.rate, found.contested) if not math.isfinite(n) or n < 0]
    assert found.contested <= 1


def test_a_rate_is_the_operations_of_all_cpus_by_the_seconds_they_took(monkeypatch):
    def storm(cpus, colours, counts, began):
        counts[:] = [30, 50]
        began.append(100.0)

    monkeypatch.setattr(measure_pages, "page_storm", storm)
    monkeypatch.setattr(measure_pages, "run", lambda program, **_: outcome(9.0))
    monkeypatch.setattr(measure_pages.time, "perf_counter", lambda: 104.0)
    assert Throughput(20.0, 0.0) == measure_pages.throughput(2, 4, 9.0)


def test_what_is_contested_are_the_grants_of_queue_locks_alone(monkeypatch):
    locks = [("pq.free[0].spin", 30, 10), ("pq.free[1].spin", 10, 0), ("pg[1].spin", 60, 60)]
    monkeypatch.setattr(measure_pages, "run", lambda program, **_: outcome(1.0, locks))
    assert 0.25 == measure_pages.throughput(2, 2, 1.0).contested


def test_a_storm_is_measured_freely_unperturbed_and_unchecked(monkeypatch):
    asked = {}

    def played(program, **options):
        asked.update(options)
        return outcome(1.0)

    monkeypatch.setattr(measure_pages, "run", played)
    measure_pages.throughput(2, 2, 0.7)
    assert {"engine": "free", "time_s": measure_pages.BOOT_S + 0.7, "perturb": 0, "check": False} == asked


# -- the figures ----------------------------------------------------------------------------------


@pytest.fixture
def rates(monkeypatch):
    """What is measured is played: a rate for each case in turn; what was asked for is written down."""
    asked = []
    rounds = {case: iter(values) for case, values in {
        (1, 64): [100.0, 400.0, 200.0],
        (2, 64): [300.0, 360.0, 999.0],
        (2, 1): [50.0, 40.0, 60.0],
    }.items()}  # fmt: skip

    def played(cpus, colours, seconds):
        asked.append((cpus, colours, seconds))
        return Throughput(next(rounds[cpus, colours]), 0.125 if colours == 1 else 0.0)

    monkeypatch.setattr(measure_pages, "throughput", played)
    return asked


def test_the_cases_are_interleaved_and_share_the_seconds(rates):
    page_figures(18.0)
    assert [(cpus, colours, 2.0) for _ in range(3) for _, cpus, colours in CASES] == rates


def test_a_case_is_given_a_tenth_of_a_second_at_least(rates):
    page_figures(0.0, rounds=1)
    assert [0.1] * 3 == [seconds for _, _, seconds in rates]


def test_a_figure_is_the_median_of_its_rounds_and_its_ratio_is_to_one_cpu(rates):
    figures = page_figures(9.0)
    assert [(200.0, 1.0), (360.0, 1.8), (50.0, 0.25)] == [(f.rate, f.ratio) for f in figures]


def test_figures_of_pages_say_what_they_are(rates):
    figures = page_figures(9.0)
    assert [f"free, pages, {name}" for name, *_ in CASES] == [f.name for f in figures]
    assert ["alloc+free/s"] * 3 == [f.unit for f in figures]
    assert ["0.0%", "0.0%", "12.5%"] == [f.note.removesuffix(" of queue grants contested") for f in figures]


def test_the_goal_is_for_cpus_that_have_colours_of_their_own(rates):
    assert [None, 1.5, None] == [figure.goal for figure in page_figures(9.0)]


def test_page_figures_can_be_measured(small):
    figures = page_figures(0.9, rounds=1)
    assert (1.0, 3) == (figures[0].ratio, len(figures))
    assert [] == [f.name for f in figures if not (math.isfinite(f.rate) and f.rate >= 0)]


@pytest.mark.parametrize(("cpus", "told"), [({}, 2), ({"cpus": 1}, 1), ({"cpus": 3}, 3)])
def test_a_curve_has_a_point_for_each_number_of_colours(monkeypatch, cpus, told):
    monkeypatch.setattr(measure_pages, "throughput", lambda *asked: asked)
    wanted = [(colours, (told, colours, 2.0)) for colours in (1, 4, 16, 64, 1024)]
    assert wanted == colour_curve(10.0, **cpus)


def test_a_point_of_a_curve_is_given_a_tenth_of_a_second_at_least(monkeypatch):
    monkeypatch.setattr(measure_pages, "throughput", lambda cpus, colours, seconds: seconds)
    assert {0.1} == {seconds for _, seconds in colour_curve(0.0)}


# -- the size of a machine ------------------------------------------------------------------------


@pytest.fixture
def sizes(small):
    return size_figures(2_345)


def test_a_machine_is_measured_by_its_boot_its_memory_and_an_allocation(sizes):
    assert ["boot of 2,345 pages", "memory of 2,345 pages", "allocation among 2,345 pages"] == [
        figure.name for figure in sizes
    ]
    assert ["pages/s", "bytes/page", "alloc+free/s"] == [figure.unit for figure in sizes]


def test_only_an_allocation_has_a_ratio_and_nothing_a_goal(sizes):
    assert [False, False, True] == [figure.ratio is not None for figure in sizes]
    assert [None] * 3 == [figure.goal for figure in sizes]


def test_an_allocation_s_ratio_is_to_one_in_the_small_machine(small):
    assert 1.0 == size_figures(50)[2].ratio  # both are the small one


def test_sizes_are_numbers_and_the_process_does_not_shrink(sizes):
    assert [] == [figure.name for figure in sizes if not (math.isfinite(figure.rate) and figure.rate >= 0)]
    assert sizes[0].rate > 0
    assert sizes[2].ratio > 0


def test_notes_say_the_seconds_and_what_an_allocation_is_compared_to(sizes):
    seconds = 2_345 / sizes[0].rate
    assert [f"{seconds:.1f} s", "growth of the process", "to one among 50"] == [f.note for f in sizes]


def test_both_machines_have_as_many_colours_as_the_kernel(monkeypatch):
    booted = []
    plain = measure_pages.Machine.boot

    def boot(m, **options):
        booted.append(options)
        return plain(m, **{**options, "l2_size": 4})

    monkeypatch.setattr(measure_pages.Machine, "boot", boot)
    boot_sizes(20, 50, 60)
    assert [{"pages": 50, "l2_size": 1024}, {"pages": 60, "l2_size": 1024}] == booted


def test_a_million_pages_are_measured_unless_another_number_is_asked_for():
    assert (1_000_000,) == size_figures.__defaults__


def test_what_the_process_once_had_hides_nothing(small):
    del (once := [b"\1" * (1 << 28)])[:]
    assert [] == once
    assert size_figures(20_000)[1].rate > 0
