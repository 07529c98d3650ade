"""--vmsmp-trace-dir: the traces of failures."""

import json

import pytest

from inner_session import WORKERS, Counts

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions


@WORKERS
def test_each_failure_has_its_trace_in_the_folder(session, workers):
    tests = (
        "def test_it(explore): explore(lost_update)\ndef test_fine(explore): explore(counted, schedules=2)"
    )
    session(tests, "--vmsmp-trace-dir", "some/traces", "--junitxml", "junit.xml", *workers)
    assert Counts(passed=1, failed=1) == session.counts
    (file,) = (session.pytester.path / "some/traces").iterdir()
    kept = session.properties("junit.xml")["test_it"]
    trace = json.loads(file.read_text())
    assert (str(file), kept["vmsmp.signature"]) == (kept["vmsmp.trace"], trace["otherData"]["outcome"])
    assert kept["vmsmp.schedule"] == trace["otherData"]["schedule"]


def test_a_folder_that_cannot_be_is_a_usage_error(session):
    (session.pytester.path / "file").touch()
    text = session("def test_it(): pass", "--vmsmp-trace-dir", "file/traces")
    assert 4 == session.rc
    assert "ERROR: --vmsmp-trace-dir: cannot make the folder 'file/traces': Not a directory" in text
