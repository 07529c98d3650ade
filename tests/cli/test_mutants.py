"""`vmsmp mutants`."""

from __future__ import annotations

import pytest

from vmsmp.patches.removals import removals_of

FLAG = next(
    one.ident for one in removals_of("vmsmp.vm.vm_page.busy:_sleep_on") if one.text.startswith("vm_page_flag")
)
FAST = ("--workers", "1", "--budget", "60")


@pytest.fixture
def noticed(vmsmp):
    return vmsmp("mutants", "BZ-03", *FAST, "--json")


def test_a_mutant_that_is_noticed_ends_with_0(noticed):
    assert 0 == noticed.code


def test_the_json_of_a_verdict_has_its_keys(noticed):
    keys = {"ident", "outcome", "place", "tried", "schedules", "signature", "schedule"}
    assert keys == set(noticed.json[0])


def test_the_line_of_a_verdict_replays(vmsmp, noticed):
    ended = vmsmp("replay", noticed.json[0]["schedule"], "--json")
    assert (1, noticed.json[0]["signature"]) == (ended.code, ended.json["failure"]["signature"])


@pytest.mark.ci
def test_a_removal_that_nobody_notices_ends_with_1(vmsmp):
    ended = vmsmp("mutants", FLAG, "--scenarios", "busy_handoff", *FAST)
    assert (1, f"  {FLAG}, survived: vm_page_flag_set(m, PG_REFERENCED)") == (
        ended.code,
        next(line for line in ended.out.splitlines() if line.startswith("  vm.")),
    )


def test_patterns_choose_mutants_and_removals(vmsmp):
    ended = vmsmp("mutants", "BZ-0[13]", *FAST, "--json")
    assert {"BZ-01", "BZ-03"} == {verdict["ident"] for verdict in ended.json}


def test_a_pattern_that_matches_nothing_is_refused_in_one_line(vmsmp):
    ended = vmsmp("mutants", "XX-*")
    assert (2, "vmsmp: no mutant or removal matches 'XX-*'\n") == (ended.code, ended.err)


@pytest.mark.ci
def test_a_store_keeps_the_kill_table_and_the_report_shows_it(vmsmp, tmp_path):
    store = tmp_path / "s"
    words = (FLAG, "BZ-03", "--scenarios", "busy_handoff", *FAST, "--json", "--store", store)
    tried = vmsmp("mutants", *words)
    told = vmsmp("report", "--store", store, "--json").json
    assert sorted(tried.json, key=lambda one: one["ident"]) == told["kills"]
    assert [FLAG] == [*told["sites"]]
    assert f"guards: {sum(one['outcome'] == 'found' for one in tried.json)} of 2 removals noticed" in (
        vmsmp("report", "--store", store).out
    )


def test_what_is_no_store_is_refused_before_anything_is_tried(vmsmp, tmp_path):
    (tmp_path / "s").write_text("mine")
    assert (2, "", 1) == vmsmp("mutants", "BZ-03", "--store", tmp_path / "s").complaint


@pytest.mark.parametrize("option", [("--budget", "0"), ("--workers", "0"), ("--patience", "0")])
def test_a_number_out_of_range_is_refused(vmsmp, option):
    assert 2 == vmsmp("mutants", *option).code


@pytest.mark.ci
def test_removals_that_change_nothing_are_left_out_and_counted(vmsmp):
    ended = vmsmp("mutants", "sync.spinlock._spin_enter-*", "--scenarios", "spin_upgrade", *FAST)
    assert "noticed; 1 that change nothing were left out" in ended.out


def test_a_removal_that_is_named_in_full_is_tried_even_if_it_changes_nothing(vmsmp):
    whole = "sync.spinlock._spin_enter-4-swap"
    ended = vmsmp("mutants", whole, "--scenarios", "spin_upgrade", "--workers", "1", "--budget", "3")
    assert f"  {whole}, survived: crit_enter(td)" in ended.out.splitlines()
