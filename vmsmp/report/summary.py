"""Summaries of searches and free runs: what was explored, what was not, and how to go on."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from vmsmp.report.table import table
from vmsmp.sched.names import about

if TYPE_CHECKING:
    from vmsmp.campaign.free_run import FreeRounds
    from vmsmp.campaign.outcome import Result


def result_text(result: Result, place: str = "") -> str:
    """Return a controlled search in a few lines; `place` is what its program is run as, if not its name."""
    options = " ".join(result.options.words()) or "default options"
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
        lines += _unfinished(result, place or result.program)
    return "\n".join(lines)


def _unfinished(result: Result, place: str) -> list[str]:
    """Say what a search without failures that has not seen everything is worth, and how to go on."""
    return [
        f"explored: {_what_was_explored(result)}",
        *result.certificate.lines(),
        "not explored: other schedulers, depths, CPU counts; memory is sequentially consistent",
        f"go on: {_how_to_go_on(result, place)}",
    ]


def _how_to_go_on(result: Result, place: str) -> str:
    """The command that shows something new."""
    certificate = result.certificate
    # A search that has no run left is followed by a sample; one that has some goes on with the same data.
    sched = "portfolio" if certificate.limits else result.scheduler
    seed = result.seed + (certificate.share is None)
    words = [*result.arguments, *([] if sched == "portfolio" else ["--sched", sched])]
    words += ["--schedules", str(max(10_000, result.executions * 10)), "--seed", str(seed)]
    return shlex.join(["vmsmp", "run", place, *words])


def _what_was_explored(result: Result) -> str:
    """Of a systematic search the share of its tree; of any other what it is a sample of."""
    certificate = result.certificate
    if certificate.limits:
        return "all runs that this search tells apart, which are not all there are: " + "; ".join(
            certificate.limits
        )
    if certificate.share is None:
        if result.scheduler == "rr":
            return "one order of steps, round robin; that is no sample of others"
        bound = result.executions / 3.0 if result.executions else 1.0
        return (
            f"a sample ({about(result.scheduler)}); "
            f"at 95 % fewer than one schedule in {bound:,.0f} of this kind fails"
        )
    return (
        f"{_portion(certificate.share)} of this search's tree ({about(result.scheduler)}){_size(result)}; "
        "neighbours and no sample, so of the other schedules nothing is known"
    )


def _portion(share: float) -> str:
    """A share in words that do not round it to nothing or to all."""
    if not share:
        return "next to nothing"
    return f"{share:.2g}" if share < 0.995 else "more than 0.99"


def _size(result: Result) -> str:
    """The estimated number of runs; a bound makes first branches so much larger that there is no estimate."""
    runs = result.certificate.runs_in_all(result.executions)
    if ":" in result.scheduler or runs is None:
        return ""
    what = "orders of dependent steps" if result.scheduler == "dpor" else "schedules"
    return f", of about {runs:,.0f} {what}" if runs < 1e9 else f", of more than 10^9 {what}"


def free_text(rounds: FreeRounds, place: str = "") -> str:
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
        command = ["vmsmp", "run", place or rounds.program, *rounds.arguments, "--schedules", "10000"]
        lines += [
            "",
            "explored: what the host's own timing shows; a search shows rare orders far sooner",
            f"go on: {shlex.join(command)}",
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
