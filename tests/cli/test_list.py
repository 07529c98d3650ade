"""`vmsmp list`."""

from __future__ import annotations

import pytest

from vmsmp.library import all_scenarios


def test_every_scenario_is_listed_in_order(vmsmp):
    rows = vmsmp("list").out.splitlines()[1:]
    assert sorted(all_scenarios()) == [row.split()[0] for row in rows]


def test_the_list_is_clean(vmsmp):
    assert (0, "") == (vmsmp("list").code, vmsmp("list").err)


def test_the_list_has_a_head(vmsmp):
    assert ["scenario", "CPUs", "tags", "story"] == vmsmp("list").out.splitlines()[0].split()


def test_a_row_shows_cpus_tags_and_the_first_line_of_the_story(vmsmp):
    row = next(line for line in vmsmp("list").out.splitlines() if line.startswith("spin_upgrade "))
    assert [
        *("spin_upgrade", "3", "spinlock,upgrade"),
        "A reader that finds itself alone becomes the writer; with company it does not.",
    ] == row.split(maxsplit=3)


@pytest.mark.parametrize("tags", ["lockmgr,upgrade", "upgrade,lockmgr", " lockmgr , upgrade ,"])
def test_all_of_several_tags_must_be_there(vmsmp, tags):
    wanted = {name for name, s in all_scenarios().items() if {"lockmgr", "upgrade"} <= s.tags}
    assert wanted == {entry["name"] for entry in vmsmp("list", "--tags", tags, "--json").json}


def test_a_tag_leaves_the_others_out(vmsmp):
    assert "spin_upgrade" not in vmsmp("list", "--tags", "lockmgr").out


def test_unknown_tags_are_told_those_there_are(vmsmp):
    assert "spinlock" in vmsmp("list", "--tags", "no_such_tag").err


def test_no_tags_are_no_condition(vmsmp):
    assert len(all_scenarios()) == len(vmsmp("list", "--tags", "", "--json").json)


def test_the_json_of_the_list_has_its_keys(vmsmp):
    assert {("cpus", "locks", "name", "place", "story", "tags")} == {
        tuple(sorted(entry)) for entry in vmsmp("list", "--json").json
    }


def test_the_json_of_the_list_says_what_the_scenario_says(vmsmp):
    entry = next(entry for entry in vmsmp("list", "--json").json if entry["name"] == "spin_upgrade")
    assert (3, "exact", ["spinlock", "upgrade"]) == (entry["cpus"], entry["locks"], entry["tags"])


def test_the_list_is_the_same_in_any_process(process):
    one, other = (process("list", PYTHONHASHSEED=seed).out for seed in ("1", "2"))
    assert one == other
