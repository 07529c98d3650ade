"""The summary of a campaign: new failures first, then known ones, then what was explored."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, Final

from vmsmp.report.table import table
from vmsmp.report.text import again

if TYPE_CHECKING:
    from vmsmp.campaign.tally import Campaign, Face

#: New failures reported in full; the others are only listed at the end.
FULL_REPORTS = 3
#: Scenarios, and errors, that are named without being asked for.
FEW: Final = 20
#: What is counted for each scenario, in the order of the table.
_COUNTS = ("schedules", "repaired", "steps", "rounds", "operations", "failed", "known")


def campaign_text(campaign: Campaign, *, seed: int, minutes: float, verbose: bool = False) -> str:
    """Return the whole summary; `verbose` names every scenario, however many there are."""
    lines: list[str] = []
    for key, failure in list(campaign.new.items())[:FULL_REPORTS]:
        lines += [failure.report(), f"seen {campaign.counts[key]} times in this campaign"]
        why = campaign.why.get(key)
        lines += [f"no known finding explains it: {why}", ""] if why else [""]
    lines += _known(campaign, reasons=verbose or len(campaign.known) <= FULL_REPORTS)
    if campaign.fixed:
        lines += ["found before, and fixed on this code:", *(f"  {what}" for what in campaign.fixed), ""]
    few = verbose or len(campaign.rows) <= FEW
    lines += _rows(campaign, every=few)
    if campaign.new:
        lines += ["", "new failures:"]
        for key, failure in campaign.new.items():
            lines.append(f"  {failure.program}, {campaign.counts[key]} times: {failure.signature}")
            lines += [f"    {line}" for line in again(failure) if "vmsmp " in line]
    lines += ["", *_explored(campaign, seed, minutes, every=few)]
    return "\n".join(lines)


def _known(campaign: Campaign, *, reasons: bool) -> list[str]:
    """The known findings that were met: of many the names, since nobody needs to act on them."""
    if not campaign.known:
        return []
    lines = ["known findings, which do not fail a campaign:"]
    for finding, failure, times in campaign.known.values():
        reason = f": {finding.reason}" if reasons else ""
        lines.append(f"  {finding.name} ({times} times, in {failure.program}){reason}")
        lines += [f"    replay: vmsmp replay {finding.name}"] if reasons else []
        for face in campaign.faces.values():
            lines += _face(face) if face.finding is finding else []
    lines += [] if reasons else ["  (`vmsmp replay NAME` shows one, --verbose tells their reasons)"]
    return [*lines, ""]


def _face(face: Face) -> list[str]:
    """The lines about a failure elsewhere that a known finding causes."""
    return [
        f"    known, by its repair, in {face.failure.program} ({face.times} times): {face.failure.signature}",
        f"      {face.evidence}",
        *(f"      {line.strip()}" for line in again(face.failure) if "vmsmp " in line),
    ]


def _rows(campaign: Campaign, *, every: bool) -> list[str]:
    """The table of scenarios: all, or those that failed."""
    heads = ["scenario", "schedules", "repaired", "steps", "free rounds", "operations", "failed", "known"]
    shown = {name: row for name, row in campaign.rows.items() if every or row.failed}
    rows = [[name, *(f"{getattr(row, count):,}" for count in _COUNTS)] for name, row in shown.items()]
    lines = table(heads, rows, right=range(1, len(heads))) if rows else []
    left = len(campaign.rows) - len(shown)
    more = [f"{left} scenarios have no new failure (--verbose names them)"] if left else []
    return [
        *lines,
        *more,
        "",
        "schedules: as the kernel is; repaired: with the repairs of all known findings on",
    ]


def _explored(campaign: Campaign, seed: int, minutes: float, *, every: bool) -> list[str]:
    """Say what was explored, what was not, and how to go on."""
    lines = [_totals(campaign)]
    if campaign.before:
        lines.append(f"{campaign.before:,} of {campaign.batches:,} batches were in the store already")
    if campaign.inquiries:
        what = f"{campaign.inquiries:,} failures with known findings"
        lines.append(f"{campaign.compared:,} schedules more compared {what}")
    if campaign.lost:
        lines.append(f"{campaign.lost} batches did not end in time, and are not counted")
    if campaign.interrupted:
        lines.append("interrupted: these are the results until then")
    missing = max(0, campaign.planned - campaign.batches)
    rest = _minutes_for(campaign, missing)
    if missing:
        lines.append(
            f"not explored: {missing:,} of {campaign.planned:,} batches of the first round, which take about "
            f"{rest:,} minutes more at this pace: go on as below"
        )
    for what, count in (("under control", "schedules"), ("with known findings repaired", "repaired")):
        untouched = [name for name, row in campaign.rows.items() if not getattr(row, count)]
        if untouched and not (campaign.scarcity and count == "schedules"):
            names = ", ".join(untouched) if every else f"{len(untouched)} scenarios (--verbose names them)"
            how = "the rest of the first round has them"
            how = how if missing else "`vmsmp stress --scenarios NAME` does it"
            lines.append(f"not explored {what}: {names}; {how}")
    lines += [f"error: {error}" for error in campaign.errors[:FEW]]
    if len(campaign.errors) > FEW:
        lines.append(f"and {len(campaign.errors) - FEW} errors more (--json has them all)")
    if campaign.new:
        lines.append("to see one again, run its `vmsmp replay` line; it gives the same run everywhere")
    else:
        lines.append(
            "not explored: other CPU counts (`vmsmp run NAME --cpus N`), deeper schedules, weak memory"
        )
    longer = max(10, minutes * 10, minutes + rest)
    words = ["--minutes", f"{longer:g}", "--seed", str(seed + 1000)]
    if campaign.store is not None:  # it goes on behind its last batch
        words = ["--store", str(campaign.store), *(["--minutes", str(rest)] if missing else [])]
        words += ["--seed", str(seed)]
    lines.append(
        f"go on: {shlex.join(['vmsmp', 'stress', *words, *campaign.scarcity.words, *campaign.chosen])}"
    )
    return lines


def _minutes_for(campaign: Campaign, batches: int) -> int:
    """The minutes that so many batches more take at the campaign's pace, rounded up."""
    done = campaign.batches - campaign.before
    return math.ceil(campaign.seconds / max(1, done) * batches / 60.0)


def _totals(campaign: Campaign) -> str:
    schedules, rounds = campaign.executions
    gil = "truly parallel" if campaign.parallel else "with the GIL, so preemptive"
    return (
        f"{schedules:,} schedules and {rounds:,} free rounds ({gil}) in {campaign.seconds:.1f} s "
        f"on {campaign.workers} workers; {len(campaign.new) or 'no'} new "
        f"failure{'s' if len(campaign.new) != 1 else ''}"
    )


def campaign_dict(campaign: Campaign) -> dict[str, object]:
    """Return the campaign for `--json`."""
    return {
        "seconds": round(campaign.seconds, 3),
        "workers": campaign.workers,
        "batches": campaign.batches,
        "planned": campaign.planned,
        "before": campaign.before,
        "lost": campaign.lost,
        "inquiries": campaign.inquiries,
        "compared": campaign.compared,
        "fixed": campaign.fixed,
        "interrupted": campaign.interrupted,
        "errors": campaign.errors,
        "new": [
            {**failure.as_dict(), "times": campaign.counts[key], "why": campaign.why.get(key, "")}
            for key, failure in campaign.new.items()
        ],
        "known": [
            {"name": finding.name, "times": times, "schedule": failure.schedule or finding.schedule}
            for finding, failure, times in campaign.known.values()
        ],
        "faces": [
            {
                "name": face.finding.name,
                "scenario": face.failure.program,
                "signature": face.failure.signature,
                "times": face.times,
                "schedule": face.failure.schedule,
                "evidence": face.evidence,
            }
            for face in campaign.faces.values()
        ],
        "scenarios": {
            name: {count: getattr(row, count) for count in _COUNTS} for name, row in campaign.rows.items()
        },
    }
