"""Findings of the kernel's own: what a checker says of a model that does what the kernel does.

`stress/known.toml` lists them, each with the reason, the schedule that shows it and the name of a
repair, off by default, behind which the search can go on.  A campaign shows a known finding and
does not fail on it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from vmsmp.errors import UsageError


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
    """Where the list is: in an installed package beside the code, else in the checkout."""
    here = Path(__file__).resolve().parent
    packed = here / "known.toml"
    return packed if packed.is_file() else here.parent / "stress" / "known.toml"


@cache
def findings() -> tuple[Finding, ...]:
    """All known findings, in the file's order."""
    entries = tomllib.loads(known_file().read_text(encoding="utf-8")).get("finding", [])
    return tuple(Finding(**entry) for entry in entries)


def explain(signature: str, program: str, repairs: Iterable[str] = ()) -> Finding | None:
    """The finding that explains a failure, if one does whose repair was not on."""
    on = set(repairs)
    for finding in findings():
        if finding.repair not in on and finding.explains(signature, program):
            return finding
    return None


def repair_names() -> list[str]:
    """The repairs there are."""
    return sorted({finding.repair for finding in findings()})


def check_repairs(names: Iterable[str]) -> frozenset[str]:
    """The names as a set.

    Raises: UsageError for one that is not known.
    """
    wanted = frozenset(names)
    unknown = sorted(wanted - set(repair_names()))
    if unknown:
        raise UsageError(f"unknown repair {unknown[0]!r}: there are {', '.join(repair_names())}")
    return wanted
