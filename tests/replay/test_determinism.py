"""The same line gives the same run: in a fresh process, under any hash seed, on any interpreter."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
import sortedcontainers

import vmsmp

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).with_name("programs.py")
TOOL = ROOT.parent / "shared" / "tools" / "freethreaded-python"

#: Runs the program along the lines given as arguments, in its own process.
CHILD = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("programs", sys.argv[1])
programs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(programs)
print(json.dumps(programs.digests(sys.argv[3:], check=sys.argv[2] == "on")))
"""


programs_spec = importlib.util.spec_from_file_location("determinism_programs", PROGRAMS)
programs = importlib.util.module_from_spec(programs_spec)
programs_spec.loader.exec_module(programs)
racy, digests = programs.racy, programs.digests


@pytest.fixture(scope="module")
def lines():
    """A line that fails at each depth, and one that does not."""
    found = [
        vmsmp.explore(racy, sched="random", schedules=200, locks=locks, timeouts="any").failure.schedule
        for locks in ("atomic", "exact")
    ]
    return [*found, "v1:racy:0:"]


@cache
def in_a_process(interpreter, hash_seed, check, lines):
    with tempfile.TemporaryDirectory() as folder:
        # what an interpreter without packages lacks, and no other package of this one's
        shutil.copytree(Path(sortedcontainers.__file__).parent, Path(folder, "sortedcontainers"))
        return _in_a_process(interpreter, hash_seed, check, lines, os.pathsep.join([str(ROOT), folder]))


def _in_a_process(interpreter, hash_seed, check, lines, path):
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    done = subprocess.run(
        [interpreter, "-c", CHILD, str(PROGRAMS), check, *lines],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert "" == done.stderr
    return json.loads(done.stdout)


def free_threaded():
    named = os.environ.get("VMSMP_FREETHREADED")
    if named:
        return named
    if not TOOL.is_file():
        return None
    found = subprocess.run(
        ["bash", str(TOOL), "--cached-only"], capture_output=True, text=True, timeout=60, check=False
    )
    return found.stdout.strip() or None


@pytest.fixture(scope="module")
def other_interpreter():
    found = free_threaded()
    if found is None:
        pytest.skip("no free-threaded interpreter is installed or cached here")
    probe = subprocess.run(
        [found, "-c", "import sys; print(sys.version_info[:2] >= (3, 11))"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "True" == probe.stdout.strip()
    return found


def test_the_lines_of_this_test_fail_and_do_not_fail(lines):
    assert [True, True, False] == [bool(signature) for _, signature in digests(lines, check=True)]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_line_gives_the_same_run_in_a_fresh_process(lines, hash_seed):
    here = digests(lines, check=True)
    assert here == in_a_process(sys.executable, hash_seed, "on", tuple(lines))


def test_a_line_gives_the_same_run_without_checkers(lines):
    assert digests(lines, check=True) == in_a_process(sys.executable, "1", "off", tuple(lines))


@pytest.mark.ci
@pytest.mark.timeout(600)  # a busy machine starts this interpreter slowly
@pytest.mark.parametrize("hash_seed", ["1", "2"])
@pytest.mark.parametrize("check", ["on", "off"])
def test_a_line_gives_the_same_run_on_a_free_threaded_build(lines, other_interpreter, hash_seed, check):
    here = digests(lines, check=True)
    assert here == in_a_process(other_interpreter, hash_seed, check, tuple(lines))


def test_a_search_gives_the_same_result_with_and_without_checkers():
    def found(check):
        result = vmsmp.explore(racy, sched="random", schedules=100, seed=4, stop="never", check=check)
        return result.executions, result.steps, result.counts, result.failure.schedule, result.failure.digest

    assert found(True) == found(False)
