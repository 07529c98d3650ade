"""`vmsmp run`."""

from __future__ import annotations

import os
import shlex
import signal
import time

import pytest

BROKEN = ("run", "spin_writers_queue", "--mutant", "SP-05")
CLEAN = ("run", "spin_upgrade", "--schedules", "20")


# -- under control --------------------------------------------------------------------------------


def test_a_clean_search_ends_with_0(vmsmp):
    assert (0, "") == (vmsmp(*CLEAN).code, vmsmp(*CLEAN).err)


def test_a_clean_search_says_what_it_explored_and_how_to_go_on(vmsmp):
    out = vmsmp(*CLEAN).out.splitlines()
    heads = ["explored", "traces", "size", "PCT's bound", "not explored", "go on"]
    assert ["spin_upgrade: 20 schedules under portfolio (exact)", *heads] == [
        out[0].partition(",")[0],
        *(line.partition(":")[0] for line in out[1:]),
    ]


def test_the_way_to_go_on_is_a_command(vmsmp):
    go_on = vmsmp(*CLEAN).out.splitlines()[-1].partition("vmsmp ")[2].split()
    assert 0 == vmsmp(*go_on, "--schedules", "2").code


def test_a_search_has_the_number_of_schedules_that_was_asked_for(vmsmp):
    assert 20 == vmsmp(*CLEAN, "--json").json["executions"]


def test_a_search_that_found_something_ends_with_1(vmsmp):
    assert (1, "") == (vmsmp(*BROKEN).code, vmsmp(*BROKEN).err)


def test_a_failure_is_printed_with_the_line_that_replays_it(vmsmp):
    found = vmsmp(*BROKEN, "--json").json["failures"][0]
    assert (
        f"\nreplay: vmsmp replay '{found['schedule']}:{found['digest']}'\ndigest: {found['digest']}\n"
        in vmsmp(*BROKEN).out
    )


def test_the_replay_line_of_a_search_fails_the_same_way(vmsmp):
    found = vmsmp(*BROKEN, "--json").json["failures"][0]
    again = vmsmp("replay", found["schedule"], "--json").json["failure"]
    assert (found["signature"], found["digest"]) == (again["signature"], again["digest"])


def test_the_replay_line_of_a_livelock_fails_the_same_way(vmsmp):
    found = vmsmp("run", "spin_storm", "--max-steps", "20", "--json").json["failures"][0]
    again = vmsmp("replay", found["schedule"], "--json").json["failure"]
    assert (found["signature"], found["digest"]) == (again and again["signature"], again and again["digest"])


def test_a_search_is_the_same_text_twice_but_for_its_time(vmsmp):
    one, other = (vmsmp(*BROKEN).out.rpartition(" steps in ")[0] for _ in range(2))
    assert one == other


def test_the_json_of_a_search_has_its_keys(vmsmp):
    assert {
        *("program", "scheduler", "executions", "steps", "seconds", "exhausted", "interrupted"),
        *("counts", "failures", "certificate"),
    } == set(vmsmp(*CLEAN, "--json").json)


def test_the_json_of_a_failure_has_its_keys(vmsmp):
    assert {
        *(
            "kind",
            "message",
            "signature",
            "confirmation",
            "schedule",
            "digest",
            "trace",
            "step",
            "facts",
            "program",
            "engine",
            "execution",
            "known",
        )
    } == set(vmsmp(*BROKEN, "--json").json["failures"][0])


def test_the_json_of_a_search_ends_with_1_as_its_text_does(vmsmp):
    assert 1 == vmsmp(*BROKEN, "--json").code


def test_all_keeps_one_failure_of_each_kind(vmsmp):
    found = vmsmp(*BROKEN, "--all", "--schedules", "100", "--json").json
    assert (100, sorted(found["counts"])) == (
        found["executions"],
        sorted(failure["signature"] for failure in found["failures"]),
    )


def test_all_finds_more_than_one_kind(vmsmp):
    assert 1 < len(vmsmp(*BROKEN, "--all", "--schedules", "100", "--json").json["failures"])


def test_without_checkers_only_the_program_speaks(vmsmp):
    found = vmsmp(*BROKEN, "--all", "--no-check", "--schedules", "100", "--json").json
    assert not [text for text in found["counts"] if "mutual exclusion" in text or "state word" in text]


@pytest.mark.parametrize("sched", ["portfolio", "random", "rr", "pct:3", "dfs:1", "dpor"])
def test_every_scheduler_can_be_named(vmsmp, sched):
    assert sched == vmsmp(*CLEAN, "--sched", sched, "--json").json["scheduler"]


@pytest.mark.parametrize("sched", ["dfs:0", "dpor"])
def test_a_systematic_search_ends_when_it_has_seen_everything(vmsmp, sched):
    ended = vmsmp("run", "last_readers_leave", "--locks", "atomic", "--sched", sched, "--json").json
    assert (True, []) == (ended["exhausted"], ended["failures"])


@pytest.mark.parametrize("sched", ["dfs:0", "dpor"])
def test_a_systematic_search_that_saw_everything_says_so(vmsmp, sched):
    out = vmsmp("run", "last_readers_leave", "--locks", "atomic", "--sched", sched).out
    assert "explored: every schedule that this search has" in out


def test_a_search_ends_when_its_time_is_up(vmsmp):
    assert 0 < vmsmp("run", "spin_upgrade", "--time", "0.1", "--json").json["executions"]


def test_another_seed_gives_another_search(vmsmp):
    one, other = (vmsmp(*CLEAN, "--seed", seed, "--json").json["steps"] for seed in (1, 2))
    assert one != other


def test_the_same_seed_gives_the_same_search(vmsmp):
    one, other = (vmsmp(*CLEAN, "--seed", 3, "--json").json["steps"] for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--locks", "atomic"), "(default options)"),
        (("--cpus", "2"), "(exact cpus=2)"),
        (("--timeouts", "any"), "(exact any)"),
        (("--spurious",), "(exact spurious)"),
        (("--repair", "undo-grant-clears-shared"), "(exact repair=undo-grant-clears-shared)"),
    ],
)
def test_what_decides_a_run_stands_in_its_summary(vmsmp, words, part):
    assert part in vmsmp(*CLEAN, *words).out


def test_a_search_where_memory_is_scarce_says_so(vmsmp):
    words = ("run", "page_storm", "--schedules", "5", "--pages", "2", "--pressure")
    assert "(pages=2 pressure)" in vmsmp(*words).out


def test_a_known_finding_is_named_with_its_repair(vmsmp):
    ended = vmsmp("run", "abandoned_upgrade_admits_writer", "--schedules", "20000", "--sched", "random")
    assert (
        "known finding abandoned-upgrade-admits-writer: undo_upreq grants EXREQ without asking whether "
        "other shared holders are left\n"
        "  what lies behind it: vmsmp run abandoned_upgrade_admits_writer "
        "--repair undo-upreq-spares-readers\n"
        "  its story: vmsmp replay abandoned-upgrade-admits-writer; its entry is in stress/known.toml\n"
    ) in ended.out
    assert 1 == ended.code


def test_a_known_finding_is_suspected_where_it_shows_in_another_scenario(vmsmp):
    ended = vmsmp("run", "mutex_owners_become_readers", "--locks", "exact")
    assert "known finding downgrade-gives-its-count-away may be its cause: " in ended.out
    assert 1 == ended.code


def test_what_is_none_of_the_known_findings_names_none(vmsmp):
    assert "known finding" not in vmsmp(*BROKEN).out


def test_the_json_names_the_known_finding(vmsmp):
    ended = vmsmp("run", "stop_cancels_another_call", "--json")
    assert ("stop-cancels-another-call", 1) == (ended.json["failures"][0]["known"], ended.code)


# -- free -----------------------------------------------------------------------------------------

FREE = ("run", "spin_upgrade", "--engine", "free", "--time", "0.2")


def test_a_clean_free_run_ends_with_0(vmsmp):
    assert (0, "") == (vmsmp(*FREE).code, vmsmp(*FREE).err)


def test_a_free_run_shows_the_contention_of_its_locks(vmsmp):
    out = vmsmp(*FREE).out.splitlines()
    assert ["lock", "taken", "contested", "share"] == out[2].split()


def test_the_json_of_a_free_run_has_its_keys(vmsmp):
    assert {
        *("program", "engine", "rounds", "operations", "rendezvous", "seconds", "interrupted"),
        *("locks", "counts", "failures"),
    } == set(vmsmp(*FREE, "--json").json)


def test_a_free_run_counts_what_its_locks_were_taken(vmsmp):
    ended = vmsmp(*FREE[:-1], "2", "--json").json
    assert 3 * ended["rounds"] <= ended["locks"]["pg"]["acquisitions"]


# -- Ctrl-C ---------------------------------------------------------------------------------------


def wait_for_cpus(child):
    """Until the boot CPU and one more have run: their threads are there."""
    for _ in range(400):
        if len(os.listdir(f"/proc/{child.pid}/task")) > 2:
            break
        time.sleep(0.05)
    time.sleep(0.3)


@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_ctrl_c_ends_a_run_with_4_and_its_results(started, engine):
    child = started("run", "spin_upgrade", "--engine", engine, "--time", "50", "--json")
    wait_for_cpus(child)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (4, True, "") == (child.returncode, '"interrupted": true' in out, err)


def test_ctrl_c_shows_a_summary_of_a_run(started):
    child = started("run", "spin_upgrade", "--time", "50")
    wait_for_cpus(child)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=30)
    assert "interrupted: what was found until then stands above" == out.splitlines()[1]


# -- the story of a clean run ---------------------------------------------------------------------


@pytest.fixture
def story(vmsmp):
    return vmsmp("run", "spin_upgrade", "--schedules", "3", "--seed", "5", "--story")


def test_a_clean_search_can_tell_the_story_of_its_first_run(story):
    assert (0, "clean: spin_upgrade, ") == (story.code, story.out[:21])


def test_that_story_ends_with_the_line_that_shows_it_again(vmsmp, story):
    line = next(line for line in story.out.splitlines() if line.startswith("replay: vmsmp "))
    told = vmsmp(*shlex.split(line.partition("vmsmp ")[2])).out
    assert story.out.startswith(told)


def test_without_being_asked_a_clean_search_tells_no_story(vmsmp):
    assert "clean: " not in vmsmp("run", "spin_upgrade", "--schedules", "3").out


def test_a_search_that_fails_tells_the_story_of_the_failure_alone(vmsmp):
    assert vmsmp(*BROKEN).out.splitlines()[:-1] == vmsmp(*BROKEN, "--story").out.splitlines()[:-1]
