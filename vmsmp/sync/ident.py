"""Idents: the values by which sleep queues and pool tokens are found.

An ident may be any value.  It is only compared; most objects of a machine also have an identity (`ident`),
which hashes alike in every run, and a `name` for reports.
"""

from __future__ import annotations

import zlib
from typing import Any

from vmsmp.engine.machine import Machine


def ident_name(ident: Any) -> str:
    """The ident as a report shows it."""
    return getattr(ident, "name", None) or str(ident)


def ident_key(ident: Any) -> int:
    """A whole number of 64 bits that stands for the ident's address, the same in every run."""
    key = ident if isinstance(ident, int) else getattr(ident, "ident", None)
    if not isinstance(key, int):
        key = zlib.crc32(str(key or ident).encode())
    return key % (1 << 64)


def ident_hash(ident: Any) -> int:
    """A hash of 32 bits, the same in every run."""
    return ident_key(ident) * 2654435761 % (1 << 32)


def wchan_identity(machine: Machine, ident: Any) -> int:
    """The identity under which operations on the ident are traced.

    A string or a whole number is a channel of that name; an object without an identity has 0.
    """
    if isinstance(ident, str):
        return machine.identify(str.__str__(ident))
    if isinstance(ident, int):
        return machine.identify(str(int(ident)))
    key = getattr(ident, "ident", None)
    return key if isinstance(key, int) else 0
