"""What the kernel debugger shows of the hardware.

Locks: none; the machine is stopped.
"""

from __future__ import annotations

from vmsmp.errors import UsageError, quoted
from vmsmp.mmu.entry import LEVELS, canonical, entry_format
from vmsmp.mmu.fault import PGEX_RSV
from vmsmp.mmu.system import Mmu
from vmsmp.mmu.tlb import EVERYWHERE
from vmsmp.mmu.unit import Unit
from vmsmp.mmu.walk import Translation, walk_tables


def show_tlb(mmu: Mmu, number: str | None = None) -> str:
    """`show tlb [CPU]`: registers and TLB entries of every CPU, or of one."""
    return "\n".join(line for unit in _units(mmu, number) for line in _tlb_lines(unit))


def _units(mmu: Mmu, number: str | None) -> list[Unit]:
    if number is None:
        return mmu.units
    digits = number.removeprefix("cpu")
    if not (digits.isascii() and digits.isdigit() and int(digits) < len(mmu.units)):
        raise UsageError(f"ddb: there is no CPU {quoted(number)}: this machine has {len(mmu.units)}")
    return [mmu.units[int(digits)]]


def _tlb_lines(unit: Unit) -> list[str]:
    """One CPU: its registers, then an entry a line, the one used last first."""
    cr3 = "not loaded" if unit.cr3 is None else f"{unit.cr3:#x}"
    head = f"{unit.cpu}: cr3 {cr3}, cr2 {unit.cr2:#x}, {len(unit.tlb)} of {unit.tlb.capacity} entries"
    entries = unit.tlb.entries()[::-1]
    return [
        head,
        *(f"  {'all' if n == EVERYWHERE else n:>4}  {_fresh(unit.mmu, entry)}" for n, entry in entries),
    ]


def _fresh(mmu: Mmu, entry: Translation) -> str:
    """An entry, and whether the tables still say the same."""
    now = mmu.peek(entry.root, entry.va)
    return f"{entry}{'' if entry.within(now) else f'  STALE: the tables say {now or 0}'}"


def show_pte(mmu: Mmu, address: str | None = None) -> str:
    """`show pte ADDRESS`: the entries of an address, in every address space that a CPU has loaded."""
    va = _address(address)
    roots = dict.fromkeys(unit.root for unit in mmu.units if unit.cr3 is not None)
    lines = [line for root in roots for line in _pte_lines(mmu, root, va)]
    return "\n".join(lines) or "no CPU has loaded an address space"


def _address(text: str | None) -> int:
    try:
        va = int(text or "", 0)
    except ValueError:
        va = -1
    if not canonical(va):
        raise UsageError(f"ddb: {quoted(text or '')} is not an address")
    return va


def _pte_lines(mmu: Mmu, root: int, va: int) -> list[str]:
    """The walk from one root, a line for each entry that it reads."""
    walked = walk_tables(mmu.memory.peek_entry, root, va, nxe=mmu.config.nxe)
    reserved = walked.wrong is not None and walked.wrong & PGEX_RSV
    trouble = ", a reserved bit is set" if reserved else ""
    return [
        f"{va:#x} in the tables of frame[{root}]{trouble}",
        *(
            f"  {LEVELS[step.level]:4} frame[{step.table}][{step.index}]"
            f"  {step.value:#018x}  {entry_format(step.value)}"
            for step in walked.steps
        ),
    ]
