"""A campaign's end in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vmsmp.campaign.findings import Finding
from vmsmp.campaign.tally import Campaign, Face, Row
from vmsmp.campaign.way import Scarcity
from vmsmp.report.campaign import campaign_dict, campaign_text

FINDING = Finding("old-one", ("check: *",), ("*",), "the kernel does so too", "mend-it", "v1:mine:1:")


def told(campaign, seed=0, minutes=1.0):
    return campaign_text(campaign, seed=seed, minutes=minutes)


@pytest.fixture
def campaign():
    def made(**parts):
        rows = {"mine": Row(900, 100, 20_000, 30, 4_000), "yours": Row(400, 100, 10_000, 20, 3_000)}
        return Campaign(
            **{"rows": rows, "seconds": 59.96, "workers": 2, "batches": 12, "planned": 12, **parts}
        )

    return made


def test_a_scenario_has_a_row_of_numbers(campaign):
    row = next(line for line in told(campaign()).splitlines() if line.startswith("mine "))
    assert ["mine", "900", "100", "20,000", "30", "4,000", "0", "0"] == row.split()


def test_a_clean_campaign_adds_up(campaign):
    text = told(campaign())
    assert "1,500 schedules and 50 free rounds (" in text
    assert ") in 60.0 s on 2 workers; no new failures" in text


def test_a_new_failure_comes_first_with_its_times(campaign, failure):
    text = told(campaign(new={"k": failure()}, counts={"k": 3}))
    assert text.startswith(f"{failure().report()}\nseen 3 times in this campaign\n\n")


def test_new_failures_are_counted(campaign, failure):
    assert "; 2 new failures\n" in told(
        campaign(new={"a": failure(), "b": failure()}, counts={"a": 1, "b": 1})
    )


def test_a_single_new_failure_is_one_failure(campaign, failure):
    assert "; 1 new failure\n" in told(campaign(new={"a": failure()}, counts={"a": 1}))


def test_a_known_finding_is_shown_with_reason_and_line(campaign, failure):
    assert (
        "known findings, which do not fail a campaign:\n"
        "  old-one (4 times, in mine): the kernel does so too\n"
        "    replay: vmsmp replay old-one\n\n"
    ) in told(campaign(known={"old-one": (FINDING, failure(), 4)}))


def test_a_further_face_of_a_known_finding_is_shown_under_its_name(campaign, failure):
    face = Face(FINDING, failure(), 2, "5 of 7 schedules fail so without repair mend-it")
    text = told(campaign(known={"old-one": (FINDING, failure(), 4)}, faces={("a", "b", "c"): face}))
    assert (
        "    replay: vmsmp replay old-one\n"
        "    known, by its repair, in mine (2 times): check: the page is busy\n"
        "      5 of 7 schedules fail so without repair mend-it\n"
        "      replay: vmsmp replay 'v1:mine:0:1.2>3:0123456789abcdef'\n\n"
    ) in text


def test_a_new_failure_says_why_it_is_not_known(campaign, failure):
    text = told(campaign(new={"k": failure()}, counts={"k": 3}, why={"k": "it is not"}))
    assert "seen 3 times in this campaign\nno known finding explains it: it is not\n\n" in text


def test_the_json_names_faces(campaign, failure):
    face = Face(FINDING, failure(), 2, "5 of 7")
    assert [
        {
            "name": "old-one",
            "scenario": "mine",
            "signature": "check: the page is busy",
            "times": 2,
            "schedule": "v1:mine:0:1.2>3",
            "evidence": "5 of 7",
        }
    ] == campaign_dict(campaign(faces={("a", "b", "c"): face}))["faces"]


def test_batches_that_were_not_done_are_confessed(campaign):
    text = told(campaign(batches=7, seconds=210.0))
    assert "not explored: 5 of 12 batches of the first round, which take about 3 minutes more" in text


def test_with_the_batches_that_are_missing_a_store_s_campaign_goes_on(campaign):
    lines = told(campaign(batches=8, before=1, seconds=210.0, store=Path("night.sqlite"))).splitlines()
    assert "go on: vmsmp stress --store night.sqlite --minutes 2 --seed 0" == lines[-1]


def test_a_campaign_that_is_to_end_its_first_round_gets_time_for_it(campaign):
    last = told(campaign(batches=1, seconds=600.0), minutes=10).splitlines()[-1]
    assert "go on: vmsmp stress --minutes 120 --seed 1000" == last


def test_what_comparisons_took_is_told(campaign):
    words = "1,234 schedules more compared 12 failures with known findings"
    assert words in told(campaign(inquiries=12, compared=1234)).splitlines()
    assert "schedules more" not in told(campaign())


def test_a_whole_round_has_nothing_to_confess(campaign):
    assert "batches of the first round" not in told(campaign())


def test_a_scenario_that_no_search_reached_is_named(campaign):
    text = told(campaign(rows={"mine": Row(1, 1, 2), "yours": Row(0, 1, 1, 5, 5)}))
    assert "not explored under control: yours; `vmsmp stress --scenarios NAME` does it\n" in text


def test_a_scenario_that_was_never_repaired_is_named(campaign):
    text = told(campaign(rows={"mine": Row(1, 1, 2), "yours": Row(1, 0, 1, 5, 5)}))
    words = "not explored with known findings repaired: yours; `vmsmp stress --scenarios NAME` does it\n"
    assert words in text


def test_what_the_first_round_still_has_needs_no_command_of_its_own(campaign):
    text = told(campaign(batches=7, rows={"yours": Row(0, 1, 1, 5, 5)}))
    assert "not explored under control: yours; the rest of the first round has them\n" in text


def test_the_table_says_which_schedules_are_repaired(campaign):
    words = "schedules: as the kernel is; repaired: with the repairs of all known findings on"
    assert words in told(campaign()).splitlines()


def test_an_interrupted_campaign_says_so(campaign):
    assert "\ninterrupted: these are the results until then\n" in told(campaign(interrupted=True))


def test_errors_are_shown(campaign):
    assert "\nerror: mine (free exact): it broke\n" in told(campaign(errors=["mine (free exact): it broke"]))


def test_of_many_errors_some_are_shown(campaign):
    text = told(campaign(errors=[f"error {n:03}" for n in range(100)]))
    assert ("error 019\nand 80 errors more (--json has them all)\n" in text, "error 020" in text) == (
        True,
        False,
    )


def test_the_way_to_go_on_has_another_seed_and_more_time(campaign):
    assert (
        "go on: vmsmp stress --minutes 50 --seed 1007" == told(campaign(), seed=7, minutes=5).splitlines()[-1]
    )


def test_the_json_counts_the_times_of_a_new_failure(campaign, failure):
    shown = campaign_dict(campaign(new={"k": failure()}, counts={"k": 3}))
    assert [{**failure().as_dict(), "times": 3, "why": ""}] == shown["new"]


def test_the_json_names_known_findings(campaign, failure):
    shown = campaign_dict(campaign(known={"old-one": (FINDING, failure(), 4)}))
    assert [{"name": "old-one", "times": 4, "schedule": "v1:mine:0:1.2>3"}] == shown["known"]


def test_the_json_has_a_line_for_a_known_finding_seen_freely(campaign, failure):
    shown = campaign_dict(campaign(known={"old-one": (FINDING, failure(schedule="", engine="free"), 1)}))
    assert ["v1:mine:1:"] == [entry["schedule"] for entry in shown["known"]]


def test_the_json_has_the_rows_of_the_text(campaign):
    row = {"schedules": 400, "repaired": 100, "steps": 10_000, "rounds": 20, "operations": 3_000}
    assert row | {"failed": 0, "known": 0} == campaign_dict(campaign())["scenarios"]["yours"]


def test_a_campaign_where_memory_is_scarce_goes_on_so_and_misses_no_run_of_the_kernel_as_it_is(campaign):
    rows = {"mine": Row(0, 100, 20_000, 30, 4_000)}
    text = told(campaign(rows=rows, scarcity=Scarcity(4, pressure=True)))
    assert text.endswith("go on: vmsmp stress --minutes 10 --seed 1000 --pages 4 --pressure")
    assert "not explored under control" not in text


# -- many scenarios, and a store ------------------------------------------------------------------

MANY = {f"s{n:02}": Row(1, 1, 2) for n in range(30)} | {"bad": Row(9, 9, 9, failed=2), "none": Row(0, 1)}


def test_of_many_scenarios_those_that_failed_are_named(campaign):
    text = told(campaign(rows=MANY))
    assert "\nbad " in text
    assert "31 scenarios have no new failure (--verbose names them)" in text
    assert "not explored under control: 1 scenarios (--verbose names them)" in text
    assert "s07" not in text


def test_all_of_many_scenarios_are_named_to_who_asks(campaign):
    text = campaign_text(campaign(rows=MANY), seed=0, minutes=1.0, verbose=True)
    assert "\ns07 " in text
    assert "not explored under control: none; " in text


def test_of_many_known_findings_the_names_are_told(campaign, failure):
    many = {f"old-{n}": (replace(FINDING, name=f"old-{n}"), failure(), n) for n in range(9)}
    text = told(campaign(known=many))
    assert (
        "\n  old-7 (7 times, in mine)\n  old-8 (8 times, in mine)\n  (`vmsmp replay NAME` shows one" in text
    )
    assert "the kernel does so too" not in text
    assert "the kernel does so too" in campaign_text(campaign(known=many), seed=0, minutes=1.0, verbose=True)


def test_what_the_store_had_already_is_told(campaign):
    assert "\n3 of 12 batches were in the store already\n" in told(campaign(before=3))


def test_what_did_not_end_in_time_is_told(campaign):
    assert "\n2 batches did not end in time, and are not counted\n" in told(campaign(lost=2))


def test_what_is_fixed_is_told(campaign):
    assert "found before, and fixed on this code:\n  mine: check: bad\n" in told(
        campaign(fixed=["mine: check: bad"])
    )


@pytest.mark.parametrize(
    ("parallel", "words"), [(True, "truly parallel"), (False, "with the GIL, so preemptive")]
)
def test_free_rounds_say_whether_they_were_parallel(campaign, parallel, words):
    assert f"free rounds ({words})" in told(campaign(parallel=parallel))


def test_a_campaign_with_a_store_goes_on_with_the_same_seed(campaign):
    text = told(campaign(store=Path("my store")), seed=7, minutes=5)
    assert "go on: vmsmp stress --store 'my store' --seed 7" == text.splitlines()[-1]
