"""A map against a plain function, after any sequence of calls: object, offset, rights, inheritance.

The model knows nothing of entries, chains or trees.  It says which call succeeds, where room is found, and
what every page of the map is mapped to; the kernel may cut and join its entries as it likes.  Of anonymous
memory it says only that a page keeps the place that its contents are in.
The kernel runs on the boot CPU of a real machine with all checkers and the repairs of the known findings.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from machine_driver import Driver
from maps import ANON, BASE, at, over, touch
from vmsmp.patches.patch import Mutant, plant
from vmsmp.patches.repairs import REPAIRS
from vmsmp.scenarios._kit import run_in
from vmsmp.scenarios._kit import touch as allowed
from vmsmp.vm.vm_map import (
    KERN_FAILURE,
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_NO_SPACE,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    VM_INHERIT_DEFAULT,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_WRITE,
    vm_map_check_protection,
    vm_map_find,
    vm_map_inherit,
    vm_map_protect,
    vm_map_remove,
    vm_map_user_wiring,
    vmspace_alloc,
)
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_deallocate, vm_object_reference_quick
from vmsmp.vm.vm_page import PAGE_SIZE

PAGES = 12
FIRST = st.integers(-1, PAGES)
COUNT = st.integers(0, 5)
PROTS = st.sampled_from([0, 1, 3, 5, 7])
SOURCES = st.sampled_from([None, "one", "other"])


class Page(NamedTuple):
    """What a page of a map is mapped to; `offset` is that of an object of its own, or None."""

    source: str | None
    offset: int | None
    prot: int
    max: int
    inherit: int
    wired: bool = False


class MapAgainstFunction(RuleBasedStateMachine):
    """Each rule makes one call, in the kernel and in the model, and compares what they return."""

    def __init__(self):
        super().__init__()
        self.driver = Driver()
        self.sound = False

    @initialize()
    def boot(self):
        self.driver.do(self._boot)
        self.pages = {}
        self.places = {}
        self.sound = True

    def _boot(self):
        vm = self.driver.machine.boot(pages=128, l2_size=1)
        vm.mmu.trap = None  # who may not store, does not
        vmspace = vmspace_alloc(vm, BASE, at(PAGES))
        run_in(vm, vmspace)
        self.map = vmspace.vm_map
        self.objects = {name: vm_object_allocate(vm, 2 * PAGES, name) for name in ("one", "other")}

    def do(self, call, *args):
        self.sound = False
        answer = self.driver.do(call, *args)
        self.sound = True
        return answer

    def inside(self, first, count):
        """The pages of a range, clamped to the map."""
        return [n for n in range(max(first, 0), min(first + count, PAGES)) if n in self.pages]

    def change(self, first, count, **values):
        for n in self.inside(first, count):
            self.pages[n] = self.pages[n]._replace(**values)

    # -- calls

    def _put(self, first, count, source, offset, prot, limit, fitit):
        obj = self.objects.get(source)
        if obj is not None:
            vm_object_reference_quick(obj)
        what = ANON._replace(object=obj, offset=offset * PAGE_SIZE, prot=prot, max=limit)
        length = count * PAGE_SIZE
        code, address = vm_map_find(self.map, at(first), length, PAGE_SIZE, fitit, what)
        if code and obj is not None:
            vm_object_deallocate(obj)
        return code, (address - BASE) // PAGE_SIZE

    def put(self, first, count, source, offset, prot, limit):
        for n in range(count):
            own = None if source is None else offset + n
            self.pages[first + n] = Page(source, own, prot, limit, VM_INHERIT_DEFAULT)

    @rule(first=FIRST, count=COUNT, source=SOURCES, offset=st.integers(0, PAGES), prot=PROTS, limit=PROTS)
    def insert(self, first, count, source, offset, prot, limit):
        code, _ = self.do(self._put, first, count, source, offset, prot & limit, limit, False)
        if first < 0 or first + count > PAGES or count == 0:
            assert KERN_INVALID_ADDRESS == code
        elif any(n in self.pages for n in range(first, first + count)):
            assert KERN_NO_SPACE == code
        else:
            assert KERN_SUCCESS == code
            self.put(first, count, source, offset, prot & limit, limit)

    @rule(count=st.integers(1, 5), source=SOURCES, prot=PROTS)
    def find(self, count, source, prot):
        code, first = self.do(self._put, 0, count, source, 0, prot, VM_PROT_ALL, True)
        room = [
            n for n in range(PAGES - count + 1) if not any(page in self.pages for page in range(n, n + count))
        ]
        if room:
            assert (KERN_SUCCESS, room[0]) == (code, first)
            self.put(first, count, source, 0, prot, VM_PROT_ALL)
        else:
            assert KERN_NO_SPACE == code

    @rule(first=FIRST, count=COUNT)
    def remove(self, first, count):
        assert KERN_SUCCESS == self.do(over, vm_map_remove, self.map, first, count)
        for n in self.inside(first, count):
            del self.pages[n]
            self.places.pop(n, None)

    @rule(first=FIRST, count=COUNT, prot=PROTS, limit=st.booleans())
    def protect(self, first, count, prot, limit):
        code = self.do(over, vm_map_protect, self.map, first, count, prot, limit)
        if any(prot & ~self.pages[n].max for n in self.inside(first, count)):
            assert KERN_PROTECTION_FAILURE == code
            return
        assert KERN_SUCCESS == code
        for n in self.inside(first, count):
            page = self.pages[n]
            new = {"prot": prot & page.prot, "max": prot} if limit else {"prot": prot}
            page = page._replace(**new)
            self.pages[n] = page if page.prot else page._replace(wired=False)  # as repaired

    @rule(first=FIRST, count=COUNT, value=st.integers(0, 3))
    def inherit(self, first, count, value):
        code = self.do(over, vm_map_inherit, self.map, first, count, value)
        assert (KERN_INVALID_ARGUMENT if value == 3 else KERN_SUCCESS) == code
        if value < 3:
            self.change(first, count, inherit=value)

    @rule(first=FIRST, count=COUNT, prot=PROTS)
    def check(self, first, count, prot):
        allowed = self.do(over, vm_map_check_protection, self.map, first, count, prot, False)
        asked = range(first, first + max(count, 1))
        mapped = first in self.pages
        assert (
            mapped and (count == 0 or all(n in self.pages and not prot & ~self.pages[n].prot for n in asked))
        ) == allowed

    @rule(first=st.integers(0, PAGES - 1), count=st.integers(1, 4), end=st.booleans())
    def wire(self, first, count, end):
        count = min(count, PAGES - first)
        code = self.do(over, vm_map_user_wiring, self.map, first, count, end)
        pages = range(first, first + count)
        if not all(n in self.pages for n in pages):
            assert KERN_INVALID_ADDRESS == code
        elif not end and not all(self.pages[n].wired or self.pages[n].prot for n in pages):
            assert code in (KERN_PROTECTION_FAILURE, KERN_FAILURE)  # nobody may read it, or ever might
        else:
            assert KERN_SUCCESS == code
            self.change(first, count, wired=not end)

    def _store(self, page):
        return allowed(self.driver.machine.curcpu.store, at(page), 1)

    @rule(page=st.integers(0, PAGES - 1), prot=st.sampled_from([VM_PROT_READ, VM_PROT_WRITE]))
    def fault(self, page, prot):
        m = self.do(touch, self.map, page, prot)
        allowed = page in self.pages and not prot & ~self.pages[page].prot
        assert allowed == (m is not None)
        if allowed:
            stored = self.do(self._store, page)
            writeable = bool(self.pages[page].prot & VM_PROT_WRITE)
            assert stored in (writeable, True) if self.pages[page].source else stored == writeable

    # -- what must hold

    @invariant()
    def the_map_is_the_function(self):
        if self.sound:
            assert {n: page for n, (page, _) in self.seen().items()} == self.pages

    @invariant()
    def contents_stay_where_they_are(self):
        """A page of anonymous memory keeps its place, and no two pages have one."""
        if not self.sound:
            return
        places = {n: place for n, (page, place) in self.seen().items() if page.source is None and place}
        assert len({*places.values()}) == len(places)
        for n, place in places.items():
            assert place == self.places.setdefault(n, place)

    def seen(self):
        """What the kernel's entries say: of each page, and where its contents are."""
        names = {obj.ident: name for name, obj in self.objects.items()}
        said = {}
        for entry in self.map.peek("rb_root"):
            ba = entry.ba
            obj = ba.peek("object")
            source = None if obj is None else names.get(obj.ident)
            for address in range(ba.peek("start"), ba.peek("end"), PAGE_SIZE):
                pindex = (ba.peek("offset") + address - ba.peek("start")) // PAGE_SIZE
                said[(address - BASE) // PAGE_SIZE] = (
                    Page(
                        source,
                        None if source is None else pindex,
                        entry.peek("protection"),
                        entry.peek("max_protection"),
                        entry.peek("inheritance"),
                        bool(entry.peek("wired_count")),
                    ),
                    None if obj is None else (obj.ident, pindex),
                )
        return said

    def teardown(self):
        self.driver.stop() if not self.sound else self.driver.end()


SHORT = settings(max_examples=15, stateful_step_count=25, deadline=None, derandomize=True)


def test_the_map_does_what_the_function_says():
    with plant(REPAIRS):
        run_state_machine_as_test(MapAgainstFunction, settings=SHORT)


@pytest.mark.ci
def test_the_map_does_what_the_function_says_for_long():
    with plant(REPAIRS):
        run_state_machine_as_test(
            MapAgainstFunction,
            settings=settings(max_examples=150, stateful_step_count=60, deadline=None),
        )


def changed(place, old, new):
    """A kernel with another line."""
    return Mutant("MODEL", f"vmsmp.vm.vm_map.{place}", old, new, "INV-M12", "the model tells", "map_storm")


WRONG = {
    "a cut forgets its offset": changed(
        "clip:_vm_map_clip_end", "new.ba.offset += address - entry.ba.start", "pass"
    ),
    "rights reach beyond the range": changed(
        "protect:vm_map_protect", "vm_map_clip_end(map, current, end, reserved)", "pass"
    ),
    "inheritance begins too early": changed(
        "protect:vm_map_range_first", "vm_map_clip_start(map, entry, start, reserved)", "pass"
    ),
    "parts of other rights are joined": changed(
        "clip:_continues", "and before.protection == after.protection", "and True"
    ),
    "parts of other places are joined": changed("clip:_continues", "== after.ba.offset", "!= -1"),
    "a limit is not kept": changed(
        "protect:_may_protect", "if new_prot & current.max_protection.load() != new_prot:", "if False:"
    ),
    "a hole is overlooked": changed("find:vm_map_freehint_hole", "hint.start = start", "pass"),
    "an entry of other rights is extended": changed(
        "insert:_alike", "and prev.protection == what.prot", "and True"
    ),
}


@pytest.mark.ci
@pytest.mark.parametrize("mutant", WRONG.values(), ids=[*WRONG])
def test_what_a_wrong_kernel_does_is_told(mutant):
    only = settings(
        max_examples=400,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
    )
    with plant((*REPAIRS, mutant)), pytest.raises(Exception):  # noqa: B017, PT011 - however it shows
        run_state_machine_as_test(MapAgainstFunction, settings=only)
