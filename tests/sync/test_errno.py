"""The kernel's numbers: flags that go together do not overlap."""

from itertools import combinations

import pytest

import vmsmp
from vmsmp.sync import errno

REQUESTS = [value for name, value in vars(errno).items() if name.startswith("LK_") and 0 < value < 0x0F]
FLAGS = [
    value
    for name, value in vars(errno).items()
    if name.startswith("LK_") and value > 0x0F and not name.endswith("_MASK")
]
SLEEP_FLAGS = [errno.PCATCH, errno.PINTERLOCKED, errno.PWAKEUP_ONE, errno.PDOMAIN_MASK]
ERRORS = [errno.ERESTART, errno.EINTR, errno.EDEADLK, errno.EBUSY, errno.EWOULDBLOCK, errno.ENOLCK]


def test_every_request_has_a_number_of_its_own():
    assert len(REQUESTS) == len(set(REQUESTS))


def test_every_request_is_within_the_mask_of_types():
    assert [] == [request for request in REQUESTS if request & ~errno.LK_TYPE_MASK]


def test_every_flag_may_go_with_a_lock_itself():
    assert [] == [flag for flag in FLAGS if flag & ~errno.LK_EXTFLG_MASK]


@pytest.mark.parametrize("flags", [[errno.LK_TYPE_MASK, *FLAGS], SLEEP_FLAGS], ids=["lockmgr", "tsleep"])
def test_flags_that_are_passed_together_do_not_overlap(flags):
    assert [] == [pair for pair in combinations(flags, 2) if pair[0] & pair[1]]


def test_no_error_is_zero():
    assert 0 not in ERRORS


def test_a_program_finds_the_numbers_in_the_package_itself():
    assert errno.EWOULDBLOCK == vmsmp.EWOULDBLOCK
