"""What a report says of a failure that is a known finding, or that one may cause."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vmsmp.campaign.findings import explain
from vmsmp.campaign.options import words_for

if TYPE_CHECKING:
    from vmsmp.campaign.findings import Finding
    from vmsmp.campaign.options import Program
    from vmsmp.campaign.outcome import Failure
    from vmsmp.engine.options import Options


def known_lines(program: Program, failure: Failure, options: Options) -> list[str]:
    """Return `finding_lines` of the known finding that a failure is, or nothing if it is none."""
    finding = explain(failure, options.repairs)
    return [] if finding is None else finding_lines(program, failure, options, finding)


def finding_lines(program: Program, failure: Failure, options: Options, finding: Finding) -> list[str]:
    """Return that a failure is this known finding, how to see what lies behind it, and where to read.

    `options` are those of the run that failed.
    """
    return [f"known finding {finding.name}: {finding.reason}", *_more(program, failure, options, finding)]


def suspect_lines(
    program: Program, failure: Failure, options: Options, suspects: Sequence[Finding]
) -> list[str]:
    """Return that these findings may cause a failure that no entry explains, and how to find out."""
    if not suspects:
        return []
    first = suspects[0]
    if len(suspects) > 1:
        names = ", ".join(one.name for one in suspects)
        what = f"one of these known findings may be its cause: {names}"
    else:
        what = f"known finding {first.name} may be its cause: {first.reason}"
    mutants = [word for name in sorted(options.mutants) for word in ("--mutant", name)]
    where = ["--scenarios", failure.place or failure.program, "--schedules", "2000"]
    return [
        what,
        "  with its repair alone this line does not fail so, which is weak evidence; this search has more:",
        f"  {shlex.join(['vmsmp', 'stress', *where, *mutants])}",
        *_more(program, failure, options, first),
    ]


def failure_dict(failure: Failure, options: Options) -> dict[str, object]:
    """A failure for `--json`, with the name of the known finding that it is, or ""."""
    finding = explain(failure, options.repairs)
    return {**failure.as_dict(), "known": finding.name if finding is not None else ""}


def _more(program: Program, failure: Failure, options: Options, finding: Finding) -> list[str]:
    """How to go on with the finding's repair, and where to read of it."""
    words = words_for(program, replace(options, repairs=options.repairs | {finding.repair}))
    behind = shlex.join(["vmsmp", "run", failure.place or failure.program, *words])
    return [
        f"  what lies behind it: {behind}",
        f"  its story: vmsmp replay {finding.name}; its entry is in stress/known.toml",
    ]
