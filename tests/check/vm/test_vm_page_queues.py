"""Rules of page queues: a list is well formed, and its count is its length."""

import re
from functools import partial

import pytest

import verdicts
import vmsmp
from page_layer import poke
from vmsmp.check.vm.vm_page import WALK, broken_queue, walked_queue
from vmsmp.scenarios._kit import active_page
from vmsmp.vm.vm_object import (
    vm_object_allocate,
)
from vmsmp.vm.vm_page import (
    PG_FICTITIOUS,
    PG_MARKER,
    TAILQ_INSERT_HEAD,
    TAILQ_REMOVE,
    vm_page_busy_try,
    vm_page_deactivate,
    vm_page_dontneed,
    vm_page_wakeup,
)
from vmsmp.vm.vm_pageout import vm_pageout_scan_active, vm_pageout_scan_inactive

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
found = partial(verdicts.found, whole=False, schedules=100)
silent = partial(verdicts.silent, schedules=100)


# -- lists ----------------------------------------------------------------------------------------


def wrong_link_back(pq, pages):
    poke(pages[1], tqe_prev=None)


def wrong_first_link_back(pq, pages):
    poke(pages[0], tqe_prev=pages[2])


def ring(pq, pages):
    poke(pages[2], tqe_next=pages[0])


def ring_into_the_middle(pq, pages):
    poke(pages[2], tqe_next=pages[1])


def a_page_of_another_queue(pq, pages):
    poke(pages[1], queue=pq.vm.page.PQ_INACTIVE)


def a_page_of_no_queue(pq, pages):
    poke(pages[1], queue=0)


def wrong_tail(pq, pages):
    poke(pq, tqh_last=pages[1])


def no_tail(pq, pages):
    poke(pq, tqh_last=None)


def lost_list(pq, pages):
    poke(pq, tqh_first=None)


def cut_short(pq, pages):
    """The last page drops off, links and tail in order."""
    poke(pages[1], tqe_next=None)
    poke(pq, tqh_last=pages[1])


def one_too_many(pq, pages):
    poke(pq, lcnt=4)


def one_too_few(pq, pages):
    poke(pq, lcnt=2)


def a_marker_that_counts(pq, pages):
    TAILQ_INSERT_HEAD(pq, marker_on(pq))
    poke(pq, lcnt=4)


def a_marker_of_another_queue(pq, pages):
    marker = pq.vm.page.marker(PG_FICTITIOUS | PG_MARKER)
    TAILQ_INSERT_HEAD(pq, marker)
    poke(marker, queue=pq.vm.page.PQ_INACTIVE)


def marker_on(pq):
    marker = pq.vm.page.marker(PG_FICTITIOUS | PG_MARKER)
    poke(marker, queue=pq.index)
    return marker


#: What is done to an active queue of three pages, and what is said of it.
BROKEN_QUEUES = [
    (wrong_link_back, "INV-Q1: pq.active: the link back from pg does not lead where it came from"),
    (wrong_first_link_back, "INV-Q1: pq.active: the link back from pg does not lead where it came from"),
    (ring, "INV-Q1: pq.active: "),
    (ring_into_the_middle, "INV-Q1: pq.active: "),
    (a_page_of_another_queue, "INV-Q1: pq.active: it lists pg, which says it is on pq.inactive[0]"),
    (a_page_of_no_queue, "INV-Q1: pq.active: it lists pg, which says it is on PQ_NONE"),
    (wrong_tail, "INV-Q1: pq.active: its tail is not its last page"),
    (no_tail, "INV-Q1: pq.active: its tail is not its last page"),
    (lost_list, "INV-Q1: pq.active: its tail is not its last page"),
    (cut_short, "INV-Q2: pq.active: it counts 3 pages and lists 2"),
    (one_too_many, "INV-Q2: pq.active: it counts 4 pages and lists 3"),
    (one_too_few, "INV-Q2: pq.active: it counts 2 pages and lists 3"),
    (a_marker_that_counts, "INV-Q2: pq.active: it counts 4 pages and lists 3"),
    (a_marker_of_another_queue, "INV-Q1: pq.active: it lists marker, which says it is on pq.inactive[0]"),
]
OF_QUEUES = pytest.mark.parametrize(
    ("deed", "message"), BROKEN_QUEUES, ids=lambda value: getattr(value, "__name__", "")
)


def on_a_queue(deed, *, spin=True, again=None):
    """A CPU does `deed` to an active queue of three pages, under its spinlock or not."""

    def program(m):
        vm = m.boot(pages=6, l2_size=1)
        obj = vm_object_allocate(vm, 4)
        pages = [active_page(vm, obj, n) for n in range(3)]
        pq = vm.page.vm_page_queues[vm.page.PQ_ACTIVE]

        def worker():
            if spin:
                pq.spin.acquire()
            deed(pq, pages)
            if again is not None:
                pages[0].flags.setbits(0)  # others may look meanwhile
                m.yield_()
                again(pq, pages)
            if spin:
                pq.spin.release()
            m.yield_()

        m.spawn(worker)
        m.join()

    return program


@DEPTHS
@OF_QUEUES
def test_a_list_that_is_broken_is_found_when_its_spinlock_is_released(deed, message, locks):
    failure = found(on_a_queue(deed), "queue", message, locks=locks, schedules=3)
    assert re.match(r"pq\.active\[0\] is \d pages$", failure.facts[0])


@OF_QUEUES
def test_a_list_that_is_broken_is_found_in_the_end_though_nobody_locks_it(deed, message):
    """By the standstill when all is over, which the free engine has too."""

    def program(m):
        vm = m.boot(pages=6, l2_size=1)
        obj = vm_object_allocate(vm, 4)
        pages = [active_page(vm, obj, n) for n in range(3)]
        m.yield_()
        deed(vm.page.vm_page_queues[vm.page.PQ_ACTIVE], pages)

    found(program, "queue", message, schedules=1)
    failure = vmsmp.run(program, engine="free").failure
    assert ("queue", message) == (failure.kind, failure.message[: len(message)])


def reorder(pq, pages):
    first = pq.tqh_first
    TAILQ_REMOVE(pq, first)
    TAILQ_INSERT_HEAD(pq, first)


def put_marker(pq, pages):
    TAILQ_INSERT_HEAD(pq, marker_on(pq))


def take_marker(pq, pages):
    TAILQ_REMOVE(pq, pq.tqh_first)


def unlink(pq, pages):
    TAILQ_REMOVE(pq, pages[1])


def relink(pq, pages):
    TAILQ_INSERT_HEAD(pq, pages[1])


@DEPTHS
@pytest.mark.parametrize(
    ("deed", "again"),
    [
        (reorder, None),
        (put_marker, None),
        (put_marker, take_marker),
        (unlink, relink),
        (one_too_many, lambda pq, pages: poke(pq, lcnt=3)),
    ],
    ids=["reordered", "a-marker", "marker-and-back", "page-and-back", "count-and-back"],
)
def test_a_list_that_is_in_order_when_its_spinlock_is_released_is_right(deed, again, locks):
    silent(on_a_queue(deed, again=again), locks=locks, schedules=5)


def test_a_count_that_lies_while_the_spinlock_is_free_is_found():
    """The nearby wrong one: the same there and back, but under no lock and with the queue touched."""

    def program(m):
        vm = m.boot(pages=6, l2_size=1)
        pq = vm.page.vm_page_queues[vm.page.PQ_ACTIVE]

        def worker():
            poke(pq, lcnt=1)
            pq.publish("lastq", -1)
            m.yield_()
            poke(pq, lcnt=0)

        m.spawn(worker)
        m.join()

    found(program, "queue", "INV-Q2: pq.active: it counts 1 pages and lists 0", schedules=1)


@DEPTHS
def test_pages_moved_by_the_kernel_while_scans_go_through_the_queues_are_right(locks):
    def program(m):
        vm = m.boot(pages=6, l2_size=1)
        obj = vm_object_allocate(vm, 4)
        pages = [active_page(vm, obj, n) for n in range(3)]

        def mover(deed):
            for page in pages:
                if not vm_page_busy_try(page, True):
                    if page.object is obj:
                        deed(page)
                    vm_page_wakeup(page)

        def sweeper():
            vm_pageout_scan_active(vm)
            vm_pageout_scan_inactive(vm)

        for deed in (vm_page_deactivate, vm_page_dontneed):
            m.spawn(mover, deed)
        m.spawn(sweeper)
        m.join()

    silent(program, locks=locks)


def test_a_long_list_is_walked_when_all_stands_still_only():
    """Each step of a large machine would walk it, so a lie is found late and not never."""
    asked = []

    def program(m):
        vm = m.boot(pages=WALK + 2, l2_size=1)
        pq = vm.page.vm_page_queues[vm.page.PQ_FREE]

        def worker():
            with pq.spin:
                poke(pq, lcnt=WALK + 1)
            m.yield_()

        m.spawn(worker)
        m.join()
        asked.append((broken_queue(pq, None), walked_queue(pq, None)))

    message = f"INV-Q2: pq.free: it counts {WALK + 1} pages and lists {WALK + 2}"
    found(program, "queue", message, schedules=1)
    assert (None, ("INV-Q2", message.partition(": pq.free: ")[2], ": ")) == asked[0]


def test_a_list_of_middling_length_is_walked_at_every_step():
    def program(m):
        vm = m.boot(pages=WALK, l2_size=1)
        pq = vm.page.vm_page_queues[vm.page.PQ_FREE]

        def worker():
            with pq.spin:
                poke(pq, lcnt=WALK - 1)
            m.yield_()
            m.check(False, "the worker is told first")

        m.spawn(worker)
        m.join()

    message = f"INV-Q2: pq.free: it counts {WALK - 1} pages and lists {WALK}"
    found(program, "queue", message, schedules=1)
