"""Page-table entries of x86-64: their bits, and which entry of which level an address has.

Models: the format that sys/platform/pc64/include/pmap.h names, under its names.
Locks: none; these are values.
Deviations:
  * the memory types (PWT, PCD, PAT) are bits without a meaning.
  * all 52 bits of a physical address are there, so no frame number is a reserved bit.
"""

from __future__ import annotations

from typing import Final

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT
#: Log2 of the bytes that share one value of a frame's contents, and how many such pieces a frame has.
DEV_BSHIFT: Final = 9
PIECES: Final = PAGE_SIZE >> DEV_BSHIFT
#: Log2 of the entries of a table, and how many there are.
TABLE_SHIFT: Final = 9
ENTRIES: Final = 1 << TABLE_SHIFT
#: Levels by number: the walk goes from the highest down.
LEVELS: Final = {4: "PML4", 3: "PDP", 2: "PD", 1: "PT"}
ROOT_LEVEL: Final = 4
#: Levels whose entries may map a page: 4 KiB, 2 MiB, 1 GiB.
LEAVES: Final = (1, 2, 3)

PG_V: Final = 0x001
PG_RW: Final = 0x002
PG_U: Final = 0x004
PG_PWT: Final = 0x008
PG_PCD: Final = 0x010
PG_A: Final = 0x020
PG_M: Final = 0x040
PG_PS: Final = 0x080
PG_G: Final = 0x100
PG_NX: Final = 1 << 63
PG_FRAME: Final = (1 << 52) - PAGE_SIZE
KEY_SHIFT: Final = 59
KEY_MASK: Final = 15

_LETTERS: Final = (
    (PG_RW, "w"),
    (PG_U, "u"),
    (PG_A, "A"),
    (PG_M, "M"),
    (PG_PS, "PS"),
    (PG_G, "G"),
    (PG_NX, "xd"),
)


def shift_of(level: int) -> int:
    """Log2 of the bytes that one entry of that level covers."""
    return PAGE_SHIFT + TABLE_SHIFT * (level - 1)


def index_of(va: int, level: int) -> int:
    """Which entry of its table of that level an address has."""
    return va >> shift_of(level) & ENTRIES - 1


def base_of(va: int, level: int) -> int:
    """The first address that the entry of that level covers."""
    return va >> shift_of(level) << shift_of(level)


def canonical(va: int) -> bool:
    """Whether bits 47 to 63 of the address are all alike; no other address can be translated."""
    return 0 <= va < 1 << 47 or (1 << 64) - (1 << 47) <= va < 1 << 64


def make_entry(frame: int, bits: int = PG_V | PG_RW | PG_U, key: int = 0) -> int:
    """The entry that names the frame, with these bits and that protection key."""
    return frame << PAGE_SHIFT | bits | key << KEY_SHIFT


def frame_of(pte: int) -> int:
    """The frame that an entry names: a table, or the first of its page."""
    return (pte & PG_FRAME) >> PAGE_SHIFT


def key_of(pte: int) -> int:
    """The protection key of an entry."""
    return pte >> KEY_SHIFT & KEY_MASK


def is_leaf(pte: int, level: int) -> bool:
    """Whether a valid entry of that level maps a page."""
    return level == 1 or (level in LEAVES and bool(pte & PG_PS))


def reserved_bits(pte: int, level: int, *, nxe: bool) -> int:
    """The bits of a valid entry that ought to be clear and are not."""
    reserved = 0 if nxe else PG_NX
    if level == ROOT_LEVEL:
        reserved |= PG_PS
    elif level > 1 and pte & PG_PS:
        reserved |= (1 << shift_of(level)) - (1 << PAGE_SHIFT + 1)  # bit 12 is PAT
    return pte & reserved


def entry_format(pte: int) -> str:
    """An entry as a report shows it."""
    if not pte & PG_V:
        return "not present" if pte else "0"
    letters = "".join(letter for bit, letter in _LETTERS if pte & bit)
    key = f" key {key_of(pte)}" if key_of(pte) else ""
    return f"frame {frame_of(pte)} r{letters}{key}"
