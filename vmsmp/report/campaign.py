"""The summary of a campaign: new failures first, then known ones, then what was explored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.engine.workers import gil_enabled
from vmsmp.report.table import table
from vmsmp.report.text import again

if TYPE_CHECKING:
    from vmsmp.campaign.stress import Campaign

#: New failures reported in full; the others are only listed at the end.
FULL_REPORTS = 3
#: What is counted for each scenario, in the order of the table.
_COUNTS = ("schedules", "repaired", "steps", "rounds", "operations", "failed", "known")


def campaign_text(campaign: Campaign, *, seed: int, minutes: float) -> str:
    """Return the whole summary."""
    lines: list[str] = []
    for key, failure in list(campaign.new.items())[:FULL_REPORTS]:
        lines += [failure.report(), f"seen {campaign.counts[key]} times in this campaign", ""]
    if campaign.known:
        lines.append("known findings, which do not fail a campaign:")
        for finding, failure, times in campaign.known.values():
            lines.append(f"  {finding.name} ({times} times, in {failure.program}): {finding.reason}")
            lines.append(f"    replay: vmsmp replay '{failure.schedule or finding.schedule}'")
        lines.append("")
    lines += _rows(campaign)
    if campaign.new:
        lines += ["", "new failures:"]
        for key, failure in campaign.new.items():
            lines.append(f"  {failure.program}, {campaign.counts[key]} times: {failure.signature}")
            lines += [f"    {line}" for line in again(failure) if "vmsmp " in line]
    lines += ["", *_explored(campaign, seed, minutes)]
    return "\n".join(lines)


def _rows(campaign: Campaign) -> list[str]:
    heads = ["scenario", "schedules", "repaired", "steps", "free rounds", "operations", "failed", "known"]
    rows = [[name, *(f"{getattr(row, count):,}" for count in _COUNTS)] for name, row in campaign.rows.items()]
    lines = table(heads, rows, right=range(1, len(heads)))
    return [*lines, "", "schedules: as the kernel is; repaired: with the repairs of all known findings on"]


def _explored(campaign: Campaign, seed: int, minutes: float) -> list[str]:
    """Say what was explored, what was not, and how to go on."""
    lines = [_totals(campaign)]
    if campaign.interrupted:
        lines.append("interrupted: these are the results until then")
    if campaign.slices < campaign.planned:
        missing = campaign.planned - campaign.slices
        lines.append(
            f"not explored: {missing} of {campaign.planned} slices of the first round; give it more time"
        )
    for what, count in (("under control", "schedules"), ("with known findings repaired", "repaired")):
        untouched = [name for name, row in campaign.rows.items() if not getattr(row, count)]
        if untouched:
            lines.append(f"not explored {what}: {', '.join(untouched)}")
    lines += [f"error: {error}" for error in campaign.errors]
    if campaign.new:
        lines.append("to see one again, run its `vmsmp replay` line; it gives the same run everywhere")
    else:
        lines.append(
            "not explored: other CPU counts (`vmsmp run NAME --cpus N`), deeper schedules, weak memory"
        )
    lines.append(f"go on: vmsmp stress --minutes {max(10, minutes * 10):g} --seed {seed + 1000}")
    return lines


def _totals(campaign: Campaign) -> str:
    schedules, rounds = campaign.executions
    gil = "with the GIL, so preemptive" if gil_enabled() else "truly parallel"
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
        "slices": campaign.slices,
        "planned": campaign.planned,
        "interrupted": campaign.interrupted,
        "errors": campaign.errors,
        "new": [
            {**failure.as_dict(), "times": campaign.counts[key]} for key, failure in campaign.new.items()
        ],
        "known": [
            {"name": finding.name, "times": times, "schedule": failure.schedule or finding.schedule}
            for finding, failure, times in campaign.known.values()
        ],
        "scenarios": {
            name: {count: getattr(row, count) for count in _COUNTS} for name, row in campaign.rows.items()
        },
    }
