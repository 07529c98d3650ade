"""An address space against a dictionary of pages: any sequence of calls, compared after each."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from vmsmp.mmu.textbook.address_space import AddressSpace, File
from vmsmp.mmu.textbook.paging import PAGE_BYTES
from vmsmp.mmu.textbook.segmentation import SegmentationFault

PAGES = 24
BASE = 0x100000
PLACES, LENGTHS = st.integers(0, PAGES - 1), st.integers(1, 6)
RIGHTS = st.sampled_from(["r--", "rw-", "r-x", "---"])


class SpaceAgainstPages(RuleBasedStateMachine):
    """A page has its permissions, whether it is shared or locked, its page of the file, and its own value."""

    @initialize()
    def made(self):
        self.space = AddressSpace()
        self.file = File("f", PAGES, inode=1)
        self.pages = {}
        self.cached = {}
        self.synced = {}

    def chosen(self, place, length):
        return range(place, min(place + length, PAGES))

    def call(self, name, pages, *rest):
        """Do a call that needs all pages to be mapped; return whether it was done."""
        whole = all(page in self.pages for page in pages)
        try:
            getattr(self.space, name)(BASE + pages.start * PAGE_BYTES, len(pages) * PAGE_BYTES, *rest)
        except OSError:
            assert not whole
            return False
        assert whole
        return True

    @rule(place=PLACES, length=LENGTHS, rights=RIGHTS, shared=st.booleans(), backed=st.booleans())
    def mmap(self, place, length, rights, shared, backed):
        pages = self.chosen(place, length)
        offset = place * PAGE_BYTES if backed else 0
        file = self.file if backed else None
        where = self.space.mmap(
            BASE + place * PAGE_BYTES,
            len(pages) * PAGE_BYTES,
            rights,
            shared=shared,
            file=file,
            offset=offset,
        )
        assert BASE + place * PAGE_BYTES == where
        for page in pages:
            self.pages[page] = {"rights": rights, "shared": shared, "backed": backed, "locked": False}

    @rule(place=PLACES, length=LENGTHS)
    def munmap(self, place, length):
        pages = self.chosen(place, length)
        self.space.munmap(BASE + pages.start * PAGE_BYTES, len(pages) * PAGE_BYTES)
        for page in pages:
            self.pages.pop(page, None)

    @rule(place=PLACES, length=LENGTHS, rights=RIGHTS)
    def mprotect(self, place, length, rights):
        pages = self.chosen(place, length)
        if self.call("mprotect", pages, rights):
            for page in pages:
                self.pages[page]["rights"] = rights

    @rule(place=PLACES, length=LENGTHS, locked=st.booleans())
    def lock(self, place, length, locked):
        pages = self.chosen(place, length)
        if self.call("mlock" if locked else "munlock", pages):
            for page in pages:
                self.pages[page]["locked"] = locked

    @rule(place=PLACES, length=LENGTHS)
    def msync(self, place, length):
        pages = self.chosen(place, length)
        if self.call("msync", pages):
            for page in pages:
                if self.pages[page]["shared"] and self.pages[page]["backed"] and page in self.cached:
                    self.synced[page] = self.cached[page]

    @rule(place=PLACES, value=st.integers(1, 99))
    def store(self, place, value):
        page = self.pages.get(place)
        allowed = page is not None and "w" in page["rights"]
        try:
            self.space.store(BASE + place * PAGE_BYTES + 5, value)
        except SegmentationFault:
            assert not allowed
            return
        assert allowed
        if page["shared"] and page["backed"]:
            self.cached[place] = value
        else:
            page["own"] = value

    @rule(place=PLACES)
    def load(self, place):
        page = self.pages.get(place)
        allowed = page is not None and "r" in page["rights"]
        try:
            value = self.space.load(BASE + place * PAGE_BYTES + 5)
        except SegmentationFault:
            assert not allowed
            return
        assert allowed
        behind = self.cached.get(place, 0) if page["backed"] else 0
        assert page.get("own", behind) == value

    @invariant()
    def the_index_has_each_page_once(self):
        index = [*self.space.index]
        assert all(one.end <= other.start and not one.goes_on_as(other) for one, other in pairwise(index))
        found = {
            (address - BASE) // PAGE_BYTES: (one.permissions, one.shared, one.locked, one.backing is not None)
            for one in index
            for address in range(one.start, one.end, PAGE_BYTES)
        }
        assert found == {
            n: (page["rights"], page["shared"], page["locked"], page["backed"])
            for n, page in self.pages.items()
        }

    @invariant()
    def the_disk_has_what_was_synced(self):
        assert self.synced == self.file.disk

    @invariant()
    def what_is_in_memory_is_mapped(self):
        assert {(address - BASE) // PAGE_BYTES for address in self.space.resident} <= self.pages.keys()


@pytest.mark.parametrize("examples", [40, pytest.param(300, marks=pytest.mark.ci)])
def test_an_address_space_does_what_a_dictionary_of_pages_does(examples):
    run_state_machine_as_test(
        SpaceAgainstPages,
        settings=settings(max_examples=examples, stateful_step_count=30, deadline=None, derandomize=True),
    )
