"""Scenarios of the user's own: by `--scenarios`, by the project's pyproject.toml, in every command."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from vmsmp.campaign.code import own_code
from vmsmp.campaign.store.read import read_store
from vmsmp.errors import UsageError
from vmsmp.library import find_scenario, matching, scenario_at, with_own

TALLY = """
from vmsmp import scenario


@scenario(cpus=2, tags={"own"})
def NAME(m):
    \"\"\"Two CPUs count without a lock.\"\"\"
    word = m.cell(0, name="word")

    def add():
        word.store(word.load() + 1)

    m.spawn(add)
    m.spawn(add)
    m.join()
    m.check(word.load() == 2, "both are counted")
"""
LINE = "v1:own_tally:0:1.2>2"
PLACE = "races/tally.py::own_tally"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file below the folder where one stands; `NAME` in its text is `name`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    scenario_at.cache_clear()

    def call(path, text=TALLY, name="own_tally"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text.replace("NAME", name))

    yield call
    scenario_at.cache_clear()


@pytest.fixture
def races(write):
    write("races/tally.py")
    write("races/_kit.py", "raise SystemExit('loaded')\n")


@pytest.fixture
def project(write, races):
    write("pyproject.toml", '[tool.vmsmp]\nscenarios = ["races"]\nsched = "pct:3"\nschedules = 40\n')


def replay_words(text):
    """The words of the command that a report says to replay with."""
    return shlex.split(re.search(r"^ *replay: vmsmp (.*)$", text, re.MULTILINE)[1])


# -- which there are ------------------------------------------------------------------------------


def test_a_folder_has_the_scenarios_of_its_files_except_of_those_that_begin_with_an_underscore(races):
    own = {name: scenario for name, scenario in with_own(["races"]).items() if scenario.place}
    assert {"own_tally": PLACE} == {name: scenario.place for name, scenario in own.items()}


def test_a_file_named_twice_has_its_scenarios_once(races):
    assert "own_tally" in with_own(["races", "./races/tally.py"])


def test_two_scenarios_of_one_name_are_refused(races, write):
    write("more/again.py")
    words = f"two scenarios are called 'own_tally': {PLACE} and more/again.py::own_tally"
    with pytest.raises(UsageError, match=re.escape(words)):
        with_own(["races", "more"])


def test_a_scenario_called_like_one_of_the_library_is_refused(write):
    write("mine.py", name="spin_storm")
    with pytest.raises(UsageError, match=re.escape("'spin_storm': the library and mine.py::spin_storm")):
        with_own(["mine.py"])


@pytest.mark.parametrize(
    ("place", "text", "words"),
    [
        ("mine.py", "def it(m): pass\n", "'mine.py' has no scenario: mark a program with @vmsmp.scenario"),
        ("mine.py", "\n1 / 0\n", "cannot load 'mine.py', line 2: ZeroDivisionError"),
        ("gone.py", "", "cannot read 'gone.py': No such file"),
    ],
)
def test_a_place_without_scenarios_is_told_in_one_sentence(write, place, text, words):
    write("mine.py", text)
    with pytest.raises(UsageError, match=re.escape(words)):
        with_own([place])


def test_a_pattern_is_of_names_and_of_the_project_s_too_unless_it_is_a_place(project):
    assert ["own_tally"] == [scenario.__name__ for scenario in matching("own_*")]
    assert [PLACE] == [scenario.place for scenario in matching("races")]
    assert ["spin_storm"] == [scenario.__name__ for scenario in matching("spin_storm")]


def test_another_process_finds_a_scenario_by_its_place(races):
    assert "own_tally" == scenario_at(PLACE).__name__
    assert scenario_at("spin_storm") is find_scenario("spin_storm")


# -- the commands ---------------------------------------------------------------------------------


def test_a_scenario_of_a_folder_is_searched_by_name_and_its_line_replays_as_it_is_printed(vmsmp, races):
    ended = vmsmp("run", "own_tally", "--scenarios", "races")
    words = replay_words(ended.out)
    assert (1, PLACE) == (ended.code, words[-1])
    again = vmsmp(*words)
    assert (1, words) == (again.code, replay_words(again.out))


def test_a_scenario_of_the_project_is_searched_by_name(vmsmp, project):
    ended = vmsmp("run", "own_tally", "--json")
    assert (1, "pct:3") == (ended.code, ended.json["scheduler"])


def test_the_project_says_how_many_schedules_and_the_command_line_says_better(vmsmp, project):
    assert 40 == vmsmp("run", "spin_storm", "--json").json["executions"]
    ended = vmsmp("run", "spin_storm", "--json", "--schedules", 3, "--sched", "rr")
    assert (3, "rr") == (ended.json["executions"], ended.json["scheduler"])


def test_the_project_s_way_to_search_is_no_fault_of_a_free_run(vmsmp, project):
    assert 0 == vmsmp("run", "spin_storm", "--engine", "free", "--time", 0.1).code


def test_scenarios_of_the_project_are_listed(vmsmp, project):
    (listed,) = vmsmp("list", "--tags", "own", "--json").json
    assert ("own_tally", PLACE) == (listed["name"], listed["place"])


@pytest.mark.parametrize("command", ["replay", "minimize"])
def test_a_line_finds_its_program_in_a_folder_named_beside_it(vmsmp, races, command):
    ended = vmsmp(command, LINE, "--scenarios", "races")
    assert PLACE == replay_words(ended.out)[-1]


def test_a_line_alone_loads_nothing_of_the_project(vmsmp, project, write):
    write("races/tally.py", "raise SystemExit('loaded')\n")
    ended = vmsmp("replay", LINE)
    assert (2, True) == (ended.code, "unknown scenario 'own_tally'" in ended.err)


def test_a_mistake_in_a_file_of_the_project_is_told_in_one_line(vmsmp, project, write):
    write("races/tally.py", "\nnonsense\n")
    ended = vmsmp("list")
    words = "vmsmp: cannot load 'races/tally.py', line 2: NameError: "
    assert (2, words, 1) == (ended.code, ended.err[: len(words)], ended.err.count("\n"))


def test_a_mistake_in_the_project_s_table_is_told_in_one_line(vmsmp, write):
    write("pyproject.toml", "[tool.vmsmp]\nschedule = 4\n")
    assert (2, "", 1) == vmsmp("run", "spin_storm").complaint


@pytest.mark.ci
def test_a_folder_is_put_under_stress(vmsmp, races):
    words = ("stress", "--scenarios", "races", "--schedules", 24, "--workers", 1, "--store", "kept.db")
    ended = vmsmp(*words)
    assert (1, PLACE) == (ended.code, replay_words(ended.out)[-1])
    again = vmsmp(*words)
    assert (1, PLACE) == (again.code, replay_words(again.out)[-1])
    assert "were in the store already" in again.out


@pytest.fixture
def kept(vmsmp, races):
    """The output of a campaign on the folder; its store is `kept.db`."""
    words = ("--scenarios", "races", "--schedules", 8, "--workers", 1, "--store", "kept.db")
    return vmsmp("stress", *words).out


def test_a_campaign_on_a_folder_goes_on_with_the_folder(kept):
    assert (
        "go on: vmsmp stress --store kept.db --minutes 1 --seed 0 --scenarios races" == kept.splitlines()[-1]
    )


def test_a_report_names_the_file_beside_a_line_and_the_line_replays(vmsmp, kept):
    told = vmsmp("report", "--store", "kept.db")
    words = replay_words(told.out)
    assert (1, PLACE) == (told.code, words[-1])
    assert 1 == vmsmp(*words).code


def test_a_report_runs_the_lines_of_files_that_are_named_and_of_no_others(vmsmp, kept, write):
    vmsmp("report", "--store", "kept.db", "--html", "site", "--scenarios", "races")
    (page,) = Path("site/bug").iterdir()
    (test,) = Path("site/test").iterdir()
    assert "load word" in page.read_text()
    assert '"tally:own_tally"' in test.read_text()
    write("races/tally.py", "raise SystemExit('loaded')\n")
    vmsmp("report", "--store", "kept.db", "--html", "other")
    (page,) = Path("other/bug").iterdir()
    assert "Its program is in races/tally.py, which --scenarios did not name" in page.read_text()


@pytest.mark.ci
def test_a_finding_of_a_store_is_replayed_by_its_name(vmsmp, races):
    vmsmp("stress", "--scenarios", "races", "--schedules", 8, "--workers", 1, "--store", "kept.db")
    ((signature,),) = [[one for one in read_store(Path("kept.db")).signatures if one.scenario == "own_tally"]]
    ident = signature.findings[0].ident
    ended = vmsmp("replay", ident[:6], "--store", "kept.db", "--scenarios", "races")
    assert (1, PLACE) == (ended.code, replay_words(ended.out)[-1])
    alone = vmsmp("replay", ident, "--store", "kept.db")
    assert (2, f"vmsmp: its program is in '{PLACE}': name that beside it, since a line loads no code\n") == (
        alone.code,
        alone.err,
    )
    assert (2, "", 1) == vmsmp("replay", "fnone", "--store", "kept.db").complaint
    assert (2, "", 1) == vmsmp("replay", ident, "--store", "gone.db").complaint


def test_a_campaign_on_other_files_of_one_s_own_is_of_another_code(races, write):
    before = own_code(matching("races"))
    write("races/tally.py", TALLY + "\n")
    assert len({before, own_code(matching("races")), own_code(matching("spin_storm"))}) == 3
    assert "" == own_code(matching("spin_storm"))


# -- programs that are written out ----------------------------------------------------------------

COUNTER = """
from vmsmp.concurrent import ConcurrentStateMachine, at_end, operation


class Counter(ConcurrentStateMachine):
    def setup(self):
        self.word = self.m.cell(0, name="word")

    @operation()
    def add(self, n):
        self.word.store(self.word.load() + n)

    @at_end
    def two(self):
        self.m.check(self.word.load() == 2, "both are counted")
"""
WRITTEN = "counter.py::Counter(cpu1=[add(1)], cpu2=[add(1)])"


@pytest.mark.parametrize(
    "words",
    [
        ("run", WRITTEN),
        ("replay", "v1:Counter:0:1.2>2", WRITTEN),
        ("minimize", "v1:Counter:0:1.2>2", WRITTEN),
    ],
)
def test_a_program_that_is_written_out_is_run_and_its_line_replays(vmsmp, write, words):
    write("counter.py", COUNTER)
    again = replay_words(vmsmp(*words).out)
    assert (WRITTEN, 1) == (again[-1], vmsmp(*again).code)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("counter.py::Counter(cpu1=[sub(1)])", "'sub(1)' of 'Counter(cpu1=[sub(1)])' is no operation"),
        ("counter.py::Counter", "'Counter' is not of the form Counter(cpu1=["),
        ("counter.py::at_end(1)", "'at_end' of 'counter.py' is no class of concurrent programs"),
        ("counter.py::Other(1)", "'counter.py' has no program 'Other(1)'"),
    ],
)
def test_what_is_no_such_program_is_told_in_one_line(vmsmp, write, place, words):
    write("counter.py", COUNTER)
    ended = vmsmp("run", place)
    assert ((2, "", 1), True) == (ended.complaint, words in ended.err)


def test_no_test_is_written_for_a_program_without_a_name(vmsmp, write):
    write("counter.py", COUNTER)
    assert (2, "", 1) == vmsmp("replay", "v1:Counter:0:1.2>2", WRITTEN, "--pytest", "-").complaint
