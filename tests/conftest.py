"""Which tests run, and what all of them need.

`--vmsmp-profile` says how much is run: `pr` is what fits a few minutes on two cores, `ci` adds the
tests that measure the tool's power or run long, `nightly` those that run longer still.  A test says
which it belongs to by the marker `ci` or `nightly`; without one it runs always.
"""

import gc
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from vmsmp.engine.workers import gil_enabled
from vmsmp.library import all_scenarios

#: From the least to the most; each runs what those before it run.
PROFILES = ("pr", "ci", "nightly")
#: Where tests run under the controlled engine, which does the same on every interpreter (`tests/replay` holds
#: that).  One without the GIL takes twice as long for them: except in the night, it runs the first cases of
#: each test, and leaves those marked `ci` to the others.
CONTROLLED = (
    "campaign/test_findings.py",
    "golden",
    "mmu",
    "model",
    "patches",
    "quality",
    "scenarios/test_histories.py",
    "scenarios/test_scenarios.py",
    "sched",
    "sync/test_refinement.py",
    "sync/test_refinement_tokens.py",
    "vm",
)
FIRST = 2

# What `tests/support` asserts is shown like what tests assert.
pytest.register_assert_rewrite(
    "inner_session", "machine_driver", "mappings", "page_layer", "things", "verdicts"
)

all_scenarios()  # from here on `vmsmp.scenarios` can be imported, in a checkout too


def pytest_addoption(parser):
    parser.addoption(
        "--vmsmp-profile",
        choices=PROFILES,
        default=os.environ.get("VMSMP_PROFILE", PROFILES[0]),
        help="how much of vmsmp's own tests to run: %(choices)s [VMSMP_PROFILE]",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "ci: measures the tool's power or runs long; the gate runs it")
    config.addinivalue_line("markers", "nightly: runs for many minutes")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job that runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)  # tests press Ctrl-C
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests hang up


def under_control(item):
    """Whether a test is in one of the rooms that run under the controlled engine."""
    path = item.path.relative_to(Path(__file__).parent).as_posix()
    return path.startswith(tuple(room if room.endswith(".py") else f"{room}/" for room in CONTROLLED))


def seen_elsewhere(items):
    """The tests that an interpreter without the GIL leaves to those that have it."""
    cases = Counter()
    for item in filter(under_control, items):
        test = item.nodeid.partition("[")[0]
        cases[test] += 1
        if cases[test] > FIRST or item.get_closest_marker("ci"):
            yield item


def pytest_collection_finish(session):
    """The collected tests stay: to look through them for garbage again and again takes time."""
    if gil_enabled():  # the free-threaded collector has no generations
        gc.freeze()


@pytest.hookimpl(trylast=True)  # what is asked for by name is chosen before
def pytest_collection_modifyitems(config, items):
    profile = config.getoption("--vmsmp-profile")
    left_out = PROFILES[PROFILES.index(profile) + 1 :]
    gone = {item for item in items if any(item.get_closest_marker(name) for name in left_out)}
    if profile != "nightly" and not gil_enabled():
        gone.update(seen_elsewhere([item for item in items if item not in gone]))
    if gone:
        config.hook.pytest_deselected(items=[item for item in items if item in gone])
        items[:] = [item for item in items if item not in gone]
