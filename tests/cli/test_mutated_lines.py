"""Lines that were damaged on their way: a replay of one is a verdict or one short line, never more."""

from __future__ import annotations

import resource

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from vmsmp.campaign.findings import findings
from vmsmp.cli import main
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError

LINES = [
    *(finding.schedule for finding in findings() if "+steps=" not in finding.schedule),
    "v1:spin_upgrade+exact+cpus=3+rounds=2:2a:1.3>2,1.4=1:0123456789abcdef",
    "v1:refcount_drains+exact+spurious+races+cpus=2+mutant=RC-01a:8:1.2>2,2.4>1",
]
#: What damage is made of: the form's own characters and words, and what is none of it.
PIECES = [
    *"v1:+,.>=0a9-_/ \n\0'",
    "\ufeff",
    "\N{SUPERSCRIPT TWO}",
    "\N{SNOWMAN}",
    "\ud800",
    "x" * 5000,
    "9" * 30,
]
PIECES += [
    "+any",
    "+exact",
    "+cpus=",
    "+cpus=64",
    "+steps=999999999999",
    "+rounds=0",
    "+mutant=",
    "+repair=",
    "63.999999999>63",
    "0.0=1",
    "v1:",
]


@st.composite
def damaged(draw):
    """A line with a few pieces cut out, put in, or moved."""
    line = draw(st.sampled_from(LINES))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(line)))
        end = begin + draw(st.integers(0, 6))
        piece = draw(st.sampled_from([*PIECES, "", line[begin:end] * 2]))
        line = line[:begin] + piece + line[end:]
    return line


def many(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[*HealthCheck],
    )


def parse(line):
    """Whether a damaged line is refused in one short line, or read as what its text says."""
    try:
        schedule = Schedule.parse(line)
    except UsageError as error:
        complaint = str(error)
        return len(complaint) < 1000 and complaint.isprintable()
    return schedule == Schedule.parse(str(schedule))


def replay(line, capsys):
    """The replay of a damaged line ends with the code of a verdict, or with one short line."""
    capsys.readouterr()
    code = main(["replay", "--json", f" {line}"])
    complaint = capsys.readouterr().err
    assert code in (0, 1, 2, 3)
    assert ("" if code in (0, 1) else "\n") == complaint[-1:]
    assert complaint.count("\n") <= 1
    assert len(complaint) < 1100


@many(1000)
@given(damaged())
def test_a_damaged_line_is_read_or_refused(line):
    assert parse(line)


@many(60)
@given(line=damaged())
def test_a_damaged_line_is_replayed_or_refused(capsys, line):
    replay(line, capsys)


#: Lines after which hypothesis begins anew: it remembers all that it has tried.
BATCH = 1_000


def megabytes_for(count, capsys):
    """Read and replay so many damaged lines; the memory that it took, in megabytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for begin in range(0, count, BATCH):

        @seed(begin)
        @settings(many(BATCH), derandomize=False)
        @given(damaged())
        def both(line):
            assert parse(line)
            replay(line, capsys)

        both()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


@pytest.mark.ci
def test_two_thousand_damaged_lines_leave_the_memory_alone(capsys):
    assert megabytes_for(2_000, capsys) < 200


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_a_hundred_thousand_damaged_lines_leave_the_memory_alone(capsys):
    assert megabytes_for(100_000, capsys) < 200
