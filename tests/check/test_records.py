"""When records are judged: results of lookups, stores to words, freed memory; and who is watched at all."""

from functools import partial

import pytest

import verdicts
import vmsmp
from page_layer import by_tree, shared_page
from verdicts import entries
from vmsmp.check.records import at_a_second_look
from vmsmp.check.rules import Broken
from vmsmp.scenarios._kit import Space
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
    PG_RAM,
    VM_ALLOC_NORMAL,
    VM_ALLOC_RETRY,
    VM_ALLOC_SYSTEM,
    VM_ALLOC_ZERO,
    vm_page_activate,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_free,
    vm_page_grab,
    vm_page_hold,
    vm_page_protect,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
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


# -- words ----------------------------------------------------------------------------------------


@DEPTHS
@pytest.mark.parametrize("name", ["busy_count", "hold_count", "wire_count", "flags", "interlock_count"])
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
    obj.resident_page_count += 0


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
    assert "cpu1 frees it at vm/vm_object/hold.py in vm_object_drop, for vm_object_deallocate" in entries(
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
            page.flags.setbits(0)
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
            page.flags.setbits(0)
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
    page = shared_page(vm, obj, 0)

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
    page = shared_page(vm, obj, 0)

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
    page = shared_page(vm, obj, 0)
    space = Space(vm, obj).with_tables()

    def process():
        with space.locked():
            vm_page_busy_wait(page, True)
            vm_page_activate(page)
            space.enter(page, 0)
            vm_page_wakeup(page)
        space.store(0)

    def launder():
        vm_page_busy_wait(page, True)
        vm_page_protect(page, 0)
        vm_page_cache(page)

    return [(process,), (launder,), (process,)]


def sweep_and_count(m, vm, obj):
    for n in range(2):
        shared_page(vm, obj, n)

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
        vm = m.boot(pages=8, l2_size=1, adj_limit=1)
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


# -- events of the free engine --------------------------------------------------------------------

BROKEN = (object(), Broken("INV-X1", "it is broken"))


def answers(*given):
    """A rule for events that gives these answers in turn; an exception is raised."""
    left = list(given)

    def rule(_cpu, _event):
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return rule


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((None,), None),
        ((BROKEN, BROKEN), BROKEN),
        ((BROKEN, None), None),
        ((IndexError("it has just got shorter"),), None),
        ((BROKEN, RuntimeError("dictionary changed size during iteration")), None),
    ],
    ids=["right", "broken", "put right meanwhile", "torn", "torn at the second look"],
)
def test_what_is_broken_while_others_run_is_broken_at_a_second_look(given, told):
    assert told is at_a_second_look(answers(*given))(None, None)
