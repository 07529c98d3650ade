"""Known findings: suspected defects of the kernel itself, which the model reproduces faithfully.

`stress/known.toml` lists them, each with its reason, the schedule that shows it and the name of a repair, off
by default, that lets a search go on behind it.  A campaign shows a known finding and does not fail on it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One entry.  `signature` is a shell pattern over failure signatures."""

    name: str
    signature: str
    reason: str
    repair: str
    schedule: str
    scenarios: str = "*"

    def explains(self, signature: str, program: str) -> bool:
        return fnmatchcase(program, self.scenarios) and fnmatchcase(signature, self.signature)


def known_file() -> Path:
    """Where the list is: in the installed package, else in the checkout."""
    here = Path(__file__).resolve().parents[1]
    packed = here / "known.toml"
    return packed if packed.is_file() else here.parent / "stress" / "known.toml"


@cache
def findings() -> tuple[Finding, ...]:
    """All known findings, in the file's order."""
    entries = tomllib.loads(known_file().read_text(encoding="utf-8")).get("finding", [])
    return tuple(Finding(**entry) for entry in entries)


def explain(signature: str, program: str, repairs: Iterable[str] = ()) -> Finding | None:
    """The finding that explains a failure; one whose repair was on explains nothing."""
    on = set(repairs)
    for finding in findings():
        if finding.repair not in on and finding.explains(signature, program):
            return finding
    return None
