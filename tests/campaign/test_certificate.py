"""What a search that found nothing is worth: traces seen, traces unseen, the size of it, PCT's bound."""

from __future__ import annotations

import math

import pytest

import vmsmp
from vmsmp.campaign.certificate import EVERY, STRIDE, Certificate
from vmsmp.engine import ops

X, Y = ops.identity(0, 1), ops.identity(0, 2)


def log_of(*steps):
    """A log of (cpu, object, kind)."""
    log = []
    for cpu, thing, kind in steps:
        log += [-1 - cpu, ops.op(thing, kind)]
    return log


def counted(*logs):
    """A certificate of these runs."""
    certificate = Certificate()
    for n, log in enumerate(logs, 1):
        certificate.add(n, log, (), 3)
    return certificate


def trace_number(n):
    return log_of(*[(1, X, ops.STORE)] * n)


def two_words(m):
    """Nothing that one CPU does concerns the other: all its runs are one trace."""
    words = [m.cell(0), m.cell(0)]
    for word in words:
        m.spawn(word.store, 1)
    m.join()


def one_word(m):
    word = m.cell(0)
    for _ in range(3):
        m.spawn(lambda: word.store(word.load() + 1))
    m.join()


# -- traces ---------------------------------------------------------------------------------------


def test_two_orders_of_one_trace_count_once():
    one, other = (1, X, ops.STORE), (2, Y, ops.STORE)
    certificate = counted(log_of(one, other), log_of(other, one))
    assert (2, 1) == (certificate.sampled, certificate.traces)


def test_two_orders_of_dependent_steps_are_two_traces():
    one, other = (1, X, ops.STORE), (2, X, ops.STORE)
    assert 2 == counted(log_of(one, other), log_of(other, one)).traces


def test_the_same_steps_with_other_data_are_another_trace():
    certificate = Certificate()
    for n, drawn in enumerate((1, 2, 1), 1):
        certificate.add(n, log_of((1, 0, ops.CHOOSE)), [drawn], 1)
    assert (3, 2) == (certificate.sampled, certificate.traces)


@pytest.mark.parametrize(
    ("seen", "unseen"),
    [
        ([], 1.0),
        ([1], 1.0),
        ([1, 1], 0.0),
        ([1, 2], 1.0),
        ([1, 1, 1, 2, 3], 2 / 5),
        ([1, 1, 2, 2], 0.0),
        ([1, 1, 1, 2], 1 / 4),
    ],
)
def test_what_was_seen_once_says_how_likely_the_next_run_is_new(seen, unseen):
    assert unseen == counted(*map(trace_number, seen)).unseen


def test_every_run_is_looked_at_until_there_are_many():
    certificate = Certificate()
    for n in range(1, EVERY + 1):
        certificate.add(n, [], (), 1)
    assert EVERY == certificate.sampled


@pytest.mark.parametrize("more", [STRIDE - 1, STRIDE, 10 * STRIDE, 10 * STRIDE + 3])
def test_of_many_runs_one_in_a_stride_is_looked_at(more):
    certificate = Certificate()
    for n in range(1, EVERY + more + 1):
        certificate.add(n, [], (), 1)
    assert EVERY + more // STRIDE == certificate.sampled


def test_runs_that_are_not_looked_at_count_for_the_cpus():
    certificate = Certificate()
    certificate.add(EVERY + 1, [], (), 9)
    assert (0, 9) == (certificate.sampled, certificate.cpus)


def test_the_most_cpus_of_any_run_count():
    certificate = Certificate()
    for n, cpus in enumerate((2, 5, 3), 1):
        certificate.add(n, [], (), cpus)
    assert 5 == certificate.cpus


# -- the size -------------------------------------------------------------------------------------


def watched(*runs, cpus=3):
    certificate = Certificate(sampled=1, cpus=cpus)
    for widths in runs:
        certificate.watch(widths)
    return certificate


def test_choices_among_one_are_none():
    assert 2 == watched([1, 2, 1, 3, 1]).choices


def test_the_most_choices_of_any_run_count():
    assert 4 == watched([2, 2], [2, 2, 2, 2], [2]).choices


def test_the_number_of_schedules_is_the_product_of_the_choices():
    assert math.isclose(math.log10(24), watched([2, 3, 4, 1]).magnitude)


def test_the_number_of_schedules_is_averaged_over_runs_by_its_logarithm():
    assert 3.0 == watched([10] * 2, [10] * 4).as_dict()["schedules_log10"]


def test_where_no_run_was_watched_the_number_of_schedules_is_unknown():
    assert None is Certificate().as_dict()["schedules_log10"]


# -- PCT's bound ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "bound"), [(1, 1 / 4), (2, 1 / 40), (3, 1 / 400)])
def test_the_bound_falls_with_the_depth(depth, bound):
    assert math.isclose(bound, watched([2] * 10, cpus=4).bound(depth))


def test_without_choices_the_bound_is_that_of_the_cpus():
    assert 1 / 4 == watched([], cpus=4).bound(3)


def test_of_nothing_the_bound_is_certainty():
    assert 1.0 == Certificate().bound(2)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_so_many_runs_suffice_and_one_less_does_not(depth, confidence):
    certificate = watched([2] * 10)
    missed = 1 - certificate.bound(depth)
    runs = certificate.runs_for(depth, confidence)
    assert missed**runs <= 1 - confidence + 1e-12 < missed ** (runs - 1)


def test_what_is_certain_takes_one_run():
    assert 1 == Certificate(cpus=1).runs_for(1)


def test_confidence_is_95_percent_unless_somebody_says_otherwise():
    certificate = watched([2] * 10)
    assert certificate.runs_for(2, 0.95) == certificate.runs_for(2)


# -- in words and as data ---------------------------------------------------------------------------


def test_a_certificate_of_no_runs_has_nothing_to_say():
    assert [] == Certificate().lines()


def test_traces_are_told_with_what_is_unseen():
    assert ["traces: 3 in 5 runs looked at; the next run is a new one with probability 40.0%"] == counted(
        *map(trace_number, [1, 1, 1, 2, 3])
    ).lines()


def test_size_and_bound_are_told_where_a_run_was_watched():
    certificate = counted(*map(trace_number, [1, 1]))
    certificate.watch([2] * 10)
    assert [
        "size: up to 10 choices a run among 3 CPUs, about 10^3 schedules",
        f"PCT's bound: a bug of depth 2 in {certificate.runs_for(2):,} runs of pct:2 with 95 %, "
        f"a bug of depth 3 in {certificate.runs_for(3):,} runs of pct:3 with 95 %",
    ] == certificate.lines()[1:]


def test_without_a_choice_only_the_traces_are_told():
    certificate = counted(trace_number(1))
    certificate.watch([1, 1])
    assert 1 == len(certificate.lines())


def test_large_numbers_have_separators():
    certificate = watched([2] * 1_234)
    certificate.sampled = 1_000
    told = "\n".join(certificate.lines())
    assert (True, True) == ("in 1,000 runs" in told, "1,234 choices" in told)


def test_a_certificate_turns_into_plain_data():
    certificate = counted(*map(trace_number, [1, 1, 2]))
    certificate.watch([2, 5])
    assert {
        "sampled": 3,
        "traces": 2,
        "unseen": 0.333333,
        "cpus": 3,
        "choices": 2,
        "schedules_log10": 1.0,
        "pct_bound": {"1": 1 / 3, "2": 1 / 6, "3": 1 / 12},
        "memory": "sequentially consistent",
    } == certificate.as_dict()


# -- filled by a search ------------------------------------------------------------------------------


@pytest.mark.parametrize("sched", ["random", "pos", "pct:3", "portfolio", "dfs", "dpor"])
def test_a_search_looks_at_all_its_runs(sched):
    result = vmsmp.explore(one_word, sched=sched, schedules=50)
    assert result.executions == result.certificate.sampled


@pytest.mark.parametrize("sched", ["random", "pos", "dfs"])
def test_all_runs_of_independent_cpus_are_one_trace(sched):
    certificate = vmsmp.explore(two_words, sched=sched, schedules=50).certificate
    assert (1, 0.0) == (certificate.traces, certificate.unseen)


def test_a_round_robin_shows_one_trace():
    assert 1 == vmsmp.explore(one_word, sched="rr", schedules=20).certificate.traces


def test_a_reduced_search_shows_a_new_trace_each_time():
    result = vmsmp.explore(one_word, sched="dpor", schedules=10_000)
    assert (True, result.executions) == (result.exhausted, result.certificate.traces)


def test_an_exhaustive_search_shows_as_many_traces_as_a_reduced_one():
    def program(m):
        word = m.cell(0)
        for _ in range(2):
            m.spawn(lambda: word.store(word.load() + 1))

    seen = [vmsmp.explore(program, sched=s, schedules=10_000) for s in ("dfs", "dpor")]
    assert [True, True] == [result.exhausted for result in seen]
    assert seen[0].certificate.traces == seen[1].certificate.traces


def test_the_boot_cpu_counts():
    assert 4 == vmsmp.explore(one_word, schedules=5).certificate.cpus


@pytest.mark.parametrize(("schedules", "watched"), [(1, 1), (63, 1), (64, 2), (200, 4)])
def test_the_first_run_and_one_in_64_are_watched(schedules, watched):
    assert watched == vmsmp.explore(one_word, sched="random", schedules=schedules).certificate.watched


def test_a_search_counts_the_choices_of_a_run():
    """Two CPUs of two steps each, spawned and joined: no run has more choices than steps."""
    result = vmsmp.explore(two_words, sched="random", schedules=100)
    assert 0 < result.certificate.choices <= result.longest


def test_a_failing_run_is_looked_at_too():
    result = vmsmp.explore(lambda m: m.check(False, "down"), schedules=10, stop="never")
    assert (10, 1) == (result.certificate.sampled, result.certificate.traces)


def test_the_certificate_is_in_the_plain_data_of_a_result():
    result = vmsmp.explore(one_word, schedules=20)
    assert result.certificate.as_dict() == result.as_dict()["certificate"]


def test_every_search_has_a_certificate_of_its_own():
    one, other = (vmsmp.explore(one_word, schedules=n) for n in (5, 7))
    assert (5, 7) == (one.certificate.sampled, other.certificate.sampled)


def test_the_same_search_gives_the_same_certificate():
    one, other = (vmsmp.explore(one_word, schedules=80, seed=3).certificate.as_dict() for _ in range(2))
    assert one == other


# -- systematic searches ------------------------------------------------------------------------------


def three_writers(m):
    word = m.cell(0)
    for _ in range(3):
        m.spawn(lambda: word.store(word.load() + 1))


@pytest.mark.parametrize("sched", ["dfs", "dfs:1", "delay:2", "dpor"])
def test_an_unfinished_systematic_search_tells_the_share_of_its_tree(sched):
    few, more = (vmsmp.explore(three_writers, sched=sched, schedules=n).certificate.share for n in (2, 8))
    assert 0.0 < few < more < 1.0


@pytest.mark.parametrize("sched", ["dfs", "dpor"])
def test_the_estimate_of_the_runs_is_of_the_right_size(sched):
    program = two_words if sched == "dfs" else three_writers
    everything = vmsmp.explore(program, sched=sched, schedules=100_000)
    some = vmsmp.explore(program, sched=sched, schedules=everything.executions // 2)
    estimate = some.certificate.runs_in_all(some.executions)
    assert everything.executions / 4 < estimate < everything.executions * 4


@pytest.mark.parametrize("sched", ["random", "portfolio", "rr"])
def test_a_search_that_is_not_systematic_has_no_share(sched):
    assert None is vmsmp.explore(three_writers, sched=sched, schedules=5).certificate.share


def test_an_exhausted_search_has_no_share():
    assert None is vmsmp.explore(three_writers, sched="dpor", schedules=100_000).certificate.share


def test_of_a_systematic_search_nothing_is_said_about_the_next_run():
    lines = vmsmp.explore(three_writers, sched="dfs", schedules=5).certificate.lines()
    assert (1, False) == (len(lines), "probability" in lines[0])
