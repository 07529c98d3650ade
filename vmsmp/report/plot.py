"""Plots as SVG: page throughput against the number of queue colours, and the textbook's curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from vmsmp.errors import UsageError

if TYPE_CHECKING:
    from vmsmp.campaign.measure.pages import Throughput

#: With more points than these the axis has a label at every so many only, and points are no dots.
_FEW: Final = 12
#: The same on a page, where letters are larger.
_FEW_ON_PAGE: Final = 5
#: What a chart on a page looks like, also where the reader wants pages dark; pygal's rules are more specific.
_LOOK: Final = """.series path.line { stroke-width: 3px !important; }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd !important; }
  .axis .line, .axis .major.line { stroke: #aaa !important; }
  .axis .guide.line { stroke: #666 !important; }
}"""
#: How the lines of successive curves are broken, so that one shows through another that covers it.
_DASHES: Final = ("", "12, 6", "4, 4", "12, 4, 2, 4")


def plot_colours(curves: dict[str, Sequence[tuple[int, Throughput]]], title: str) -> bytes:
    """Return curves of page operations a second by number of colours, as the content of an SVG file.

    Raises: UsageError if pygal is not installed.
    """
    labels = [str(colours) for colours, _ in next(iter(curves.values()))]
    points = {
        name: [
            {"value": round(t.rate), "label": f"{t.contested:.1%} of queue grants contested"}
            for _, t in curve
        ]
        for name, curve in curves.items()
    }
    titles = (title, "colours of a queue type", "allocations and frees a second")
    top = max(t.rate for curve in curves.values() for _, t in curve)
    return _drawing("bench", titles, labels, points, top)


def plot_curves(
    command: str,
    titles: tuple[str, str, str],
    labels: Sequence[str],
    curves: Mapping[str, Sequence[float]],
    *,
    on_page: bool = False,
) -> bytes:
    """Return curves over the same labelled points, as the content of an SVG file that `command` writes.

    `titles` are those of the picture and of its two axes.  `on_page`: it stands on a page of ours, which may
    be light or dark, and small; there is one curve then, and the title says of what.
    Raises: UsageError if pygal is not installed.
    """
    top = max(value for curve in curves.values() for value in curve)
    return _drawing(command, titles, labels, curves, top, on_page=on_page)


def _drawing(
    command: str,
    titles: tuple[str, str, str],
    labels: Sequence[str],
    curves: Mapping[str, Sequence[Any]],
    top: float,
    *,
    on_page: bool = False,
) -> bytes:
    """Return the file's content, which says near its beginning whose it is."""
    chart = _chart(titles, top, on_page=on_page)
    chart.x_labels = labels
    few = _FEW_ON_PAGE if on_page else _FEW
    if len(labels) > few:
        chart.x_labels_major_every = -(-len(labels) // few)
        chart.show_minor_x_labels = False
        chart.show_dots = len(labels) <= _FEW
    for n, (name, points) in enumerate(curves.items()):
        chart.add(name, points, stroke_style={"width": 2, "dasharray": _DASHES[-n % len(_DASHES)]})
    declaration, newline, drawing = chart.render().partition(b"\n")
    written = f"<!-- Written by `vmsmp {command}` -->\n".encode()
    return b"".join((declaration, newline, written, drawing))


def _chart(titles: tuple[str, str, str], top: float, *, on_page: bool) -> Any:
    """Return an empty chart for values up to `top`."""
    try:
        import pygal
    except ImportError:
        raise UsageError("--plot needs pygal: pip install 'vmsmp[report]'") from None
    title, x_title, y_title = titles
    return pygal.Line(
        title=title,
        x_title=x_title,
        y_title=y_title,
        legend_at_bottom=True,
        range=(0, 1.1 * top),
        truncate_label=-1,
        js=[],  # nothing to load from elsewhere
        **(_look_of_page() if on_page else {}),
    )


def _look_of_page() -> dict[str, Any]:
    """Return what makes a chart of one curve small, in large letters, and of the page's colours."""
    from pygal.style import Style

    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground="#555",
        foreground_strong="#333",
        foreground_subtle="#bbb",
        guide_stroke_color="#ccc",
        major_guide_stroke_color="#bbb",
        opacity=1,
        colors=("#3b82f6", "#d97706"),
        font_family="system-ui, sans-serif",
        title_font_size=20,
        label_font_size=15,
        major_label_font_size=15,
        legend_font_size=15,
    )
    css = ["file://style.css", "file://graph.css", f"inline:{_LOOK}"]
    return {"style": style, "css": css, "width": 640, "height": 400, "show_legend": False}
