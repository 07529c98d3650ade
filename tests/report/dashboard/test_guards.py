"""The kill table of a report."""

from __future__ import annotations

import pytest

from vmsmp.campaign.kill_table import Verdict
from vmsmp.campaign.store.measured import Site
from vmsmp.errors import UsageError
from vmsmp.report.dashboard.guards import (
    OUTCOMES,
    about,
    guards_of,
    kill_curve,
    module_of,
    sites_of,
    verdicts_of,
)

REMOVAL = "sync.refcount.refcount_wait-"


def removal():
    from vmsmp.patches.removals import all_removals

    return next(one.ident for one in all_removals() if one.ident.startswith(REMOVAL))


def test_the_output_of_the_command_is_read_back():
    verdicts = (
        Verdict("RC-01a", "found", "x (exact)", 10, 3, "leak: x", "v1:x:0:"),
        Verdict("b", "survived"),
    )
    assert verdicts == verdicts_of([one.as_dict() for one in verdicts], "kills.json")


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        [3],
        [{}],
        [{**Verdict("a", "found").as_dict(), "more": 1}],
        [{**Verdict("a", "found").as_dict(), "tried": "1"}],
        [{**Verdict("a", "found").as_dict(), "tried": True}],
        [Verdict("a", "who knows").as_dict()],
    ],
    ids=str,
)
def test_what_the_command_did_not_write_is_refused(content):
    with pytest.raises(UsageError, match=r"^'k' is not what `vmsmp mutants --json` writes$"):
        verdicts_of(content, "k")


def test_a_mutant_and_a_removal_stand_with_their_module():
    assert "sync.refcount" == module_of("RC-01a") == module_of(removal())


def test_what_this_version_does_not_know_has_no_module_and_no_story():
    assert ("unknown", "") == (module_of("XX-99"), about("XX-99"))


def test_a_mutant_says_its_story_and_a_removal_its_line():
    assert about("RC-01a")
    assert about(removal())


def test_outcomes_are_counted_by_module():
    verdicts = [Verdict("RC-01a", outcome) for outcome in OUTCOMES] + [Verdict("XX-99", "hang")]
    refcounts, unknown = guards_of(verdicts)
    assert ("sync.refcount", (1, 1, 1, 1, 1, 1), 6, 3) == (
        *(refcounts.module, refcounts.outcomes, refcounts.total, refcounts.noticed),
    )
    assert ("unknown", 1, 1) == (unknown.module, unknown.total, unknown.noticed)


def test_the_kill_curve_counts_what_so_many_schedules_show():
    verdicts = [Verdict(f"m{n}", "found", schedules=n) for n in (1, 2, 3, 30)]
    verdicts += [Verdict("hung", "hang"), Verdict("lives", "survived", tried=2000)]
    assert [(1, 1), (2, 2), (5, 3), (10, 3), (20, 3), (50, 4)] == kill_curve(verdicts)


def test_where_all_is_found_at_once_the_curve_has_one_point():
    assert [(1, 1)] == kill_curve([Verdict("m", "found", schedules=1)])


def test_where_nothing_is_found_there_is_no_curve():
    assert [] == kill_curve([Verdict("m", "survived")])


def test_sites_are_counted_by_module_and_those_that_run_apart():
    sites = sites_of([Site("RC-01a", 3), Site("RC-01b", 0), Site("XX-99", 1)])
    assert [("unknown", 1, 1)] == [
        (one.module, one.total, one.run) for one in sites if one.module == "unknown"
    ]
    (other,) = [one for one in sites if one.module != "unknown"]
    assert (module_of("RC-01a"), 2, 1) == (other.module, other.total, other.run)
