"""`lockmgr`, the entry to all requests."""

import vmsmp
from lock_runs import DEPTHS


@DEPTHS
def test_an_unknown_request_is_an_error_of_the_program(locks):
    failure = vmsmp.explore(lambda m: m.lockmgr("l").lock(0), schedules=1, locks=locks).failure
    assert "exception" == failure.kind
    assert "unknown request" in failure.message
