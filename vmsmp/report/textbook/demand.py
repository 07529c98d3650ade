"""Demand paging: two programs, their minor faults, and the paths of their accesses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vmsmp.campaign.search import explore
from vmsmp.mmu.textbook.demand import Path, Process, ReadFault, cost
from vmsmp.report.textbook.page import Chapter, Page, Table
from vmsmp.vm.pmap import pmap_replacevm
from vmsmp.vm.vm_map import (
    VM_PROT_RW,
    Mapping,
    vm_map_find,
    vmspace_alloc,
)
from vmsmp.vm.vm_page.flags import PAGE_SIZE

if TYPE_CHECKING:
    from vmsmp.machine import Machine

PAGES: Final = 2
#: Where the pages are, and where the address space ends.
_BASE: Final = 0x100000
_TOP: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Program:
    """A program that does the same to each of its pages, step by step, after `before` faults at its start."""

    name: str
    before: int
    steps: tuple[str, ...]


READ_THEN_WRITE: Final = Program(
    "read, then write", 87, ("first reads", "second reads", "first writes", "second writes")
)
WRITE_THEN_READ: Final = Program(
    "write, then read", 88, ("first writes", "second writes", "first reads", "second reads")
)


def counts(program: Program, on_read: ReadFault) -> list[tuple[int, int, Path]]:
    """Return the minor and the major faults after each step, and the path of its last access."""
    process = Process(on_read, minor=program.before)
    found = []
    for step in program.steps:
        access: Callable[[int], Path] = process.load if "reads" in step else process.store
        paths = [access(page) for page in range(PAGES)]
        found.append((process.minor, process.major, paths[-1]))
    return found


def kernel_counts(program: Program) -> list[tuple[int, int]]:
    """Return the minor and the major faults after each step as DragonFly's vm_fault takes them."""
    found: list[tuple[int, int]] = []

    def run(m: Machine) -> None:
        vm = m.boot(pages=16 * PAGES, l2_size=1)
        vm.fault.vm_prefault_pages = 0  # each page by its own fault
        space = vmspace_alloc(vm, 0, _TOP)
        what = Mapping(prot=VM_PROT_RW, max=VM_PROT_RW)
        vm_map_find(space.vm_map, _BASE, PAGES * PAGE_SIZE, PAGE_SIZE, False, what)
        gd = vm.mycpu()
        pmap_replacevm(gd.proc, space, adjrefs=False)
        for step in program.steps:
            for address in range(_BASE, _BASE + PAGES * PAGE_SIZE, PAGE_SIZE):
                if "reads" in step:
                    m.curcpu.load(address)
                else:
                    m.curcpu.store(address, 1)
            found.append((program.before + gd.ru_minflt, gd.ru_majflt))

    explore(run, sched="dfs:0", schedules=1)
    return found


def _faults(program: Program) -> Table:
    by_policy = {policy: counts(program, policy) for policy in (ReadFault.ZERO_PAGE, ReadFault.ZERO_FILL)}
    kernel = kernel_counts(program)
    before = program.before
    rows: list[tuple[str, int, int, int, int]] = [("before", before, before, before, 0)]
    for n, step in enumerate(program.steps):
        page, fill = (by_policy[policy][n] for policy in by_policy)
        major = page[1] + fill[1] + kernel[n][1]
        rows.append((f"after the {step}", page[0], fill[0], kernel[n][0], major))
    heads = ("", "minor faults, zero page", "zero fill", "DragonFly's vm_fault", "major faults")
    return Table(f"The program '{program.name}', {PAGES} pages", heads, rows)


def _paths(program: Program, on_read: ReadFault) -> list[tuple[str, str, int]]:
    return [
        (step, ", ".join(one.words for one in path), cost(path))
        for step, (_, _, path) in zip(program.steps, counts(program, on_read), strict=True)
    ]


def write() -> Page:
    return Page(
        (
            "mmap of anonymous memory gives addresses and no memory: a page gets a frame when it is touched "
            "first, in a minor fault (a major one would read from a disk). What the first read of a page "
            f"gets is a matter of policy. As the lecture has it, {ReadFault.ZERO_PAGE.value}: a page that is "
            "never written to costs no frame, but the first write faults again and gets a frame of its own "
            f"(copy on write). DragonFly's vm_fault gives {ReadFault.ZERO_FILL.value} at once, and the write "
            "does not fault any more.",
            _faults(READ_THEN_WRITE),
            _faults(WRITE_THEN_READ),
            "Second accesses do not fault. First ones are dear, for each takes a fault's whole path. In "
            "memory references:",
            Table(
                f"An access of '{READ_THEN_WRITE.name}', zero page",
                ("step", "path", "references"),
                _paths(READ_THEN_WRITE, ReadFault.ZERO_PAGE),
            ),
            Table(
                f"An access of '{READ_THEN_WRITE.name}', zero fill",
                ("step", "path", "references"),
                _paths(READ_THEN_WRITE, ReadFault.ZERO_FILL),
            ),
        )
    )


CHAPTER: Final = Chapter(
    "demand",
    "demand paging: minor faults of two programs",
    ("vmsmp.mmu.textbook.demand", "vmsmp.vm.vm_fault"),
    write,
)
