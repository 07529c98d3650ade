"""Bugs as GitHub shows them: an annotation for each that is new, and the summary of a step.

Whatever a message holds, it gives the runner no command: in an annotation it is escaped, and text that goes
to the same output stands between two lines that switch commands off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Final

from vmsmp.report.dashboard.text import totals
from vmsmp.report.dashboard.values import ALARMING, MEANING, day
from vmsmp.report.dashboard.whereabouts import spot_of_failure
from vmsmp.report.text import again

if TYPE_CHECKING:
    from vmsmp.report.dashboard.retold import Retold
    from vmsmp.report.dashboard.values import Bug, Dashboard

#: Bytes of a step's summary, at most: GitHub takes one MiB a step, and others may write to it too.
SUMMARY_BYTES: Final = 900_000


def annotation_lines(board: Dashboard, retold: Mapping[str, Retold]) -> Iterator[str]:
    """Return a line for each bug that somebody has to look at."""
    for bug in board.bugs:
        if bug.signature.status not in ALARMING:
            continue
        told = retold.get(bug.name)
        failure = told.failure if told is not None and told.failure is not None else bug.failure
        spot = spot_of_failure(failure)
        parts = {"file": spot.file, "line": str(spot.line)} if spot is not None else {}
        parts["title"] = f"vmsmp: {bug.signature.status} in {bug.signature.scenario}"
        properties = ",".join(f"{name}={_property(value)}" for name, value in parts.items())
        yield f"::error {properties}::{_data(chr(10).join([bug.title, *again(bug.failure)]))}"


def silenced(text: str) -> str:
    """Return the text between lines that have the runner take no command from it."""
    token = sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]
    return f"::stop-commands::{token}\n{text}\n::{token}::"


def summary(board: Dashboard) -> str:
    """Return the summary of a step as Markdown."""
    head = [f"## vmsmp: {_cell(board.in_words)}", "", _cell(totals(board)), ""]
    text = "\n".join([*head, *_blocks(board)])
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > SUMMARY_BYTES:
        whole = data[:SUMMARY_BYTES].rpartition(b"\n")[0].decode("utf-8", "ignore")
        return f"{whole}\n\nThe rest does not fit here: see the report.\n"
    return text + "\n"


def _blocks(board: Dashboard) -> Iterator[str]:
    """A table for each status."""
    for status, meaning in MEANING.items():
        rows = [_row(bug) for bug in board.bugs if bug.signature.status == status]
        if rows:
            yield from (f"### {status}: {meaning}", "")
            yield "| signature | scenario | times | first | last | to see it again |"
            yield from ("|---|---|--:|---|---|---|", *rows, "")


def _row(bug: Bug) -> str:
    command = next((line for line in again(bug.failure) if "vmsmp " in line), "")
    command = command.removeprefix("replay: ").strip()
    one = bug.signature
    cells = [bug.title, one.scenario, f"{one.times:,}", day(one.first), day(one.last)]
    return f"| {' | '.join(map(_cell, cells))} | <code>{_cell(command)}</code> |"


def _cell(text: str) -> str:
    """A text in a table of Markdown, as it stands."""
    shown = escape(" ".join(text.split()))
    return "".join(f"&#{ord(char)};" if char in "|\\`*_[]~@" else char for char in shown)


def _data(text: str) -> str:
    """A text in an annotation, as the runner unescapes it."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
