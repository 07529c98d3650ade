"""Operations as integers: what they say, and when two of them do not commute."""

from __future__ import annotations

import pytest

from vmsmp.engine import ops

KINDS = {
    name: value
    for name, value in vars(ops).items()
    if name.isupper()
    and isinstance(value, int)
    and name not in ("KIND_BITS", "KIND_MASK", "CPU_BITS", "MAX_CPUS")
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
}


def test_no_two_kinds_share_a_number():
    assert len(KINDS) == len(set(KINDS.values()))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_words(name):
    assert ops.NAMES[KINDS[name]]


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
