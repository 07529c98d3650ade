"""A planted bug from the campaign to the report: there once, with a line, a test and a trace that show it."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from vmsmp.engine.schedule import Schedule

ROOT = Path(__file__).resolve().parents[2]
SIGNATURE = "check: both increments are counted"
PLANTED = '''
from vmsmp import scenario


@scenario(cpus=2)
def planted(m):
    """Two CPUs add to a word, and neither locks it."""
    word = m.cell(0, name="word")

    def add():
        word.store(word.load() + 1)

    m.spawn(add)
    m.spawn(add)
    m.join()
    m.check(word.load() == 2, "both increments are counted")
'''

pytestmark = pytest.mark.ci


def run(*words, folder):
    """A command in a process of its own, without mirrors of options: exit code and output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VMSMP_")}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**kept, "PYTHONPATH": f"{ROOT}:{folder}"},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the scenario, the store of a campaign that has hit its bug often, and its site."""
    home = tmp_path_factory.mktemp("planted")
    (home / "planted.py").write_text(PLANTED)
    words = ("--scenarios", "planted.py", "--schedules", 4_000, "--workers", 2, "--store", "s")
    code, text = run("vmsmp", "stress", *words, folder=home)
    assert 1 == code, text
    words = ("--store", "s", "--html", "site", "--scenarios", "planted.py", "--json")
    code, text = run("vmsmp", "report", *words, folder=home)
    assert 1 == code, text
    (home / "report.json").write_text(text)
    return home


@pytest.fixture(scope="module")
def bug(folder):
    (only,) = json.loads((folder / "report.json").read_text())["bugs"]
    return only


def test_it_is_reported_once_however_often_it_was_hit(folder, bug):
    assert (SIGNATURE, "new") == (bug["signature"], bug["status"])
    assert bug["times"] > 500
    assert 1 == (folder / "site/index.html").read_text().count(SIGNATURE)
    assert 1 == len([*(folder / "site/bug").iterdir()])


def test_its_line_is_as_short_as_can_be(bug):
    assert 1 == len(Schedule.parse(bug["line"]))


def test_the_command_of_its_page_replays_it(folder):
    (page,) = (folder / "site/bug").iterdir()
    command = html.unescape(re.search(r"vmsmp replay &#39;.*?&#39; planted.py::planted", page.read_text())[0])
    code, text = run(*shlex.split(command), folder=folder)
    assert (1, True) == (code, text.startswith(f"{SIGNATURE}\n"))


def test_its_pytest_file_fails_over_the_bug_and_passes_once_it_is_mended(folder):
    (test,) = (folder / "site/test").iterdir()
    words = ("pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", folder, test)
    code, text = run(*words, folder=folder)
    assert (1, True) == (code, SIGNATURE in text), text
    mended = folder / "mended"
    mended.mkdir()
    (mended / "planted.py").write_text(
        PLANTED.replace("m.cell(0", "m.atomic(0").replace("word.store(word.load() + 1)", "word.fetchadd(1)")
    )
    code, text = run(*words, folder=mended)
    assert (0, True) == (code, "1 passed" in text), text


def test_its_trace_opens(folder, bug):
    """What Perfetto needs: events with a phase, a time and a track, that nest on each track."""
    (file,) = (folder / "site/trace").iterdir()
    trace = json.loads(file.read_text())
    assert (SIGNATURE, bug["digest"]) == (trace["otherData"]["outcome"], trace["otherData"]["digest"])
    spans = {}
    for event in trace["traceEvents"]:
        assert event["ph"] in "XiICMbestf"
        assert {"name", "pid"} <= set(event)
        if event["ph"] == "X":
            spans.setdefault((event["pid"], event["tid"]), []).append(
                (event["ts"], event["ts"] + event["dur"])
            )
    assert spans
    for track in spans.values():
        track.sort(key=lambda span: (span[0], -span[1]))
        ends = []
        for begin, end in track:
            while ends and ends[-1] <= begin:
                ends.pop()
            assert not ends or end <= ends[-1]
            ends.append(end)
