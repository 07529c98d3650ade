"""The chapters: each is computed by the code that it names, and changes with it."""

from __future__ import annotations

import importlib
import pkgutil
from typing import NamedTuple

import pytest

from vmsmp.mmu import textbook
from vmsmp.patches.patch import Edit, Patch
from vmsmp.report.textbook import CHAPTERS
from vmsmp.report.textbook.page import Table

BY_NAME = {chapter.name: chapter for chapter in CHAPTERS}
EVERY = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


class Change(NamedTuple):
    """A change of a model, and what of its chapter's page it must change: a table's caption begins so."""

    chapter: str
    edit: Edit
    table: str


def change(chapter, function, old, new, table):
    return Change(chapter, Edit(f"vmsmp.mmu.textbook.{function}", old, new), table)


#: Models that are a little wrong.
CHANGES = [
    change(
        "segmentation",
        "segmentation:SegmentTable.translate",
        "offset > segment.size",
        "offset < 0",
        "Translations",
    ),
    change(
        "segmentation",
        "fragmentation:ContiguousMemory.place",
        "if hole >= length:",
        "if hole > 2 * length:",
        "Segments in",
    ),
    Change(
        "paging",
        Edit("vmsmp.mmu.entry:frame_of", "return (pte & PG_FRAME) >> PAGE_SHIFT", "return 1"),
        "The page table",
    ),
    change("paging", "paging:Layout.split", "address & PAGE_BYTES - 1", "0", "Translations"),
    change(
        "levels",
        "paging:Layout.reach",
        "self.levels[number:]",
        "self.levels[number + 1 :]",
        "What one table reaches",
    ),
    change(
        "levels", "paging:Layout.table_bytes", "* self.entry_bytes", "* 16", "What tables of two levels take"
    ),
    change("entries", "entry:fault_code", "code |= FaultCode.P\n", "pass\n", "Accesses"),
    change("tlb", "tlb:Tlb.fill", "self.tagged and not new.shared", "False", "A, then B"),
    change("tlb", "tlb:Tlb.flush_page", "if key[1] == page", "if False", "What one TLB has"),
    change(
        "tlb",
        "tlb:Tlb.fill",
        "self._entries.popitem(last=False)",
        "self._entries.popitem()",
        "A program uses pages",
    ),
    change(
        "caches",
        "cache:Cache.index",
        "virtual if self.kind.virtual_index else physical",
        "physical",
        "Each design",
    ),
    Change("shootdown", Edit("vmsmp.mmu.shootdown:invalidate", "unit.invlpg(page)", "pass"), "Up to"),
    change("caches", "cache:Cache._write_back", "if line.dirty:", "if False:", ""),
    change(
        "demand",
        "demand:Process.load",
        "if page in self._mapped:",
        "if False:",
        "The program 'read, then write'",
    ),
    change("demand", "demand:cost", "sum(step.references for step in path)", "len(path)", "An access of"),
    change("replacement", "replacement:Fifo.victim", "self._queue.pop(0)", "self._queue.pop()", "FIFO with"),
    change("replacement", "replacement:Lru.hit", "self._used.move_to_end(page)", "pass", "Faults with"),
    change(
        "replacement",
        "replacement:Opt._next_use",
        "self._references[now:]",
        "self._references",
        "Faults of Belady",
    ),
    change(
        "replacement",
        "replacement:Clock.victim",
        "if not self._accessed[page]:",
        "if True:",
        "Faults with",
    ),
    # not what a mutant of the page changes as well
    change(
        "clock", "clock:ClockPager._walk", "setbits(int(marks))", "setbits(int(Pte.A))", "5 pages in 3 frames"
    ),
    change("clock", "clock:ClockPager._walk", "setbits(int(marks))", "setbits(int(Pte.A))", "Up to"),
    change(
        "working-set",
        "working_set:working_set",
        "max(0, now + 1 - window)",
        "0",
        "A process changes its locality",
    ),
    change("working-set", "working_set:may_run", "append(demand <= left)", "append(True)", "Three processes"),
    change("thrashing", "replacement:Lru.hit", "self._used.move_to_end(page)", "pass", "Scattered accesses"),
    change(
        "thrashing",
        "thrashing:Detector.verdict",
        "pages >= SCATTERED * len(self._last)",
        "False",
        "Loop accesses",
    ),
    change(
        "reclaim",
        "reclaim:Memory.reclaim",
        "(self._file, self._swap_out, self._shrink, self._kill)",
        "(self._shrink, self._file, self._swap_out, self._kill)",
        "What reclaim does",
    ),
    change(
        "mappings",
        "segment_index:SegmentIndex.insert",
        "before is not None and before.goes_on_as(segment)",
        "False",
        "After mprotect back",
    ),
    change(
        "mappings", "address_space:File.write_back", "if page in self.cache:", "if False:", "A shared mapping"
    ),
    change(
        "mappings",
        "address_space:AddressSpace._pages",
        "address % PAGE_BYTES or",
        "False or",
        "What is refused",
    ),
    change(
        "mappings",
        "address_space:AddressSpace.reclaimable",
        "and not segment.locked",
        "and True",
        "Pages of the heap",
    ),
    change(
        "buddy",
        "buddy:Zone.take",
        "in range(order, MAX_ORDER + 1)",
        "in range(MAX_ORDER, order - 1, -1)",
        "A segment of",
    ),
    change(
        "buddy",
        "buddy:BuddyMemory._from",
        "reversed(self.zones[: top + 1])",
        "reversed(self.zones)",
        "3 CPUs",
    ),
    change("buddy", "buddy:BuddyMemory.unusable", "found >= order", "found > order", "1,500 random calls"),
    change("buddy", "buddy:zone_ranges", "first = stop", "first = stop + 1", "The zones of"),
]


@pytest.fixture(scope="module")
def pages():
    """Every page as the models compute it."""
    return {chapter.name: chapter.write() for chapter in CHAPTERS}


def tables(page):
    return [part for part in page.parts if isinstance(part, Table)]


def by_change(changed):
    return (
        f"{changed.chapter}: {changed.edit.function}: {changed.edit.new.strip()[:30]}, {changed.table[:12]}"
    )


@pytest.mark.parametrize("changed", CHANGES, ids=by_change)
def test_a_page_changes_with_its_model(pages, changed):
    """Nothing in a table is typed in."""
    before = [table for table in tables(pages[changed.chapter]) if table.caption.startswith(changed.table)]
    with Patch("a change", *changed.edit).plant():
        after = [
            table
            for table in tables(BY_NAME[changed.chapter].write())
            if table.caption.startswith(changed.table)
        ]
    assert before
    assert [one.rows for one in before] != [one.rows for one in after]


def test_every_chapter_is_shown_to_change_with_its_model():
    assert {*BY_NAME} == {one.chapter for one in CHANGES}


@EVERY
def test_a_page_is_the_same_every_time(pages, chapter):
    assert pages[chapter.name].lines() == chapter.write().lines()


@EVERY
def test_the_code_that_a_chapter_names_is_there(chapter):
    assert list(chapter.code) == [importlib.import_module(name).__name__ for name in chapter.code]


def test_every_model_of_the_textbook_has_a_chapter():
    models = {info.name for info in pkgutil.iter_modules(textbook.__path__, f"{textbook.__name__}.")}
    assert set() == models - {name for chapter in CHAPTERS for name in chapter.code}


@EVERY
def test_a_page_explains_and_shows(pages, chapter):
    page = pages[chapter.name]
    assert isinstance(page.parts[0], str)
    assert tables(page)
    assert all(table.rows for table in tables(page))


@EVERY
def test_a_page_fits_a_wide_terminal(pages, chapter):
    assert [] == [line for line in pages[chapter.name].lines() if len(line) > 120]


@EVERY
def test_a_chapter_has_the_picture_that_it_promises(pages, chapter):
    plot = pages[chapter.name].plot
    assert bool(chapter.picture) == (plot is not None)
    if plot is not None:
        assert {len(plot.labels)} == {len(curve) for curve in plot.curves.values()}


def test_chapters_have_names_of_their_own_and_small_letters():
    assert len(BY_NAME) == len(CHAPTERS)
    assert [] == [name for name in BY_NAME if not name.replace("-", "").islower()]
