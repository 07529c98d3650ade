"""How much of these tests is run: the option and the markers of `conftest.py`."""

from pathlib import Path

import pytest

from vmsmp.engine import workers

pytest_plugins = ["pytester"]

MARKED = """
import pytest

def test_always(): pass

@pytest.mark.ci
def test_gate(): pass

@pytest.mark.nightly
def test_night(): pass
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """The tests that a session with these options runs, by name."""
    monkeypatch.delenv("VMSMP_PROFILE", raising=False)
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(test_it=MARKED)

    def names(*options):
        done = pytester.inline_run("-p", "no:cacheprovider", *options)
        return [report.nodeid.partition("::")[2] for report in done.getreports() if is_call(report)]

    return names


def is_call(report):
    return getattr(report, "when", None) == "call"


def test_a_session_runs_what_bears_no_marker(run):
    assert ["test_always"] == run()


def test_the_gate_s_profile_adds_what_is_marked_for_it(run):
    assert ["test_always", "test_gate"] == run("--vmsmp-profile", "ci")


def test_the_nightly_profile_runs_everything(run):
    assert ["test_always", "test_gate", "test_night"] == run("--vmsmp-profile", "nightly")


def test_the_gate_runs_what_the_readme_s_command_leaves_out(run):
    assert ["test_gate"] == run("--vmsmp-profile", "ci", "-m", "ci")


def test_the_environment_sets_the_profile(run, monkeypatch):
    monkeypatch.setenv("VMSMP_PROFILE", "ci")
    assert ["test_always", "test_gate"] == run()


@pytest.mark.parametrize("free_threaded", [False, True], ids=["gil", "free"])
@pytest.mark.parametrize(
    ("profile", "once"), [("pr", False), ("ci", True), ("nightly", False)], ids=["pr", "ci", "nightly"]
)
def test_a_long_test_under_control_is_for_interpreters_with_the_gil_in_the_gate(
    pytester, run, monkeypatch, profile, once, free_threaded
):
    monkeypatch.setattr(workers, "gil_enabled", lambda: not free_threaded)
    everywhere = set(run("--vmsmp-profile", profile))
    pytester.mkdir("sched").joinpath("test_it.py").write_text(MARKED, encoding="utf-8")
    pytester.path.joinpath("test_it.py").unlink()
    left_out = {"test_gate"} if once and free_threaded else set()
    assert everywhere - left_out == set(run("--vmsmp-profile", profile))
