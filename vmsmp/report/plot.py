"""The plot of page throughput against the number of queue colours, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmsmp.errors import UsageError

if TYPE_CHECKING:
    from vmsmp.campaign.measure_pages import Throughput


def plot_colours(curves: dict[str, Sequence[tuple[int, Throughput]]], title: str, path: Path) -> None:
    """Write curves of page operations a second by number of colours to an SVG file.

    Raises: UsageError if the file cannot be written, or pygal is not installed.
    """
    chart = _chart(title, top=max(t.rate for curve in curves.values() for _, t in curve))
    first = next(iter(curves.values()))
    chart.x_labels = [str(colours) for colours, _ in first]
    for name, curve in curves.items():
        points = [
            {"value": round(t.rate), "label": f"{t.contested:.1%} of queue grants contested"}
            for _, t in curve
        ]
        chart.add(name, points)
    try:
        path.write_bytes(chart.render())
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from None


def _chart(title: str, top: float) -> Any:
    """Return an empty chart for rates up to `top`."""
    try:
        import pygal
    except ImportError:
        raise UsageError("--plot needs pygal: pip install 'vmsmp[report]'") from None
    return pygal.Line(
        title=title,
        x_title="colours of a queue type",
        y_title="allocations and frees a second",
        legend_at_bottom=True,
        range=(0, 1.1 * top),
        js=[],  # nothing to load from elsewhere
    )
