"""Operations as integers: what they say, and when two of them do not commute."""

from __future__ import annotations

import pytest

from vmsmp.engine import ops

#: Numbers of the layout of an operation, not of its kind.
LAYOUT = ("KIND_BITS", "KIND_MASK", "CPU_BITS", "MAX_CPUS")
KINDS = {
    name: value
    for name, value in vars(ops).items()
    if name.isupper() and isinstance(value, int) and name not in LAYOUT
}
LOOKING = {
    "LOAD",
    "ATOMIC_LOAD",
    "JOIN",
    "YIELD",
    "PAUSE",
    "START",
    "CMPSET_FAILED",
    "TRY_FAILED",
    "TRY_SHARED_FAILED",
    "RESUME",
    "JOIN_ALL",
    "FILL",
}


def test_no_two_kinds_share_a_number():
    assert len(KINDS) == len(set(KINDS.values()))


def test_every_kind_has_one_row():
    assert sorted(KINDS.values()) == sorted(kind.number for kind in ops.TABLE)


rows = pytest.mark.parametrize(
    "kind", ops.TABLE, ids=lambda kind: f"{kind.number}-{kind.name}".replace(" ", "-")
)


@rows
def test_every_row_has_a_name(kind):
    assert kind.name.strip()


@rows
def test_an_operation_on_a_word_says_what_it_orders(kind):
    assert (kind.subject is ops.Subject.WORD) <= (kind.order is not ops.Order.ELSEWHERE)


@rows
def test_an_access_that_acquires_reads_or_changes_its_word_by_what_it_was(kind):
    assert (kind.order is ops.Order.ACQUIRE) <= kind.reads


@rows
def test_an_access_that_releases_changes_its_word(kind):
    assert (kind.order in (ops.Order.RELEASE, ops.Order.BOTH)) <= kind.changes


@rows
def test_a_step_of_locking_is_done_to_a_lock(kind):
    assert kind.locking <= (kind.subject is ops.Subject.LOCK)


@rows
def test_a_step_of_locking_takes_gives_fails_or_weakens(kind):
    does = kind.takes is not ops.Takes.NO or kind.gives or kind.tried_as is not None
    assert kind.locking <= (does or kind.number == ops.DOWNGRADE)


@rows
def test_what_waits_for_a_lock_takes_it(kind):
    assert kind.waits <= (kind.takes is ops.Takes.ONE_MORE)


@rows
def test_no_operation_takes_and_gives(kind):
    assert not (kind.gives and kind.takes is not ops.Takes.NO)


@rows
def test_what_takes_or_gives_changes_something(kind):
    assert (kind.gives or kind.takes is not ops.Takes.NO) <= kind.changes


@rows
def test_what_begins_a_critical_section_takes_a_lock(kind):
    assert kind.opens <= (kind.takes is not ops.Takes.NO)


@rows
def test_readers_do_in_any_order_what_takes_or_gives_a_shared_hold(kind):
    assert kind.shared <= (kind.gives or kind.takes is ops.Takes.ONE_MORE)


@rows
def test_a_step_of_sleeping_is_done_to_a_channel(kind):
    assert kind.sleeping == (kind.subject is ops.Subject.CHANNEL)


@rows
def test_an_operation_on_cpus_or_nothing_competes_for_no_object(kind):
    assert (kind.subject in (ops.Subject.CPU, ops.Subject.NOTHING)) <= (not kind.contends)


@rows
def test_what_gives_way_only_looks(kind):
    assert not (kind.gives_way and kind.changes)


@rows
def test_a_failed_try_is_the_even_kind_below_the_one_it_was_tried_as(kind):
    assert kind.tried_as in (None, kind.number + 1)


@rows
def test_a_failed_try_neither_changes_takes_nor_gives(kind):
    assert kind.tried_as is None or not (kind.changes or kind.gives or kind.takes is not ops.Takes.NO)


@pytest.mark.parametrize("parity", [0, 1])
def test_there_are_free_numbers_of_both_parities(parity):
    free = set(range(parity, 1 << ops.KIND_BITS, 2)) - set(KINDS.values())
    assert len(free) >= 4


def test_which_gives_the_numbers_of_the_rows_that_hold():
    assert {ops.YIELD, ops.PAUSE} == ops.which(lambda kind: kind.gives_way)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_fits_its_bits(name):
    assert KINDS[name] == ops.kind_of(KINDS[name])


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_is_odd_exactly_if_it_may_change_something(name):
    assert (name not in LOOKING) == ops.writes(KINDS[name])


@pytest.mark.parametrize("name", ["CMPSET", "TRY_ACQUIRE", "TRY_ACQUIRE_SHARED"])
def test_a_failed_try_is_the_even_kind_below_it(name):
    assert "failed" in ops.NAMES[KINDS[name] - 1]


def test_an_operation_gives_back_its_object():
    ident = ops.identity(5, 1000)
    assert ident == ops.object_of(ops.op(ident, ops.CMPSET))


def test_an_operation_gives_back_its_kind():
    assert ops.CMPSET == ops.kind_of(ops.op(ops.identity(5, 1000), ops.CMPSET))


def test_identities_of_all_cpus_and_objects_differ():
    made = {ops.identity(cpu, n) for cpu in range(ops.MAX_CPUS) for n in range(1, 20)}
    assert ops.MAX_CPUS * 19 == len(made)


@pytest.mark.parametrize(
    ("one", "other", "same_object", "expected"),
    [
        (ops.LOAD, ops.LOAD, True, False),
        (ops.LOAD, ops.STORE, True, True),
        (ops.STORE, ops.LOAD, True, True),
        (ops.STORE, ops.STORE, True, True),
        (ops.STORE, ops.STORE, False, False),
        (ops.CMPSET_FAILED, ops.ATOMIC_LOAD, True, False),
        (ops.CMPSET, ops.CMPSET_FAILED, True, True),
    ],
)
def test_operations_depend_if_they_meet_on_an_object_and_one_changes_it(one, other, same_object, expected):
    mine, theirs = ops.identity(1, 1), ops.identity(1, 1) if same_object else ops.identity(2, 1)
    assert expected == ops.dependent(ops.op(mine, one), ops.op(theirs, other))


MINE, THEIRS = ops.identity(1, 1), ops.identity(2, 1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((MINE, ops.ACQUIRE_SHARED), (MINE, ops.ACQUIRE_SHARED), False),
        ((MINE, ops.ACQUIRE_SHARED), (MINE, ops.TRY_ACQUIRE_SHARED), False),
        ((MINE, ops.ACQUIRE_SHARED), (MINE, ops.ACQUIRE), True),
        ((MINE, ops.ACQUIRE_SHARED), (MINE, ops.RELEASE), True),
        ((MINE, ops.ACQUIRE_SHARED), (MINE, ops.UPGRADE), True),
        ((MINE, ops.TRY_FAILED), (MINE, ops.TRY_SHARED_FAILED), False),
        ((MINE, ops.TRY_FAILED), (MINE, ops.ACQUIRE_SHARED), True),
        ((MINE, ops.SPAWN), (THEIRS, ops.SPAWN), True),
        ((MINE, ops.SPAWN), (MINE, ops.START), True),
        ((MINE, ops.SPAWN), (THEIRS, ops.START), False),
        ((MINE, ops.REACQUIRE), (THEIRS, ops.REACQUIRE), True),
        ((MINE, ops.REACQUIRE), (THEIRS, ops.RELEASE), True),
        ((MINE, ops.REACQUIRE), (THEIRS, ops.TRY_FAILED), True),
        ((MINE, ops.REACQUIRE), (MINE, ops.STORE), False),
        ((MINE, ops.IPI), (THEIRS, ops.LOAD), True),
        ((0, ops.IPI), (0, ops.YIELD), True),
        ((MINE, ops.SETTLED), (THEIRS, ops.FILL), True),
        ((MINE, ops.SETTLED), (THEIRS, ops.FLUSH), True),
        ((MINE, ops.FILL), (MINE, ops.ATOMIC_STORE), True),
        ((MINE, ops.FILL), (MINE, ops.ATOMIC_LOAD), False),
        ((MINE, ops.FLUSH), (THEIRS, ops.ATOMIC_LOAD), False),
        ((0, ops.YIELD), (0, ops.PAUSE), False),
        ((0, ops.CHOOSE), (0, ops.CHOOSE), False),
        ((0, ops.CHOOSE), (0, ops.WAKEUP), False),
        ((0, ops.SLEEP), (0, ops.WAKEUP), True),
        ((0, ops.INTERLOCK), (0, ops.WAKEUP), True),
        ((0, ops.RESUME), (0, ops.WAKEUP), True),
        ((MINE, ops.WAKEUP), (THEIRS, ops.SLEEP), False),
        ((MINE, ops.WAKEUP), (MINE, ops.SLEEP), True),
    ],
)
def test_operations_depend_the_same_way_round_and_back(one, other, expected):
    mine, theirs = ops.op(*one), ops.op(*other)
    assert [expected] * 2 == [ops.dependent(mine, theirs), ops.dependent(theirs, mine)]


# -- before it is performed ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("performed", "tried"),
    [
        (ops.CMPSET_FAILED, ops.CMPSET),
        (ops.TRY_FAILED, ops.TRY_ACQUIRE),
        (ops.TRY_SHARED_FAILED, ops.TRY_ACQUIRE_SHARED),
    ],
)
def test_a_try_that_failed_stands_there_as_one_that_might_not(performed, tried):
    assert ops.op(MINE, tried) == ops.as_tried(ops.op(MINE, performed))


@pytest.mark.parametrize(
    "kind", [ops.LOAD, ops.STORE, ops.CMPSET, ops.TRY_ACQUIRE, ops.PAUSE, ops.ACQUIRE, ops.JOIN]
)
def test_any_other_operation_stands_there_as_it_is_performed(kind):
    assert ops.op(MINE, kind) == ops.as_tried(ops.op(MINE, kind))
