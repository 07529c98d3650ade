"""What a reader sees of a store."""

from __future__ import annotations

import pytest

from vmsmp.campaign.store.read import find, read_store, status_of
from vmsmp.errors import UsageError


@pytest.fixture
def contents(opened, report, failure, tmp_path):
    """A store of two runs: in the second one a failure came again."""
    store = opened()
    store.keep(report(failure(), seed=0, traces={1: 1, 2: 1}), {})
    store.keep(report(seed=0, scenario="yours", complete=False, error="its worker hung"), {})
    store.end("failed")
    store.__exit__()
    store = opened()
    store.keep(report(failure(), seed=1, traces={2: 1, 3: 1}), {})
    store.__exit__()
    return read_store(tmp_path / "s")


def test_runs_are_told_with_what_they_did(contents):
    one, two = contents.runs
    assert ("failed", "running") == (one.outcome, two.outcome)
    assert (16, 0, 160, 3, 0) == (one.schedules, one.rounds, one.operations, one.failed, one.known)
    assert (("--seed", "0"), None, True) == (one.arguments, two.ended, one.began <= one.ended)


def test_a_signature_has_its_history_by_run(contents):
    (signature,) = contents.signatures
    assert ("mine", "check: bad", "new", 6) == (
        signature.scenario,
        signature.text,
        signature.status,
        signature.times,
    )
    assert tuple((run.token, 3) for run in contents.runs) == signature.history
    assert contents.new == contents.signatures


def test_what_ran_is_told_by_scenario_and_way(contents):
    assert [("mine", 2, 16), ("yours", 1, 8)] == [
        (row.scenario, row.batches, row.executions) for row in contents.rows
    ]


def test_a_batch_that_could_not_be_run_is_a_trouble(contents):
    assert [("yours", "its worker hung")] == [(one.scenario, one.error) for one in contents.troubles]


def test_the_discovery_curve_counts_new_traces(contents):
    token = contents.runs[1].token
    points = [(point.executions, point.traces) for point in contents.discovery if point.run == token]
    assert [(8, 1)] == points


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (["fixed", "new"], "new"),
        (["fixed", "known"], "known"),
        (["fixed"], "fixed"),
        (["new", "unsteady"], "unsteady"),
    ],
)
def test_a_signature_is_fixed_only_if_all_its_findings_are(statuses, status):
    assert status == status_of(iter(statuses))


def test_a_finding_is_found_by_the_beginning_of_its_name(contents, tmp_path):
    (one,) = contents.signatures[0].findings
    assert one == find(tmp_path / "s", one.ident[:6])


@pytest.mark.parametrize(
    ("ident", "words"), [("fzz", "no findings have a name"), ("", "findings have a name")]
)
def test_a_name_that_is_no_single_finding_s_is_refused(
    opened, report, failure, contents, tmp_path, ident, words
):
    store = opened()
    store.keep(report(failure("worse"), seed=9), {})
    with pytest.raises(UsageError, match=words):
        find(tmp_path / "s", ident)
