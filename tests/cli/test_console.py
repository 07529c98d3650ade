"""Progress: one line in place on a terminal, plain lines now and then elsewhere, nothing if quiet."""

from __future__ import annotations

import io
import os
from types import SimpleNamespace

import pytest

from vmsmp.cli import console
from vmsmp.cli.console import PLAIN_EVERY_S, Progress


class Terminal(io.StringIO):
    """What a terminal of 11 columns is sent."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(console, "sys", SimpleNamespace(stderr=screen))
    monkeypatch.setattr(console.shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((11, 24)))
    return screen


@pytest.fixture
def clock(monkeypatch):
    """Time that stands still until somebody turns it on."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_shows_a_line_in_place(terminal):
    Progress().say("half way")
    assert "\rhalf way  " == terminal.getvalue()


def test_a_long_line_is_cut_to_the_terminal(terminal):
    Progress().say("half way to the end")
    assert "\rhalf way t" == terminal.getvalue()


def test_the_line_is_cleared(terminal):
    progress = Progress()
    progress.say("half way")
    progress.clear()
    assert "\rhalf way  \r          \r" == terminal.getvalue()


def test_a_line_that_was_never_shown_is_not_cleared(terminal):
    Progress().clear()
    assert "" == terminal.getvalue()


def test_elsewhere_the_first_line_waits(clock, capsys):
    Progress().say("half way")
    assert "" == capsys.readouterr().err


def test_elsewhere_a_plain_line_comes_now_and_then(clock, capsys):
    progress = Progress()
    clock[0] += PLAIN_EVERY_S
    progress.say("half way")
    progress.say("a little further")
    assert "half way\n" == capsys.readouterr().err


def test_quiet_progress_says_nothing(terminal):
    Progress(quiet=True).say("half way")
    assert "" == terminal.getvalue()
