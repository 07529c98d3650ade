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


@pytest.fixture
def chosen(pytester, run, monkeypatch):
    """The tests of room `sched` that an interpreter runs, with or without the GIL."""
    (pytester.path / "test_it.py").unlink()

    def call(text, gil, *options):
        monkeypatch.setattr(workers, "gil_enabled", lambda: gil)
        pytester.path.joinpath("sched").mkdir(exist_ok=True)
        pytester.path.joinpath("sched/test_it.py").write_text(text, encoding="utf-8")
        return run(*options)

    return call


@pytest.mark.parametrize("gil", [True, False], ids=["gil", "free"])
@pytest.mark.parametrize(
    ("profile", "expected"),
    [("pr", ["test_always"]), ("ci", ["test_always", "test_gate"])],
    ids=["pr", "ci"],
)
def test_a_long_test_under_control_is_for_interpreters_with_the_gil(chosen, profile, expected, gil):
    wanted = expected if gil else ["test_always"]
    assert wanted == chosen(MARKED, gil, "--vmsmp-profile", profile)


def test_in_the_night_every_interpreter_runs_everything(chosen):
    everything = ["test_always", "test_gate", "test_night"]
    assert everything == chosen(MARKED, False, "--vmsmp-profile", "nightly")


CASES = """
import pytest

@pytest.mark.parametrize("n", range(9))
def test_case(n): pass
"""


@pytest.mark.parametrize(("gil", "cases"), [(True, range(9)), (False, range(2))], ids=["gil", "free"])
def test_without_the_gil_the_first_cases_of_a_test_under_control_run(chosen, gil, cases):
    assert [f"test_case[{n}]" for n in cases] == chosen(CASES, gil)


def test_a_case_that_is_asked_for_runs_without_the_gil(chosen):
    assert ["test_case[7]"] == chosen(CASES, False, "-k", "7")
