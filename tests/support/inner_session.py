"""Sessions of pytest in processes of their own, to see the plugin from outside."""

import inspect
import os
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

import vmsmp

pytest_plugins = ["pytester"]

HOME = Path(vmsmp.__file__).resolve().parent.parent

#: Programs that the inner tests run; each test file begins with them.
PROGRAMS = """
import time
import pytest
import vmsmp

hangs = pytest.mark.timeout(1)

def lost_update(m):
    word = m.cell(0, name="word")
    def incrementer():
        word.store(word.load() + 1)
    m.spawn(incrementer)
    m.spawn(incrementer)
    m.join()
    m.check(word.load() == 2, "both increments are counted")

def counted(m):
    word = m.atomic(0, name="word")
    for _ in range(2):
        m.spawn(word.fetchadd, 1)
    m.join()
    m.check(word.load() == 2, "both increments are counted")

def held_for_ever(m, forever):
    lock = m.spinlock("pg")
    ready = m.atomic(0, name="ready")
    def holder():
        with lock:
            ready.store(1)
            forever(ready)
    def waiter():
        while not ready.load():
            m.pause()
        with lock:
            pass
    m.spawn(waiter, name="waiter")
    m.spawn(holder, name="holder")
    m.join()

def operates(m):
    def forever(ready):
        while True:
            ready.fetchadd(1)
    held_for_ever(m, forever)

def computes(m):
    def forever(ready):
        if m.rng.random() > 2:
            return
        while True:
            pass
    held_for_ever(m, forever)

def sleeps_in_the_host(m):
    def forever(ready):
        time.sleep(600)
    held_for_ever(m, forever)
"""

#: What makes time run out exactly when a program hangs, however busy the host is: the watchdog waits
#: until `hung(machine)` instead of looking at the clock.
HANGING = """
from vmsmp.pytest_plugin.watchdog import Watchdog

def hung(machine):
    return any("in forever" in str(place) for cpu in machine.survey() for place in cpu.frames)

def in_time(watchdog):
    while not watchdog.over.wait(0.01):
        if any(hung(engine.machine) for engine in watchdog.engines()):
            return False
    return True

Watchdog.in_time = in_time
"""

WORKERS = pytest.mark.parametrize(
    "workers", [pytest.param((), id="alone"), pytest.param(("-n", "2"), id="xdist", marks=pytest.mark.ci)]
)


#: Seconds that an inner session may take on the busiest machine.
LIMIT_S = 500


class Counts(NamedTuple):
    """How a session ended: how many tests passed and failed, and hence the exit code."""

    passed: int = 0
    failed: int = 0


class Session:
    """Runs pytest over one test file."""

    def __init__(self, pytester, monkeypatch):
        self.pytester = pytester
        self.monkeypatch = monkeypatch
        path = [str(HOME)]
        if not entry_points(group="pytest11", name="vmsmp"):
            # As if installed: also the workers of xdist find the plugin, and -p no:vmsmp holds.
            info = pytester.mkdir("site") / "vmsmp_here-0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vmsmp-here\nVersion: 0\n")
            (info / "entry_points.txt").write_text("[pytest11]\nvmsmp = vmsmp.pytest_plugin\n")
            path.append(str(info.parent))
        path += filter(None, [os.environ.get("PYTHONPATH")])
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
        # CI and BUILD_NUMBER make pytest print more than it does for a person.
        ours = ("VMSMP_", "PYTEST_", "CI", "BUILD_NUMBER")
        for name in [name for name in os.environ if name.startswith(ours)]:
            monkeypatch.delenv(name)

    def __call__(self, tests, *options):
        """The text of a session over `tests`; `counts` and `rc` come with it."""
        if tests:
            self.pytester.makepyfile(test_it=PROGRAMS + inspect.cleandoc(tests))
        done = self.pytester.runpytest_subprocess(
            "-p", "no:faulthandler", "-p", "no:randomly", *options, timeout=LIMIT_S
        )
        self.rc = done.ret
        self.text = "\n".join([*done.outlines, *done.errlines])
        counts = done.parseoutcomes() if re.search(r" in \d", self.text) else {}
        self.counts = Counts(counts.get("passed", 0), counts.get("failed", 0))
        if sum(self.counts):
            assert (1 if self.counts.failed else 0) == self.rc, self.text
        return self.text

    def properties(self, file):
        """The JUnit properties of each test by name."""
        found = {}
        for case in ET.parse(self.pytester.path / file).iter("testcase"):
            entries = case.iter("property")
            found[case.get("name")] = {e.get("name"): e.get("value") for e in entries}
        return found


def replay_option(text):
    """The option of the command that a report prints."""
    return re.search(r"replay: pytest \S+ (--vmsmp-replay) '(\S+)'", text).groups()


def each_marked(markers):
    """A test for each marker, which explores what never fails."""
    return "".join(
        f"\n@pytest.mark.{marker}\ndef test_{n}(explore): explore(counted)\n"
        for n, marker in enumerate(markers)
    )
