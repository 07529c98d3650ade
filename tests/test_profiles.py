"""How much of these tests is run: the option and the markers of `conftest.py`."""

from pathlib import Path

import pytest

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
