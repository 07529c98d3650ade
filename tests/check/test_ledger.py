"""Ledgers: a share given back by who has none, a wiring under no busy, a page of two owners, a leak."""

from functools import partial

import pytest

import verdicts
import vmsmp
from page_layer import active
from verdicts import entries
from vmsmp.campaign.runner import Runner
from vmsmp.check.ledger import MEMORY, Ledger
from vmsmp.engine.options import Options
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.sched.names import make_scheduler
from vmsmp.vm.vm_object import (
    vm_object_allocate,
    vm_object_deallocate,
    vm_object_drop,
    vm_object_hold,
    vm_object_hold_shared,
    vm_object_reference_quick,
)
from vmsmp.vm.vm_page import (
    HARD,
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    WIRE,
    _prepare,
    vm_page_alloc,
    vm_page_alloczwq,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_deactivate,
    vm_page_free,
    vm_page_freezwq,
    vm_page_hold,
    vm_page_io_finish,
    vm_page_io_start,
    vm_page_sbusy_drop,
    vm_page_sbusy_hold,
    vm_page_sbusy_try,
    vm_page_unhold,
    vm_page_unwire,
    vm_page_unwire_quick,
    vm_page_wakeup,
    vm_page_wire,
    vm_page_wire_quick,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
silent = partial(verdicts.silent, schedules=100)


def found(program, kind, message, **options):
    """Search for the planted bug; see that its line brings back the very same run and facts."""
    failure = verdicts.found(program, kind, message, **{"schedules": 300, **options})
    assert failure.facts == vmsmp.replay(program, failure.schedule).failure.facts
    return failure


def two_roles(first, second):
    """One CPU does `first(page)` to an active page, then another does `second(page)`."""

    def program(m):
        page = active(m.boot(pages=4, l2_size=1))
        taken = m.atomic(False, name="taken")

        def taker():
            first(page)
            taken.store(True)
            while taken.load():  # until the other has had its turn
                m.pause()

        def giver():
            while not taken.load():
                m.pause()
            second(page)
            taken.store(False)

        m.spawn(taker)
        m.spawn(giver)
        m.join()

    return program


def wait_hard(page):
    vm_page_busy_wait(page, False)


def soft(page):
    assert not vm_page_sbusy_try(page)


def hard_and_soft(page):
    vm_page_busy_wait(page, False)
    vm_page_io_start(page)


def held(page):
    vm_page_busy_wait(page, False)
    vm_page_hold(page)
    vm_page_wakeup(page)


def wired(page):
    vm_page_busy_wait(page, False)
    vm_page_wire(page)
    vm_page_wakeup(page)


def hard_and_wired(page):
    wired(page)
    vm_page_busy_wait(page, False)


def both(*deeds):
    def one_after_another(page):
        for deed in deeds:
            deed(page)

    return one_after_another


# -- shares in hand -------------------------------------------------------------------------------


SHARES = {
    "PB1": (wait_hard, vm_page_wakeup, "hard busy", "vm/vm_page/busy.py in vm_page_busy_wait, for wait_hard"),
    "PB2": (soft, vm_page_sbusy_drop, "soft busy", "vm/vm_page/busy.py in vm_page_sbusy_try, for soft"),
    "PB2-io": (soft, vm_page_io_finish, "soft busy", "vm/vm_page/busy.py in vm_page_sbusy_try, for soft"),
}


@DEPTHS
@pytest.mark.parametrize("name", SHARES)
def test_a_share_given_back_by_a_cpu_that_has_none_is_found(name, locks):
    first, second, share, where = SHARES[name]
    message = f"INV-{name[:3]}: {share} of pg given back by a CPU that has none"
    failure = found(two_roles(first, second), "accounting", message, locks=locks)
    assert ("cpu2 gave it back; it is in the hands of cpu1", 2) == (failure.facts[0], failure.cpu)
    assert f"cpu1 took a {share} at {where}" in entries(failure)
    assert entries(failure)[-1].startswith(f"cpu2 gave a {share} back at vm/vm_page/")


@DEPTHS
@pytest.mark.parametrize(
    "deed",
    [
        both(wait_hard, vm_page_wakeup),
        both(soft, vm_page_sbusy_drop),
        both(soft, vm_page_sbusy_hold, vm_page_sbusy_drop, vm_page_sbusy_drop),
        both(hard_and_soft, vm_page_io_finish, vm_page_wakeup),
        both(hard_and_soft, vm_page_wakeup, wait_hard, vm_page_io_finish, vm_page_wakeup),
        both(held, vm_page_unhold),
    ],
    ids=["hard", "soft", "soft-twice", "io", "io-outlives-busy", "hold"],
)
def test_a_share_given_back_by_who_took_it_is_right(deed, locks):
    silent(two_roles(deed, deed), locks=locks)


@DEPTHS
def test_holds_may_be_given_back_by_others(locks):
    silent(two_roles(held, vm_page_unhold), locks=locks)


def test_the_free_engine_lets_others_give_holds_back():
    assert None is vmsmp.run(two_roles(held, vm_page_unhold), engine="free").failure


@DEPTHS
def test_a_hold_given_back_that_nobody_took_is_found(locks):
    def program(m):
        page = active(m.boot(pages=4, l2_size=1))

        def worker():
            m.yield_()  # the page is judged, and then not before the hold is dropped
            page.hold_count.value = 1
            vm_page_unhold(page)

        m.spawn(worker)
        m.join()

    failure = found(program, "accounting", "INV-HW1: more holds of pg given back than taken", locks=locks)
    assert (
        "cpu1 gave a hold back at vm/vm_page/holding.py in vm_page_unhold, for worker" == entries(failure)[-1]
    )


# -- shares handed on -----------------------------------------------------------------------------


def starting(page):
    """Start I/O and let go of the page."""
    hard_and_soft(page)
    vm_page_wakeup(page)


def finishing(page):
    """Finish I/O that somebody started."""
    vm_page_busy_wait(page, False)
    vm_page_io_finish(page)
    vm_page_wakeup(page)


def handing_on(page):
    vm_page_busy_wait(page, False)
    page.handed(HARD)


def taking_over(page):
    assert page.taken_over(HARD)
    vm_page_wakeup(page)


#: What one CPU begins and another finishes.
HANDED_ON = {"io": (starting, finishing), "hard": (handing_on, taking_over)}
HANDING = pytest.mark.parametrize("name", HANDED_ON)


@HANDING
@DEPTHS
def test_a_share_handed_on_is_given_back_by_who_took_it_over(name, locks):
    silent(two_roles(*HANDED_ON[name]), locks=locks)


@HANDING
def test_the_free_engine_knows_shares_that_are_handed_on(name):
    assert None is vmsmp.run(two_roles(*HANDED_ON[name]), engine="free").failure


@DEPTHS
def test_a_hard_busy_handed_on_and_given_back_without_being_taken_over_is_found(locks):
    message = "INV-PB1: hard busy of pg given back by a CPU that has none"
    failure = found(two_roles(handing_on, vm_page_wakeup), "accounting", message, locks=locks)
    assert "cpu2 gave it back; it is in the hands of nobody" == failure.facts[0]
    assert [
        "cpu1 handed a hard busy on at check/test_ledger.py in handing_on, for taker",
        "cpu2 gave a hard busy back at vm/vm_page/busy.py in _vm_page_wakeup, for vm_page_wakeup",
    ] == entries(failure)[-2:]


@DEPTHS
def test_a_share_handed_on_is_not_the_former_owner_s_to_give_back(locks):
    message = "INV-PB2: soft busy of pg given back by a CPU that has none"
    failure = found(
        two_roles(both(starting, vm_page_sbusy_drop), vm_page_deactivate), "accounting", message, locks=locks
    )
    assert 1 == failure.cpu


@DEPTHS
def test_a_share_handed_on_by_a_cpu_that_has_none_is_found(locks):
    message = "INV-PB1: hard busy of pg handed on by a CPU that has none"
    program = two_roles(wait_hard, lambda page: page.handed(HARD))
    failure = found(program, "accounting", message, locks=locks)
    assert ("cpu2 handed it on; it is in the hands of cpu1", 2) == (failure.facts[0], failure.cpu)


def test_a_share_that_was_not_handed_on_cannot_be_taken_over():
    def program(m):
        page = active(m.boot(pages=4, l2_size=1))
        vm_page_busy_wait(page, False)
        m.check(not page.taken_over(HARD), "it is the owner's")
        vm_page_wakeup(page)

    silent(program)


@HANDING
@DEPTHS
def test_a_share_handed_on_that_nobody_takes_over_is_found(name, locks):
    program = leaking_page(HANDED_ON[name][0])
    invariant, share = {"io": ("INV-PB2", "soft busy"), "hard": ("INV-PB1", "hard busy")}[name]
    message = f"{invariant}: {share} of pg handed on and never taken over"
    failure = found(program, "leak", message, locks=locks)
    assert f"cpu1 handed a {share} on" in [entry.partition(" at ")[0] for entry in entries(failure)]


def test_a_hard_busy_given_back_twice_is_found_though_another_cpu_has_taken_it_meanwhile():
    def program(m):
        page = active(m.boot(pages=4, l2_size=1))

        def careless():
            vm_page_busy_wait(page, False)
            vm_page_wakeup(page)
            vm_page_wakeup(page)

        def owner():
            vm_page_busy_wait(page, False)
            m.yield_()
            vm_page_wakeup(page)

        m.spawn(careless)
        m.spawn(owner)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=300, stop="never")
    mine = "accounting: INV-PB1: hard busy of pg given back by a CPU that has none"
    assert {mine, "check: panic: vm_page_wakeup: page not busy"} == set(result.counts)
    failure = next(f for f in result.failures if f.signature == mine)
    assert "cpu1 gave it back; it is in the hands of cpu2" == failure.facts[0]
    assert mine == vmsmp.replay(program, failure.schedule).failure.signature


def test_a_soft_busy_too_many_given_back_is_found():
    def program(m):
        page = active(m.boot(pages=4, l2_size=1))

        def reader(times):
            soft(page)
            for _ in range(times):
                m.yield_()
                vm_page_sbusy_drop(page)

        m.spawn(reader, 1)
        m.spawn(reader, 2)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=300, stop="never")
    expected = {
        "accounting: INV-PB2: soft busy of pg given back by a CPU that has none",
        "check: panic: vm_page_sbusy_drop: page not soft-busied",
    }
    assert expected == set(result.counts)


@DEPTHS
def test_an_object_hold_dropped_by_a_cpu_that_has_none_is_found(locks):
    def program(m):
        obj = vm_object_allocate(m.boot(pages=4, l2_size=1), 4)
        vm_object_hold(obj)
        m.spawn(vm_object_drop, obj).join()

    message = "INV-O5: object hold of obj given back by a CPU that has none"
    failure = found(program, "accounting", message, locks=locks)
    assert "cpu1 gave it back; it is in the hands of cpu0" == failure.facts[0]
    assert "cpu0 took an object hold at vm/vm_object/hold.py in vm_object_hold, for program" in entries(
        failure
    )


@DEPTHS
def test_object_holds_given_back_by_who_took_them_are_right(locks):
    def program(m):
        obj = vm_object_allocate(m.boot(pages=4, l2_size=1), 4)

        def user(hold):
            hold(obj)
            vm_object_drop(obj)

        for hold in (vm_object_hold, vm_object_hold_shared, vm_object_hold):
            m.spawn(user, hold)
        m.join()

    silent(program, locks=locks)


# -- wirings --------------------------------------------------------------------------------------


@DEPTHS
def test_a_page_wired_under_the_busy_of_another_cpu_is_found(locks):
    failure = found(
        two_roles(wait_hard, vm_page_wire),
        "accounting",
        "INV-HW2: pg wired for the first time without its hard busy",
        locks=locks,
    )
    assert 2 == failure.cpu
    assert "busy LOCKED|0, hold 0, wire 1" in failure.facts[0]
    assert [
        "cpu1 took a hard busy at vm/vm_page/busy.py in vm_page_busy_wait, for wait_hard",
        "cpu2 took a wire at vm/vm_page/holding.py in vm_page_wire, for giver",
    ] == entries(failure)[-2:]


@DEPTHS
def test_a_page_unwired_for_the_last_time_under_the_busy_of_another_cpu_is_found(locks):
    failure = found(
        two_roles(hard_and_wired, lambda page: vm_page_unwire(page, False)),
        "accounting",
        "INV-HW2: pg unwired for the last time without its hard busy",
        locks=locks,
    )
    assert 2 == failure.cpu
    assert "cpu1 took a wire at vm/vm_page/holding.py in vm_page_wire, for wired" in entries(failure)
    assert (
        "cpu2 gave a wire back at vm/vm_page/holding.py in vm_page_unwire"
        == entries(failure)[-1].partition(",")[0]
    )


@DEPTHS
def test_a_wiring_given_back_that_nobody_took_is_found(locks):
    def program(m):
        page = active(m.boot(pages=4, l2_size=1))

        def worker():
            vm_page_busy_wait(page, False)
            m.yield_()  # the page is judged, and then not before the unwiring
            page.wire_count.value = 1
            vm_page_unwire(page, False)

        m.spawn(worker)
        m.join()

    failure = found(program, "accounting", "INV-HW2: more wires of pg given back than taken", locks=locks)
    assert (
        "cpu1 gave a wire back at vm/vm_page/holding.py in vm_page_unwire, for worker" == entries(failure)[-1]
    )


@DEPTHS
def test_wirings_beyond_the_first_need_no_busy_and_may_be_given_back_by_others(locks):
    def program(m):
        page = active(m.boot(pages=4, l2_size=1))
        wired(page)

        def user():
            vm_page_wire_quick(page)
            m.yield_()
            m.check(not vm_page_unwire_quick(page), "the last wiring is not the user's")

        m.spawn(user)
        m.spawn(user)
        m.join()

        def owner():
            vm_page_busy_wait(page, False)
            vm_page_unwire(page, True)
            vm_page_wakeup(page)

        m.spawn(owner)
        m.join()
        m.check(0 == page.peek("wire_count"), "all is given back")

    silent(program, locks=locks)


# -- references -----------------------------------------------------------------------------------


@DEPTHS
def test_a_reference_given_back_that_nobody_took_is_found(locks):
    def program(m):
        obj = vm_object_allocate(m.boot(pages=4, l2_size=1), 4)
        obj.ref_count.value = 5

        def user():
            vm_object_deallocate(obj)

        m.spawn(user)
        m.spawn(user)
        m.join()

    message = "INV-O4: obj: its word counts 4 references, and 0 are out"
    failure = found(program, "accounting", message, locks=locks)
    told = [entry for entry in entries(failure) if "a reference" in entry]
    place = "vm/vm_object/allocate.py in _vm_object_allocate, for vm_object_allocate_hold"
    assert f"cpu0 took a reference at {place}" == told[0]
    assert ["user"] == [entry.rpartition("for ")[2] for entry in told[1:]]


@DEPTHS
def test_references_given_back_as_often_as_taken_are_right(locks):
    def program(m):
        obj = vm_object_allocate(m.boot(pages=4, l2_size=1), 4)

        def user():
            vm_object_deallocate(obj)

        for _ in range(4):
            vm_object_reference_quick(obj)
        for _ in range(4):
            m.spawn(user)
        m.join()
        vm_object_deallocate(obj)
        m.check(obj.freed, "the last reference was the last")

    silent(program, locks=locks)


# -- owners of pages ------------------------------------------------------------------------------


@DEPTHS
def test_a_page_allocated_twice_is_found(locks):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        page = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        vm_page_wakeup(page)

        def again():
            vm_page_busy_wait(page, True)
            _prepare(page, None, 1, VM_ALLOC_NORMAL)

        m.spawn(again)
        m.join()

    failure = found(program, "accounting", "INV-AL1: pg allocated twice", locks=locks)
    given = [entry.partition(" at ")[0] for entry in entries(failure) if "was given" in entry]
    assert ["cpu0 was given the page", "cpu1 was given the page"] == given


@DEPTHS
def test_a_page_freed_twice_is_found(locks):
    """It is held, so the first free leaves it on a hold queue, which the kernel's own test lets pass."""

    def program(m):
        page = active(m.boot(pages=4, l2_size=1))
        held(page)

        def freer():
            vm_page_busy_wait(page, False)
            vm_page_free(page)

        m.spawn(freer)
        m.spawn(freer)
        m.join()
        vm_page_unhold(page)

    failure = found(program, "accounting", "INV-AL1: pg freed twice", locks=locks)
    who = {entry.partition(" ")[0] for entry in entries(failure) if "frees it at vm/vm_page/free.py" in entry}
    assert {"cpu1", "cpu2"} == who


@DEPTHS
def test_pages_allocated_and_freed_in_turn_are_right(locks):
    def program(m):
        vm = m.boot(pages=4, l2_size=1, adj_limit=1)

        def user():
            for n in range(2):
                page = vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM)
                if page is not None:
                    vm_page_free(page)

        def kernel():
            vm_page_freezwq(vm_page_alloczwq(vm, 0, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM))

        for deed in (user, user, kernel):
            m.spawn(deed)
        m.join()

    silent(program, locks=locks)


# -- leaks ----------------------------------------------------------------------------------------


LEAKS = [name for name in SHARES if name != "PB2-io"]


def leaking_page(deed):
    """A CPU does that to an active page and ends."""

    def program(m):
        page = active(m.boot(pages=4, l2_size=1))
        m.spawn(deed, page)
        m.join()

    return program


def leaking(name):
    deed, _, share, where = SHARES[name]
    return (
        leaking_page(deed),
        f"INV-{name}: {share} of pg never given back",
        f"cpu1 took a {share} at {where}",
    )


@DEPTHS
@pytest.mark.parametrize("name", LEAKS)
def test_a_cpu_that_ends_with_a_share_of_a_page_is_found(name, locks):
    program, message, entry = leaking(name)
    failure = found(program, "leak", message, locks=locks)
    assert ("cpu1 ended with it", 1) == (failure.facts[0], failure.cpu)
    assert entry in entries(failure)


@pytest.mark.parametrize("name", LEAKS)
def test_the_free_engine_finds_a_leak_too(name):
    program, message, entry = leaking(name)
    failure = vmsmp.run(program, engine="free").failure
    assert ("leak", message) == (failure.kind, failure.message)
    assert entry in entries(failure)


@DEPTHS
def test_a_hold_that_is_not_given_back_when_all_is_over_is_found(locks):
    failure = found(leaking_page(held), "leak", "INV-HW1: hold of pg never given back", locks=locks)
    assert "cpu1 took a hold at vm/vm_page/holding.py in vm_page_hold, for held" in entries(failure)


def test_the_free_engine_finds_a_hold_that_is_not_given_back():
    failure = vmsmp.run(leaking_page(held), engine="free").failure
    assert ("leak", "INV-HW1: hold of pg never given back") == (failure.kind, failure.message)
    assert "cpu1 took a hold at vm/vm_page/holding.py in vm_page_hold, for held" in entries(failure)


def test_the_boot_cpu_s_leak_is_found_once_all_others_have_ended():
    def program(m):
        page = active(m.boot(pages=4, l2_size=1))
        m.spawn(lambda: None)
        wait_hard(page)

    failure = found(program, "leak", "INV-PB1: hard busy of pg never given back")
    assert ("cpu0 ended with it", 0) == (failure.facts[0], failure.cpu)


@DEPTHS
def test_a_cpu_that_ends_with_an_object_hold_is_found(locks):
    def program(m):
        obj = vm_object_allocate(m.boot(pages=4, l2_size=1), 4)
        m.spawn(vm_object_hold, obj)
        m.join()

    failure = found(program, "leak", "INV-O5: object hold of obj never given back", locks=locks)
    assert "cpu1 ended with it" == failure.facts[0]
    assert "cpu1 took an object hold at vm/vm_object/hold.py in vm_object_hold" == entries(failure)[-1]


def test_a_wiring_outlives_the_cpu_that_took_it():
    def program(m):
        page = active(m.boot(pages=4, l2_size=1))
        m.spawn(wired, page)
        m.join()
        vm_page_busy_wait(page, False)
        vm_page_unwire(page, True)
        vm_page_wakeup(page)

    silent(program)


def test_a_wiring_that_stays_in_a_scenario_is_a_leak_unless_it_was_there_as_the_cpus_started():
    @vmsmp.scenario(cpus=1)
    def program(m):
        m.spawn(wired, active(m.boot(pages=4, l2_size=1)))
        m.join()

    failure = found(program, "leak", "INV-HW2: more wires are out than when the CPUs started")
    assert "cpu1 took a wire" in " ".join(entries(failure))

    @vmsmp.scenario(cpus=1)
    def before(m):
        page = active(m.boot(pages=4, l2_size=1))
        wired(page)
        m.spawn(lambda: None)
        m.join()

    silent(before)


def test_a_program_that_is_no_scenario_may_end_with_pages_wired():
    def program(m):
        m.spawn(wired, active(m.boot(pages=4, l2_size=1)))
        m.join()

    silent(program)


# -- the books themselves -------------------------------------------------------------------------


def test_the_last_entries_about_a_page_are_remembered_oldest_first():
    def program(m):
        page = active(m.boot(pages=4, l2_size=1))

        def worker():
            for _ in range(MEMORY):
                assert not vm_page_busy_try(page, True)
                vm_page_wakeup(page)
            vm_page_sbusy_try(page)

        m.spawn(worker)
        m.join()

    failure = found(program, "leak", "INV-PB2: soft busy of pg never given back")
    words = [entry.split(" at ")[0] for entry in entries(failure)]
    turns = [
        "cpu1 gave a hard busy back",
        *["cpu1 took a hard busy", "cpu1 gave a hard busy back"] * (MEMORY // 2 - 1),
    ]
    assert [*turns, "cpu1 took a soft busy"] == words
    steps = [int(fact.split()[1].rstrip(":")) for fact in failure.facts if fact.startswith("step ")]
    assert sorted(steps) == steps


def test_the_books_say_who_has_what_while_a_machine_runs():
    seen = []
    ledger = Ledger()

    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        page = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        seen.append((ledger.counts(page).get(WIRE, 0), str(ledger.allocated_to(page).cpu)))
        vm_page_wire(page)
        vm_page_wire_quick(page)
        seen.append((ledger.counts(page).get(WIRE, 0), len(ledger.history(page))))
        vm_page_unwire(page, False)
        vm_page_unwire(page, False)
        vm_page_free(page)
        seen.append((ledger.counts(page).get(WIRE, 0), ledger.allocated_to(page)))

    with WorkerPool(current_core()) as pool:
        runner = Runner(pool, program, Options(), check=False)
        scheduler = make_scheduler("rr", 0)
        pool.drive(
            lambda: (
                seen.append(scheduler.begin()) or seen.append(runner.run(scheduler, 0, (ledger,)).violation)
            )
        )
    assert [True, (0, "cpu0"), (2, 4), (0, None), None] == seen


def test_the_books_are_fresh_in_every_execution():
    """Each execution leaves a page wired and allocated; the next one allocates and wires it again."""

    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        page = vm_page_alloc(vm, None, m.choose(2), VM_ALLOC_NORMAL)
        vm_page_wire(page)
        vm_page_wakeup(page)

    silent(program)
