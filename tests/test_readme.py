"""The README says what is so: its report is real, its code runs, its line replays."""

import re
from pathlib import Path

import pytest

import vmsmp
from vmsmp.cli import COMMANDS, main, parser

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def without_line_numbers(report):
    """Places move with every edit of a file; what they say of a run does not."""
    return re.sub(r"(?<=[a-z]):\d+", ":N", report)


def test_the_report_in_the_readme_is_what_its_line_replays_to(capsys):
    (report,) = blocks("text")
    line = re.search(r"vmsmp replay '([^']+)'", report).group(1)
    assert 1 == main(["replay", line])
    assert without_line_numbers(report) == without_line_numbers(capsys.readouterr().out)


def test_the_first_python_block_runs_as_it_stands(capsys):
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    assert "both increments are counted" in capsys.readouterr().out


@pytest.mark.parametrize("command", blocks("sh"))
def test_each_command_makes_its_own_environment(command):
    assert command.startswith("python3 -m venv .venv && ")


def test_there_are_three_commands():
    assert 3 == len(blocks("sh"))


def test_the_first_command_finds_the_bug_of_the_report(capsys):
    words = re.search(r"\.venv/bin/vmsmp (.*)$", blocks("sh")[0], re.MULTILINE).group(1).split()
    assert 1 == main(words)
    assert blocks("text")[0].splitlines()[0] in capsys.readouterr().out.splitlines()


def test_the_second_command_runs_the_tests():
    assert blocks("sh")[1].rstrip().endswith("-m pytest -n 2")


def test_the_third_command_stresses():
    assert blocks("sh")[2].rstrip().endswith("vmsmp stress --minutes 1")


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__.rsplit(".", 1)[-1])
def test_every_command_stands_in_the_readme(module):
    names = {"listing": "list"}
    short = module.__name__.rsplit(".", 1)[-1]
    assert f"| `vmsmp {names.get(short, short)}" in README


def test_every_scheduler_of_the_readme_exists():
    for sched in ("portfolio", "random", "pct:3", "rr", "dfs:1"):
        assert 1 <= vmsmp.explore(lambda m: m.cell(0).load(), sched=sched, schedules=2).executions


def test_the_help_names_every_command():
    text = parser().format_help()
    for command in ("list", "run", "replay", "minimize", "stress", "bench", "doctor"):
        assert command in text
