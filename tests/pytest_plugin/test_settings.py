"""Options of the command line and of the environment."""

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("seed", "x", "--vmsmp-seed must be a number such as 7 or 0x2a, not 'x'"),
        ("seed", "-1", "--vmsmp-seed must be a number such as 7 or 0x2a, not '-1'"),
        ("schedules", "0", "--vmsmp-schedules must be a number from 1, not '0'"),
        ("sched", "pct:x", "--vmsmp-sched: unknown scheduler 'pct:x'"),
        ("mode", "fast", "--vmsmp-mode must be controlled or free, not 'fast'"),
        ("replay", "v1:a", "--vmsmp-replay: schedule 'v1:a': expected v1:NAME:SEED:PREEMPTIONS"),
    ],
)
def test_a_bad_option_is_a_usage_error_in_one_sentence(session, option, value, message):
    text = session("def test_it(): pass", f"--vmsmp-{option}={value}")
    assert 4 == session.rc
    assert f"ERROR: {message}" in text


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("VMSMP_SEED", "x", "VMSMP_SEED must be a number such as 7 or 0x2a, not 'x'"),
        ("VMSMP_LF", "x", "VMSMP_LF must be 0 or 1, not 'x'"),
    ],
)
def test_a_bad_variable_is_a_usage_error_that_names_it(session, variable, value, message):
    session.monkeypatch.setenv(variable, value)
    text = session("def test_it(): pass")
    assert 4 == session.rc
    assert f"ERROR: {message}" in text


def test_the_command_line_wins_over_the_environment(session):
    session.monkeypatch.setenv("VMSMP_SEED", "7")
    session.monkeypatch.setenv("VMSMP_SCHED", "rr")
    text = session("def test_it(): pass", "--vmsmp-seed", "0x8")
    assert "vmsmp: base seed 0x8 (--vmsmp-seed)" in text
    assert ", sched rr" in text


def test_two_options_have_a_longer_name(session):
    text = session("def test_it(): pass", "--vmsmp-base-seed", "0x8", "--vmsmp-scheduler", "rr")
    assert "vmsmp: base seed 0x8 (--vmsmp-seed)" in text
    assert ", sched rr" in text


def test_lf_without_a_cache_is_a_usage_error(session):
    text = session("def test_it(): pass", "--vmsmp-lf", "-p", "no:cacheprovider")
    assert 4 == session.rc
    assert "ERROR: --vmsmp-lf needs pytest's cache" in text


@pytest.mark.parametrize("option", ["seed", "schedules", "sched", "replay"])
def test_a_complaint_about_a_long_value_is_short(session, option):
    text = session("def test_it(): pass", f"--vmsmp-{option}={'x' * 50_000}")
    complaint = next(line for line in text.splitlines() if line.startswith("ERROR: "))
    assert (4, True) == (session.rc, len(complaint) < 500)


PROJECT = '[tool.vmsmp]\nscenarios = ["races"]\nsched = "pct:2"\nschedules = 6\nseed = 9\n'


def test_the_project_says_what_nobody_else_does(session):
    session.pytester.makepyprojecttoml(PROJECT)
    text = session("def test_it(explore): assert 6 == explore(counted).executions")
    assert (0, True) == (session.rc, "vmsmp: base seed 0x9 (--vmsmp-seed)" in text and "sched pct:2" in text)
    session.monkeypatch.setenv("VMSMP_SCHEDULES", "3")
    session("def test_it(explore): assert 3 == explore(counted).executions")
    assert 0 == session.rc


@pytest.mark.ci
def test_the_marker_names_a_scenario_of_the_project(session):
    session.pytester.makepyprojecttoml(PROJECT)
    session.pytester.mkdir("races").joinpath("mine.py").write_text(
        "from vmsmp import scenario\n@scenario(cpus=1)\ndef mine(m): m.panic('mine fails')\n"
    )
    text = session("@pytest.mark.vmsmp(scenario='mine')\ndef test_it(explore): explore()")
    assert 1 == session.rc
    assert "replay: vmsmp replay 'v1:mine:" in text
    assert "' races/mine.py::mine\n" in text


def test_a_mistake_of_the_project_is_a_usage_error_in_one_sentence(session):
    session.pytester.makepyprojecttoml("[tool.vmsmp]\nseeds = 9\n")
    text = session("def test_it(): pass")
    assert 4 == session.rc
    assert "ERROR: pyproject.toml: [tool.vmsmp] has no key 'seeds'" in text
