"""Pages: a word, count, queue or flag that does not fit what has been done to the page is found."""

import re
from functools import partial

import pytest

import verdicts
import vmsmp
from mappings import space_of
from page_layer import active, poke
from verdicts import entries
from vmsmp.scenarios._kit import active_page
from vmsmp.vm.vm_map import VM_PROT_READ
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    PBUSY_LOCKED,
    PBUSY_SWAPINPROG,
    PBUSY_WANTED,
    PG_FICTITIOUS,
    PG_MAPPED,
    PG_NEED_COMMIT,
    PG_UNQUEUED,
    PG_WRITEABLE,
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    vm_page_activate,
    vm_page_alloc,
    vm_page_alloczwq,
    vm_page_busy_try,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_flash,
    vm_page_free,
    vm_page_freezwq,
    vm_page_getfake,
    vm_page_hold,
    vm_page_io_finish,
    vm_page_io_start,
    vm_page_protect,
    vm_page_putfake,
    vm_page_sbusy_drop,
    vm_page_sbusy_try,
    vm_page_unhold,
    vm_page_wakeup,
    vm_page_wire,
)
from vmsmp.vm.vm_pageout import vm_pageout_free_hold

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
found = partial(verdicts.found, whole=False, schedules=300)
silent = partial(verdicts.silent, schedules=100)


# -- pages in all states --------------------------------------------------------------------------


def free(vm):
    """On its free queue."""
    return vm.page.vm_page_array[0]


def resident(vm):
    """An object's valid page, on its active queue."""
    return active_page(vm, vm_object_allocate(vm, 4), 0)


def cached(vm):
    """An object's page on its cache queue."""
    page = resident(vm)
    vm_page_busy_wait(page, True)
    vm_page_cache(page)
    return page


def held(vm):
    page = active(vm)
    vm_page_busy_wait(page, True)
    vm_page_hold(page)
    vm_page_wakeup(page)
    return page


def on_hold(vm):
    """Freed while held: on its hold queue."""
    page = held(vm)
    vm_page_busy_wait(page, True)
    vm_page_free(page)
    return page


def wired(vm):
    page = active(vm)
    vm_page_busy_wait(page, True)
    vm_page_wire(page)
    vm_page_wakeup(page)
    return page


def busied(vm):
    page = active(vm)
    vm_page_busy_wait(page, True)
    return page


def soft_busied(vm):
    page = active(vm)
    assert not vm_page_sbusy_try(page)
    return page


def meddling(make, values, *, restore=False, l2_size=1):
    """A CPU pokes values into a page and touches it; `restore` puts back what was there."""

    def program(m):
        vm = m.boot(pages=4, l2_size=l2_size)
        page = make(vm)

        def meddler():
            new = values(page) if callable(values) else values
            before = {name: page.peek(name) for name in new}
            poke(page, **new)
            counted = [name for name in new if name in ("busy_count", "hold_count", "wire_count")]
            getattr(page, counted[0] if counted else "flags").setbits(0)
            m.yield_()
            if restore:
                poke(page, **before)

        m.spawn(meddler)
        m.join()
        if make is busied:
            vm_page_wakeup(page)
        if make is soft_busied:
            vm_page_sbusy_drop(page)
        if make in (held, on_hold):
            vm_page_unhold(page)

    return program


def wrong_colour(page):
    return {"queue": page.vm.page.PQ_ACTIVE + 1 - page.pc}


def onto_free(page):
    return {"queue": page.vm.page.PQ_FREE + page.pc}


def onto_hold(page):
    return {"queue": page.vm.page.PQ_HOLD + page.pc}


#: What is poked into a page in which state, and what is said of it.
BROKEN = [
    (active, {"busy_count": PBUSY_LOCKED}, "INV-PB1: pg: its word says LOCKED|0, and nobody has it"),
    (busied, {"busy_count": 0}, "INV-PB1: pg: its word says 0, while a CPU has it hard-busied"),
    (active, {"busy_count": 1}, "INV-PB2: pg: its word counts 1 soft busies, and 0 are out"),
    (soft_busied, {"busy_count": 0}, "INV-PB2: pg: its word counts 0 soft busies, and 1 are out"),
    (active, {"busy_count": PBUSY_WANTED}, "INV-PB4: pg: it is wanted, is not busy"),
    (free, {"busy_count": PBUSY_WANTED}, "INV-PB4: pg: it is wanted, is not busy"),
    (active, {"hold_count": 1}, "INV-HW1: pg: its word counts 1 holds, and 0 are out"),
    (held, {"hold_count": 0}, "INV-HW1: pg: its word counts 0 holds, and 1 are out"),
    (active, {"hold_count": -1}, "INV-HW1: pg: its word counts -1 holds"),
    (active, {"wire_count": 1}, "INV-HW2: pg: its word counts 1 wirings, and 0 are out"),
    (wired, {"wire_count": 0}, "INV-HW2: pg: its word counts 0 wirings, and 1 are out"),
    (active, {"wire_count": -1}, "INV-HW2: pg: its word counts -1 wirings"),
    (active, wrong_colour, "INV-Q3: pg: it is on queue "),
    (active, {"flags": PG_UNQUEUED}, "INV-Q8: pg: it is on a queue, and its flags forbid that"),
    (free, {"flags": PG_FICTITIOUS}, "INV-Q8: pg: it is on a queue, and its flags forbid that"),
    (resident, {"pindex": 3}, "INV-O1: pg: it says it is obj's, and that one's tree does not have it"),
    (active, onto_free, "INV-AL1: pg: it is on a free queue and allocated"),
    (active, onto_hold, "INV-AL1: pg: it is on a hold queue and allocated"),
    (free, {"valid": 1}, "INV-Q5: pg: it is on a free queue with something left in it"),
    (free, {"dirty": 1}, "INV-Q5: pg: it is on a free queue with something left in it"),
    (free, {"flags": PG_NEED_COMMIT}, "INV-Q5: pg: it is free and somebody uses it"),
    (free, {"flags": PG_MAPPED}, "INV-Q5: pg: it is free and somebody uses it"),
    (free, {"flags": PG_WRITEABLE}, "INV-Q5: pg: it is free and somebody uses it"),
    (on_hold, {"valid": 1}, "INV-Q6: pg: it is on a hold queue with something left in it"),
    (on_hold, {"dirty": 1}, "INV-Q6: pg: it is on a hold queue with something left in it"),
    (cached, {"dirty": 1}, "INV-Q7: pg: it is cached, and dirty or mapped"),
    (cached, {"flags": PG_MAPPED}, "INV-Q7: pg: it is cached, and dirty or mapped"),
    (cached, {"flags": PG_NEED_COMMIT}, "INV-Q7: pg: it is cached, and dirty or mapped"),
]
#: What comes close, and is right.
RIGHT = [
    (active, {}),
    (free, {}),
    (resident, {}),
    (cached, {}),
    (on_hold, {}),
    (wired, {}),
    (active, {"busy_count": PBUSY_SWAPINPROG}),
    (active, {"busy_count": PBUSY_SWAPINPROG | PBUSY_WANTED}),
    (busied, {"busy_count": PBUSY_LOCKED | PBUSY_WANTED}),
    (soft_busied, {"busy_count": PBUSY_WANTED | 1}),
    (active, {"flags": PG_NEED_COMMIT | PG_MAPPED | PG_WRITEABLE}),
    (resident, {"dirty": 0xFF, "flags": PG_WRITEABLE}),
    (on_hold, {"flags": PG_MAPPED}),
    (cached, {"dirty": 0x0F, "valid": 0xF0}),
]


def named(cases):
    """The cases, each called by its rule, the page's state and what is poked into it."""
    made = []
    for make, values, *message in cases:
        poked = [f"{k}={v:x}" for k, v in values.items()] if isinstance(values, dict) else [values.__name__]
        rule = [text[4:].partition(":")[0] for text in message]
        name = "-".join([*rule, make.__name__, *poked])
        made.append(pytest.param(make, values, *message, id=name))
    return made


@DEPTHS
@pytest.mark.parametrize(("make", "values", "message"), named(BROKEN))
def test_a_page_that_breaks_a_rule_is_found_when_it_is_touched(make, values, message, locks):
    program = meddling(make, values, l2_size=2 if values is wrong_colour else 1)
    kind = "queue" if message.startswith("INV-Q") else "accounting"
    failure = found(program, kind, message, locks=locks, schedules=3)
    assert re.match(r"pg\[\d\] is ", failure.facts[0])
    if make is not free and make is not cached:
        assert any(entry.startswith("cpu0 was given the page at vm/vm_page/") for entry in entries(failure))


#: Without those in which the boot CPU keeps a share, which is a leak by itself.
UNTOUCHED = [case for case in BROKEN if case[0] in (active, free, resident, cached, wired)]


@pytest.mark.parametrize(("make", "values", "message"), named(UNTOUCHED))
def test_a_page_that_breaks_a_rule_is_found_in_the_end_though_nobody_touches_it(make, values, message):
    """Poked with the last step of all, so that the standstill is what judges it; the free engine has one."""

    def program(m):
        vm = m.boot(pages=4, l2_size=2 if values is wrong_colour else 1)
        page = make(vm)
        m.yield_()
        poke(page, **(values(page) if callable(values) else values))

    kind = "queue" if message.startswith("INV-Q") else "accounting"
    found(program, kind, message, schedules=1)
    failure = vmsmp.run(program, engine="free").failure
    assert (kind, message) == (failure.kind, failure.message[: len(message)])


@DEPTHS
@pytest.mark.parametrize(("make", "values"), named(RIGHT))
def test_a_page_that_comes_close_to_breaking_a_rule_is_right(make, values, locks):
    silent(meddling(make, values, restore=True), locks=locks, schedules=3)


@DEPTHS
def test_a_driver_s_page_is_wired_by_nobody(locks):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        page = vm_page_getfake(vm, 5)
        vm_page_hold(page)
        vm_page_unhold(page)
        vm_page_wakeup(page)
        vm_page_putfake(page)

    silent(program, locks=locks, schedules=1)


# -- who has it -----------------------------------------------------------------------------------


@DEPTHS
def test_two_cpus_that_have_hard_busied_the_same_page_are_found(locks):
    def program(m):
        page = active(m.boot(pages=4, l2_size=1))

        def first():
            vm_page_busy_wait(page, False)
            m.yield_()  # the page is judged, and then not before the second
            poke(page, busy_count=0)
            m.spawn(second).join()

        def second():
            vm_page_busy_try(page, False)
            m.yield_()

        m.spawn(first)
        m.join()

    failure = found(program, "accounting", "INV-PB1: pg: 2 CPUs have it hard-busied", locks=locks)
    assert [
        "cpu1 took a hard busy at vm/vm_page/busy.py in vm_page_busy_wait, for first",
        "cpu2 took a hard busy at vm/vm_page/busy.py in vm_page_busy_try, for second",
    ] == entries(failure)[-2:]


@DEPTHS
def test_handing_busies_about_is_right(locks):
    def program(m):
        page = active(m.boot(pages=4, l2_size=1))

        def reader():
            if not vm_page_sbusy_try(page):
                m.yield_()
                vm_page_sbusy_drop(page)
            vm_page_flash(page)

        def owner():
            vm_page_busy_wait(page, True)
            m.yield_()
            vm_page_wakeup(page)

        for deed in (reader, owner, reader):
            m.spawn(deed)
        m.join()

    silent(program, locks=locks, schedules=300)


# -- the kernel's functions, called on the wrong page ---------------------------------------------


@DEPTHS
def test_holding_a_free_page_is_found_before_the_kernel_s_own_test(locks):
    def program(m):
        page = free(m.boot(pages=4, l2_size=1))
        m.spawn(vm_page_hold, page)
        m.join()

    failure = found(program, "queue", "INV-Q5: pg: it is free and somebody uses it", locks=locks)
    assert (
        "cpu1 took a hold at vm/vm_page/holding.py in vm_page_hold" == entries(failure)[-1].partition(",")[0]
    )


@DEPTHS
def test_wiring_a_free_page_is_found(locks):
    def program(m):
        page = free(m.boot(pages=4, l2_size=1))

        def wirer():
            vm_page_busy_wait(page, True)
            vm_page_wire(page)

        m.spawn(wirer)
        m.join()

    message = "INV-Q5: pg: it is on a free queue with something left in it"
    failure = found(program, "queue", message, locks=locks)
    assert "cpu1 took a wire at vm/vm_page/holding.py in vm_page_wire, for wirer" == entries(failure)[-1]


@DEPTHS
def test_a_free_page_in_an_object_is_found(locks):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        obj, page = vm_object_allocate(vm, 4), free(vm)

        def meddler():
            poke(page, object=obj, pindex=2)
            obj.peek("rb_memq")[2] = page
            page.flags.setbits(0)
            m.yield_()

        m.spawn(meddler)
        m.join()

    found(program, "queue", "INV-Q5: pg: it is on a free queue with something left in it", locks=locks)


@DEPTHS
def test_two_pages_that_say_they_are_an_object_s_at_one_index_are_found(locks):
    """INV-O3: a tree has one page at an index, so the other one's word is not true."""

    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        page, other = resident(vm), active(vm)

        def meddler():
            poke(other, object=page.peek("object"), pindex=0)
            other.flags.setbits(0)
            m.yield_()

        m.spawn(meddler)
        m.join()

    found(program, "accounting", "INV-O1: pg: it says it is obj's", locks=locks)


@DEPTHS
def test_mapping_a_page_that_stays_cached_is_found(locks):
    def program(m):
        page = cached(m.boot(pages=8, l2_size=1))
        space = space_of(page)

        def process():
            space.fault(page, page.peek("pindex"), VM_PROT_READ)

        m.spawn(process)
        m.join()

    failure = found(program, "queue", "INV-Q7: pg: it is cached, and dirty or mapped", locks=locks)
    assert entries(failure)[-1].startswith("cpu1 gave a hard busy back at vm/vm_page/busy.py")


@DEPTHS
def test_mapping_a_page_that_was_activated_before_is_right(locks):
    def program(m):
        page = cached(m.boot(pages=8, l2_size=1))
        space, pindex = space_of(page), page.peek("pindex")

        def process():
            with space.locked():
                vm_page_busy_wait(page, True)
                vm_page_activate(page)
                space.enter(page, pindex)
                vm_page_wakeup(page)
            space.remove(pindex)

        m.spawn(process)
        m.spawn(process)
        m.join()

    silent(program, locks=locks)


@DEPTHS
def test_clearing_the_flag_of_a_page_that_is_still_mapped_is_found(locks):
    def program(m):
        page = resident(m.boot(pages=8, l2_size=1))
        space = space_of(page)

        def process():
            with space.locked():
                vm_page_busy_wait(page, True)
                space.enter(page, page.pindex, VM_PROT_READ)
                vm_page_flag_clear(page, PG_MAPPED)
                vm_page_wakeup(page)

        m.spawn(process)
        m.join()

    found(program, "accounting", "INV-P1: pg: an entry of a page table names it", locks=locks)


# -- a page that is not settled -------------------------------------------------------------------


@DEPTHS
def test_who_has_a_page_busied_may_do_to_it_what_must_not_be_seen_when_it_is_settled(locks):
    def program(m):
        page = cached(m.boot(pages=4, l2_size=1))

        def owner():
            vm_page_busy_wait(page, True)
            vm_page_flag_set(page, PG_NEED_COMMIT | PG_MAPPED)
            m.yield_()
            vm_page_protect(page, 0)
            vm_page_flag_clear(page, PG_NEED_COMMIT)
            vm_page_wakeup(page)

        m.spawn(owner)
        m.spawn(owner)
        m.join()

    silent(program, locks=locks)


@DEPTHS
@pytest.mark.parametrize("spin", [True, False])
def test_a_page_s_queue_is_judged_when_its_spinlock_is_free_again(locks, spin):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        page = active(vm)

        def mover():
            if spin:
                page.spin.acquire()
            poke(page, queue=vm.page.PQ_FREE)
            page.flags.setbits(0)
            m.yield_()
            poke(page, queue=vm.page.PQ_ACTIVE)
            if spin:
                page.spin.release()

        m.spawn(mover)
        m.join()

    if spin:
        silent(program, locks=locks)
    else:
        found(program, "accounting", "INV-AL1: pg: it is on a free queue and allocated", locks=locks)


# -- during I/O -----------------------------------------------------------------------------------


def writing_during_io(name):
    """A CPU writes a field of a page under its hard busy while I/O goes on, which another finishes."""

    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        page = resident(vm)
        obj = page.peek("object")
        vm_page_busy_wait(page, False)
        vm_page_io_start(page)
        vm_page_wakeup(page)

        def writer():
            vm_object_hold(obj)
            vm_page_busy_wait(page, False)
            setattr(page, name, page.peek(name))
            vm_page_wakeup(page)
            vm_object_drop(obj)

        def finisher():
            vm_page_busy_wait(page, False)
            vm_page_io_finish(page)
            vm_page_wakeup(page)

        m.spawn(writer)
        m.join()
        m.spawn(finisher)
        m.join()

    return program


@DEPTHS
@pytest.mark.parametrize("name", ["object", "pindex"])
def test_an_identity_that_changes_during_io_is_found(locks, name):
    message = f"INV-PB5: pg: its {name} changes with I/O in progress"
    failure = found(writing_during_io(name), "accounting", message, locks=locks)
    assert "cpu0 handed a soft busy on at vm/vm_page/busy.py in vm_page_io_start" in [
        entry.partition(",")[0] for entry in entries(failure)
    ]


@DEPTHS
def test_valid_bits_that_change_during_io_are_right(locks):
    silent(writing_during_io("valid"), locks=locks)


# -- when all is over -----------------------------------------------------------------------------


@DEPTHS
def test_a_page_that_is_still_busy_when_all_is_over_is_found(locks):
    program = meddling(active, {"busy_count": PBUSY_SWAPINPROG})
    failure = found(program, "leak", "INV-PB3: pg: it is left SWAPINPROG|0", locks=locks)
    assert "cpu0 was given the page at vm/vm_page/alloc.py in vm_page_alloc, for active" in entries(failure)


@DEPTHS
def test_a_page_that_is_nowhere_when_all_is_over_is_found(locks):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)

        def careless():
            vm_page_wakeup(vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL))

        m.spawn(careless)
        m.join()

    failure = found(program, "leak", "INV-Q9: pg: it is on no queue, in no object and not wired", locks=locks)
    assert "cpu1 was given the page at vm/vm_page/alloc.py in vm_page_alloc, for careless" in entries(failure)


@DEPTHS
@pytest.mark.parametrize("keep", ["queue", "wiring", "object", "hold queue", "free queue"])
def test_a_page_that_is_somewhere_when_all_is_over_is_right(locks, keep):
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        objects = [vm_object_allocate(vm, 4) if keep == "object" else None for _ in range(2)]
        before = [vm_page_alloczwq(vm, 0, VM_ALLOC_NORMAL) for _ in range(2 * (keep == "wiring"))]

        def user(obj):
            if obj is not None:
                vm_object_hold(obj)
            page = vm_page_alloc(vm, obj, 0, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM)
            if obj is not None:
                vm_object_drop(obj)
            if keep == "queue":
                vm_page_activate(page)
            elif keep == "wiring":
                vm_page_wire(page)
            elif keep == "hold queue":
                vm_page_hold(page)
            if keep in ("hold queue", "free queue"):
                vm_page_free(page)
            else:
                vm_page_wakeup(page)
            if keep == "hold queue":
                m.yield_()
                vm_page_unhold(page)

        for obj in objects:
            m.spawn(user, obj)
        m.join()
        for page in before:  # as many are wired as when the CPUs started
            vm_page_freezwq(page)
        vm_pageout_free_hold(vm)

    silent(program, locks=locks)
