"""`vmsmp stress`: short campaigns, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time

import pytest

SHORT = ("stress", "--minutes", "0.05", "--workers", "2")


# -- clean ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean(process):
    return process(*SHORT, "--scenarios", "spin_*")


def test_a_clean_campaign_ends_with_0(clean):
    assert (0, "") == (clean.code, clean.err)


def test_a_campaign_has_a_row_for_every_scenario(clean):
    assert [
        *("spin_readers_and_writers", "spin_storm", "spin_try_leaves_no_trace", "spin_upgrade"),
        "spin_writers_queue",
    ] == re.findall(r"^(spin_\w+) ", clean.out, re.MULTILINE)


def test_a_clean_campaign_says_so_in_its_summary(clean):
    assert "on 2 workers; no new failures" in clean.out


def test_a_campaign_says_what_it_left_out(clean):
    assert "not explored: other CPU counts" in clean.out


def test_a_campaign_says_how_to_go_on(clean):
    assert "go on: vmsmp stress --minutes 10 --seed 1000" == clean.out.splitlines()[-1]


# -- JSON and log ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logged(process, tmp_path_factory):
    log = tmp_path_factory.mktemp("stress") / "log"
    return process(*SHORT, "--scenarios", "token_chain_walk", "--json", "--log", log), log.read_text()


def test_the_json_of_a_campaign_has_its_keys(logged):
    assert {
        *("seconds", "workers", "slices", "planned", "interrupted", "errors", "new", "known", "scenarios")
    } == set(logged[0].json)


def test_the_json_of_a_scenario_has_its_keys(logged):
    assert {"schedules", "repaired", "steps", "rounds", "operations", "failed", "known"} == set(
        logged[0].json["scenarios"]["token_chain_walk"]
    )


def test_a_short_campaign_of_one_scenario_goes_every_way(logged):
    row = logged[0].json["scenarios"]["token_chain_walk"]
    assert (True, True) == (row["schedules"] > 0, row["rounds"] > 0)


def test_the_log_has_one_object_a_slice(logged):
    ended, log = logged
    assert ended.json["slices"] == len([json.loads(line) for line in log.splitlines()])


def test_an_object_of_the_log_names_its_slice(logged):
    first = json.loads(logged[1].splitlines()[0])["record"]["extra"]
    assert {"scenario", "way", "seed"} == set(first)


# -- failures -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken(process):
    return process(*SHORT, "--scenarios", "spin_writers_queue", "--mutant", "SP-05")


def test_a_campaign_with_a_new_failure_ends_with_1(broken):
    assert (1, "") == (broken.code, broken.err)


def test_a_failure_of_a_campaign_fails_the_same_way_in_a_new_process(broken, process):
    line = next(line for line in broken.out.splitlines() if line.startswith("replay: vmsmp "))
    again = process(*shlex.split(line.partition("vmsmp ")[2]))
    headline, _, rest = again.out.partition("\n")
    table = rest.partition("\n")[2].rstrip("\n")  # the line between names the execution
    assert (1, True, True) == (again.code, f"{headline}\n" in broken.out, table in broken.out)


def test_no_failure_of_a_campaign_is_shown_twice(broken):
    lines = re.findall(r"^replay: .*$", broken.out, re.MULTILINE)
    assert sorted(set(lines)) == sorted(lines)


def test_a_campaign_says_how_many_failures_are_new(broken):
    shown = len(re.findall(r"^seen \d+ times in this campaign$", broken.out, re.MULTILINE))
    assert f"on 2 workers; {shown} new failures" in broken.out


@pytest.fixture(scope="module")
def known(process):
    return process(*SHORT, "--scenarios", "abandoned_upgrade_*")


def test_known_findings_do_not_fail_a_campaign(known):
    assert (0, "") == (known.code, known.err)


def test_known_findings_are_shown(known):
    assert "known findings, which do not fail a campaign:\n  abandoned-upgrade-" in known.out


def test_a_known_finding_s_line_replays(known, process):
    line = next(line for line in known.out.splitlines() if line.startswith("    replay: vmsmp "))
    assert 1 == process(*shlex.split(line.partition("vmsmp ")[2])).code


# -- bad input ------------------------------------------------------------------------------------


def test_an_unknown_mutant_is_bad_input(process):
    assert (2, "", 1) == process(*SHORT, "--scenarios", "spin_upgrade", "--mutant", "SP-99").complaint


def test_a_log_that_cannot_be_written_is_bad_input(process):
    ended = process(*SHORT, "--scenarios", "spin_upgrade", "--log", "/proc/no/such/log")
    assert (2, "", 1) == ended.complaint


# -- Ctrl-C ---------------------------------------------------------------------------------------


def alive(group):
    """The processes of a group that still run."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    words = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            if words[2] == str(group) and words[0] != "Z":
                found.append(int(entry))
    return found


def gone(group):
    """Wait until nobody is left; who is left."""
    for _ in range(100):
        if not alive(group):
            return []
        time.sleep(0.05)
    return alive(group)


def interrupt(child, *, all_of_them):
    """Ctrl-C: a terminal sends it to everybody, `kill` to one."""
    for _ in range(100):
        if len(alive(child.pid)) > 2:
            break
        time.sleep(0.05)
    time.sleep(1.0)
    if all_of_them:
        os.killpg(child.pid, signal.SIGINT)
    else:
        child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    return child.returncode, out, err


@pytest.mark.parametrize("all_of_them", [True, False], ids=["terminal", "kill"])
def test_ctrl_c_ends_a_campaign_with_4_its_results_and_nobody_left(started, all_of_them):
    child = started("stress", "--minutes", "5", "--workers", "2", "--scenarios", "spin_upgrade", "--json")
    code, out, err = interrupt(child, all_of_them=all_of_them)
    assert (4, True, "", []) == (code, json.loads(out)["interrupted"], err, gone(child.pid))


def test_ctrl_c_shows_the_summary_of_a_campaign(started):
    child = started("stress", "--minutes", "5", "--workers", "2", "--scenarios", "spin_upgrade")
    _, out, _ = interrupt(child, all_of_them=True)
    assert "\ninterrupted: these are the results until then\n" in out


@pytest.mark.parametrize("wait_s", [0.15, 0.3])
def test_ctrl_c_at_the_very_beginning_leaves_nobody(started, wait_s):
    child = started("stress", "--minutes", "5", "--workers", "2", "--scenarios", "spin_upgrade")
    time.sleep(wait_s)
    os.killpg(child.pid, signal.SIGINT)
    child.communicate(timeout=30)
    assert [] == gone(child.pid)
