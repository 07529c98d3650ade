"""The pictures of a site: curves as SVG, in the colours of the page that they stand on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from vmsmp.report.dashboard.guards import kill_curve
from vmsmp.report.dashboard.values import discovery
from vmsmp.report.plot import plot_curves

if TYPE_CHECKING:
    from vmsmp.report.dashboard.values import Dashboard

#: What pygal puts in for scripts of its own, which a site does without.
_SCRIPT: Final = re.compile(rb"<script\b.*?</script>", re.DOTALL)
#: Points of the discovery curve, at most.
_POINTS: Final = 60


def charts(board: Dashboard) -> dict[str, bytes]:
    """Return the content of each picture by its name, of those that there is something to draw for.

    Raises: UsageError if pygal is not installed.
    """
    drawn: dict[str, bytes] = {}
    points = discovery(board.contents, _POINTS)
    if len(points) > 1:
        labels = [f"{point.executions:,}" for point in points]
        drawn["traces"] = _drawn(
            ("Distinct traces", "schedules", "traces"), labels, {"traces": [p.traces for p in points]}
        )
        drawn["bugs"] = _drawn(
            ("Bugs", "schedules", "signatures"), labels, {"bugs": [p.bugs for p in points]}
        )
    curve = kill_curve(board.verdicts)
    if curve:
        tried = len(board.verdicts)
        drawn["kills"] = _drawn(
            (f"Guard removals noticed, of {tried:,}", "schedules", "removals"),
            [f"{budget:,}" for budget, _ in curve],
            {"noticed": [noticed for _, noticed in curve]},
        )
    if board.colours:
        labels = [str(one.colours) for one in board.colours]
        shares = [round(100 * one.contested, 2) for one in board.colours]
        drawn["contention"] = _drawn(
            ("Contention", "colours of a queue type", "% contested"), labels, {"contested": shares}
        )
    return drawn


def _drawn(titles: tuple[str, str, str], labels: list[str], curves: Mapping[str, Sequence[float]]) -> bytes:
    drawing = plot_curves("report", titles, labels, curves, on_page=True)
    return _SCRIPT.sub(b"", drawing)
