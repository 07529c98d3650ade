"""What campaigns have found as text, grouped by signature; and as a value for `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from vmsmp.report.dashboard.values import MEANING, day, failure_of, searched
from vmsmp.report.table import table
from vmsmp.report.text import again

if TYPE_CHECKING:
    from vmsmp.report.dashboard.values import Bug, Dashboard

#: Scenarios that are shown, with what their schedules are worth.
LEAST: Final = 10


def dashboard_text(board: Dashboard) -> str:
    """Return the whole report: the bugs by status, what ran, then a line that adds up."""
    lines: list[str] = []
    for status, meaning in MEANING.items():
        bugs = [bug for bug in board.bugs if bug.signature.status == status]
        if bugs:
            lines += [f"{status}: {meaning}", *(f"  {line}" for bug in bugs for line in bug_lines(bug)), ""]
    if board.contents.rows:
        lines += [*_least_explored(board), ""]
    lines += _guards(board)
    for trouble in board.contents.troubles:
        lines.append(f"error: {trouble.scenario} ({trouble.way}): {' '.join(trouble.error.split())}")
    return "\n".join([*lines, totals(board)])


def _guards(board: Dashboard) -> list[str]:
    """How many guard removals were noticed, and how many guards some scenario runs."""
    lines = []
    if board.verdicts:
        noticed = sum(verdict.killed for verdict in board.verdicts)
        lines.append(f"guards: {noticed:,} of {_several(len(board.verdicts), 'removal')} noticed")
    if board.contents.sites:
        run = sum(site.places > 0 for site in board.contents.sites)
        lines.append(f"guard sites: {run:,} of {len(board.contents.sites):,} run by some scenario")
    return [*lines, ""] if lines else []


def bug_lines(bug: Bug) -> list[str]:
    """A bug in a few lines: its signature, when and how often it was seen, how to see it again."""
    one = bug.signature
    met, runs = sum(map(bool, bug.times)), len(bug.times)
    times = f"{_several(one.times, 'time')} in {met} of {_several(runs, 'run')}"
    about = [
        f"in {one.scenario}, {times}, first {day(one.first)}, last {day(one.last)}",
        *([bug.reason] if bug.reason else []),
        f"finding {bug.found.ident}{_others(bug)}",
        *(line for line in again(bug.failure) if not line.startswith("digest")),
    ]
    return [bug.title, *(f"  {' '.join(line.split())}" for line in about)]


def _others(bug: Bug) -> str:
    """How many other findings have the signature."""
    others = len(bug.signature.findings) - 1
    return f" and {others} other{'s' * (others != 1)}, told apart by the order of their steps" * bool(others)


def totals(board: Dashboard) -> str:
    """One line that adds up."""
    schedules, rounds = board.executions
    return (
        f"{board.source}: {_several(len(board.contents.runs), 'run')}, {_several(schedules, 'schedule')}, "
        f"{_several(rounds, 'free round')}; {board.in_words}"
    )


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _least_explored(board: Dashboard) -> list[str]:
    """The scenarios of which one more schedule most likely shows something new."""
    every = searched(board.contents.rows)
    told = sorted(every, key=lambda one: (one.unseen is not None, -(one.unseen or 0.0), one.scenario))[:LEAST]
    heads = ["scenario", "schedules", "free rounds", "operations", "traces", "next is new"]
    rows = [
        [
            one.scenario,
            *(f"{count:,}" for count in (one.schedules, one.rounds, one.operations, one.traces)),
            "unknown" if one.unseen is None else f"{one.unseen:.1%}",
        ]
        for one in told
    ]
    all_of_them = len(told) == len(every)
    what = "what ran:" if all_of_them else f"the {len(told)} least explored of {len(every):,} scenarios:"
    return [what, *(f"  {line}" for line in table(heads, rows, right=range(1, len(heads))))]


def dashboard_dict(board: Dashboard) -> dict[str, object]:
    """Return the report for `--json`."""
    return {
        "store": board.source,
        "counts": board.counts,
        "bugs": [_bug_dict(bug) for bug in board.bugs],
        "runs": [asdict(run) for run in board.contents.runs],
        "scenarios": [asdict(one) for one in searched(board.contents.rows)],
        "kills": [verdict.as_dict() for verdict in board.verdicts],
        "sites": {site.guard: site.places for site in board.contents.sites},
        "colours": [asdict(one) for one in board.colours],
        "troubles": [asdict(trouble) for trouble in board.contents.troubles],
    }


def _bug_dict(bug: Bug) -> dict[str, object]:
    one = bug.signature
    return {
        **bug.failure.as_dict(),
        "id": bug.name,
        "finding": bug.found.ident,
        "findings": [{"finding": found.ident, "line": failure_of(found).line} for found in one.findings],
        "known": one.known,
        "status": one.status,
        "reason": bug.reason,
        "first": one.first,
        "last": one.last,
        "times": one.times,
        "history": dict(one.history),
        "line": bug.failure.line,
    }
