"""Exit codes hold whatever becomes of the standard streams."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from commands import FAILING, every
from patience import PROCESS_S
from vmsmp.cli.streams import Shielded, asks, shielded, typed_line


@pytest.fixture
def redirected(environment):
    """Run a command with a shell's redirections behind it: its exit code, and what reached standard error."""

    def call(words, redirections):
        shell = f'set -o pipefail; "$@" {redirections}'
        ended = subprocess.run(
            ["bash", "-c", shell, "bash", sys.executable, "-m", "vmsmp", *words],
            input="",
            capture_output=True,
            text=True,
            check=False,
            timeout=PROCESS_S,
            env=environment(),
        )
        return ended.returncode, ended.stderr

    return call


@pytest.mark.ci
@pytest.mark.parametrize(("words", "code"), every())
def test_full_streams_leave_the_exit_code(redirected, words, code):
    assert (code, "") == redirected(words, ">/dev/full 2>&1")


@pytest.mark.parametrize(
    "redirections",
    [
        "<&- >&- 2>&-",
        *(pytest.param(words, marks=pytest.mark.nightly) for words in (">&-", "2>/dev/full", "2>&-", "<&-")),
    ],
)
@pytest.mark.parametrize(("words", "code"), every(quick=False, slowest=False))
def test_closed_streams_leave_the_exit_code(redirected, words, code, redirections):
    ended = redirected(words, redirections)
    assert (code, False) == (ended[0], "Traceback" in ended[1])


@pytest.mark.parametrize(("words", "code"), every(quick=False, slowest=False))
def test_a_reader_that_goes_away_leaves_the_exit_code_and_no_word(redirected, words, code):
    ended = redirected(words, "| head -1 >/dev/null")
    assert (code, False) == (ended[0], "Traceback" in ended[1])


def test_a_full_output_costs_one_line(redirected):
    assert (1, "vmsmp: cannot write to standard output: No space left on device\n") == redirected(
        ["replay", FAILING], ">/dev/full"
    )


# -- one stream -----------------------------------------------------------------------------------


class Broken(io.StringIO):
    """A stream that takes nothing."""

    def write(self, _text):
        raise OSError(28, "No space left on device")


def test_a_stream_that_fails_is_written_to_once():
    stream = Shielded(Broken())
    assert (3, 3) == (stream.write("one"), stream.write("two"))
    assert 28 == stream.error.errno


def test_a_stream_that_is_not_there_takes_everything():
    stream = Shielded(None)
    stream.write("word")
    stream.flush()
    assert (None, False) == (stream.error, stream.isatty())


def test_a_stream_that_was_closed_takes_everything():
    closed = io.StringIO()
    closed.close()
    stream = Shielded(closed)
    stream.write("word")
    assert (True, False) == (isinstance(stream.error, ValueError), stream.isatty())


def test_a_character_that_the_encoding_lacks_is_escaped():
    raw = io.BytesIO()
    stream = Shielded(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("\N{SNOWMAN}!")
    stream.flush()
    assert b"\\u2603!" == raw.getvalue()


def test_both_streams_are_as_before_afterwards():
    before = sys.stdout, sys.stderr
    with shielded():
        inside = sys.stdout, sys.stderr
    assert before == (sys.stdout, sys.stderr)
    assert all(isinstance(stream, Shielded) for stream in inside)


# -- input ----------------------------------------------------------------------------------------


def test_an_input_that_is_not_there_is_at_its_end(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert ("", False) == (typed_line(), asks())


def test_an_input_that_is_no_text_is_at_its_end(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), encoding="utf-8"))
    assert ("", False) == (typed_line(), asks())


def test_a_line_without_end_comes_in_pieces(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("x" * 100_000))
    assert 65_536 == len(typed_line())
