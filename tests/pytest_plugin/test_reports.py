"""What reports and JUnit files keep of a search."""

import pytest

from inner_session import WORKERS, replay_option

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions


@WORKERS
def test_properties_of_a_failure_go_to_junit(session, workers):
    text = session(
        "def test_it(explore): explore(lost_update, sched='pct:3')", "--junitxml", "junit.xml", *workers
    )
    _, line = replay_option(text)
    kept = session.properties("junit.xml")["test_it"]
    assert line.rpartition(":")[0] == kept["vmsmp.schedule"]
    assert "check: both increments are counted" == kept["vmsmp.signature"]
    assert "pct:3" == kept["vmsmp.sched"] == kept["vmsmp.scheduler"]
    assert int(kept["vmsmp.steps"]) >= 1
    assert kept["vmsmp.gil"] in ("on", "off")
    assert int(kept["vmsmp.executions"]) >= 1
    assert int(kept["vmsmp.seed"], 16) >= 0


def test_properties_of_a_test_that_passes_add_its_searches_up(session):
    session(
        """
        def test_it(explore):
            explore(counted, schedules=2)
            explore(counted, schedules=3)
        """,
        "--junitxml",
        "junit.xml",
    )
    kept = session.properties("junit.xml")["test_it"]
    assert "5" == kept["vmsmp.executions"]
    assert "vmsmp.schedule" not in kept
