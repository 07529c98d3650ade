"""TLB and page tables against a flat map: one CPU, any sequence of accesses and changes, compared after each.

The model knows of no levels, walks or caches: an address space is a map from pages to frames with rights, and
every access sees it as it is.  Whoever takes a right away flushes, as the kernel must; rights that are given
need no flush.  The accesses run on the boot CPU of a real machine with all checkers, one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from machine_driver import Driver
from vmsmp.mmu.entry import PG_A, PG_M, PG_NX, PG_RW, PG_U, PG_V
from vmsmp.mmu.fault import FETCH, LOAD, STORE, Access, PageFault
from vmsmp.mmu.shootdown import protect, shoot_down, unmap
from vmsmp.mmu.space import AddressSpace
from vmsmp.mmu.walk import walk_tables
from vmsmp.patches.patch import Mutant

#: Pages by level of their entry: two neighbours, one far away, one large.
PAGES = {0x1000: 1, 0x2000: 1, 1 << 30: 1, 2 << 21: 2}
SMALL_FRAMES = (900, 901, 902)
LARGE_FRAMES = (512,)
SPACES = ("one", "other")
ACCESSES = st.sampled_from([LOAD, STORE, FETCH, Access(user=False), Access(write=True, user=False)])
RIGHTS = st.tuples(*[st.sampled_from([True, True, False])] * 3)


@dataclass
class Page:
    """A page of the model."""

    frame: int
    writeable: bool
    user: bool
    executable: bool
    key: int
    accessed: bool = False
    modified: bool = False


def fault_of(page, access, pkru, keys):
    """The code of an access's fault, from the manual's description; None if it goes well."""
    code = 2 * access.write + 4 * access.user + 16 * access.fetch
    if page is None:
        return code
    closed = 0
    if keys and page.user and not access.fetch:
        bits = pkru >> 2 * page.key & 3
        closed = 32 * (bits & 1 or (bits & 2 and access.write) > 0)
    denied = (
        (access.user and not page.user)
        or (access.write and not page.writeable)
        or (access.fetch and not page.executable)
    )
    return 1 + code + closed if denied or closed else None


class FlatMemory(RuleBasedStateMachine):
    """Each rule makes one call, on the machine and in the model."""

    def __init__(self):
        super().__init__()
        self.driver = Driver()

    @initialize(
        tlb=st.sampled_from([1, 2, 64]),
        replacement=st.sampled_from(["lru", "draw"]),
        pcid=st.booleans(),
        pke=st.booleans(),
        guesses=st.sampled_from([(), tuple(PAGES)[:2]]),
        pkru=st.sampled_from([0, 0b0100, 0b1000]),
        mapped=st.lists(
            st.tuples(st.sampled_from(SPACES), st.sampled_from(sorted(PAGES)), RIGHTS), max_size=6
        ),
    )
    def boot(self, mapped, pkru, **sizes):
        self.keys, self.guessing = sizes["pke"], bool(sizes["guesses"])
        self.pkru = pkru
        self.maps = {name: {} for name in SPACES}
        self.contents = {}
        self.space = None
        self.do(self._boot, sizes)
        self.switch(SPACES[0])
        for n, (name, va, rights) in enumerate(mapped):
            self.enter(name, va, n % 3, rights, n % 2)

    def _boot(self, sizes):
        self.mmu = self.driver.machine.mmu(frames=1024, **sizes)
        self.unit = self.mmu.units[0]
        self.unit.pkru = self.pkru
        numbers = range(1, 3) if sizes["pcid"] else (0, 0)
        self.spaces = {name: AddressSpace(self.mmu, name, n) for name, n in zip(SPACES, numbers, strict=True)}

    def do(self, call, *args):
        return self.driver.do(call, *args)

    # -- changes

    @rule(
        name=st.sampled_from(SPACES),
        va=st.sampled_from(sorted(PAGES)),
        n=st.integers(0, 2),
        rights=RIGHTS,
        key=st.integers(0, 1),
    )
    def enter(self, name, va, n, rights, key):
        if va in self.maps[name]:
            return
        level = PAGES[va]
        frame = SMALL_FRAMES[n] if level == 1 else LARGE_FRAMES[0]
        writeable, user, executable = rights
        bits = PG_V | PG_RW * writeable | PG_U * user | PG_NX * (not executable)
        self.do(self.spaces[name].enter, va, frame, bits, key, level)
        self.maps[name][va] = Page(frame, writeable, user, executable, key)

    def mapped(self, level=None):
        return [
            (name, va)
            for name in SPACES
            for va in sorted(self.maps[name])
            if level is None or PAGES[va] == level
        ]

    def change(self, data, level, do):
        """Do that to a mapped page, which is accessed before and after it."""
        name, va = data.draw(st.sampled_from(self.mapped(level)))
        self.switch(name)
        before, after = data.draw(st.tuples(*[st.lists(ACCESSES, max_size=2)] * 2))
        self.access(va, 0, 0, before, 5)
        do(self.spaces[name], va, self.maps[name][va])
        self.access(va, 0, 0, after, 6)

    @precondition(lambda self: self.mapped(1))
    @rule(data=st.data())
    def unmap(self, data):
        def do(space, va, page):
            assert page.frame == self.do(unmap, space, va)
            del self.maps[space.name][va]

        self.change(data, 1, do)

    @precondition(lambda self: self.mapped(1))
    @rule(data=st.data())
    def protect(self, data):
        def do(space, va, page):
            self.do(protect, space, va)
            page.writeable = False

        self.change(data, 1, do)

    @precondition(lambda self: self.mapped())
    @rule(data=st.data())
    def grant(self, data):
        def do(space, va, page):
            self.do(lambda: space.entry(va, PAGES[va]).setbits(PG_RW))
            page.writeable = True

        self.change(data, None, do)

    @precondition(lambda self: self.mapped())
    @rule(data=st.data())
    def clean(self, data):
        def do(space, va, page):
            self.do(self._clean, space, va)
            page.accessed = page.modified = False

        self.change(data, None, do)

    def _clean(self, space, va):
        space.entry(va, PAGES[va]).clearbits(PG_A | PG_M)
        shoot_down(space, va)

    @rule(name=st.sampled_from(SPACES))
    def switch(self, name):
        before = self.space and self.spaces[self.space]
        if name != self.space:
            self.do(self.spaces[name].activate, before)
            self.space = name

    @rule(bits=st.integers(0, 3))
    def open_or_close_a_key(self, bits):
        self.pkru = bits << 2
        self.unit.pkru = self.pkru

    # -- accesses

    @rule(
        va=st.sampled_from(sorted(PAGES)),
        offset=st.sampled_from([0, 511, 512, 4095]),
        further=st.integers(0, 1),
        accesses=st.lists(ACCESSES, min_size=1, max_size=4),
        value=st.integers(1, 9),
    )
    def access(self, va, offset, further, accesses, value):
        page = self.maps[self.space].get(va)
        extra = 3 * further if PAGES[va] == 2 else 0
        for access in accesses:
            wanted = fault_of(page, access, self.pkru, self.keys)
            found = self.do(self._access, va + (extra << 12) + offset, access, value)
            if wanted is not None:
                assert ("fault", wanted) == found
                continue
            place = page.frame + extra, offset >> 9
            assert ("value", self.contents.get(place, 0)) == found
            page.accessed = True
            if access.write:
                page.modified = True
                self.contents[place] = value

    def _access(self, va, access, value):
        try:
            return "value", self.unit.access(va, access, value)
        except PageFault as fault:
            return "fault", fault.code if va == fault.va == self.unit.cr2 else "another address"

    # -- what must agree

    @invariant()
    def entries_say_what_was_done(self):
        for name, va in self.mapped() if self.space else ():
            root = self.spaces[name].root
            now, page = self.mmu.peek(root, va), self.maps[name][va]
            said = now.frame, now.writeable, now.user, now.executable
            assert (page.frame, page.writeable, page.user, page.executable) == said
            pte = walk_tables(self.mmu.memory.peek_entry, root, va, nxe=True).steps[-1].value
            assert page.modified is bool(pte & PG_M)
            assert page.accessed is bool(pte & PG_A) or (self.guessing and pte & PG_A)

    @invariant()
    def what_is_cached_is_in_the_tables(self):
        for _, entry in self.unit.tlb.entries() if self.space else ():
            assert entry.within(self.mmu.peek(entry.root, entry.va))

    def teardown(self):
        if self.driver.machine.violation is None:
            self.driver.end()
        else:
            self.driver.stop()


DRAWN_ONCE = settings(derandomize=True, database=None, deadline=None, max_examples=30, stateful_step_count=30)


def test_tlb_and_tables_do_what_a_flat_map_does():
    run_state_machine_as_test(FlatMemory, settings=DRAWN_ONCE)


def changed(function, old, new):
    return Mutant("model", f"vmsmp.mmu.{function}", old, new, breaks="the model", story="", scenario="")


@pytest.mark.ci
@pytest.mark.parametrize(
    "mutant",
    [
        changed("unit:Unit._cached", "entry.dirty or not access.write", "True"),
        changed(
            "unit:Unit._cached",
            "self.tlb.invalidate(pcid, va)",
            "raise PageFault(va, self.refused(entry, access))",
        ),
        changed("unit:Unit._mark", "PG_M * (access.write and step is steps[-1])", "PG_M"),
        changed("unit:Unit.refused", "bool(key & 2) and access.write and strict", "bool(key & 2)"),
        changed("unit:Unit.load_cr3", "self.tlb.flush(number if self.mmu.config.pcid else None)", "pass"),
        changed("unit:Unit.invpcid", "self.tlb.invalidate(pcid, va, everywhere=False)", "pass"),
        changed("unit:Unit.invlpg", "self.tlb.invalidate(self.pcid, va)", "pass"),
        changed("tlb:Tlb.invalidate", "for level in LEAVES:", "for level in LEAVES[:1]:"),
        changed("walk:combine", "all(value & PG_U for value in every)", "True"),
        changed("walk:Translation.frame_at", "(va - self.va >> shift_of(1))", "0"),
        changed("memory:Memory.poke", "offset >> DEV_BSHIFT", "0"),
    ],
    ids=lambda mutant: f"{mutant.function.partition(':')[2]} {mutant.new[:20]}",
)
def test_the_model_sees_other_hardware(mutant):
    with mutant.plant(), pytest.raises(AssertionError):
        run_state_machine_as_test(
            FlatMemory, settings=settings(DRAWN_ONCE, max_examples=200, phases=[Phase.generate])
        )
