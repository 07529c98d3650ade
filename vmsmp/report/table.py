"""Plain tables: columns as wide as they must be."""

from __future__ import annotations

from collections.abc import Collection


def table(heads: list[str], rows: list[list[str]], right: Collection[int] = ()) -> list[str]:
    """Lines of a table; columns whose index is in `right` are set flush right."""
    widths = [max(len(line[n]) for line in [heads, *rows]) for n in range(len(heads))]
    lines = []
    for line in [heads, ["-" * width for width in widths], *rows]:
        cells = [
            f"{cell:>{widths[n]}}" if n in right else f"{cell:<{widths[n]}}" for n, cell in enumerate(line)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
