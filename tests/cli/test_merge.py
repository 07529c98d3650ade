"""`vmsmp merge`: stores made one."""

from __future__ import annotations

import pytest

from vmsmp.campaign.store.read import read_store
from vmsmp.campaign.store.write import Store


@pytest.fixture
def stores(tmp_path):
    """Two stores with a run each."""
    for name in "ab":
        with Store(tmp_path / name, "code") as store:
            store.begin(version="1", python="3", workers=1, arguments=(), profile="")
    return [tmp_path / name for name in "ab"]


def test_stores_are_made_one(vmsmp, stores, tmp_path):
    ended = vmsmp("merge", "--store", tmp_path / "m", *stores)
    assert (0, f"{tmp_path}/m: 2 runs, 0 batches, 0 signatures\n") == (ended.code, ended.out)
    assert 2 == len(read_store(tmp_path / "m").runs)


def test_the_json_has_the_numbers(vmsmp, stores, tmp_path):
    ended = vmsmp("merge", "--store", tmp_path / "m", *stores, "--json")
    assert {"runs": 2, "batches": 0, "signatures": 0} == ended.json


def test_what_is_no_store_is_bad_input(vmsmp, stores, tmp_path):
    (tmp_path / "x").write_text("mine")
    ended = vmsmp("merge", "--store", tmp_path / "m", tmp_path / "x")
    assert (2, "", 1) == ended.complaint
    assert f"store '{tmp_path}/x': it is no store of vmsmp's" in ended.err
    assert not (tmp_path / "m").exists()


def test_a_store_to_put_it_in_is_needed(vmsmp, stores):
    assert 2 == vmsmp("merge", *stores).code
