"""Stores made one: in any order, and any number of times."""

from __future__ import annotations

import pytest

from vmsmp.campaign.kill_table import Verdict
from vmsmp.campaign.store.measured import Colours, Site, keep_colours, keep_sites, keep_verdict
from vmsmp.campaign.store.merge import merge
from vmsmp.campaign.store.read import read_store
from vmsmp.campaign.store.write import FAILS, PASSES
from vmsmp.campaign.way import Way
from vmsmp.errors import UsageError

FREE = Way("free", "exact")


@pytest.fixture
def three(opened, report, failure, tmp_path):
    """Three stores that have some batches and findings in common, and some not."""
    store = opened("a")
    store.keep(report(failure(), seed=0, traces={1: 1, 2: 1}), {})
    store.keep(report(seed=1, turn=1, complete=False, executions=3), {})
    store.keep(report(failure(schedule="", engine="free", trace=""), way=FREE), {})
    store.end("failed")
    keep_verdict(store, Verdict("RC-01a", "survived", tried=500))
    keep_verdict(store, Verdict("RC-01b", "found", "s", 7, 7, "check: x", "v1:s:0:"))
    keep_sites(store, {"g": 3, "h": 0})
    keep_colours(store, "3.13", [Colours(1, 2.0, 0.5), Colours(2, 3.0, 0.25)], parallel=False)
    store.__exit__()
    store = opened("b")
    keep_verdict(store, Verdict("RC-01a", "found", "s", 3, 3, "check: x", "v1:s:0:"))
    keep_verdict(store, Verdict("RC-01b", "survived", tried=5))
    keep_sites(store, {"h": 1, "i": 2})
    keep_colours(store, "3.13", [Colours(2, 5.0, 0.125)], parallel=False)
    store.keep(report(failure("worse"), seed=1, turn=1, traces={2: 1, 3: 2}), {})
    store.keep(report(failure(), seed=0, traces={1: 1, 2: 1}), {})
    store.replace(failure(), failure(schedule="v1:mine:0:1.2>2"))
    store.decide(failure("worse"), "a-finding", "5 of 7", report(seed=1, turn=1).batch)
    store.keep(report(failure(schedule="", engine="free", trace=""), way=FREE), {})
    store.__exit__()
    store = opened("c", code="other")
    store.keep(
        report(failure(), failure("worse"), scenario="yours", traces={1: 1}), {"check: bad": "an-entry"}
    )
    store.keep(report(failure(), seed=0), {})
    store.decide(failure("worse"), "", "not decided", None)
    (*_, asked) = store.corpus()
    store.checked(asked, PASSES, "")
    store.__exit__()
    return [tmp_path / name for name in "abc"]


def test_a_store_merged_into_a_new_one_is_the_same(three, rows, tmp_path):
    for path in three:
        merge(tmp_path / f"of-{path.name}", [path])
        assert rows(path.name) == rows(f"of-{path.name}")


def test_merging_twice_is_merging_once(three, rows, tmp_path):
    merge(tmp_path / "once", three)
    merge(tmp_path / "twice", [*three, *three])
    assert rows("once") == rows("twice")


def test_the_order_of_merging_does_not_matter(three, rows, tmp_path):
    a, b, c = three
    merge(tmp_path / "abc", [a, b, c])
    for name, order in (("cab", [c, a, b]), ("bca", [b, c, a])):
        merge(tmp_path / name, order)
        assert rows("abc") == rows(name)


def test_merging_is_associative(three, rows, tmp_path):
    a, b, c = three
    merge(tmp_path / "ab", [a, b])
    merge(tmp_path / "ab-c", [tmp_path / "ab", c])
    merge(tmp_path / "bc", [b, c])
    merge(tmp_path / "a-bc", [a, tmp_path / "bc"])
    assert rows("ab-c") == rows("a-bc")


def test_the_complete_batch_wins(three, tmp_path):
    a, b, _ = three
    merge(tmp_path / "m", [a, b])
    (row,) = [row for row in read_store(tmp_path / "m").rows if row.engine == "controlled"]
    assert (2, 16, 3, 1) == (row.batches, row.executions, row.traces, row.once)


def test_free_batches_of_two_machines_are_two(three, tmp_path):
    a, b, _ = three
    merge(tmp_path / "m", [a, b])
    (row,) = [row for row in read_store(tmp_path / "m").rows if row.engine == "free"]
    assert (2, 16) == (row.batches, row.executions)


def test_of_what_was_measured_the_verdict_that_says_more_and_the_last_curve_are_kept(three, tmp_path):
    merge(tmp_path / "m", three)
    told = read_store(tmp_path / "m")
    assert [("RC-01a", "found", 3), ("RC-01b", "found", 7)] == [
        (one.ident, one.outcome, one.tried) for one in told.kills
    ]
    assert (Site("g", 3), Site("h", 1), Site("i", 2)) == told.sites
    assert (Colours(1, 2.0, 0.5), Colours(2, 5.0, 0.125)) == told.colours


def test_a_finding_that_was_judged_later_has_the_later_status(opened, report, failure, tmp_path):
    store = opened("old")
    store.keep(report(failure()), {})
    store.__exit__()
    merge(tmp_path / "new", [tmp_path / "old"])
    for outcome, status in ((PASSES, "fixed"), (FAILS, "new")):
        store = opened("new", code="other")
        store.checked(store.corpus()[0], outcome, "")
        store.__exit__()
        merge(tmp_path / f"m-{outcome}", [tmp_path / "new", tmp_path / "old"])
        assert [status] == [one.status for one in read_store(tmp_path / f"m-{outcome}").signatures]


def test_what_is_no_store_is_refused_and_nothing_is_made_of_it(three, rows, tmp_path):
    (tmp_path / "x").write_text("mine")
    merge(tmp_path / "m", three[:1])
    before = rows("m")
    with pytest.raises(UsageError, match="it is no store of vmsmp's"):
        merge(tmp_path / "m", [tmp_path / "x"])
    assert before == rows("m")
