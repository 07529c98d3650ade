"""Summaries of searches and free runs: what was explored, what was not, and how to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmsmp.report.table import table

if TYPE_CHECKING:
    from vmsmp.campaign.free_run import FreeRounds
    from vmsmp.campaign.outcome import Result


def result_text(result: Result) -> str:
    """Return a controlled search in a few lines."""
    options = " ".join(result.options.options.words()) or "default options"
    failed = sum(result.counts.values())
    lines = [
        f"{result.program}: {result.executions:,} schedules under {result.scheduler} ({options}), "
        f"{result.steps:,} steps in {result.seconds:.1f} s; {failed or 'none'} failed"
    ]
    if result.interrupted:
        lines.append("interrupted: what was found until then stands above")
    if result.exhausted:
        lines.append("explored: every schedule that this search has, so within its bounds nothing is left")
        lines += result.certificate.lines()[:1]
    elif not failed:
        lines += _sampled(result)
    return "\n".join(lines)


def _sampled(result: Result) -> list[str]:
    """Say what a sample without failures is worth, and how to go on."""
    bound = 3.0 / result.executions if result.executions else 1.0
    return [
        f"explored: a sample; at 95 % fewer than one schedule in {1 / bound:,.0f} of this kind fails",
        *result.certificate.lines(),
        "not explored: other schedulers, depths, CPU counts; memory is sequentially consistent",
        f"go on: vmsmp run {result.program} --schedules {max(10_000, result.executions * 10)} "
        f"--seed {result.options.seed + 1}",
    ]


def free_text(rounds: FreeRounds) -> str:
    """Return a series of free runs in a few lines, with the locks' contention."""
    rate = rounds.operations / rounds.seconds if rounds.seconds else 0.0
    failed = sum(rounds.counts.values())
    lines = [
        f"{rounds.program}: {rounds.rounds:,} free rounds, {rounds.operations:,} operations in "
        f"{rounds.seconds:.1f} s ({rate:,.0f} a second); {failed or 'none'} failed"
    ]
    if rounds.locks:
        lines += ["", *contention_lines(rounds)]
    if not failed:
        lines += [
            "",
            "explored: what the host's own timing shows; a search shows rare orders far sooner",
            f"go on: vmsmp run {rounds.program} --schedules 10000",
        ]
    return "\n".join(lines)


def contention_lines(rounds: FreeRounds) -> list[str]:
    """Return a table of how often each lock was taken, and how often that meant waiting."""
    rows = [
        [lock.name, f"{lock.acquisitions:,}", f"{lock.contested:,}", f"{share:.1%}"]
        for lock in sorted(rounds.locks.values(), key=lambda lock: (-lock.contested, lock.name))
        for share in [lock.contested / lock.acquisitions if lock.acquisitions else 0.0]
    ]
    return table(["lock", "taken", "contested", "share"], rows, right={1, 2, 3})
