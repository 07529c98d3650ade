"""One entry: removals that are alike, and why nobody can tell."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

from vmsmp.patches.removals import Removal


class Equivalent(NamedTuple):
    """Removals alike: `pattern` is over `path-how`, `text` is in their line, `reason` is why nobody knows."""

    pattern: str
    text: str
    reason: str

    def covers(self, removal: Removal) -> bool:
        """Whether the removal is one of them."""
        path, _, how = removal.ident.rsplit("-", 2)
        return self.text in removal.text and fnmatchcase(f"{path}-{how}", self.pattern)
