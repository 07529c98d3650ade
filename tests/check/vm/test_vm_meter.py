"""Page counts: counters that do not add up, a delta kept back, a page of the reserve given away."""

from functools import partial

import pytest

import verdicts
import vmsmp
from verdicts import entries
from vmsmp.check.vm.vm_meter import broken_counts, broken_residents
from vmsmp.check.vm.vm_page import entitled
from vmsmp.vm.vm_meter import COUNTS, vmstats_add, vmstats_rem, vmstats_rollup
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold
from vmsmp.vm.vm_page import (
    TAILQ_INSERT_TAIL,
    TAILQ_REMOVE,
    VM_ALLOC_INTERRUPT,
    VM_ALLOC_NORMAL,
    VM_ALLOC_SYSTEM,
    _gate_open,
    _prepare,
    _vm_page_add_queue_spinlocked,
    _vm_page_queue_spin_unlock,
    vm_page_activate,
    vm_page_alloc,
    vm_page_busy_wait,
    vm_page_cache,
    vm_page_deactivate,
    vm_page_free,
    vm_page_select_free,
    vm_page_unqueue_nowakeup,
    vm_page_unwire,
    vm_page_wakeup,
    vm_page_wire,
    vm_page_zero_invalid,
)

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
QUEUED = COUNTS[:-1]
silent = partial(verdicts.silent, schedules=100)


def found(program, message, **options):
    return verdicts.found(program, "accounting", message, **{"schedules": 100, **options})


# -- what lies on the queues ----------------------------------------------------------------------

#: How many pages of each kind `furnish` makes of the eight; those on hold queues count as active.
LYING = {
    "v_free_count": 3,
    "v_cache_count": 1,
    "v_inactive_count": 1,
    "v_active_count": 2,
    "v_wire_count": 1,
}


def furnish(m):
    """A machine with a page on every queue, and a wired one on none."""
    vm = m.boot(pages=8, l2_size=1, adj_limit=2)
    obj = vm_object_allocate(vm, 8)
    vm_object_hold(obj)
    pages = [vm_page_alloc(vm, obj, n, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM) for n in range(4)]
    vm_object_drop(obj)
    for page in pages:
        vm_page_zero_invalid(page)
    vm_page_activate(pages[0])
    vm_page_deactivate(pages[1])
    vm_page_wire(pages[2])
    for page in pages[:3]:
        vm_page_wakeup(page)
    vm_page_cache(pages[3])
    stale = vm.page.vm_page_array[0]
    vm_page_unqueue_nowakeup(stale)
    with stale.spin:
        _vm_page_add_queue_spinlocked(stale, vm.page.PQ_HOLD)
        _vm_page_queue_spin_unlock(stale)
    return vm


def counting(deed):
    """Another CPU does `deed(vm)` to the counts of a furnished machine."""

    def program(m):
        vm = furnish(m)
        m.spawn(deed, vm)
        m.join()

    return program


@pytest.mark.parametrize("n", [1, -1])
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("where", ["vmstats", "gd_vmstats_adj"])
def test_a_counter_that_does_not_say_how_many_pages_there_are_is_found_in_the_end(where, count, n):
    def deed(vm):
        meter = vm.meter.vmstats if where == "vmstats" else vm.mycpu().gd_vmstats_adj
        getattr(meter, count).fetchadd(n)

    name, pages = "INV-V2" if count == "v_wire_count" else "INV-V1", LYING[count]
    message = (
        f"{name}: vmstats: {count} and its deltas add up to {pages + n}, and there are {pages} such pages"
    )
    failure = found(counting(deed), message)
    signature = f"{name}: vmstats: {count} and its deltas add up to N, and there are N such pages"
    assert f"accounting: {signature}" == failure.signature.replace("-N", "N")
    assert failure.facts[0].startswith("vmstats is free ")


def test_the_free_engine_adds_up_too():
    failure = vmsmp.run(counting(lambda vm: vmstats_add(vm, "v_cache_count")), engine="free").failure
    message = "INV-V1: vmstats: v_cache_count and its deltas add up to 2, and there are 1 such pages"
    assert ("accounting", message) == (failure.kind, failure.message)


@DEPTHS
def test_a_page_that_changes_queues_without_being_counted_is_found(locks):
    def program(m):
        vm = furnish(m)
        active, inactive = (vm.page.vm_page_queues[n] for n in (vm.page.PQ_ACTIVE, vm.page.PQ_INACTIVE))

        def mover():
            page = active.hint("tqh_first")
            with page.spin:
                with active.spin:
                    TAILQ_REMOVE(active, page)
                    active.lcnt -= 1
                    page.queue = 0
                with inactive.spin:
                    page.queue = inactive.index
                    TAILQ_INSERT_TAIL(inactive, page)
                    inactive.lcnt += 1

        m.spawn(mover)
        m.join()

    message = "INV-V1: vmstats: v_inactive_count and its deltas add up to 1, and there are 2 such pages"
    found(program, message, locks=locks)


@DEPTHS
def test_pages_moved_by_the_kernel_while_others_roll_up_are_counted_right(locks):
    def program(m):
        vm = furnish(m)

        def mover():
            page = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM)
            if page is None:
                return
            vm_page_activate(page)
            vm_page_wire(page)
            vm_page_wakeup(page)
            vm_page_busy_wait(page, True)
            vm_page_unwire(page, False)
            vm_page_free(page)

        def roller():
            vmstats_rollup(vm)

        m.spawn(mover)
        m.spawn(mover)
        m.spawn(roller)
        m.join()

    silent(program, locks=locks)


def test_counters_that_lie_for_a_while_are_right_if_they_add_up_in_the_end():
    def deed(vm):
        vmstats_add(vm, "v_active_count")
        vm.machine.yield_()
        vmstats_rollup(vm)
        vmstats_rem(vm, "v_active_count")

    silent(counting(deed))


def test_the_counters_of_a_machine_just_booted_add_up():
    seen = []

    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        seen.append((broken_counts(vm) or (None, None))[1])
        vm.meter.vmstats.v_free_count.value += 1
        seen.append((broken_counts(vm) or (None, None))[1])
        vm.meter.vmstats.v_free_count.value -= 1

    silent(program, schedules=1)
    text = "v_free_count and its deltas add up to 5, and there are 4 such pages"
    assert [None, ("INV-V1", text, ": ")] == seen


def test_pages_in_objects_that_no_cpu_has_counted_are_noticed():
    seen = []

    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        seen.append((broken_residents(vm) or (None, None))[1])
        vm.mycpu().t_rm += 1
        seen.append((broken_residents(vm) or (None, None))[1])
        vm.mycpu().t_rm -= 1

    silent(program, schedules=1)
    text = "t_rm adds up to 1, and 0 pages are in objects"
    assert [None, ("INV-V5", text, ": ")] == seen


def test_a_page_inserted_uncounted_is_noticed_at_rest():
    def program(m):
        vm = m.boot(pages=4, l2_size=1)
        obj = vm_object_allocate(vm, 4)

        def worker():
            vm_object_hold(obj)
            vm_page_wakeup(vm_page_alloc(vm, obj, 0, VM_ALLOC_NORMAL))
            vm_object_drop(obj)
            vm.mycpu().t_rm -= 1

        m.spawn(worker)
        m.join()

    failure = vmsmp.explore(program, schedules=1).failure
    assert "accounting: INV-V5: vmstats: t_rm adds up to N, and N pages are in objects" == failure.signature


# -- deltas ---------------------------------------------------------------------------------------


def taking(deed, *, near):
    """A CPU does `deed(vm)` where paging is near or far, then something else, then undoes it."""

    def program(m):
        vm = m.boot(pages=4, l2_size=1, adj_limit=2)
        vm.meter.limits.v_free_reserved = 0
        vm.meter.limits.v_paging_start = 100 if near else -100

        def worker():
            deed(vm)
            m.yield_()
            vmstats_rollup(vm)
            for count in QUEUED:
                vm.meter.vmstats.fields[count].peek(vm.meter.vmstats).value = LYING_AT_BOOT[count]

        m.spawn(worker)
        m.join()

    return program


LYING_AT_BOOT = {"v_free_count": 4, "v_cache_count": 0, "v_inactive_count": 0, "v_active_count": 0}


KEPT_BACK = "INV-V4: cpu1.gd_vmstats_adj: its delta of {} is -3, paging is near, and it was not handed on"


def keep_back(count, n):
    def deed(vm):
        getattr(vm.mycpu().gd_vmstats_adj, count).fetchadd(-n)

    return deed


@pytest.mark.parametrize("count", QUEUED)
def test_a_delta_far_below_zero_that_is_kept_back_when_paging_is_near_is_found(count):
    failure = found(taking(keep_back(count, 3), near=True), KEPT_BACK.format(count))
    assert failure.facts[0].startswith("cpu1.gd_vmstats_adj is free ")


def test_the_reserve_touched_is_near_enough():
    def deed(vm):
        vm.meter.limits.v_free_reserved = 5
        keep_back("v_free_count", 3)(vm)

    found(taking(deed, near=False), KEPT_BACK.format("v_free_count"))


@pytest.mark.parametrize("count", QUEUED)
@pytest.mark.parametrize(("n", "near"), [(2, True), (3, False)], ids=["within-the-limit", "paging-is-far"])
def test_a_delta_below_zero_may_be_kept_back(count, n, near):
    silent(taking(keep_back(count, n), near=near), schedules=5)


@pytest.mark.parametrize("count", QUEUED)
def test_a_delta_that_the_kernel_hands_on_is_right(count):
    def deed(vm):
        for _ in range(4):
            vmstats_rem(vm, count)

    silent(taking(deed, near=True), schedules=5)


def test_a_delta_grown_far_below_zero_while_paging_was_far_is_that_count_s_own_affair():
    """The kernel looks at a delta when it counts that kind of page, and not when it counts another."""

    def deed(vm):
        keep_back("v_active_count", 3)(vm)
        vm.machine.yield_()
        vm.meter.limits.v_paging_start = 100
        vmstats_add(vm, "v_inactive_count")
        vmstats_rem(vm, "v_free_count")

    silent(taking(deed, near=False), schedules=5)


# -- the reserve ----------------------------------------------------------------------------------

REQUESTS = {
    "normal": VM_ALLOC_NORMAL,
    "system": VM_ALLOC_SYSTEM,
    "interrupt": VM_ALLOC_INTERRUPT,
    "normal+system": VM_ALLOC_NORMAL | VM_ALLOC_SYSTEM,
    "system+interrupt": VM_ALLOC_SYSTEM | VM_ALLOC_INTERRUPT,
}
#: With four pages in the reserve of which two are the interrupts': the fewest free ones with which each
#: request may take a page, if nothing is cached and if something is.
FEWEST = {
    "normal": (4, 4),
    "system": (3, 4),
    "interrupt": (1, 1),
    "normal+system": (3, 4),
    "system+interrupt": (1, 1),
}


def reserve(vm):
    vm.meter.limits.v_free_reserved, vm.meter.limits.v_interrupt_free_min = 4, 2
    return vm


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("cache", [0, 1])
@pytest.mark.parametrize("systhread", [False, True])
def test_the_gate_that_the_checker_knows_is_the_kernel_s(request_, cache, systhread):
    gates = []

    def program(m):
        vm = reserve(m.boot(pages=4, l2_size=1))
        gd = vm.mycpu()
        gd.systhread = systhread
        request = REQUESTS[request_]
        gd.gd_vmstats.v_cache_count.value = cache
        for free in range(1, 7):
            gd.gd_vmstats.v_free_count.value = free
            kernel = _gate_open(vm, request | VM_ALLOC_SYSTEM if systhread else request)
            gd.gd_vmstats.v_free_count.value = free - 1  # the page is taken by the time of asking
            gates.append((kernel, entitled(vm, gd, request)))

    silent(program, schedules=1)
    fewest = FEWEST[request_][cache]
    if systhread:
        fewest = min(fewest, FEWEST["system"][cache])
    assert [(free >= fewest, free >= fewest) for free in range(1, 7)] == gates


@DEPTHS
@pytest.mark.parametrize("request_", ["normal", "system", "normal+system"])
def test_a_page_of_the_reserve_given_to_who_may_not_have_it_is_found(request_, locks):
    """A CPU that does not ask at the gate takes pages until it has one too many."""
    seen = []

    def program(m):
        vm = reserve(m.boot(pages=5, l2_size=1))

        def user():
            seen.clear()
            for n in range(5):
                gd = vm.mycpu()
                gd.gate = gd.gd_vmstats.peek("v_free_count"), gd.gd_vmstats.peek("v_cache_count")
                seen.append(gd.gate[0])
                _prepare(vm_page_select_free(vm, 0), None, n, REQUESTS[request_])

        m.spawn(user)
        m.join()

    message = "INV-V3: pg: a page of the reserve went to a request that is not entitled to it"
    failure = found(program, message, locks=locks)
    assert list(range(5, FEWEST[request_][0] - 2, -1)) == seen
    assert "cpu1 was given the page at vm/test_vm_meter.py in user" == entries(failure)[-1]


@DEPTHS
def test_requests_that_stop_at_their_marks_are_right(locks):
    def program(m):
        vm = reserve(m.boot(pages=6, l2_size=1, adj_limit=1))

        def user(request):
            pages = [vm_page_alloc(vm, None, n, request) for n in range(3)]
            for page in pages:
                if page is not None:
                    vm_page_free(page)

        for request in ("normal", "system", "interrupt"):
            m.spawn(user, REQUESTS[request])
        m.join()

    silent(program, locks=locks)
