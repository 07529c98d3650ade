"""The plugin as a whole: what it loads, what it registers, what the header says."""

import inspect
import os
import subprocess
import sys

import pytest

import vmsmp
from inner_session import HOME, Counts
from vmsmp.pytest_plugin.settings import DEFAULT_SCHED

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions


def test_loading_the_plugin_loads_nothing_else_of_vmsmp():
    code = (
        "import sys, vmsmp.pytest_plugin;"
        "print(*sorted(name for name in sys.modules if name.startswith('vmsmp')))"
    )
    env = {**os.environ, "PYTHONPATH": str(HOME)}
    printed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    light = ("blobs", "crash", "last_failed", "marks", "pending", "reports", "settings", "summary")
    expected = ["vmsmp", "vmsmp.pytest_plugin", *(f"vmsmp.pytest_plugin.{name}" for name in light)]
    assert expected == printed.stdout.decode().split()


def test_the_first_search_loads_no_library_but_our_own():
    code = (
        "import sys, vmsmp; vmsmp.explore(lambda m: None, schedules=1);"
        "print({'loguru', 'hypothesis', 'rich', 'pytest', 'asyncio'} & set(sys.modules))"
    )
    env = {**os.environ, "PYTHONPATH": str(HOME)}
    printed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert "set()" == printed.stdout.decode().strip()


def test_the_default_scheduler_in_the_header_is_that_of_explore():
    explore = inspect.signature(vmsmp.explore)
    assert explore.parameters["sched"].default == DEFAULT_SCHED


def test_the_plugin_can_be_named_where_entry_points_are_not_loaded(session):
    session.monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    session("def test_it(explore): explore(counted)", "-p", "vmsmp.pytest_plugin")
    assert Counts(passed=1) == session.counts


def test_modules_of_vmsmp_are_loaded_as_without_pytest(session):
    info = session.pytester.mkdir("installed") / "vmsmp_there-0.dist-info"  # with a list of its files
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vmsmp-there\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[pytest11]\nvmsmp_there = vmsmp.pytest_plugin.marks\n")
    (info / "RECORD").write_text("vmsmp/__init__.py,,\n")
    session.monkeypatch.setenv("PYTHONPATH", str(info.parent), prepend=os.pathsep)
    session(
        "\ndef test_it(explore, request):\n    explore(counted)\n"
        "    loader = vmsmp.explore.__globals__['__loader__']\n"
        "    assert loader is not request.config.pluginmanager.rewrite_hook"
    )
    assert Counts(passed=1) == session.counts


def test_the_plugin_can_be_left_out(session):
    text = session("def test_it(request): pass", "-p", "no:vmsmp", "--timeout", "5")
    assert Counts(passed=1) == session.counts
    assert "vmsmp: base seed" not in text


def test_the_plugin_works_without_pytest_timeout(session):
    session("def test_it(explore): explore(counted)", "-p", "no:timeout")
    assert Counts(passed=1) == session.counts


def test_the_marker_is_registered(session):
    session("@pytest.mark.vmsmp(schedules=3)\ndef test_it(explore): explore(counted)", "--strict-markers")
    assert Counts(passed=1) == session.counts


def test_the_header_shows_seed_gil_and_scheduler(session):
    gil = "on" if getattr(sys, "_is_gil_enabled", lambda: True)() else "off"
    text = session("def test_it(): pass", "--vmsmp-seed", "0x2a", "--vmsmp-sched", "pct:3")
    assert f"vmsmp: base seed 0x2a (--vmsmp-seed), GIL {gil}, sched pct:3" in text


def test_the_base_seed_is_zero_unless_given(session):
    assert "vmsmp: base seed 0x0 " in session("def test_it(): pass")
