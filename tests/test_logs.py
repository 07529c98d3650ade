"""The log of a campaign: one JSON object a line, and no harm from a file that fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vmsmp.errors import UsageError
from vmsmp.logs import configure


@pytest.fixture(autouse=True)
def _closed():
    yield
    configure(None)


def test_a_message_is_a_json_object_in_a_line(tmp_path):
    log = configure(tmp_path / "log")
    log.bind(scenario="storm").info("one")
    log.info("two \N{SNOWMAN}")
    records = [json.loads(line)["record"] for line in (tmp_path / "log").read_text("utf-8").splitlines()]
    assert [("one", "storm"), ("two \N{SNOWMAN}", None)] == [
        (record["message"], record["extra"].get("scenario")) for record in records
    ]


def test_a_log_goes_on_where_it_ended(tmp_path):
    for _ in range(2):
        configure(tmp_path / "log").info("again")
    assert 2 == (tmp_path / "log").read_text().count("\n")


def test_a_full_disk_costs_one_complaint():
    complaints = []
    log = configure(Path("/dev/full"), complain=complaints.append)
    log.info("one")
    log.info("two")
    assert ["cannot log to '/dev/full' any more: No space left on device"] == complaints


def test_a_full_disk_costs_one_line(capsys):
    log = configure(Path("/dev/full"))
    log.info("one")
    log.info("two")
    assert "vmsmp: cannot log to '/dev/full' any more: No space left on device\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "why"), [(".", "Is a directory"), ("no/log", "No such file"), ("\0", "null")]
)
def test_a_file_that_cannot_be_opened_is_a_usage_error(name, why):
    with pytest.raises(UsageError, match=f"cannot log to .*: .*{why}"):
        configure(Path(name))


def test_nowhere_takes_everything():
    configure(None).info("one")
