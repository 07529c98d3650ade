"""Idents: the values by which sleep queues and pool tokens are found.

An ident may be anything.  It is compared, never looked into, but for two things that most objects of
a machine have: an identity (`ident`), which hashes alike in every run, and a `name` for reports.
"""

from __future__ import annotations

import zlib
from typing import Any


def ident_name(ident: Any) -> str:
    """The ident as a report shows it."""
    return getattr(ident, "name", None) or str(ident)


def ident_hash(ident: Any) -> int:
    """A hash of 32 bits, the same in every run."""
    key = ident if isinstance(ident, int) else getattr(ident, "ident", None)
    if not isinstance(key, int):
        key = zlib.crc32(str(key or ident).encode())
    return key * 2654435761 % (1 << 32)
