"""Page faults: what a CPU was about to do, and why the tables do not let it.

Locks: none; these are values.
Deviations:
  * no shadow stacks, HLAT or enclaves, so their bits of a code are never set; no SMEP and no SMAP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: The bits of a code, as the CPU pushes it.
PGEX_P: Final = 0x01
PGEX_W: Final = 0x02
PGEX_U: Final = 0x04
PGEX_RSV: Final = 0x08
PGEX_I: Final = 0x10
PGEX_PK: Final = 0x20
PGEX_SS: Final = 0x40
PGEX_HLAT: Final = 0x80
PGEX_SGX: Final = 0x8000

_TOLD: Final = (
    (PGEX_W, "write"),
    (PGEX_U, "user"),
    (PGEX_RSV, "reserved bit"),
    (PGEX_I, "fetch"),
    (PGEX_PK, "protection key"),
    (PGEX_SS, "shadow stack"),
    (PGEX_HLAT, "HLAT"),
    (PGEX_SGX, "SGX"),
)


@dataclass(frozen=True, slots=True)
class Access:
    """One way to touch memory."""

    write: bool = False
    fetch: bool = False
    user: bool = True

    def code(self, *, nxe: bool) -> int:
        """The bits of a fault's code that say what was tried."""
        return PGEX_W * self.write | PGEX_U * self.user | PGEX_I * (self.fetch and nxe)


LOAD: Final = Access()
STORE: Final = Access(write=True)
FETCH: Final = Access(fetch=True)


def code_format(code: int) -> str:
    """A code in words."""
    told = ["protection" if code & PGEX_P else "not present", *(word for bit, word in _TOLD if code & bit)]
    return f"{code:#x} ({', '.join(told)})"


class PageFault(Exception):
    """An access that the tables do not allow; `va` is in the CPU's CR2, too.

    `signal` and its code are what a kernel tells the process for which it cannot help that; else None.
    """

    def __init__(self, va: int, code: int) -> None:
        super().__init__(f"page fault at {va:#x}, code {code_format(code)}")
        self.va = va
        self.code = code
        self.signal: tuple[int, int] | None = None


class GeneralProtection(Exception):
    """An access to an address that cannot be translated."""

    def __init__(self, va: int) -> None:
        super().__init__(f"general protection fault: {va:#x} is not canonical")
        self.va = va
