"""The guide of the README: its files and commands stand as they are, and do what it says they do.

A block of `console` has commands, each with lines that it prints.  A block that begins with a comment that
names a file is that file.  The rows of the table of ways to reproduce are commands that end in a failure.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

import vmsmp
from patience import PROCESS_S, patient
from readme_tables import README, table
from vmsmp.cli import main

HOME = Path(vmsmp.__file__).resolve().parents[1]
FILES = dict(re.findall(r"^```(?:py|toml)\n# ([\w/.]+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
#: What the section on pytest calls `programs.py`, and the tests there.
PROGRAMS, _, TESTS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
CONSOLES = re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
pytestmark = patient
WAYS = [(have, re.search(r"`((?:vmsmp|pytest) .*)`", what)[1]) for have, what in table("Reproducing")]


def steps(console):
    """The commands of a block, each with the lines that it is said to print."""
    lines = console.splitlines()
    for n, line in enumerate(lines):
        if line.startswith("$ "):
            yield line.removeprefix("$ "), [*takewhile(lambda said: said[:2] != "$ ", lines[n + 1 :])]


COMMANDS = [step for console in CONSOLES for step in steps(console)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project with the files of the README."""
    home = tmp_path_factory.mktemp("project")
    files = {**FILES, "programs.py": PROGRAMS.split("\n\n\nresult = ")[0], "test_it.py": TESTS}
    for name, text in files.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    return home


def in_a_process(command, folder):
    """Exit code and output of a command in a fresh process."""
    name, *words = shlex.split(command)
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("VMSMP_", "PYTEST_", "CI"))}
    ways = {
        "vmsmp": ["-m", "vmsmp"],
        "pytest": ["-m", "pytest", "-p", "no:faulthandler", "-p", "no:randomly"],
    }
    done = subprocess.run(
        [sys.executable, *ways[name], *words],
        cwd=folder,
        env={**kept, "PYTHONPATH": os.pathsep.join([str(HOME), str(folder)])},
        capture_output=True,
        text=True,
        timeout=PROCESS_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def here(folder, monkeypatch):
    """Stand in the project."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in os.environ if name.startswith("VMSMP_")]:
        monkeypatch.delenv(name)
    return folder


def is_quick(command):
    return command.startswith("vmsmp ") and not command.startswith("vmsmp stress")


@pytest.mark.parametrize(("command", "said"), [step for step in COMMANDS if is_quick(step[0])])
def test_a_command_of_the_guide_prints_what_it_says(here, capsys, command, said):
    code = main([*shlex.split(command)[1:], *["--force"] * ("--pytest" in command)])
    printed = capsys.readouterr().out.splitlines()
    assert code in (0, 1)
    assert [] == [line for line in said if line.removeprefix("E" + " " * 11) not in printed]


@pytest.mark.ci
@pytest.mark.parametrize(("command", "said"), [step for step in COMMANDS if not is_quick(step[0])])
def test_a_long_command_of_the_guide_prints_what_it_says(folder, command, said):
    if "test_drains.py" in command:
        in_a_process(next(c for c, _ in COMMANDS if "--pytest test_drains.py" in c) + " --force", folder)
    code, printed = in_a_process(command, folder)
    assert code in (0, 1), printed
    lines = re.sub(r"^=+ (\d.*) in [\d.]+s.* =+$", r"\1", printed, flags=re.MULTILINE).splitlines()
    assert [] == [line for line in said if line not in lines], printed


@pytest.mark.ci
@pytest.mark.parametrize(
    "command", [command for _, command in WAYS if "VERSION" not in command and "IDENT" not in command]
)
def test_a_way_to_reproduce_ends_in_the_failure_in_a_fresh_process(folder, command):
    """Those of a store and of hypothesis' blob are tested where one is made."""
    if "test_drains.py" in command:
        in_a_process(next(c for c, _ in COMMANDS if "--pytest test_drains.py" in c) + " --force", folder)
    code, printed = in_a_process(command, folder)
    assert 1 == code, printed
    assert "replay: " in printed


def test_the_guide_has_files_commands_and_ways_to_reproduce():
    assert {"races/tickets.py", "pyproject.toml", "test_counter.py", "test_own.py"} == {*FILES}
    assert len(COMMANDS) >= 11
    assert len(WAYS) == len(table("Reproducing")) >= 10
