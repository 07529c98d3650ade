"""Summaries: what was explored, what was not, how to go on."""

from __future__ import annotations

import pytest

from vmsmp.campaign.certificate import Certificate
from vmsmp.campaign.free_run import FreeRounds
from vmsmp.campaign.outcome import Result
from vmsmp.engine.options import Options
from vmsmp.report.summary import free_text, result_text
from vmsmp.sync.lock import LockStatistics


@pytest.fixture
def result():
    def made(options=None, **parts):
        whole = {"executions": 3000, "steps": 123456, "seconds": 2.04, **parts}
        return Result("mine", whole.pop("scheduler", "pct:3"), options or Options(), 7, **whole)

    return made


@pytest.fixture
def rounds():
    def made(**parts):
        return FreeRounds("mine", **{"rounds": 12, "operations": 3000, "seconds": 2.0, **parts})

    return made


# -- a search -------------------------------------------------------------------------------------


def test_a_search_is_summed_up_in_its_first_line(result):
    assert (
        "mine: 3,000 schedules under pct:3 (default options), 123,456 steps in 2.0 s; none failed"
        == (result_text(result()).splitlines()[0])
    )


def test_the_first_line_names_the_options(result):
    text = result_text(result(Options(locks="exact", cpus=3)))
    assert "(exact cpus=3)" in text.splitlines()[0]


def test_the_first_line_counts_what_failed(result, failure):
    text = result_text(result(failures=[failure()], counts={"a": 2, "b": 3}))
    assert text.splitlines()[0].endswith("; 5 failed")


def test_a_clean_sample_says_what_it_means(result):
    # 3 / n: the rule of three.
    assert "at 95 % fewer than one schedule in 1,000 of this kind fails" in result_text(result())


def test_a_clean_sample_says_what_it_samples(result):
    assert "a sample (PCT for bugs of depth D)" in result_text(result())


def test_the_default_scheduler_need_not_be_named_to_go_on(result):
    told = result(scheduler="portfolio")
    assert "go on: vmsmp run mine --schedules 30000 --seed 8" == result_text(told).splitlines()[-1]


def test_a_round_robin_is_no_sample(result):
    assert "at 95 %" not in result_text(result(scheduler="rr"))


SYSTEMATIC = ["dfs", "dfs:2", "delay:1", "dpor"]


@pytest.mark.parametrize("scheduler", SYSTEMATIC)
def test_an_unfinished_systematic_search_is_no_sample(result, scheduler):
    told = result(scheduler=scheduler, certificate=Certificate(sampled=3000, share=0.25))
    assert "at 95 %" not in result_text(told)


@pytest.mark.parametrize("scheduler", SYSTEMATIC)
def test_an_unfinished_systematic_search_says_how_much_it_has_explored(result, scheduler):
    told = result(scheduler=scheduler, certificate=Certificate(sampled=3000, share=0.25))
    assert "explored: 0.25 of this search's tree" in result_text(told)
    assert (":" not in scheduler) == ("about 12,000" in result_text(told))


@pytest.mark.parametrize("scheduler", SYSTEMATIC)
def test_a_systematic_search_goes_on_as_it_began(result, scheduler):
    told = result(scheduler=scheduler, certificate=Certificate(sampled=3000, share=0.25))
    last = result_text(told).splitlines()[-1]
    assert f"go on: vmsmp run mine --sched {scheduler} --schedules 30000 --seed 7" == last


def test_a_systematic_search_without_an_end_of_its_tree_in_sight_says_so(result):
    told = result(scheduler="dfs", certificate=Certificate(sampled=3000, share=1e-30))
    assert "more than 10^9 schedules" in result_text(told)


def test_a_search_that_ran_out_of_runs_without_seeing_everything_says_why(result):
    told = result(scheduler="dpor", certificate=Certificate(sampled=3000, limits=("this", "that")))
    assert "which are not all there are: this; that" in result_text(told)


def test_a_search_that_ran_out_of_runs_is_followed_by_a_sample(result):
    told = result(scheduler="dpor", certificate=Certificate(sampled=3000, limits=("this",)))
    assert "go on: vmsmp run mine --schedules 30000 --seed 8" == result_text(told).splitlines()[-1]


@pytest.mark.parametrize(
    ("share", "said"), [(0.0, "next to nothing"), (0.994, "0.99"), (0.9999999, "more than 0.99")]
)
def test_a_share_is_never_rounded_to_all_or_to_none(result, share, said):
    told = result(scheduler="dpor", certificate=Certificate(sampled=3000, share=share))
    assert f"explored: {said} of this search's tree" in result_text(told)


def test_a_search_goes_on_under_its_options(result):
    told = result(scheduler="portfolio", arguments=("--locks", "exact", "--repair", "x", "--no-check"))
    assert (
        "go on: vmsmp run mine --locks exact --repair x --no-check --schedules 30000 --seed 8"
        == result_text(told).splitlines()[-1]
    )


def test_a_clean_sample_says_how_to_go_on(result):
    assert (
        "go on: vmsmp run mine --sched pct:3 --schedules 30000 --seed 8"
        == result_text(result()).splitlines()[-1]
    )


def test_a_small_sample_goes_on_with_a_large_one(result):
    assert "--schedules 10000 " in result_text(result(executions=3))


def test_a_sample_of_nothing_promises_nothing(result):
    assert "fewer than one schedule in 1 of" in result_text(result(executions=0))


def test_a_search_that_saw_everything_says_so(result):
    assert "explored: every schedule that this search has" in result_text(result(exhausted=True))


def test_a_search_that_saw_everything_has_nothing_to_go_on_with(result):
    assert "go on" not in result_text(result(exhausted=True))


def test_a_search_that_failed_promises_nothing(result, failure):
    assert 1 == len(result_text(result(failures=[failure()], counts={"a": 1})).splitlines())


def test_a_search_that_was_interrupted_says_so(result):
    assert "interrupted: what was found until then stands above" in result_text(result(interrupted=True))


# -- free rounds ----------------------------------------------------------------------------------


def test_free_rounds_are_summed_up_in_their_first_line(rounds):
    assert (
        "mine: 12 free rounds, 3,000 operations in 2.0 s (1,500 a second); none failed"
        == (free_text(rounds()).splitlines()[0])
    )


def test_free_rounds_in_no_time_have_no_rate(rounds):
    assert "(0 a second)" in free_text(rounds(seconds=0.0))


def test_free_rounds_count_what_failed(rounds):
    assert free_text(rounds(counts={"a": 2})).splitlines()[0].endswith("; 2 failed")


def test_clean_free_rounds_say_how_to_go_on(rounds):
    assert "go on: vmsmp run mine --schedules 10000" == free_text(rounds()).splitlines()[-1]


def test_the_most_contested_lock_comes_first(rounds):
    locks = {
        name: LockStatistics(name, taken, contested)
        for name, taken, contested in [("a", 100, 1), ("b", 1000, 250), ("c", 7, 1)]
    }
    assert [["b", "1,000", "250", "25.0%"], ["a", "100", "1", "1.0%"], ["c", "7", "1", "14.3%"]] == [
        line.split() for line in free_text(rounds(locks=locks)).splitlines()[4:7]
    ]


def test_a_lock_that_nobody_took_has_no_share(rounds):
    assert ["a", "0", "0", "0.0%"] == (
        free_text(rounds(locks={"a": LockStatistics("a", 0, 0)})).splitlines()[4].split()
    )


def test_free_rounds_are_followed_by_a_search_under_their_options(rounds):
    told = rounds(arguments=("--locks", "exact", "--no-check"))
    assert (
        "go on: vmsmp run mine --locks exact --no-check --schedules 10000" == free_text(told).splitlines()[-1]
    )
