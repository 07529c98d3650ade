"""`lockmgr`, the entry to all requests."""

import pytest

import vmsmp
from lock_runs import DEPTHS, alone
from vmsmp import LK_DOWNGRADE, LK_EXCLUPGRADE, LK_EXCLUSIVE, LK_RELEASE, LK_SHARED, LK_UPGRADE
from vmsmp.sync.errno import LK_CANCEL_BEG, LK_CANCEL_END
from vmsmp.sync.lockmgr import lockmgr


@DEPTHS
def test_an_unknown_request_is_a_panic(locks):
    failure = vmsmp.explore(lambda m: m.lockmgr("l").lock(0), schedules=1, locks=locks).failure
    assert ("check", "panic: lockmgr: unknown locktype request 0x0") == (failure.kind, failure.message)


@pytest.mark.parametrize(
    "requests",
    [
        [LK_SHARED, LK_RELEASE],
        [LK_EXCLUSIVE, LK_RELEASE],
        [LK_SHARED, LK_UPGRADE, LK_RELEASE],
        [LK_SHARED, LK_EXCLUPGRADE, LK_RELEASE],
        [LK_EXCLUSIVE, LK_DOWNGRADE, LK_RELEASE],
        [LK_EXCLUSIVE, LK_CANCEL_BEG, LK_CANCEL_END, LK_RELEASE],
    ],
)
def test_every_request_of_a_cpu_that_is_alone_succeeds(requests):
    def program(m, seen):
        lock = m.lockmgr("l")
        seen.extend(lockmgr(lock, request) for request in requests)

    assert [0] * len(requests) == alone(program)
