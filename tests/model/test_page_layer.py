"""The page layer against a plain model of it: one CPU, any sequence of calls, compared after each.

The model knows nothing of locks, words or links: pages are records, queues are lists.  It says which
page an allocation gets, where in which queue a page lies, and what a call returns.
The kernel's functions run on the boot CPU of a real machine with all checkers, one call at a time.
"""

from __future__ import annotations

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

import kernel
import page_model as plain
from machine_driver import Driver
from vmsmp.check.vm.pmap import mapped
from vmsmp.engine.clock import HZ
from vmsmp.mmu.entry import PG_M, PG_RW
from vmsmp.patches.patch import Mutant
from vmsmp.scenarios._kit import Space, at, leave
from vmsmp.vm.vm_map import VM_PROT_NONE, VM_PROT_READ, VM_PROT_RW
from vmsmp.vm.vm_meter import COUNTS
from vmsmp.vm.vm_page import vm_page_alloc, vm_page_free, vm_page_lookup

PAGES = 6
INDEXES = 2
#: Page tables of an address space that maps all pages of both objects, and where it maps them.
TABLES = 4
FIRST = {"a": 0, "b": 8}
FLAGS = {
    "mapped": kernel.PG_MAPPED,
    "writeable": kernel.PG_WRITEABLE,
    "multi": kernel.PG_MAPPEDMULTI,
}
PROTECTIONS = {"none": VM_PROT_NONE, "read": VM_PROT_READ, "write": VM_PROT_RW}
REQUESTS = {
    "normal": kernel.VM_ALLOC_NORMAL,
    "system": kernel.VM_ALLOC_SYSTEM,
    "interrupt": kernel.VM_ALLOC_INTERRUPT,
}


PLACES = st.tuples(st.sampled_from("ab"), st.integers(0, INDEXES - 1))
EDGES = st.integers(0, 8).map(lambda n: 512 * n) | st.integers(0, 4096)
RANGES = st.tuples(EDGES, EDGES).map(lambda ends: (min(ends), max(ends) - min(ends)))
WANTS = st.sets(st.sampled_from(sorted(REQUESTS)), min_size=1).map(sorted)


def of_page(fits, **others):
    """A rule about one page, drawn from those for which `fits` holds."""

    def mark(do):
        def with_page(self, n, **arguments):
            do(self, self.memory.pages[n], self.real[n], **arguments)

        with_page.__name__ = do.__name__
        some = st.runner().flatmap(
            lambda self: st.sampled_from([p.n for p in self.memory.pages if fits(p)] or [None])
        )
        return precondition(lambda self: any(map(fits, self.memory.pages)))(rule(n=some, **others)(with_page))

    return mark


class PageLayer(RuleBasedStateMachine):
    """Each rule makes one call, in the kernel and in the model, and compares what they return."""

    def __init__(self):
        super().__init__()
        self.driver = Driver()
        self.sound = False  # between two rules the kernel and the model agree

    @initialize(
        l2_size=st.sampled_from([1, 2]),
        unneeded=st.sampled_from([0, 14, 120, 250]),
        resident=st.dictionaries(PLACES, st.sets(st.sampled_from(["held", "mapped", "wired"]))),
    )
    def boot(self, l2_size, unneeded, resident):
        self.vm = self.driver.do(self._boot, l2_size)
        self.real = [m for m in self.vm.page.vm_page_array if not m.peek("wire_count")]
        self.memory = plain.Memory([m.pc for m in self.real])
        self.memory.unneeded = self.vm.page.dnweight.value = unneeded
        for place, state in resident.items():
            self.alloc_for_object(place, ["normal"])
            n = self.memory.at(place).n
            self.change_content(n, deed="zero_invalid")
            if "held" in state:
                self.hold(n)
            if "mapped" in state:
                for _ in range(2):
                    self.enter(n, writeable=True)
                self.hash_enter(n)
            if "wired" in state:
                self.wire(n)
            self.activate(n)
            self.wakeup(n)

    def _boot(self, l2_size):
        vm = self.driver.machine.boot(pages=PAGES + TABLES, l2_size=l2_size, adj_limit=3, hash_size=1)
        self.objects = {name: kernel.vm_object_allocate(vm, INDEXES, name) for name in "ab"}
        self.space = Space(vm, self.objects["a"], INDEXES).with_tables()
        self.entries = {
            "a": self.space.entry,
            "b": self.space.map(self.objects["b"], FIRST["b"], INDEXES),
        }
        vm.meter.limits.v_free_reserved = plain.RESERVED
        vm.meter.limits.v_interrupt_free_min = plain.INTERRUPT_MIN
        return vm

    # -- calling

    def do(self, call, *args):
        self.sound = False
        return self.driver.do(call, *args)

    def holding(self, place, call, *args, shared=False):
        """What `call` returns under the token of the place's object."""
        obj = self.objects[place[0]]

        def under_token():
            (kernel.vm_object_hold_shared if shared else kernel.vm_object_hold)(obj)
            result = call(*args)
            kernel.vm_object_drop(obj)
            return result

        return self.do(under_token)

    def number(self, m):
        return None if m is None else self.real.index(m)

    def same(self, p, m):
        """The model's page and the kernel's are one, or both None."""
        assert (p and p.n) == self.number(m)

    # -- comparing

    @invariant()
    def every_page_is_what_the_model_says(self):
        names = {obj: name for name, obj in self.objects.items()}
        entries = dict(mapped(self.space.pmap))
        for p, m in zip(self.memory.pages, self.real, strict=True):
            word, obj = m.peek("busy_count"), m.peek("object")
            pte = entries.pop(at(self.where(p)), 0) if p.place else 0
            assert {m.name: p.shown()} == {
                m.name: {
                    "queue": self.vm.page.queue_type(m.peek("queue")),
                    "place": (names[obj], m.peek("pindex")) if obj else None,
                    "busy": (bool(word & kernel.PBUSY_LOCKED), word & ~kernel.PBUSY_LOCKED),
                    "hold": m.peek("hold_count"),
                    "wire": m.peek("wire_count"),
                    "valid": m.peek("valid"),
                    "dirty": m.peek("dirty"),
                    "act": m.peek("act_count"),
                    "flags": sorted(name for name, bit in FLAGS.items() if m.peek("flags") & bit),
                    "pte": (("rw" if pte & PG_RW else "r") if pte else "", bool(pte & PG_M)),
                }
            }
        assert {} == entries

    @invariant()
    def every_queue_has_its_pages_in_order(self):
        lists = {
            (self.vm.page.queue_type(pq.index), (pq.index - 1) % self.vm.page.l2_size): [
                self.number(m) for m in pq.pages()
            ]
            for pq in self.vm.page.vm_page_queues[1:]
        }
        assert {q: pages for q, pages in self.memory.queues.items() if pages} == {
            q: pages for q, pages in lists.items() if pages
        }

    @invariant()
    def every_count_adds_up(self):
        count = self.memory.count
        assert {
            "v_free_count": count("free"),
            "v_cache_count": count("cache"),
            "v_inactive_count": count("inactive"),
            "v_active_count": count("active", "hold"),
            "v_wire_count": TABLES + sum(p.wire > 0 for p in self.memory.pages),
        } == {name: self.vm.meter.count(name) for name in COUNTS}

    @invariant()
    def every_object_has_its_pages(self):
        for name, obj in self.objects.items():
            pages = {p.place[1]: p.n for p in self.memory.pages if p.place and p.place[0] == name}
            assert (pages, len(pages), self.memory.generation[name]) == (
                {pindex: self.number(m) for pindex, m in obj.peek("rb_memq").items()},
                obj.peek("resident_page_count"),
                obj.peek("generation"),
            )

    @invariant()
    def the_hash_knows_the_same_pages(self):
        names = {obj: name for name, obj in self.objects.items()}
        elements = [self.vm.page.vm_page_hash.element(slot) for slot in range(4)]
        assert self.memory.cached == [
            [self.number(e.m), (names[e.object], e.pindex) if e.m else None, e.ticks] for e in elements
        ]

    @invariant()
    def all_is_compared(self):
        self.sound = True

    # -- allocating and freeing

    @rule(place=PLACES, request=WANTS)
    def alloc_for_object(self, place, request):
        flags = sum(REQUESTS[word] for word in request) | kernel.VM_ALLOC_NULL_OK
        obj = self.objects[place[0]]
        m = self.holding(place, vm_page_alloc, self.vm, obj, place[1], flags)
        self.same(self.memory.alloc(place, place[1], request), m)

    @rule(pindex=st.integers(0, INDEXES - 1), request=WANTS)
    def alloc(self, pindex, request):
        flags = sum(REQUESTS[word] for word in request)
        m = self.do(vm_page_alloc, self.vm, None, pindex, flags)
        self.same(self.memory.alloc(None, pindex, request), m)

    @rule(place=PLACES)
    def grab(self, place):
        flags = kernel.VM_ALLOC_NORMAL | kernel.VM_ALLOC_ZERO
        p = self.memory.at(place)
        if p and (p.hard or p.soft):
            return  # it would sleep for ever
        m = self.do(kernel.vm_page_grab, self.objects[place[0]], place[1], flags)
        if p is None:
            p = self.memory.alloc(place, place[1], ["normal"])
            self.memory.ticks += 0 if p else HZ  # it waited for memory
        else:
            p.hard = True
            self.memory.enter(p)
        if p:
            p.valid = p.valid or plain.ALL
        self.same(p, m)

    @of_page(lambda p: p.mine and not p.soft and not p.wire and not p.flags & {"mapped", "writeable"})
    def free(self, p, m):
        self.do(vm_page_free, m)
        self.memory.free(p)

    @of_page(lambda p: p.allocated or p.kind == "hold" or (p.kind == "free" and p.hard))
    def try_to_free(self, p, m):
        done = self.do(kernel.vm_page_try_to_free, m)
        can = p.allocated and not (p.hard or p.soft or p.dirty or p.hold or p.wire)
        if can and p.written:
            p.dirty, can = plain.ALL, False
        if can:
            self.memory.protect(p, "none")
            self.memory.free(p)
        assert can == done

    @of_page(lambda p: p.mine)
    def cache(self, p, m):
        self.do(kernel.vm_page_cache, m)
        self.memory.cache(p)

    @of_page(lambda p: p.mine)
    def try_to_cache(self, p, m):
        done = self.do(kernel.vm_page_try_to_cache, m)
        can = not (p.dirty or p.hold or p.wire or p.kind == "cache")
        if can and p.written:
            p.dirty, can = plain.ALL, False
            if p.kind == "active":
                self.memory.deactivate(p)
        if can:
            self.memory.cache(p)
        p.hard = False
        assert can == done

    # -- holds and wirings

    @of_page(lambda p: p.usable)
    def hold(self, p, m):
        self.do(kernel.vm_page_hold, m)
        p.hold += 1

    @of_page(lambda p: p.hold)
    def unhold(self, p, m):
        self.do(kernel.vm_page_unhold, m)
        p.hold -= 1
        if not p.hold and p.kind == "hold":
            self.memory.move(p, "free")

    @of_page(lambda p: p.mine)
    def wire(self, p, m):
        self.do(kernel.vm_page_wire, m)
        p.wire += 1

    @of_page(lambda p: p.mine and p.wire, activate=st.booleans())
    def unwire(self, p, m, activate):
        self.do(kernel.vm_page_unwire, m, activate)
        self.memory.unwire(p, activate)

    @of_page(lambda p: p.wire)
    def wire_quick(self, p, m):
        self.do(kernel.vm_page_wire_quick, m)
        p.wire += 1

    @of_page(lambda p: p.wire)
    def unwire_quick(self, p, m):
        last = self.do(kernel.vm_page_unwire_quick, m)
        assert (p.wire == 1) == last
        p.wire -= not last

    # -- activity

    @of_page(lambda p: p.usable)
    def activate(self, p, m):
        self.do(kernel.vm_page_activate, m)
        self.memory.activate(p)

    @of_page(lambda p: p.usable)
    def deactivate(self, p, m):
        self.do(kernel.vm_page_deactivate, m)
        self.memory.deactivate(p)

    @of_page(lambda p: p.mine)
    def dontneed(self, p, m):
        self.do(kernel.vm_page_dontneed, m)
        self.memory.dontneed(p)

    # -- busies

    @of_page(lambda p: True, also=st.booleans())
    def busy_try(self, p, m, also):
        failed = self.do(kernel.vm_page_busy_try, m, also)
        assert (p.hard or (also and p.soft > 0)) == failed
        p.hard = True if not failed else p.hard

    @of_page(lambda p: not p.hard and not p.soft, also=st.booleans())
    def busy_wait(self, p, m, also):
        assert False is self.do(kernel.vm_page_sleep_busy, m, also)
        self.do(kernel.vm_page_busy_wait, m, also)
        p.hard = True

    @of_page(lambda p: p.hard)
    def wakeup(self, p, m):
        self.do(kernel.vm_page_wakeup, m)
        p.hard = False

    @of_page(lambda p: p.allocated)
    def sbusy_try(self, p, m):
        assert p.hard == self.do(kernel.vm_page_sbusy_try, m)
        p.soft += not p.hard

    @of_page(lambda p: p.allocated and (p.hard or p.soft))
    def sbusy_hold(self, p, m):
        self.do(kernel.vm_page_sbusy_hold, m)
        p.soft += 1

    @of_page(lambda p: p.soft > p.io)
    def sbusy_drop(self, p, m):
        self.do(kernel.vm_page_sbusy_drop, m)
        p.soft -= 1

    @of_page(lambda p: p.mine)
    def io_start(self, p, m):
        self.do(kernel.vm_page_io_start, m)
        p.soft += 1
        p.io += 1

    @of_page(lambda p: p.mine and p.soft)
    def io_finish(self, p, m):
        self.do(kernel.vm_page_io_finish, m)
        p.soft -= 1
        p.io -= p.io > 0

    # -- objects

    @of_page(lambda p: p.mine and not p.io and not p.place, place=PLACES)
    def insert(self, p, m, place):
        done = self.holding(place, kernel.vm_page_insert, m, self.objects[place[0]], place[1])
        assert self.memory.insert(p, place) == done

    @of_page(lambda p: p.mine and not p.io and not p.pte)
    def remove(self, p, m):
        self.do(kernel.vm_page_remove, m)
        self.memory.remove(p)

    @of_page(lambda p: p.mine and not p.io and not p.pte, place=PLACES)
    def rename(self, p, m, place):
        if self.memory.at(place) not in (None, p):
            return  # it would panic
        move = self.objects[place[0]], place[1]
        self.holding(p.place or place, self.nested, place, kernel.vm_page_rename, m, *move)
        self.memory.remove(p)
        self.memory.insert(p, place)
        p.dirty = plain.ALL
        if p.kind == "cache":
            self.memory.deactivate(p)

    def nested(self, place, call, *args):
        obj = self.objects[place[0]]
        kernel.vm_object_hold(obj)
        call(*args)
        kernel.vm_object_drop(obj)

    @rule(place=PLACES)
    def lookup(self, place):
        m = self.holding(place, vm_page_lookup, self.objects[place[0]], place[1], shared=True)
        p = self.memory.at(place)
        self.same(p, m)
        if p:
            self.memory.enter(p)

    @rule(place=PLACES, also=st.booleans())
    def lookup_busy_try(self, place, also):
        obj = self.objects[place[0]]
        found = self.holding(place, kernel.vm_page_lookup_busy_try, obj, place[1], also, shared=True)
        p = self.memory.at(place)
        failed = p is not None and (p.hard or (also and p.soft > 0))
        assert (p and p.n, failed) == (self.number(found[0]), found[1])
        if p and not failed:
            p.hard = True
            self.memory.enter(p)

    @rule(place=PLACES, also=st.booleans())
    def lookup_busy_wait(self, place, also):
        p = self.memory.at(place)
        if p and (p.hard or (also and p.soft)):
            return  # it would sleep for ever
        obj = self.objects[place[0]]
        m = self.holding(place, kernel.vm_page_lookup_busy_wait, obj, place[1], also, shared=True)
        self.same(p, m)
        if p:
            p.hard = True
            self.memory.enter(p)

    @rule(place=PLACES, part=RANGES)
    def lookup_sbusy_try(self, place, part):
        obj = self.objects[place[0]]
        m = self.holding(place, kernel.vm_page_lookup_sbusy_try, obj, place[1], *part, shared=True)
        p, bits = self.memory.at(place), plain.pieces(*part)
        if p and (p.hard or not p.valid or bits & ~p.valid):
            p = None
        self.same(p, m)
        if p:
            p.soft += 1
            self.memory.enter(p)

    @of_page(lambda p: p.usable)
    def hash_enter(self, p, m):
        self.do(kernel.vm_page_hash_enter, m)
        self.memory.enter(p)

    @rule(place=st.runner().flatmap(lambda self: st.sampled_from(self.memory.known())) | PLACES)
    def hash_get(self, place):
        m = self.do(kernel.vm_page_hash_get, self.vm, self.objects[place[0]], place[1])
        self.same(self.memory.hashed(place), m)

    @rule(ticks=st.integers(1, 3))
    def time_goes_by(self, ticks):
        """And the counts are rolled up, and the hold queues swept, on which nothing is stale."""
        self.do(lambda: self.driver.machine.tsleep("nothing", 0, "nap", ticks))
        self.do(kernel.vmstats_rollup, self.vm)
        swept = self.do(kernel.vm_pageout_free_hold, self.vm)
        self.memory.ticks += ticks
        totals = {name: self.vm.meter.count(name) for name in COUNTS}
        assert (self.memory.ticks, totals, 0) == (
            self.driver.machine.ticks,
            {name: self.vm.meter.vmstats.peek(name) for name in COUNTS},
            swept,
        )

    # -- valid and dirty

    @of_page(lambda p: p.mine and p.kind != "cache", deed=st.sampled_from(sorted(plain.BITS)), part=RANGES)
    def change_bits(self, p, m, deed, part):
        if deed == "set_invalid":
            if not p.place:
                return
            self.memory.generation[p.place[0]] += 1
        self.do(getattr(kernel, f"vm_page_{deed}"), m, *part)
        p.valid, p.dirty = plain.BITS[deed](p.valid, p.dirty, plain.pieces(*part))

    @of_page(lambda p: p.mine and p.kind != "cache", deed=st.sampled_from(sorted(plain.CONTENT)))
    def change_content(self, p, m, deed):
        self.do(getattr(kernel, f"vm_page_{deed}"), m)
        p.valid, p.dirty = plain.CONTENT[deed](p.valid, p.dirty, p.written)

    @of_page(lambda p: p.usable, part=RANGES)
    def is_valid(self, p, m, part):
        expected = p.valid != 0 and not plain.pieces(*part) & ~p.valid
        assert expected == self.do(kernel.vm_page_is_valid, m, *part)

    # -- mappings

    @of_page(
        lambda p: p.place and (p.hard or p.soft) and p.kind != "cache" and p.valid == plain.ALL,
        writeable=st.booleans(),
    )
    def enter(self, p, m, writeable):
        self.do(self._enter, p, m, PROTECTIONS["write" if writeable else "read"])
        self.memory.map(p, "rw" if writeable else "r")

    def where(self, p):
        """The page of the address space at which the object's page is."""
        name, pindex = p.place
        return FIRST[name] + pindex

    def _enter(self, p, m, prot):
        with self.space.locked():
            kernel.pmap_enter(self.space.pmap, at(self.where(p)), m, prot, False, self.entries[p.place[0]])

    @of_page(lambda p: p.pte)
    def store(self, p, m):
        assert (p.pte == "rw") == self.do(self.space.store, self.where(p))
        p.written = p.pte == "rw"

    @of_page(lambda p: p.pte)
    def unmap(self, p, m):
        self.do(self.space.remove, self.where(p))
        self.memory.unmap(p)

    @of_page(lambda p: p.mine, prot=st.sampled_from(sorted(PROTECTIONS)))
    def protect(self, p, m, prot):
        self.do(kernel.vm_page_protect, m, PROTECTIONS[prot])
        self.memory.protect(p, prot)

    # -- the end

    def teardown(self):
        """Give everything back; then every page is free, or out of the way of an allocation."""
        if self.sound:
            self.driver.do(self.give_back)
            assert {"free", "inactive"} >= {self.vm.page.queue_type(m.peek("queue")) for m in self.real}
            assert [] == [m for m in self.real if any(m.peek(c) for c in ("busy_count", "hold_count"))]
            self.driver.end()
        else:
            self.driver.stop()

    def give_back(self):
        for p, m in zip(self.memory.pages, self.real, strict=True):
            for n in range(p.soft):
                (kernel.vm_page_io_finish if n < p.io else kernel.vm_page_sbusy_drop)(m)
            if not p.hard:
                kernel.vm_page_busy_wait(m, True)
            for _ in range(p.wire):
                kernel.vm_page_unwire(m, False)
            kernel.vm_page_wakeup(m)
            for _ in range(p.hold):
                kernel.vm_page_unhold(m)
            if p.allocated and p.place is None:
                kernel.vm_page_busy_wait(m, True)
                kernel.vm_page_protect(m, VM_PROT_NONE)
                vm_page_free(m)
        leave(self.vm)
        self.space.end()
        for obj in self.objects.values():
            kernel.vm_object_deallocate(obj)


DRAWN_ONCE = settings(
    derandomize=True, database=None, deadline=None, max_examples=100, stateful_step_count=60
)


@pytest.mark.ci
def test_the_page_layer_does_what_a_plain_model_of_it_does():
    run_state_machine_as_test(PageLayer, settings=DRAWN_ONCE)


def changed(function, old, new):
    return Mutant("model", f"vmsmp.vm.{function}", old, new, breaks="the model", story="", scenario="")


@pytest.mark.ci
@pytest.mark.parametrize(
    "mutant",
    [
        changed("vm_page:vm_page_unwire", "elif activate or", "elif not activate or"),
        changed("vm_page:vm_page_unwire_quick", "return True", "return False"),
        changed("vm_page:vm_page_dontneed", "_vm_page_deactivate_locked(m, athead)", "pass"),
        changed("vm_page:vm_page_rename", "vm_page_dirty(m)", "pass"),
        changed("vm_page:vm_page_bits", "base + size - 1", "base + size"),
        changed("vm_page:vm_page_alloc", "_recycle(m)", "break"),
        changed("vm_page:_gate_open", "free >= vm.meter.limits", "free > vm.meter.limits"),
        changed("vm_page:vm_page_free_toq", "m.valid = 0", "pass"),
        changed("vm_page:vm_page_lookup_busy_try", "vm_page_hash_enter(m)", "pass"),
        changed("vm_page:vm_page_hash_enter", "first < delta", "first <= delta"),
        changed("pmap:transfer", "vm_page_dirty(m)", "pass"),
        changed("pmap:pmap_removed_pte", "not flags & PG_MAPPEDMULTI", "True"),
    ],
    ids=lambda mutant: mutant.function.partition(":")[2],
)
def test_the_model_sees_another_page_layer(mutant):
    with mutant.plant(), pytest.raises(AssertionError):
        run_state_machine_as_test(
            PageLayer, settings=settings(DRAWN_ONCE, max_examples=300, phases=[Phase.generate])
        )
