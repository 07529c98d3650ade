"""`vmsmp stress`: short campaigns.

In processes of its own a campaign does in its time what the machine lets it do, maybe nothing, and says now
and then how far it is.  What it finds is asked of one of so many schedules that has them in this process.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import time
from contextlib import redirect_stderr, redirect_stdout

import pytest

from vmsmp.campaign.batch import Report
from vmsmp.campaign.crew import Ended
from vmsmp.campaign.plan import GLANCE
from vmsmp.campaign.store.read import read_store
from vmsmp.campaign.tally import Campaign
from vmsmp.campaign.way import WAYS
from vmsmp.cli import main
from vmsmp.logs import configure

SHORT = ("stress", "--minutes", "0.05", "--workers", "2")
#: Ways under control, and the schedules of a first round of one scenario.
CONTROLLED = [way for way in WAYS if way.engine == "controlled"]
ROUND = ("--schedules", str(len(CONTROLLED) * GLANCE))
#: Seconds that an end may take on the busiest machine: less than a campaign that nobody ends.
LIMIT_S = 1_000

pytestmark = pytest.mark.timeout(3 * LIMIT_S)


class Inline:
    """A fleet that does its jobs in this process, one at a time."""

    def __init__(self):
        self.jobs = []

    @property
    def busy(self):
        return len(self.jobs)

    @property
    def room(self):
        return 1 - self.busy

    def begin(self, job):
        self.jobs.append(job)

    def wait(self, timeout):
        return [Ended(job, job.do(lambda: None)) for job in (self.jobs.pop() for _ in range(self.busy))]

    def stop(self):
        pass


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Run a campaign of so many schedules in this process; how it ended."""

    def run(*words):
        folder = tmp_path_factory.mktemp("campaign")
        out = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(io.StringIO()):
            for name in os.environ:
                if name.startswith("VMSMP_"):
                    patch.delenv(name)
            patch.setattr("vmsmp.campaign.stress._fleet", lambda _means: Inline())
            patch.setattr("vmsmp.campaign.stress.gil_enabled", lambda: True)
            patch.chdir(folder)
            code = main(["stress", "--workers", "2", *words])
        configure(None)
        log = folder / "log"
        return code, out.getvalue(), log.read_text() if log.exists() else ""

    return run


# -- clean ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean(process):
    return process(*SHORT, "--scenarios", "spin_*")


def test_a_clean_campaign_ends_with_0(clean):
    assert 0 == clean.code


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


@pytest.mark.ci
def test_a_campaign_that_prints_json_says_nothing_else(logged):
    assert (0, "") == (logged[0].code, logged[0].err)


def test_the_json_of_a_campaign_has_its_keys(logged):
    assert {
        *("seconds", "workers", "batches", "planned", "before", "lost", "interrupted", "errors", "new"),
        *("known", "faces", "fixed", "scenarios", "inquiries", "compared"),
    } == set(logged[0].json)


def test_the_json_of_a_scenario_has_its_keys(logged):
    assert {"schedules", "repaired", "steps", "rounds", "operations", "failed", "known"} == set(
        logged[0].json["scenarios"]["token_chain_walk"]
    )


def test_the_log_has_one_object_a_batch(logged):
    ended, log = logged
    assert ended.json["batches"] == len([json.loads(line) for line in log.splitlines()])


@pytest.fixture(scope="module")
def round_of_one(campaign):
    return campaign("--scenarios", "token_chain_walk", "--json", "--log", "log", *ROUND)


def test_a_round_of_one_scenario_goes_every_way(round_of_one):
    told = json.loads(round_of_one[1])
    row = told["scenarios"]["token_chain_walk"]
    repaired = [way.repaired for way in CONTROLLED]
    counts = (row["schedules"] / GLANCE, row["repaired"] / GLANCE)
    assert (repaired.count(False), repaired.count(True)) == counts
    assert row["rounds"] > 0


def test_an_object_of_the_log_names_its_batch(round_of_one):
    objects = [json.loads(line)["record"]["extra"] for line in round_of_one[2].splitlines()]
    assert {("format", "scenario", "seed", "way")} == {tuple(sorted(extra)) for extra in objects}


# -- failures -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken(campaign):
    return campaign("--scenarios", "spin_writers_queue", "--mutant", "SP-05", *ROUND)


@pytest.mark.ci
def test_a_campaign_with_a_new_failure_ends_with_1(broken):
    assert 1 == broken[0]


@pytest.mark.ci
def test_a_failure_of_a_campaign_fails_the_same_way_in_a_new_process(broken, process):
    out = broken[1]
    line = next(line for line in out.splitlines() if line.startswith("replay: vmsmp "))
    again = process(*shlex.split(line.partition("vmsmp ")[2]))
    headline, _, rest = again.out.partition("\n")
    table = rest.partition("\n")[2].rstrip("\n")  # the line between names the execution
    assert (1, True, True) == (again.code, f"{headline}\n" in out, table in out)


def test_no_failure_of_a_campaign_is_shown_twice(broken):
    lines = re.findall(r"^replay: .*$", broken[1], re.MULTILINE)
    assert sorted(set(lines)) == sorted(lines)


def test_a_campaign_says_how_many_failures_are_new(broken):
    shown = len(re.findall(r"^seen \d+ times in this campaign$", broken[1], re.MULTILINE))
    assert f"on 2 workers; {shown} new failures" in broken[1]


@pytest.fixture(scope="module")
def known(campaign):
    return campaign("--scenarios", "vm_wait_misses_a_free", *ROUND)


def test_known_findings_do_not_fail_a_campaign(known):
    assert 0 == known[0]


def test_known_findings_are_shown(known):
    assert "known findings, which do not fail a campaign:\n  vm-wait-misses-a-free " in known[1]


def test_a_known_finding_s_line_replays(known, process):
    line = next(line for line in known[1].splitlines() if line.startswith("    replay: vmsmp replay "))
    assert 1 == process(*shlex.split(line.partition("vmsmp ")[2])).code


# -- how long -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "seconds", "schedules"),
    [
        ((), 60.0, None),
        (("--minutes", "2"), 120.0, None),
        (("--schedules", "9"), None, 9),
        (("--schedules", "9", "--minutes", "2"), 120.0, 9),
        (("--profile", "pr"), 300.0, None),
        (("--profile", "nightly"), 18_000.0, None),
        (("--profile", "weekend", "--minutes", "2"), 120.0, None),
    ],
)
def test_a_campaign_is_as_long_as_somebody_says(vmsmp, monkeypatch, words, seconds, schedules):
    asked = []

    def run(_glob, means, **options):
        asked.append((options["seconds"], options["schedules"]))
        return Campaign()

    monkeypatch.setattr("vmsmp.cli.stress.run_campaign", run)
    assert 0 == vmsmp("stress", *words).code
    assert [(seconds, schedules)] == asked


@pytest.mark.parametrize(
    ("parts", "code"),
    [({"errors": ["x"]}, 3), ({"interrupted": True, "errors": ["x"]}, 4), ({"interrupted": True}, 4)],
)
def test_the_exit_code_says_how_a_campaign_ended(vmsmp, monkeypatch, parts, code):
    monkeypatch.setattr("vmsmp.cli.stress.run_campaign", lambda *_args, **_more: Campaign(**parts))
    assert code == vmsmp("stress").code


# -- a store --------------------------------------------------------------------------------------


def test_a_campaign_on_a_store_goes_on_where_it_was(vmsmp, monkeypatch, tmp_path):
    monkeypatch.setattr("vmsmp.campaign.stress._fleet", lambda _means: Inline())
    monkeypatch.setattr("vmsmp.campaign.stress.gil_enabled", lambda: True)
    words = ("stress", "--scenarios", "spin_upgrade", "--schedules", "8", "--store", tmp_path / "s", "--json")
    assert [0, 1] == [vmsmp(*words).json["before"] for _ in range(2)]
    (one, two) = read_store(tmp_path / "s").runs
    assert (
        ("--scenarios", "spin_upgrade", "--seed", "0", "--schedules", "8") == one.arguments == two.arguments
    )


def test_what_is_no_store_is_bad_input_and_left_alone(vmsmp, tmp_path):
    (tmp_path / "s").write_text("mine\n")
    ended = vmsmp("stress", "--store", tmp_path / "s")
    assert ((2, "", 1), "mine\n") == (ended.complaint, (tmp_path / "s").read_text())


# -- bad input ------------------------------------------------------------------------------------


def test_an_unknown_mutant_is_bad_input(process):
    assert (2, "", 1) == process(*SHORT, "--scenarios", "spin_upgrade", "--mutant", "SP-99").complaint


def test_a_log_that_cannot_be_written_is_bad_input(process):
    ended = process(*SHORT, "--scenarios", "spin_upgrade", "--log", "/proc/no/such/log")
    assert (2, "", 1) == ended.complaint


# -- a log that is there --------------------------------------------------------------------------


@pytest.fixture
def quick(vmsmp, monkeypatch, tmp_path):
    """Run a campaign that is over at once, with a log in a folder of its own; how it ended, and the log."""

    class Quick(Inline):
        def wait(self, timeout):
            return [Ended(self.jobs[0], Report(self.jobs.pop()))]

    monkeypatch.setattr("vmsmp.campaign.stress._fleet", lambda _means: Quick())
    monkeypatch.chdir(tmp_path)

    def call(name, *words):
        words = ("--scenarios", "spin_upgrade", "--schedules", "1", "--workers", "1", "--log", name, *words)
        return vmsmp("stress", *words)

    yield call
    configure(None)


def lines(path):
    return path.read_text().count("\n")


def test_a_log_of_a_campaign_is_appended_to(quick, tmp_path):
    assert [(0, 1), (0, 2)] == [(quick("log").code, lines(tmp_path / "log")) for _ in range(2)]


def test_an_empty_file_may_become_a_log(quick, tmp_path):
    (tmp_path / "log").touch()
    assert (0, 1) == (quick("log").code, lines(tmp_path / "log"))


@pytest.mark.parametrize("text", ["mine\n", '{"format": "vmsmp.trace/1"}\n'])
def test_what_is_no_log_is_left_alone(quick, tmp_path, text):
    (tmp_path / "log").write_text(text)
    ended = quick("log")
    assert ((2, "", 1), text) == (ended.complaint, (tmp_path / "log").read_text())
    assert "--force" in ended.err


def test_by_force_it_is_appended_to(quick, tmp_path):
    (tmp_path / "log").write_text("mine\n")
    assert (0, "mine", 2) == (
        quick("log", "--force").code,
        (tmp_path / "log").read_text().splitlines()[0],
        lines(tmp_path / "log"),
    )


def test_a_link_out_of_its_folder_is_no_place_for_a_log(quick, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "log").symlink_to("elsewhere/log")
    assert ((2, "", 1), []) == (quick("log", "--force").complaint, [*(tmp_path / "elsewhere").iterdir()])


def test_a_device_is_no_place_for_a_log(quick):
    assert (2, "", 1) == quick("/dev/null", "--force").complaint


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
    """Wait until nobody is left; who is left after a long time."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        if not alive(group):
            return []
        time.sleep(0.05)
    return alive(group)


def interrupt(child, *, all_of_them, number=signal.SIGINT):
    """Ctrl-C: a terminal sends it to everybody, `kill` to one; and what else ends a process."""
    while len(alive(child.pid)) < 3:  # the campaign and its workers
        assert child.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    if all_of_them:
        os.killpg(child.pid, number)
    else:
        child.send_signal(number)
    out, err = child.communicate(timeout=LIMIT_S)
    return child.returncode, out, err


@pytest.mark.parametrize(
    ("number", "all_of_them"),
    [
        (signal.SIGINT, True),
        pytest.param(signal.SIGINT, False, marks=pytest.mark.ci),
        (signal.SIGTERM, True),
        pytest.param(signal.SIGHUP, False, marks=pytest.mark.ci),
    ],
    ids=["terminal", "kill", "service", "hangup"],
)
def test_what_ends_a_campaign_ends_it_with_4_its_results_and_nobody_left(started, number, all_of_them):
    child = started("stress", "--minutes", "60", "--workers", "2", "--scenarios", "spin_upgrade", "--json")
    code, out, err = interrupt(child, all_of_them=all_of_them, number=number)
    told = json.loads(out)
    assert (4, True, [], "", []) == (code, told["interrupted"], told["errors"], err, gone(child.pid))


def test_nobody_is_left_of_a_campaign_that_is_killed(started):
    child = started("stress", "--minutes", "60", "--workers", "2", "--scenarios", "spin_upgrade")
    while len(alive(child.pid)) < 3:
        assert child.poll() is None
        time.sleep(0.05)
    child.kill()
    child.communicate(timeout=LIMIT_S)  # whoever is left keeps its standard error open
    assert [] == gone(child.pid)


@pytest.mark.ci
def test_ctrl_c_shows_the_summary_of_a_campaign(started):
    child = started("stress", "--minutes", "60", "--workers", "2", "--scenarios", "spin_upgrade")
    _, out, _ = interrupt(child, all_of_them=True)
    assert "\ninterrupted: these are the results until then\n" in out


@pytest.mark.parametrize("wait_s", [0.15, 0.3])
def test_ctrl_c_at_the_very_beginning_leaves_nobody(started, wait_s):
    child = started("stress", "--minutes", "60", "--workers", "2", "--scenarios", "spin_upgrade")
    time.sleep(wait_s)
    os.killpg(child.pid, signal.SIGINT)
    child.communicate(timeout=LIMIT_S)
    assert [] == gone(child.pid)


def workers(child):
    """The workers of a campaign that run something, once some do."""
    while True:
        assert child.poll() is None
        found = [process for process in alive(child.pid) if process != child.pid]
        if at_work := [process for process in found if len(os.listdir(f"/proc/{process}/task")) > 1]:
            return at_work
        time.sleep(0.05)


@pytest.mark.ci
def test_a_worker_that_is_killed_costs_a_campaign_nothing(started):
    words = ("--workers", "1", "--scenarios", "spin_upgrade", "--json", "--schedules", "2000")
    child = started("stress", *words)
    for process in workers(child):
        os.kill(process, signal.SIGKILL)
    out, err = child.communicate(timeout=LIMIT_S)
    told = json.loads(out)
    row = told["scenarios"]["spin_upgrade"]
    assert (0, "", [], 2_000) == (child.returncode, err, told["errors"], row["schedules"] + row["repaired"])


@pytest.mark.ci
def test_workers_that_are_stopped_do_not_hold_a_campaign_up(started):
    child = started("stress", "--minutes", "0.5", "--workers", "2", "--scenarios", "spin_upgrade", "--json")
    stopped = workers(child)
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    out, _ = child.communicate(timeout=LIMIT_S)
    assert (0, True, []) == (child.returncode, json.loads(out)["lost"] >= len(stopped), gone(child.pid))


@pytest.mark.ci
def test_a_campaign_sweeps_free_pages_under_pressure(process):
    words = ("--schedules", "8", "--scenarios", "page_storm", "--pages", "2", "--pressure", "--json")
    ended = process("stress", "--workers", "1", *words)
    row = ended.json["scenarios"]["page_storm"]
    assert (0, 0, 8) == (ended.code, row["schedules"], row["repaired"])
