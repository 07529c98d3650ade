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


def test_lf_without_a_cache_is_a_usage_error(session):
    text = session("def test_it(): pass", "--vmsmp-lf", "-p", "no:cacheprovider")
    assert 4 == session.rc
    assert "ERROR: --vmsmp-lf needs pytest's cache" in text
