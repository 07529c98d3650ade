"""When records are judged: results of lookups, stores to words, freed memory; and who is watched at all."""

import re
from functools import partial

import pytest

import verdicts
import vmsmp
from verdicts import entries
from vmsmp.patches.patch import Mutant
from vmsmp.scenarios._kit import busied_page
from vmsmp.vm.pmap import VM_PROT_READ, VM_PROT_WRITE, pmap_enter, pmap_store
from vmsmp.vm.vm_meter import vmstats_rollup
from vmsmp.vm.vm_object import (
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import (
    PBUSY_WANTED,
    PG_CLEANCHK,
    PG_MAPPEDMULTI,
    PG_RAM,
    VM_ALLOC_NORMAL,
    VM_ALLOC_RETRY,
    VM_ALLOC_SYSTEM,
    VM_ALLOC_ZERO,
    _found,
    vm_page_activate,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_free,
    vm_page_grab,
    vm_page_hash_enter,
    vm_page_hash_get,
    vm_page_hold,
    vm_page_lookup_busy_try,
    vm_page_lookup_busy_wait,
    vm_page_lookup_sbusy_try,
    vm_page_protect,
    vm_page_rename,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_set_invalid,
    vm_page_set_valid,
    vm_page_try_to_free,
    vm_page_unhold,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
)
from vmsmp.vm.vm_pageout import vm_pageout_scan_active, vm_pageout_scan_inactive

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
found = partial(verdicts.found, schedules=1000)
silent = partial(verdicts.silent, schedules=200)


def make(vm, obj, pindex):
    """A valid page of the object on its active queue, not busied, that the hash may know."""
    page = busied_page(vm, obj, pindex)
    vm_page_flag_set(page, PG_MAPPEDMULTI)
    vm_page_activate(page)
    vm_page_wakeup(page)
    return page


# -- what lookups return --------------------------------------------------------------------------


def moving(reader):
    """A page moves from one object to another while `reader(vm, obj)` looks it up in both."""

    def program(m):
        vm = m.boot(pages=4, l2_size=1, hash_size=8)
        here, there = vm_object_allocate(vm, 4), vm_object_allocate(vm, 4)
        page = make(vm, here, 0)
        vm_object_hold(here)
        again, _ = vm_page_lookup_busy_try(here, 0, True)  # enters it in the hash
        vm_page_wakeup(again)
        vm_object_drop(here)

        def mover():
            vm_page_busy_wait(page, True)  # readers sleep on it from here on, and lose their tokens
            vm_object_hold(here)
            vm_object_hold(there)
            vm_page_rename(page, there, 0)
            vm_page_hash_enter(page)
            vm_page_wakeup(page)
            vm_object_drop(there)
            vm_object_drop(here)

        m.spawn(mover)
        m.spawn(reader, vm, here)
        m.spawn(reader, vm, there)
        m.join()

    return program


def by_hash(vm, obj):
    page = vm_page_hash_get(vm, obj, 0)
    if page is not None:
        vm_page_sbusy_drop(page)


def by_tree(vm, obj):
    vm_object_hold_shared(obj)
    page = vm_page_lookup_busy_wait(obj, 0, True)
    if page is not None:
        vm_page_wakeup(page)
    vm_object_drop(obj)


HASH_TRUSTS = Mutant(
    "planted",
    "vmsmp.vm.vm_page:vm_page_hash_get",
    "if m.object is obj and m.pindex == pindex:",
    "if True:",
    "",
    "",
)
TREE_TRUSTS = Mutant(
    "planted",
    "vmsmp.vm.vm_page:vm_page_lookup_busy_wait",
    """
    machine.tsleep(m, PINTERLOCKED, wmesg, overdue=partial(_busy_overdue, m, also_m_busy))
    m = obj.rb_memq.get(pindex)
    """,
    "machine.tsleep(m, PINTERLOCKED, wmesg, overdue=partial(_busy_overdue, m, also_m_busy))",
    "",
    "",
)


@DEPTHS
@pytest.mark.parametrize(
    ("reader", "mutant", "took"),
    [
        (by_hash, HASH_TRUSTS, "soft busy at vm_page/busy.py in vm_page_sbusy_try, for vm_page_hash_get"),
        (
            by_tree,
            TREE_TRUSTS,
            "hard busy at <mutant of vm_page_lookup_busy_wait> in vm_page_lookup_busy_wait, for by_tree",
        ),
    ],
    ids=["hash", "tree"],
)
def test_a_lookup_that_does_not_compare_again_is_found_with_another_object_s_page(
    reader, mutant, took, locks
):
    program = moving(reader)
    with mutant.plant():
        message = "INV-H1: pg: a lookup returns a page that is not obj's at that index"
        failure = found(program, "accounting", message, locks=locks, sched="portfolio")
    assert f"cpu{failure.cpu} took a {took}" == entries(failure)[-1]
    assert re.match(r"pg\[\d\] is pq\.active\[0\], obj\[", failure.facts[0])


@DEPTHS
@pytest.mark.parametrize("reader", [by_hash, by_tree])
def test_lookups_while_the_page_moves_are_right(reader, locks):
    silent(moving(reader), locks=locks)


@pytest.mark.parametrize(
    ("pindex", "message"),
    [
        (0, "INV-H1: pg: a lookup returns a page that it has not busied"),
        (3, "INV-H1: pg: a lookup returns a page that is not obj's at that index"),
    ],
)
def test_a_lookup_that_returns_a_page_unbusied_or_of_another_index_is_found(pindex, message):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        obj = vm_object_allocate(vm, 4)
        page = make(vm, obj, 0)
        assert not vm_page_sbusy_try(page)
        m.spawn(_found, page, obj, pindex)
        m.join()

    failure = found(program, "accounting", message)
    assert 1 == failure.cpu
    assert (
        "cpu0 took a soft busy at vm_page/busy.py in vm_page_sbusy_try, for program" == entries(failure)[-1]
    )


def truncating(m):
    """A reader's page loses its content while he looks it up."""
    vm = m.boot(pages=4, l2_size=1)
    obj = vm_object_allocate(vm, 4)
    make(vm, obj, 0)

    def truncate():
        vm_object_hold(obj)
        page = vm_page_lookup_busy_wait(obj, 0, True)
        vm_object_drop(obj)
        m.yield_()  # without it the bits would go with the token, which a reader waits for
        vm_page_set_invalid(page, 0, 512)
        vm_page_wakeup(page)
        vm_page_busy_wait(page, True)
        vm_page_set_valid(page)
        vm_page_wakeup(page)

    def reader():
        vm_object_hold_shared(obj)
        page = vm_page_lookup_sbusy_try(obj, 0)
        vm_object_drop(obj)
        if page is not None:
            vm_page_sbusy_drop(page)

    m.spawn(truncate)
    m.spawn(reader)
    m.join()


@DEPTHS
def test_a_lookup_that_does_not_look_again_whether_the_page_is_valid_is_found(locks):
    mutant = Mutant(
        "planted",
        "vmsmp.vm.vm_page:vm_page_lookup_sbusy_try",
        "vm_page_sbusy_drop(m)\nreturn None",
        "pass",
        "",
        "",
    )
    with mutant.plant():
        message = "INV-PB6: pg: a lookup returns a page that is not valid as asked"
        failure = found(truncating, "accounting", message, locks=locks, sched="portfolio")
    assert (
        "cpu2 took a soft busy at vm_page/busy.py in vm_page_sbusy_try, for vm_page_lookup_sbusy_try"
        == entries(failure)[-1]
    )
    assert ", valid 0xfe," in failure.facts[0]


@DEPTHS
def test_a_reader_whose_page_loses_its_content_meanwhile_is_right(locks):
    silent(truncating, locks=locks)


@pytest.mark.parametrize("idle", [True, False])
def test_a_lookup_for_an_idle_page_that_returns_one_still_in_use_is_found(idle):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        obj = vm_object_allocate(vm, 4)
        page = make(vm, obj, 0)

        def reader():
            assert not vm_page_sbusy_try(page)
            m.spawn(owner).join()
            vm_page_sbusy_drop(page)

        def owner():
            vm_page_busy_wait(page, False)
            _found(page, obj, 0, idle=idle)
            vm_page_wakeup(page)

        m.spawn(reader)
        m.join()

    if idle:
        message = "INV-PB6: pg: a lookup returns a page that is busy otherwise"
        failure = found(program, "accounting", message)
        taken = [entry.partition(" at ")[0] for entry in entries(failure)[-2:]]
        assert ["cpu1 took a soft busy", "cpu2 took a hard busy"] == taken
    else:
        silent(program)


# -- words ----------------------------------------------------------------------------------------


@DEPTHS
@pytest.mark.parametrize("name", ["busy_count", "hold_count", "wire_count", "flags", "md"])
def test_a_store_to_an_atomic_word_of_a_page_is_found_whether_or_not_anything_is_lost(name, locks):
    def program(m):
        page = m.boot(pages=4, l2_size=1).page.vm_page_array[0]
        word = getattr(page, name)
        m.spawn(lambda: word.store(word.load()))
        m.join()

    message = "INV-PB7: pg: an atomic word is stored to, and what others changed meanwhile is lost"
    assert 1 == found(program, "accounting", message, locks=locks).cpu


@DEPTHS
def test_flags_set_and_cleared_bit_by_bit_are_right(locks):
    def program(m):
        page = m.boot(pages=4, l2_size=1).page.vm_page_array[0]

        def user(bit):
            vm_page_flag_set(page, bit)
            m.check(page.flags.load() & bit, "the flag is set")
            vm_page_flag_clear(page, bit)

        m.spawn(user, PG_RAM)
        m.spawn(user, PG_CLEANCHK)
        m.join()
        m.check(not page.flags.load(), "no flag is left")

    silent(program, locks=locks)


# -- freed memory ---------------------------------------------------------------------------------


def look(obj):
    return obj.rb_memq


def count(obj):
    obj.generation += 1


def set_flag(obj):
    obj.flags.setbits(0)


def refer(obj):
    obj.ref_count.fetchadd(1)


def lock(obj):
    obj.token.acquire()


def lock_shared(obj):
    obj.token.acquire_shared()


def using_too_late(use):
    """By the boot CPU when no other runs, so that no lock is missed before."""

    def program(m):
        obj = vm_object_allocate(m.boot(pages=4, l2_size=1), 4)
        m.spawn(vm_object_deallocate, obj).join()
        use(obj)

    return program


USES = pytest.mark.parametrize(
    "use", [look, count, set_flag, refer, lock, lock_shared, vm_object_hold, vm_object_hold_shared]
)


@DEPTHS
@USES
def test_an_object_used_after_its_memory_is_freed_is_found(use, locks):
    failure = found(
        using_too_late(use), "use-after-free", "INV-UAF: obj used after it was freed", locks=locks
    )
    assert ("cpu0 uses it", 0) == (failure.facts[0], failure.cpu)
    assert "cpu1 frees it at vm_object/hold.py in vm_object_drop, for vm_object_deallocate" in entries(
        failure
    )


@pytest.mark.parametrize("use", [look, lock, vm_object_hold])
def test_the_free_engine_finds_the_use_of_freed_memory_too(use):
    failure = vmsmp.run(using_too_late(use), engine="free").failure
    assert "use-after-free: INV-UAF: obj used after it was freed" == failure.signature


@DEPTHS
@USES
def test_an_object_used_while_somebody_holds_it_is_right(use, locks):
    """Its last reference goes meanwhile: the memory stays until the last hold is dropped."""

    def program(m):
        obj = vm_object_allocate(m.boot(pages=4, l2_size=1), 4)

        def user():
            vm_object_hold(obj)
            m.spawn(vm_object_deallocate, obj)
            m.yield_()
            if use is not refer:
                use(obj)
            if use in (lock, lock_shared):
                obj.token.release()
            if use in (vm_object_hold, vm_object_hold_shared):
                vm_object_drop(obj)
            vm_object_drop(obj)

        m.spawn(user)
        m.join()
        m.check(obj.freed, "the last hold was the last")

    silent(program, locks=locks, schedules=50)


# -- when they are asked --------------------------------------------------------------------------


def wanted(page, value):
    page.busy_count.value = value


def test_what_is_put_right_within_a_step_is_not_seen():
    def program(m):
        page = m.boot(pages=4, l2_size=1).page.vm_page_array[0]

        def worker():
            page.md.setbits(0)
            wanted(page, PBUSY_WANTED)
            wanted(page, 0)
            m.yield_()

        m.spawn(worker)
        m.join()

    silent(program)


@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_when_all_cpus_stand_still_every_record_is_judged_touched_or_not(engine):
    """What a rendezvous of the free engine asks."""
    found_ = "INV-PB4: pg: it is wanted, is not busy, and nobody is about to wake who wants it"

    def program(m):
        page = m.boot(pages=4, l2_size=1).page.vm_page_array[2]
        wanted(page, PBUSY_WANTED)
        m.quiesce()
        wanted(page, 0)

    if engine == "controlled":
        found(program, "accounting", found_, schedules=1)
    else:
        assert found_ == vmsmp.run(program, engine="free").failure.message


def test_a_machine_that_never_boots_has_nothing_to_judge():
    def program(m):
        word = m.atomic(0, name="word")
        m.spawn(word.store, 1)
        m.join()

    silent(program)
    assert None is vmsmp.run(program, engine="free").failure


def test_the_first_broken_rule_is_the_one_reported():
    def program(m):
        first, second = m.boot(pages=4, l2_size=1).page.vm_page_array[:2]

        def worker(page):
            wanted(page, PBUSY_WANTED)
            page.md.setbits(0)
            m.yield_()

        m.spawn(worker, first)
        m.spawn(worker, second)
        m.join()

    failure = found(
        program,
        "accounting",
        "INV-PB4: pg: it is wanted, is not busy, and nobody is about to wake who wants it",
        sched="rr",
        schedules=1,
    )
    assert failure.facts[0].startswith("pg[0] is ")


# -- checkers do not take part --------------------------------------------------------------------


def hand_over(m, vm, obj):
    page = make(vm, obj, 0)

    def worker(also):
        vm_page_busy_wait(page, also)
        vm_page_wakeup(page)
        if not vm_page_sbusy_try(page):
            vm_page_sbusy_drop(page)

    return [(worker, True), (worker, False), (worker, True)]


def come_and_go(m, vm, obj):
    def worker(n):
        vm_object_reference_quick(obj)
        vm_object_hold(obj)
        page = vm_page_grab(obj, n % 2, VM_ALLOC_NORMAL | VM_ALLOC_RETRY | VM_ALLOC_ZERO | VM_ALLOC_SYSTEM)
        vm_object_drop(obj)
        if m.choose(2):
            vm_page_free(page)
        else:
            vm_page_deactivate(page)
            vm_page_wakeup(page)
        vm_object_deallocate(obj)

    return [(worker, 0), (worker, 1), (worker, 2)]


def hold_and_wire(m, vm, obj):
    page = make(vm, obj, 0)

    def worker(deed):
        if vm_page_busy_try(page, True):
            return
        if page.object is obj:
            deed()
        vm_page_wakeup(page)

    def hold():
        vm_page_hold(page)
        m.yield_()
        vm_page_unhold(page)

    def wire():
        vm_page_wire(page)
        vm_page_unwire(page, True)

    return [(worker, hold), (worker, wire), (vm_page_try_to_free, page)]


def map_and_cache(m, vm, obj):
    page = make(vm, obj, 0)

    def process():
        vm_page_busy_wait(page, True)
        vm_page_activate(page)
        pmap_enter(page, VM_PROT_READ | VM_PROT_WRITE)
        vm_page_wakeup(page)
        pmap_store(page)

    def launder():
        vm_page_busy_wait(page, True)
        vm_page_protect(page, 0)
        vm_page_cache(page)

    return [(process,), (launder,), (process,)]


def sweep_and_count(m, vm, obj):
    for n in range(2):
        make(vm, obj, n)

    def sweeper():
        vm_pageout_scan_active(vm)
        vm_pageout_scan_inactive(vm)

    return [(sweeper,), (vmstats_rollup, vm), (by_tree, vm, obj)]


PROGRAMS = [hand_over, come_and_go, hold_and_wire, map_and_cache, sweep_and_count]


@DEPTHS
@pytest.mark.parametrize("sched", ["random", "pct:3"])
@pytest.mark.parametrize("roles", PROGRAMS)
def test_the_same_line_gives_the_same_digest_with_checkers_and_without(roles, sched, locks):
    """Each program ends with a check that fails, so that a search tells the line of what it ran."""

    def program(m):
        vm = m.boot(pages=4, l2_size=1, adj_limit=1)
        obj = vm_object_allocate(vm, 4)
        for fn, *args in roles(m, vm, obj):
            m.spawn(fn, *args)
        m.join()
        m.check(False, "over")

    for seed in range(5):
        bare = vmsmp.explore(program, sched=sched, seed=seed, schedules=1, locks=locks, check=False).failure
        runs = [vmsmp.replay(program, bare.schedule, check=check) for check in (True, False)]
        assert ["check: over"] * 2 == [run.failure.signature for run in runs]
        assert [bare.digest] * 2 == [run.digest for run in runs]
