"""Profiles: what counts as an access to which object, and how often each CPU made one."""

from types import SimpleNamespace

import pytest

from vmsmp.engine import ops
from vmsmp.engine.identity import FIRST_BLOCK
from vmsmp.engine.ops import CPU_BITS, KIND_BITS, LOAD, RELEASE, STORE
from vmsmp.sched.profile import Profile, target_of

X, Y, LOCK = (ops.identity(0, n) for n in (1, 2, 3))


@pytest.mark.parametrize("kind", [LOAD, STORE])
def test_the_fields_of_one_record_are_one_target(kind):
    first = FIRST_BLOCK << CPU_BITS + KIND_BITS
    field = 1 << CPU_BITS + KIND_BITS
    assert [target_of(first | kind)] * 2 == [target_of(first + n * field | kind) for n in (1, 31)]
    assert target_of(first | kind) != target_of(first + 32 * field | kind)


def test_a_release_is_no_access():
    assert None is target_of(5 << KIND_BITS | RELEASE)


def profile_of(*steps, paths=((), (0,), (1,), (0, 0))):
    """The profile of steps (CPU, kind, object)."""
    log = []
    for cpu, kind, obj in steps:
        log += [-1 - cpu, ops.op(obj, kind)]
    return Profile(SimpleNamespace(log=log, paths=list(paths)))


def test_what_two_cpus_access_and_one_writes_is_a_target():
    assert {X: 2} == profile_of((1, ops.LOAD, X), (2, ops.STORE, X)).targets


def test_what_is_only_read_is_no_target():
    assert {} == profile_of((1, ops.LOAD, X), (2, ops.LOAD, X)).targets


def test_what_one_cpu_alone_accesses_is_no_target():
    assert {} == profile_of((1, ops.LOAD, X), (1, ops.STORE, X), (2, ops.STORE, Y)).targets


def test_a_lock_that_two_cpus_take_is_a_target():
    steps = [(cpu, kind, LOCK) for cpu in (1, 2) for kind in (ops.ACQUIRE, ops.RELEASE)]
    assert {LOCK: 2} == profile_of(*steps).targets


def test_accesses_are_counted_with_those_of_descendants():
    profile = profile_of((1, ops.STORE, X), (3, ops.STORE, X), (3, ops.LOAD, X), (2, ops.STORE, X))
    assert [4, 3, 1, 2] == [profile.accesses_of(X, path) for path in ((), (0,), (1,), (0, 0))]
