"""Which run a command is about."""

from __future__ import annotations

import pytest

from vmsmp.campaign.findings import findings
from vmsmp.cli.lines import READ, read_schedule
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError

LINE = "v1:spin_upgrade+exact:0:1.3>2"
SCHEDULE = Schedule.parse(LINE)


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "saved"
        path.write_bytes(content)
        return str(path)

    return write


def refusal(text):
    with pytest.raises(UsageError) as caught:
        read_schedule(text)
    return str(caught.value)


@pytest.mark.parametrize("text", [LINE, f" {LINE}\n", f"\ufeff{LINE}"])
def test_a_line_is_itself(text):
    assert SCHEDULE == read_schedule(text)


@pytest.mark.parametrize(
    "content",
    [LINE, f"replay: vmsmp replay '{LINE}'\n", f'"schedule": "{LINE}",', f"(`{LINE}`)", f"\ufeff{LINE}\r\n"],
)
def test_the_first_line_of_a_file_is_taken(file, content):
    assert SCHEDULE == read_schedule(file(content.encode()))


def test_bytes_that_are_no_text_are_skipped(file):
    assert SCHEDULE == read_schedule(file(b"\xff\xfe\0 " + LINE.encode()))


def test_a_file_is_read_up_to_a_mebibyte(file):
    assert SCHEDULE == read_schedule(file(LINE.encode() + b"\n" + b"x" * 2 * READ))
    assert "holds no schedule line in its first MiB" in refusal(file(b" " * READ + LINE.encode()))


def test_a_line_that_the_mebibyte_cuts_is_none(file):
    assert "holds no schedule line in its first MiB" in refusal(file(b" " * (READ - 20) + LINE.encode()))


def test_a_line_that_ends_with_the_mebibyte_is_whole(file):
    content = b" " * (READ - len(LINE)) + LINE.encode() + b"\n "
    assert SCHEDULE == read_schedule(file(content))


def test_a_device_without_end_is_read_up_to_a_mebibyte():
    assert "'/dev/zero' holds no schedule line in its first MiB" in refusal("/dev/zero")


@pytest.mark.parametrize("finding", findings(), ids=lambda finding: finding.name)
def test_a_known_finding_is_its_line(finding):
    assert Schedule.parse(finding.schedule) == read_schedule(finding.name)


def test_a_finding_can_be_replayed_by_its_name(vmsmp):
    assert 1 == vmsmp("replay", "hold-try-frees-a-held-object").code


def test_a_typing_slip_in_a_finding_s_name_is_told_what_was_meant():
    assert "did you mean hold-try-frees-a-held-object?" in refusal("hold-try-frees-held-object")


def test_a_file_with_the_name_of_a_finding_is_the_file(file, tmp_path, monkeypatch):
    (tmp_path / "vm-wait-misses-a-free").write_text(LINE)
    monkeypatch.chdir(tmp_path)
    assert SCHEDULE == read_schedule("vm-wait-misses-a-free")


# -- hostile lines --------------------------------------------------------------------------------

LONG = "x" * 200_000


HOSTILE = [
    LONG,
    f"{LONG}:a:0:",
    f"v1:{LONG}:0:",
    f"v1:{LONG}/:0:",
    f"v1:a:{LONG}:",
    f"v1:a:0:{LONG}",
    f"v1:a:0:::{LONG}",
    f"v1:a:0::{LONG}",
    f"v{LONG}:a:0:",
    f"v1:a+{LONG}:0:",
    f"v1:spin_upgrade+mutant={LONG}:0:",
    f"v1:spin_upgrade+repair={LONG}:0:",
    f"v1:spin_upgrade+repair={LONG}/:0:",
    f"v1:spin_upgrade+cpus={'9' * 200_000}:0:",
    f"v1:spin_upgrade+steps={'9' * 200_000}:0:",
    f"v1:spin_upgrade:0:1.1>{'9' * 200_000}",
    "v1:\n\n\t\N{SNOWMAN}\0:0:",
]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_a_complaint_about_a_hostile_line_is_one_short_line(vmsmp, tmp_path, line):
    ended = vmsmp("replay", line)
    assert ((2, "", 1), True) == (ended.complaint, len(ended.err) <= 1100)
    path = tmp_path / "saved"
    path.write_text(line)
    assert len(vmsmp("replay", path).err) <= 1100


@pytest.mark.parametrize(
    "words",
    [
        ["run", LONG],
        ["run", "spin_upgrade", "--sched", LONG],
        ["run", "spin_upgrade", "--engine", LONG],
        ["run", "spin_upgrade", "--cpus", LONG],
        ["run", "spin_upgrade", "--cpus", "9" * 200_000],
        ["run", "spin_upgrade", "--mutant", LONG],
        ["run", "spin_upgrade", "--repair", LONG],
        ["run", "spin_upgrade", f"--{LONG}"],
        ["list", "--tags", LONG],
        ["stress", "--scenarios", LONG],
        ["mutants", LONG],
        ["mutants", "--scenarios", LONG, "vm.*"],
        ["replay", LINE, "--watch", LONG],
        ["replay", LINE, "--trace", LONG],
        ["replay", LINE, f"{LONG}.py"],
        [LONG],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_a_complaint_about_a_hostile_argument_is_one_short_line(vmsmp, words):
    ended = vmsmp(*words)
    assert ((2, "", 1), True) == (ended.complaint, len(ended.err) <= 1200)


def test_a_complaint_of_the_debugger_is_one_short_line(vmsmp):
    ended = vmsmp("ddb", LINE, "-c", LONG)
    assert (2, 1, True) == (ended.code, ended.err.count("\n"), len(ended.err) <= 200)
