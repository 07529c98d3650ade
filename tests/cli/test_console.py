"""Progress: one line in place on a terminal, plain lines now and then elsewhere, nothing if quiet."""

from __future__ import annotations

import os
import sys

import pytest

from vmsmp.cli import console
from vmsmp.cli.console import PLAIN_EVERY_S, Progress


@pytest.fixture
def clock(monkeypatch):
    """Time that stands still until somebody turns it on."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(console.shutil, "get_terminal_size", lambda: os.terminal_size((11, 24)))


def test_a_terminal_shows_a_line_in_place(terminal, capsys):
    Progress().say("half way")
    assert "\rhalf way  " == capsys.readouterr().err


def test_a_long_line_is_cut_to_the_terminal(terminal, capsys):
    Progress().say("half way to the end")
    assert "\rhalf way t" == capsys.readouterr().err


def test_the_line_is_cleared(terminal, capsys):
    progress = Progress()
    progress.say("half way")
    capsys.readouterr()
    progress.clear()
    assert "\r          \r" == capsys.readouterr().err


def test_a_line_that_was_never_shown_is_not_cleared(terminal, capsys):
    Progress().clear()
    assert "" == capsys.readouterr().err


def test_elsewhere_the_first_line_waits(clock, capsys):
    Progress().say("half way")
    assert "" == capsys.readouterr().err


def test_elsewhere_a_plain_line_comes_now_and_then(clock, capsys):
    progress = Progress()
    clock[0] += PLAIN_EVERY_S
    progress.say("half way")
    progress.say("a little further")
    assert "half way\n" == capsys.readouterr().err


def test_quiet_progress_says_nothing(terminal, capsys):
    Progress(quiet=True).say("half way")
    assert "" == capsys.readouterr().err
