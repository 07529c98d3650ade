"""Kill table, coverage and contention in a store."""

from __future__ import annotations

import pytest

from vmsmp.campaign.kill_table import Verdict
from vmsmp.campaign.store.measured import Colours, Site, keep_colours, keep_sites, keep_verdict
from vmsmp.campaign.store.read import read_store

FOUND = Verdict("RC-01a", "found", "refcount_drains (exact)", 40, 4, "check: x", "v1:refcount_drains:0:1.2>2")
SURVIVED = Verdict("RC-01a", "survived", tried=2_000)


def test_a_store_of_a_campaign_has_none(opened, tmp_path):
    opened()
    told = read_store(tmp_path / "s")
    assert ((), (), ()) == (told.kills, told.sites, told.colours)


def test_a_verdict_is_read_as_it_was_kept(opened, tmp_path):
    store = opened()
    keep_verdict(store, FOUND)
    keep_verdict(store, Verdict("CL-01", "hang"))
    assert (Verdict("CL-01", "hang"), FOUND) == read_store(tmp_path / "s").kills


@pytest.mark.parametrize(
    ("verdicts", "kept"),
    [
        ((FOUND, SURVIVED), FOUND),
        ((SURVIVED, FOUND), FOUND),
        ((SURVIVED, Verdict("RC-01a", "survived", tried=5)), SURVIVED),
        ((Verdict("RC-01a", "not reached"), SURVIVED), SURVIVED),
    ],
)
def test_the_verdict_that_says_more_is_kept(opened, tmp_path, verdicts, kept):
    store = opened()
    for verdict in verdicts:
        keep_verdict(store, verdict)
    assert (kept,) == read_store(tmp_path / "s").kills


def test_the_kill_table_and_the_sites_are_of_the_code_that_was_tried_last(opened, tmp_path):
    old = opened()
    keep_verdict(old, FOUND)
    keep_sites(old, {"a": 1})
    old.close()
    new = opened(code="newer")
    keep_sites(new, {"b": 0, "c": 5})
    keep_verdict(new, SURVIVED)
    told = read_store(tmp_path / "s")
    assert ((SURVIVED,), (Site("b", 0), Site("c", 5))) == (told.kills, told.sites)


def test_the_contention_is_that_of_the_interpreter_which_was_measured_last(opened, tmp_path):
    store = opened()
    keep_colours(store, "3.11", [Colours(1, 5.0, 0.5)], parallel=False)
    keep_colours(store, "3.14", [Colours(4, 8.0, 0.1), Colours(1, 6.0, 0.4)], parallel=True)
    assert (Colours(1, 6.0, 0.4), Colours(4, 8.0, 0.1)) == read_store(tmp_path / "s").colours
