"""What the debugger shows of pages, queues and counts, on machines whose state is known."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.vm.vm_meter import COUNTS, Thresholds
from vmsmp.vm.vm_object import (
    vm_object_allocate,
)
from vmsmp.vm.vm_page import (
    PG_MARKER,
    PG_REFERENCED,
    VM_ALLOC_NORMAL,
    show_page,
    show_pageq,
    vm_page_alloc,
    vm_page_busy_try,
    vm_page_flag_set,
    vm_page_hold,
    vm_page_io_finish,
    vm_page_io_start,
    vm_page_print_page,
    vm_page_sbusy_try,
    vm_page_wakeup,
)

CELLS = ("vm_pages_needed", "vm_pages_waiting", "vm_pageout_pages_needed", "vm_pageout_deficit")
IDLE = [
    "pg[3]",
    "  queue       pq.free[0], colour 0",
    "  spin        free",
    "  object      none",
    "  busy_count  0",
    "  hold_count  0",
    "  wire_count  0",
    "  flags       0",
    "  valid       0x00, dirty 0x00",
    "  act_count   0",
    "  interlock   0",
    "  in hands of nobody",
]


def rows(text):
    """The lines of a view, each by its first word."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def field(text, name):
    """What one line of a page's view says."""
    (line,) = [line for line in text.splitlines() if line[2:].startswith(name + " ")]
    return line[len(name) + 2 :].strip()


# -- show page: the counts ------------------------------------------------------------------------


def test_the_counts_are_shown_in_the_kernel_s_order_under_their_headings(alone):
    lines = alone(show_page).splitlines()
    assert ["global", "true", "view", "(delta)", "by", "CPU"] == lines[0].split()
    assert [*COUNTS] == [line.split()[0] for line in lines[1:6]]


def test_the_headings_stand_over_their_columns(alone):
    lines = alone(show_page).splitlines()
    ends = [lines[0].index(word) + len(word) for word in ("global", "true")]
    assert ["8", "8"] == [lines[1][end - 2 : end].strip() for end in ends]


def test_a_count_is_shown_global_true_and_as_each_cpu_sees_it(alone):
    def program(vm):
        vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        return show_page(vm)

    assert ["8", "7", "cpu0:", "7", "(-1)"] == rows(alone(program))["v_free_count"]


def test_a_delta_above_zero_has_a_sign_too(alone, page_on):
    def program(vm):
        page_on(vm, "active")
        return show_page(vm)

    shown = rows(alone(program))
    assert ["0", "1", "cpu0:", "1", "(+1)"] == shown["v_active_count"]
    assert ["0", "0", "cpu0:", "0", "(+0)"] == shown["v_inactive_count"]


def test_every_cpu_that_has_counted_has_its_own_view_in_order(alone):
    def program(vm):
        for n in range(2):
            vm.machine.spawn(vm_page_alloc, vm, None, n, VM_ALLOC_NORMAL, name=f"taker{n}")
        vm.machine.join()
        return show_page(vm)

    wanted = ["8", "6", "cpu1", "taker0:", "7", "(-1)", "cpu2", "taker1:", "7", "(-1)"]
    assert wanted == rows(alone(program))["v_free_count"]


def test_a_machine_on_which_nobody_has_counted_has_no_views(alone):
    assert ["8", "8"] == rows(alone(show_page))["v_free_count"]


def test_all_thresholds_are_shown_with_their_values(alone):
    def program(vm):
        return show_page(vm), {name: getattr(vm.meter.limits, name) for name in Thresholds.__slots__}

    text, limits = alone(program, pages=1024)
    assert limits == {name: int(row[0]) for name, row in rows(text).items() if name in limits}
    assert [4, 16] == [limits["v_free_reserved"], limits["v_free_min"]]


def test_a_threshold_that_was_changed_is_shown_as_it_is(alone):
    def program(vm):
        vm.meter.limits.v_paging_wait = 5
        return show_page(vm)

    assert ["5"] == rows(alone(program))["v_paging_wait"]


@pytest.mark.parametrize("name", CELLS)
def test_what_the_pagedaemon_is_told_is_shown(alone, name):
    def program(vm):
        getattr(vm.pageout, name).store(3)
        return show_page(vm)

    shown = rows(alone(program))
    assert {cell: ["3" if cell == name else "0"] for cell in CELLS} == {cell: shown[cell] for cell in CELLS}


# -- show page N ----------------------------------------------------------------------------------


def test_an_idle_page_shows_every_field_and_nobody_s_hands(alone):
    assert IDLE == alone(lambda vm: show_page(vm, 3)).splitlines()


@pytest.mark.parametrize("number", [0, 7])
def test_the_first_and_the_last_page_are_there(alone, number):
    assert f"pg[{number}]" == alone(lambda vm: show_page(vm, number)).splitlines()[0]


@pytest.mark.parametrize("number", [-1, 8, 10**30])
def test_a_page_that_is_not_there_is_refused_with_the_number_of_pages(alone, number):
    with pytest.raises(vmsmp.UsageError, match=f"^there is no page {number}: this machine has 8$"):
        alone(lambda vm: show_page(vm, number))


@pytest.mark.parametrize("kind", ["free", "inactive", "active", "cache", "hold"])
def test_a_page_names_its_queue_and_its_colour(alone, page_on, kind):
    def program(vm):
        m = page_on(vm, kind)
        return show_page(vm, m.phys), m.pc

    text, colour = alone(program, pages=64, l2_size=4)
    assert f"pq.{kind}[{colour}], colour {colour}" == field(text, "queue")


def test_a_page_on_no_queue_says_so_and_keeps_its_colour(alone, page_on):
    def program(vm):
        return show_page(vm, page_on(vm, "none", pindex=3).phys)

    assert "PQ_NONE, colour 3" == field(alone(program, pages=64, l2_size=4), "queue")


def test_a_page_names_its_object_and_its_place_in_it(alone, page_on):
    def program(vm):
        return show_page(vm, page_on(vm, "none", vm_object_allocate(vm, 8, "file"), 5).phys)

    assert "file, pindex 5" == field(alone(program), "object")


def test_a_page_shows_its_busies_holds_and_wirings_in_words(alone, page_on):
    def program(vm):
        m = page_on(vm, "none")
        assert False is vm_page_sbusy_try(m)
        for _ in range(2):
            vm_page_hold(m)
        m.wire_count.store(3)
        text = show_page(vm, m.phys)
        m.busy_count.store(0xE0000002)
        return [field(text, name) for name in ("busy_count", "hold_count", "wire_count")], show_page(
            vm, m.phys
        )

    counts, busy = alone(program)
    assert ["1", "2", "3"] == counts
    assert "LOCKED|WANTED|SWAPINPROG|2" == field(busy, "busy_count")


def test_a_page_shows_its_flags_by_name_and_its_content_in_hexadecimal(alone):
    def program(vm):
        m = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        vm_page_flag_set(m, PG_REFERENCED)
        m.valid, m.dirty, m.act_count = 0x3F, 0x01, 9
        text = show_page(vm, m.phys)
        return [field(text, name) for name in ("flags", "valid", "act_count")]

    assert ["PG_REFERENCED", "0x3f, dirty 0x01", "9"] == alone(program)


def test_a_page_shows_who_takes_an_entry_of_it_away(alone):
    def program(vm):
        m = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        m.interlock_count.fetchadd(1)
        return show_page(vm, m.phys)

    assert "1" == field(alone(program), "interlock")


@pytest.mark.parametrize(
    ("locks", "taken", "free"),
    [("atomic", "exclusive cpu0", "free"), ("exact", "1 (exclusive cpu0)", "0 (free)")],
)
def test_a_page_says_who_has_its_spinlock(alone, locks, taken, free):
    def program(vm):
        m = vm.page.vm_page_array[3]
        with m.spin:
            held = show_page(vm, 3)
        return field(held, "spin"), field(show_page(vm, 3), "spin")

    assert (taken, free) == alone(program, locks=locks)


def test_a_page_says_in_whose_hands_it_is_and_how(alone, page_on):
    def program(vm):
        m = page_on(vm, "none")
        assert False is vm_page_sbusy_try(m)
        vm.machine.spawn(vm_page_sbusy_try, m, name="reader").join()
        return show_page(vm, m.phys)

    assert "soft busy by cpu0, soft busy by cpu1 reader" == field(alone(program), "in hands of")


def test_a_page_says_that_i_o_is_in_progress(alone, page_on):
    def program(vm):
        m = page_on(vm, "none")
        vm_page_busy_try(m, False)
        vm_page_io_start(m)
        during = show_page(vm, m.phys)
        vm_page_io_finish(m)
        vm_page_wakeup(m)
        return field(during, "in hands of")

    assert "hard busy by cpu0, soft busy by I/O in progress" == alone(program)


def test_a_page_just_allocated_is_in_its_allocator_s_hands_until_he_lets_go(alone):
    def program(vm):
        m = vm_page_alloc(vm, None, 0, VM_ALLOC_NORMAL)
        mine = show_page(vm, m.phys)
        vm_page_wakeup(m)
        return field(mine, "in hands of"), field(show_page(vm, m.phys), "in hands of")

    assert ("hard busy by cpu0", "nobody") == alone(program)


def test_a_marker_is_no_page_and_says_so(alone):
    def program(vm):
        marker = vm.page.marker(PG_MARKER)
        return marker.name, vm_page_print_page(marker)

    name, lines = alone(program)
    assert (f"{name} (marker)", len(IDLE)) == (lines[0], len(lines))


# -- show pageq -----------------------------------------------------------------------------------


def test_the_free_queue_is_shown_from_its_head_on(alone):
    wanted = "pq.free[0]         lcnt    8  lock free                   " + " ".join(
        f"pg[{n}]" for n in reversed(range(8))
    )
    assert [wanted] == alone(show_pageq).splitlines()


def test_queues_that_are_empty_are_left_out(alone, page_on):
    def program(vm):
        page_on(vm, "active", pindex=1)
        page_on(vm, "cache", pindex=2)  # of the second object, whose colours begin at PQ_PRIME2
        return show_pageq(vm)

    names = [line.split()[0] for line in alone(program, pages=64, l2_size=4).splitlines()]
    assert [f"pq.free[{n}]" for n in range(4)] + ["pq.active[1]", "pq.cache[1]"] == names


def test_queues_of_one_type_are_all_shown_and_no_others(alone, page_on):
    def program(vm):
        page_on(vm, "active", pindex=1)
        return show_pageq(vm, "active")

    rest = [line.split(maxsplit=5) for line in alone(program, pages=64, l2_size=4).splitlines()]
    assert [
        ["pq.active[0]", "lcnt", "0", "lock", "free"],
        ["pq.active[1]", "lcnt", "1", "lock", "free"],
        ["pq.active[2]", "lcnt", "0", "lock", "free"],
        ["pq.active[3]", "lcnt", "0", "lock", "free"],
    ] == [words[:5] for words in rest]
    assert [0, 1, 0, 0] == [len(words) - 5 for words in rest]


@pytest.mark.parametrize("kind", ["free", "inactive", "active", "cache", "hold"])
def test_every_queue_type_can_be_asked_for(alone, kind):
    assert f"pq.{kind}[0]" == alone(lambda vm: show_pageq(vm, kind)).split()[0]


@pytest.mark.parametrize("kind", ["", "FREE", "none", "pq.free[0]"])
def test_a_queue_type_that_there_is_not_is_refused_with_those_there_are(alone, kind):
    with pytest.raises(vmsmp.UsageError) as caught:
        alone(lambda vm: show_pageq(vm, kind))
    wanted = f"there is no queue type {kind!r}: there are free, inactive, active, cache, hold"
    assert wanted == str(caught.value)


def test_a_machine_without_a_page_on_any_queue_says_so(alone):
    def program(vm):
        for n in range(2):
            assert None is not vm_page_alloc(vm, None, n, VM_ALLOC_NORMAL)
        return show_pageq(vm)

    assert "no pages on any queue" == alone(program, pages=2)


@pytest.mark.parametrize(("pages", "more"), [(16, []), (17, ["..."])])
def test_a_long_queue_shows_its_first_sixteen_members(alone, pages, more):
    members = alone(show_pageq, pages=pages).split()[5:]
    assert [f"pg[{n}]" for n in reversed(range(pages - 16, pages))] + more == members


def test_a_marker_stands_among_the_members_where_it_is_and_counts_for_nothing(alone):
    from vmsmp.vm.vm_page import TAILQ_INSERT_AFTER

    def program(vm):
        marker = vm.page.marker(PG_MARKER)
        TAILQ_INSERT_AFTER(vm.page.vm_page_queues[vm.page.PQ_FREE], vm.page.vm_page_array[1], marker)
        return marker.name, show_pageq(vm, "free").split()

    name, words = alone(program, pages=2)
    assert ["2", "pg[1]", name, "pg[0]"] == [words[2], *words[5:]]


def test_a_queue_says_who_has_its_lock(alone):
    def program(vm):
        with vm.page.vm_page_queues[vm.page.PQ_HOLD].spin:
            return show_pageq(vm, "hold")

    assert "pq.hold[0]         lcnt    0  lock exclusive cpu0" == alone(program)
