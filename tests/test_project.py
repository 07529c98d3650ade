"""What a project says of itself in its pyproject.toml."""

from __future__ import annotations

import os

import pytest

from vmsmp.errors import UsageError
from vmsmp.project import Project, project_at, project_here


@pytest.fixture
def project(tmp_path, monkeypatch):
    """What the project in an empty folder says, where its pyproject.toml reads so."""
    monkeypatch.chdir(tmp_path)

    def read(text, folder="."):
        (tmp_path / "pyproject.toml").write_text(text)
        return project_at((tmp_path / folder).resolve())

    return read


def test_a_project_says_how_to_search_and_where_its_scenarios_are(project):
    text = '[tool.vmsmp]\nscenarios = ["races", "one.py"]\nsched = "pct:3"\nschedules = 7\nseed = 9\n'
    assert Project(("races", "one.py"), "pct:3", 7, 9) == project(text)


def test_a_project_may_say_nothing(project):
    assert Project() == project("[tool.vmsmp]\n")


def test_paths_are_as_seen_from_where_one_stands(project, tmp_path, monkeypatch):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep")
    where = os.path.join("..", "races")
    assert (where,) == project('[tool.vmsmp]\nscenarios = ["races"]\n', "deep/er").scenarios


def test_a_project_above_counts_where_the_nearest_has_no_table(project, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text('[project]\nname = "inner"\n')
    assert 3 == project("[tool.vmsmp]\nseed = 3\n", "inner").seed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[tool.vmsmp]\nsede = 3\n",
            "pyproject.toml: [tool.vmsmp] has no key 'sede': there are scenarios, sched, schedules, seed",
        ),
        (
            "[tool.vmsmp]\nseed = -3\n",
            "pyproject.toml: seed of [tool.vmsmp] must be a number from 0, not '-3'",
        ),
        (
            "[tool.vmsmp]\nseed = true\n",
            "pyproject.toml: seed of [tool.vmsmp] must be a number from 0, not 'True'",
        ),
        (
            "[tool.vmsmp]\nschedules = 0\n",
            "pyproject.toml: schedules of [tool.vmsmp] must be a number from 1, not '0'",
        ),
        (
            '[tool.vmsmp]\nsched = "luck"\n',
            "pyproject.toml: sched of [tool.vmsmp] must be a scheduler such as pct:3, not 'luck'",
        ),
        (
            '[tool.vmsmp]\nscenarios = "races"\n',
            "pyproject.toml: scenarios of [tool.vmsmp] must be a list of files and folders, not 'races'",
        ),
        ("[tool]\nvmsmp = 3\n", "pyproject.toml: [tool.vmsmp] is no table"),
        ("[tool.vmsmp\n", "cannot read 'pyproject.toml': "),
    ],
)
def test_what_no_project_can_say_is_told_in_one_sentence(project, text, words):
    with pytest.raises(UsageError) as caught:
        project(text)
    assert (words, 0) == (str(caught.value)[: len(words)], str(caught.value).count("\n"))


def test_a_broken_file_that_is_not_about_us_is_left_alone(project):
    assert Project() == project("[tool.other\n")


def test_one_stands_in_a_project_or_in_none(project, tmp_path, monkeypatch):
    project("[tool.vmsmp]\nseed = 3\n")
    assert 3 == project_here().seed
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert Project() == project_here()
