"""Which family of programs a file of recordings is of."""

from __future__ import annotations

import re

from family_lk import Lockmgr
from family_pg import Page
from family_rf import Refcount
from family_sl import Sleeping
from family_sp import Spinlocks
from family_tk import Tokens
from follower import Family

#: By the name of a file up to its first hyphen.
FAMILIES: dict[str, type[Family]] = {
    "lk": Lockmgr,
    "pg": Page,
    "rf": Refcount,
    "sp": Spinlocks,
    "tk": Tokens,
    "sl": Sleeping,
}


def family_of(name: str) -> type[Family] | None:
    """The family of a file's name, or None if there is nothing to follow it with."""
    return FAMILIES.get(re.split("[.-]", name, maxsplit=1)[0])
