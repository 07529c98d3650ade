"""Known findings: suspected defects of the kernel itself, which the model reproduces faithfully.

`stress/known.toml` lists them; its head says what an entry holds.  A campaign shows a known finding and does
not fail on it.  An entry excuses as little as it can: what was seen to follow from the defect in the one
scenario that tells its story, after the step that does the damage.  What comes of it anywhere else is proven
by its repair when it is met (`campaign.cause`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from vmsmp.campaign.outcome import Failure
from vmsmp.errors import UsageError


@dataclass(frozen=True, slots=True)
class Finding:
    """One entry.

    `signatures` are shell patterns over failure signatures, `steps` are some over `Failure.step`, which a
    free run does not know.  From the day `expires` on a campaign fails for it all the same (None: it never
    does).
    """

    name: str
    signatures: tuple[str, ...]
    steps: tuple[str, ...]
    reason: str
    repair: str
    schedule: str
    expires: date | None = None

    @property
    def scenario(self) -> str:
        """The name of the scenario in which it was proven."""
        return self.name.replace("-", "_")

    def expired(self, today: date) -> bool:
        """Whether the entry excuses nothing any more."""
        return self.expires is not None and self.expires <= today

    def explains(self, failure: Failure) -> bool:
        """Whether the failure is this finding."""
        return (
            failure.program == self.scenario
            and self.shows_as(failure.signature)
            and (not failure.step or any(fnmatchcase(failure.step, pattern) for pattern in self.steps))
        )

    def shows_as(self, signature: str) -> bool:
        """Whether its failures may have that signature."""
        return any(fnmatchcase(signature, pattern) for pattern in self.signatures)


def known_file() -> Path:
    """Where the list is: in the installed package, else in the checkout."""
    here = Path(__file__).resolve().parents[1]
    packed = here / "known.toml"
    return packed if packed.is_file() else here.parent / "stress" / "known.toml"


@cache
def findings() -> tuple[Finding, ...]:
    """All known findings, in the file's order.

    Raises: UsageError if the file cannot be used.
    """
    return read_findings(known_file())


def by_name(name: str) -> Finding | None:
    """The finding of that name, if the list has one."""
    return next((finding for finding in findings() if finding.name == name), None)


def read_findings(path: Path) -> tuple[Finding, ...]:
    """The findings that a file lists.

    Raises: UsageError in one sentence for a file that cannot be read or an entry that cannot be.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path.name}: {str(error).splitlines()[0]}") from None
    entries = content.pop("finding", [])
    if content or not isinstance(entries, list):
        raise UsageError(f"{path.name}: it holds entries [[finding]] and nothing else")
    return tuple(_entry(entry, f"{path.name}: finding {n}") for n, entry in enumerate(entries, 1))


def _entry(entry: Any, where: str) -> Finding:
    """One entry of a file, checked.

    Raises: UsageError for a key that is missing, unknown or of another type.
    """
    if not isinstance(entry, dict):
        raise UsageError(f"{where}: it is not a table")
    if isinstance(entry.get("name"), str):
        where += f" ({entry['name']})"
    known = {one.name: one.default is MISSING for one in fields(Finding)}
    for key in sorted(set(entry) - set(known)):
        raise UsageError(f"{where}: unknown key {key!r}: there are {', '.join(known)}")
    for key in (key for key, needed in known.items() if needed and key not in entry):
        raise UsageError(f"{where}: {key} is missing")
    for key, value in entry.items():
        _check_value(key, value, where)
    values: dict[str, Any] = {key: tuple(value) if key in _LISTS else value for key, value in entry.items()}
    return Finding(**values)


#: Keys whose values are lists of patterns.
_LISTS = ("signatures", "steps")


def _check_value(key: str, value: object, where: str) -> None:
    """Raises: UsageError for a value of another type."""
    if key == "expires":
        if type(value) is not date:
            raise UsageError(f"{where}: {key} is not a day, as in 2027-01-31 without quotes")
        return
    if key not in _LISTS:
        if not isinstance(value, str) or not value:
            raise UsageError(f"{where}: {key} is not a text")
        return
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise UsageError(f"{where}: {key} is not a list of patterns")


def explain(failure: Failure, repairs: Iterable[str] = ()) -> Finding | None:
    """The finding that explains a failure; one whose repair was on explains nothing."""
    on = set(repairs)
    for finding in findings():
        if finding.repair not in on and finding.explains(failure):
            return finding
    return None
