"""Small programs that searches are tried on: a bug in a crowd, two bugs, none, and random kernel programs."""

from __future__ import annotations

import random

from vmsmp import PINTERLOCKED
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.verdict import FailureKind
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.machine import Machine
from vmsmp.mmu.entry import PG_M, PG_RW
from vmsmp.scenarios._kit import Space, active_page, at, contents, touch
from vmsmp.sched.names import make_scheduler
from vmsmp.vm.pmap import pmap_pte
from vmsmp.vm.vm_map import VM_PROT_READ
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_page import (
    PAGE_SIZE,
    PG_MAPPEDMULTI,
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    VM_PAGE_BITS_ALL,
    _vm_page_and_queue_spin_unlock,
    _vm_page_list_find,
    vm_page_activate,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_cache,
    vm_page_clear_dirty,
    vm_page_deactivate,
    vm_page_dirty,
    vm_page_dontneed,
    vm_page_free,
    vm_page_hash_enter,
    vm_page_hash_get,
    vm_page_hold,
    vm_page_io_finish,
    vm_page_io_start,
    vm_page_lookup_busy_try,
    vm_page_lookup_sbusy_try,
    vm_page_protect,
    vm_page_remove,
    vm_page_rename,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_set_invalid,
    vm_page_soft_activate,
    vm_page_test_dirty,
    vm_page_try_to_cache,
    vm_page_try_to_free,
    vm_page_undirty,
    vm_page_unhold,
    vm_page_unqueue_nowakeup,
    vm_page_unwire,
    vm_page_unwire_quick,
    vm_page_wakeup,
    vm_page_wire,
    vm_page_wire_quick,
)


def noisy(m):
    """The same bug among much that has nothing to do with it."""
    word, noise = m.cell(0), m.cell(0)

    def incrementer():
        for n in range(5):
            noise.store(n)
        word.store(word.load() + 1)
        for n in range(5):
            noise.store(n)

    for _ in range(3):
        m.spawn(incrementer)
    m.join()
    m.check(word.load() == 3, "every increment is counted")


def two_bugs(m):
    word = m.cell(0)

    def incrementer():
        word.store(word.load() + 1)

    def reader():
        m.check(word.load() != 1, "somebody saw the middle")

    m.spawn(incrementer)
    m.spawn(incrementer)
    m.spawn(reader)
    m.join()
    m.check(word.load() == 2, "both increments are counted")


def clean(m):
    word = m.atomic(0)
    m.spawn(word.fetchadd, 1)
    m.spawn(word.fetchadd, 1)
    m.join()
    m.check(word.load() == 2, "both increments are counted")


class Shared:
    """What the CPUs of a random kernel program share, and what each of them saw."""

    def __init__(self, m):
        self.m = m
        self.vm = m.boot(pages=6, l2_size=1)
        self.obj = vm_object_allocate(self.vm, 2)
        self.page = active_page(self.vm, self.obj, 0)
        self.queue = self.vm.page.vm_page_queues[self.page.peek("queue")]
        self.free = self.vm.page.vm_page_queues[self.vm.page.PQ_FREE].peek("tqh_first")
        self.lock, self.token, self.lockmgr = m.spinlock("lock"), m.token("token"), m.lockmgr("lockmgr")
        self.word = m.atomic(0)
        self.vm.page.dnweight.store(16)  # from here on, a page that is not needed is deactivated
        self.seen = {}
        #: The address space that maps the page, and its entry there; None as long as there is none.
        self.space = self.entry = None

    def saw(self, what):
        self.seen.setdefault(self.m.curcpu.index, []).append(what)

    def outcome(self):
        """What came out of it: what the CPUs saw, how the run ended, and how the page was left.

        A panic stops the others wherever they are, so of a run that panicked only that counts.
        """
        violation = self.m.violation
        if violation is not None and violation.kind is FailureKind.CHECK:
            return violation.message
        queued = self.queue.peek("tqh_first") is not None, self.queue.peek("lcnt")
        ended = violation.kind.name if violation is not None else ""
        mapped = self.entry and (self.entry.peek(), contents(self.page))
        return str(sorted(self.seen.items())), ended, self.word.peek(), self.page.dump(), queued, mapped


def read_queue(t):
    t.saw(t.page.hint("queue"))


def read_act_count(t):
    t.saw(t.page.hint("act_count"))


def read_head(t):
    t.saw(t.queue.hint("tqh_first") is None)


def read_length(t):
    t.saw(t.queue.hint("lcnt"))


def unqueue(t):
    vm_page_unqueue_nowakeup(t.page)


def activate(t):
    vm_page_activate(t.page)


def deactivate(t):
    vm_page_deactivate(t.page)


def hold(t):
    vm_page_hold(t.page)
    vm_page_unhold(t.page)


def count(t):
    t.saw(t.word.fetchadd(1))


def busy(t):
    if not vm_page_busy_try(t.page, True):
        t.saw("busied")
        vm_page_wakeup(t.page)


def hold_object(t):
    vm_object_hold(t.obj)
    t.saw(t.word.fetchadd(1))
    vm_object_drop(t.obj)


def share_object(t):
    vm_object_hold_shared(t.obj)
    t.saw(t.word.load())
    vm_object_drop(t.obj)


def spin(t):
    with t.lock:
        t.saw(t.word.fetchadd(1))


def spin_try(t):
    if t.lock.try_acquire():
        t.saw("got")
        t.lock.release()


def spin_shared(t):
    t.lock.acquire_shared()
    t.saw(t.word.load())
    t.lock.release_shared()


def spin_upgrade(t):
    t.lock.acquire_shared()
    if t.lock.try_upgrade():
        t.saw("upgraded")
        t.lock.release()
    else:
        t.lock.release_shared()


def take_token(t):
    with t.token:
        t.saw(t.word.fetchadd(1))


def take_lockmgr(t):
    t.lockmgr.acquire()
    t.saw(t.word.load())
    t.lockmgr.release()


def share_lockmgr(t):
    t.lockmgr.acquire_shared()
    t.lockmgr.release()


# -- pages in use ---------------------------------------------------------------------------------


def wire_once(t):
    """Before a program: wire the page."""
    vm_page_busy_try(t.page, False)
    vm_page_wire(t.page)
    vm_page_wakeup(t.page)


def map_it(t):
    """Before a program: map the page for writing, and write to it."""
    t.m.choose = lambda _: 0  # what is chosen so far is not searched
    t.space = Space(t.vm, t.obj, 1).with_tables()
    t.space.fault(t.page, 0)
    t.entry = pmap_pte(t.space.pmap, at(0))
    write(t)
    del t.m.choose


def enter_it(t):
    """Before a program: put the page into the page hash."""
    t.page.flags.setbits(PG_MAPPEDMULTI)
    vm_object_hold(t.obj)
    vm_page_hash_enter(t.page)
    vm_object_drop(t.obj)


def remember(t):
    """Before a program: have searches of the active pages start elsewhere."""
    t.queue.publish("lastq", 0)


def busied(act):
    """An operation that hard-busies the page for the action, or gives up."""

    def operation(t):
        if vm_page_busy_try(t.page, True):
            t.saw("busy")
            return
        act(t)
        vm_page_wakeup(t.page)

    operation.__name__ = act.__name__
    return operation


def consuming(act):
    """The same for an action that drops the busy itself."""

    def operation(t):
        if vm_page_busy_try(t.page, True):
            t.saw("busy")
        else:
            t.saw(act(t.page))

    operation.__name__ = act.__name__
    return operation


def wire_more(t):
    vm_page_wire_quick(t.page)


def unwire_more(t):
    t.saw(vm_page_unwire_quick(t.page))


@busied
def wire(t):
    vm_page_wire(t.page)


@busied
def unwire(t):
    if t.page.wire_count.load():
        vm_page_unwire(t.page, False)


def wire_unbusied(t):
    vm_page_wire(t.page)


def unwire_unbusied(t):
    vm_page_unwire(t.page, True)


def remove_unbusied(t):
    vm_object_hold(t.obj)
    vm_page_remove(t.page)
    vm_object_drop(t.obj)


def rename_unbusied(t):
    vm_object_hold(t.obj)
    vm_page_rename(t.page, t.obj, 1)
    vm_object_drop(t.obj)


def free_unbusied(t):
    vm_page_free(t.page)


def soft_activate(t):
    vm_page_soft_activate(t.page)


def read_dirty(t):
    t.saw(t.page.hint("dirty"))


def unmap(t):
    t.space.remove()


def take_entry(t):
    """What an unmapping does to the page's entry, and then to its dirt."""
    if t.entry.swap(0) & PG_M:
        t.page.publish("dirty", VM_PAGE_BITS_ALL)


def restrict_entry(t):
    """What a protection from stores does to the page's entry, and then to its dirt."""
    if t.entry.clearbits(PG_RW | PG_M) & PG_M:
        t.page.publish("dirty", VM_PAGE_BITS_ALL)


def write(t):
    """What a store does on a CPU whose tables are those that map the page: a walk, if need be, and the store.

    The boot CPU, which has mapped the page, has its translation cached.
    """
    t.vm.mmu.units[t.m.curcpu.index].cr3 = t.space.pmap.cr3
    t.saw(touch(t.m.curcpu.store, at(0), t.m.curcpu.index))


def dirty(t):
    vm_page_dirty(t.page)


def stain(t):
    """What a process's write does to the page in the end."""
    t.page.publish("dirty", VM_PAGE_BITS_ALL)


def bleach(t):
    t.page.publish("dirty", 0)


@busied
def undirty(t):
    vm_page_undirty(t.page)


@busied
def clear(t):
    vm_page_clear_dirty(t.page, 0, PAGE_SIZE)


@busied
def look_for_dirt(t):
    vm_page_test_dirty(t.page)
    t.saw(t.page.hint("dirty"))


@busied
def not_needed(t):
    vm_page_dontneed(t.page)


@busied
def forbid(t):
    vm_page_protect(t.page, VM_PROT_READ)


@busied
def read_in(t):
    vm_page_io_start(t.page)
    vm_page_io_finish(t.page)


def forbid_unbusied(t):
    vm_page_protect(t.page, VM_PROT_READ)


cache = consuming(vm_page_cache)
try_to_cache = consuming(vm_page_try_to_cache)


def try_to_free(t):
    t.saw(vm_page_try_to_free(t.page))


def soft_busy(t):
    if not vm_page_sbusy_try(t.page):
        vm_page_sbusy_drop(t.page)


# -- pages and their objects ----------------------------------------------------------------------


def look_up(t):
    vm_object_hold_shared(t.obj)
    m, failed = vm_page_lookup_busy_try(t.obj, 0, True)
    t.saw((m is not None, failed))
    if m is not None and not failed:
        vm_page_wakeup(m)
    vm_object_drop(t.obj)


def look_up_softly(t):
    vm_object_hold_shared(t.obj)
    m = vm_page_lookup_sbusy_try(t.obj, 0)
    t.saw(m is not None)
    if m is not None:
        vm_page_sbusy_drop(m)
    vm_object_drop(t.obj)


def look_in_hash(t):
    m = vm_page_hash_get(t.vm, t.obj, 0)
    t.saw(m is not None)
    if m is not None:
        vm_page_sbusy_drop(m)


@busied
def move(t):
    vm_object_hold(t.obj)
    vm_page_rename(t.page, t.obj, 1)
    vm_object_drop(t.obj)


@busied
def remove(t):
    vm_page_remove(t.page)


@busied
def invalidate(t):
    if t.page.object is not None:
        vm_page_set_invalid(t.page, 0, PAGE_SIZE)


def leave(t):
    """What a removal does to the page's identity."""
    t.page.publish("object", None)


def go_on(t):
    """What an insertion at another index does to it."""
    t.page.publish("pindex", 1)


def spoil(t):
    t.page.publish("valid", 0)


def set_down(t):
    """What the last step of caching does to the page's place."""
    t.page.publish("queue", t.vm.page.PQ_CACHE)


def enter(t):
    vm_page_hash_enter(t.page)
    t.saw([mp.hint("m") is None for mp in t.vm.page.vm_page_hash.set_of(t.obj, 0)])


def forget(t):
    """What the entry of another page does to the page's."""
    t.vm.page.vm_page_hash.set_of(t.obj, 0)[0].publish("m", None)


def keep(t):
    """What a hold does to the page."""
    t.page.hold_count.fetchadd(1)


def read_identity(t):
    t.saw((t.page.hint("object") is None, t.page.hint("pindex")))


def read_valid(t):
    t.saw(t.page.hint("valid"))


# -- searches and allocation ----------------------------------------------------------------------


def read_lastq(t):
    t.saw(t.queue.hint("lastq"))


def find(t):
    m = _vm_page_list_find(t.vm, t.vm.page.PQ_ACTIVE, 0)
    t.saw(m is not None)
    if m is not None:
        _vm_page_and_queue_spin_unlock(m)


def allocate(t):
    t.saw(vm_page_alloc(t.vm, None, 7, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM) is not None)


def hold_free(t):
    """A hold of the page that is allocated next: misuse, which an allocator notices."""
    t.free.hold_count.fetchadd(1)


def sleep(t):
    t.m.tsleep_interlock(t.obj)
    if not t.word.load():
        t.m.tsleep(t.obj, PINTERLOCKED, "bed")


def wake(t):
    t.word.fetchadd(1)
    t.m.wakeup(t.obj)


#: Operations that are drawn together.
KERNEL_OPERATIONS = {
    "hints": (read_queue, read_act_count, read_head, read_length, unqueue),
    "queues": (unqueue, activate, deactivate, read_queue),
    "holds": (hold, busy, unqueue, read_head),
    "objects": (hold_object, share_object, read_queue, count),
    "spinlocks": (spin, spin_try, spin_shared, spin_upgrade),
    "locks": (take_token, take_lockmgr, share_lockmgr, spin_upgrade),
    "sleeps": (sleep, wake, spin_try, read_queue),
    "wirings": (wire_more, unwire_more, wire, unwire, busy),
    "dirt": (read_dirty, take_entry, write, dirty, undirty, clear, look_for_dirt, restrict_entry),
    "caching": (try_to_cache, take_entry, dirty, keep, read_dirty, busy),
    "leaving": (cache, take_entry, soft_busy, count, not_needed, soft_activate),
    "identity": (read_identity, read_valid, busy, invalidate, look_in_hash, soft_busy),
    "searches": (read_lastq, find, read_head, spin),
}

#: What is done to the page before a program of that kind.
PREPARED = {
    "wirings": wire_once,
    "dirt": map_it,
    "caching": map_it,
    "leaving": map_it,
    "identity": enter_it,
    "searches": remember,
}

#: Operations side by side, with what is done to the page before them; each pair reads something unlocked
#: that the other changes.  What follows a preparation on the boot CPU is short where its partner is long.
PAIRS = (
    (wire_once, unwire_more, unwire),
    (wire_once, unwire_more, unwire_more),
    (wire_once, unwire_more, unwire_unbusied),
    (wire_once, unwire_more, wire),
    (None, wire_unbusied, busy),
    (None, wire_more, wire),
    (wire_once, unwire_unbusied, busy),
    (None, remove_unbusied, busy),
    (None, rename_unbusied, busy),
    (None, free_unbusied, soft_busy),
    (None, forbid_unbusied, busy),
    (None, soft_busy, forbid_unbusied),
    (map_it, take_entry, try_to_cache),
    (map_it, take_entry, try_to_free),
    (map_it, take_entry, cache),
    (map_it, take_entry, not_needed),
    (map_it, take_entry, look_for_dirt),
    (map_it, dirty, undirty),
    (None, dirty, bleach),
    (None, dirty, set_down),
    (None, move, set_down),
    (None, cache, stain),
    (None, try_to_cache, stain),
    (None, try_to_free, stain),
    (None, try_to_free, read_queue),
    (None, try_to_free, keep),
    (map_it, take_entry, clear),
    (map_it, take_entry, write),
    (map_it, write, take_entry),
    (map_it, write, look_for_dirt),
    (map_it, write, clear),
    (map_it, restrict_entry, write),
    (map_it, restrict_entry, look_for_dirt),
    (None, cache, keep),
    (None, try_to_cache, keep),
    (None, cache, read_queue),
    (None, not_needed, stain),
    (None, not_needed, read_act_count),
    (None, not_needed, soft_busy),
    (None, soft_activate, read_act_count),
    (None, read_dirty, clear),
    (enter_it, look_in_hash, leave),
    (enter_it, look_in_hash, go_on),
    (enter_it, look_in_hash, spoil),
    (enter_it, look_in_hash, forget),
    (enter_it, enter, forget),
    (None, look_up_softly, spoil),
    (None, look_up, soft_busy),
    (None, look_up, busy),
    (None, read_identity, move),
    (None, read_identity, remove),
    (None, read_valid, invalidate),
    (remember, read_lastq, find),
    (remember, find, find),
    (None, allocate, hold_free),
    (None, allocate, read_act_count),
)

#: The same of operations that are too large for all of their schedules.
LARGE_PAIRS = (
    (map_it, dirty, clear),
    (map_it, unmap, look_for_dirt),
    (map_it, unmap, clear),
    (map_it, unmap, write),
    (map_it, forbid, write),
    (map_it, forbid, look_for_dirt),
)


def side_by_side(prepare, *roles):
    """A CPU for each role, the boot CPU for the first, after the preparation; a function of a `Shared`."""

    def program(t):
        if prepare is not None:
            prepare(t)
        for role in roles[1:]:
            t.m.spawn(role, t)
        roles[0](t)

    return program


def kernel_program(kinds, seed):
    """Two or three CPUs with up to three operations of the kind in all; a function of a `Shared`."""
    rng = random.Random(f"{kinds} {seed}")
    plan = [[rng.choice(KERNEL_OPERATIONS[kinds])] for _ in range(rng.choice((2, 2, 2, 3)))]
    if len(plan) == 2 and rng.randrange(2):
        plan[rng.randrange(2)].append(rng.choice(KERNEL_OPERATIONS[kinds]))

    def program(t):
        def run(steps):
            for step in steps:
                step(t)

        if kinds in PREPARED:
            PREPARED[kinds](t)
        for steps in plan:
            t.m.spawn(run, steps)

    program.__name__ = "; ".join(" ".join(step.__name__ for step in steps) for steps in plan)
    return program


def outcomes(program, sched, most):
    """Return the outcomes of a search of a function of a `Shared`, and whether it ended by itself."""
    seen = set()
    scheduler = make_scheduler(sched, 0)
    ended = False
    shared = []

    def body(m):
        shared.append(Shared(m))
        program(shared[0])

    with WorkerPool(current_core()) as pool:
        engine = ControlledEngine(pool)

        def loop():
            nonlocal ended
            for n in range(most):
                if not scheduler.begin():
                    ended = True
                    return
                execution = engine.prepare(scheduler)
                machine = Machine(execution, seed=n)
                execution.execute(machine, body)
                seen.add(shared.pop().outcome())
                machine.close()

        pool.drive(loop)
    return seen, ended
