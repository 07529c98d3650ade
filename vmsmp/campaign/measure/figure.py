"""A figure of `vmsmp bench`, and where a step's time goes by the figures of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: a rate, the limit it is compared to, and the goal if there is one."""

    name: str
    rate: float
    unit: str
    ratio: float | None = None
    goal: float | None = None
    note: str = ""


def ledger(figures: Sequence[Figure]) -> list[str]:
    """Where the time of a step goes, a line for each workload that was measured both ways."""
    rates = {figure.name: figure.rate for figure in figures}
    bare = next((rate for name, rate in rates.items() if name.startswith("bare step loop")), 0.0)
    lines = []
    for name, off in rates.items():
        on = rates.get(name.replace("checkers off", "checkers on"), 0.0)
        if not name.endswith("checkers off") or not (bare and off and on):
            continue
        parts = {
            "pick and hand-off": 1e9 / bare,
            "point, log and operation": 1e9 / off - 1e9 / bare,
            "checkers": 1e9 / on - 1e9 / off,
        }
        told = ", ".join(f"{ns:,.0f} {part}" for part, ns in parts.items())
        lines.append(f"{name.removesuffix(', checkers off')}: {1e9 / on:,.0f} ns a step: {told}")
    return lines
