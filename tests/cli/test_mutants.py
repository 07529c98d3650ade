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


@pytest.mark.parametrize("option", [("--budget", "0"), ("--workers", "0"), ("--hang", "0")])
def test_a_number_out_of_range_is_refused(vmsmp, option):
    assert 2 == vmsmp("mutants", *option).code
