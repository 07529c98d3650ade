"""The state word of a lockmgr lock: its text, and what can be told from a count alone."""

import pytest

from vmsmp import LK_CANCELABLE
from vmsmp.sync.lockmgr import word
from vmsmp.sync.lockmgr.word import (
    LKC_CANCEL,
    LKC_EXREQ,
    LKC_EXREQ2,
    LKC_SCOUNT,
    LKC_SHARED,
    LKC_SMASK,
    LKC_UPREQ,
    LKC_XMASK,
)


def test_the_fields_fill_the_word_and_do_not_overlap():
    fields = (LKC_XMASK, LKC_CANCEL, LKC_EXREQ2, LKC_UPREQ, LKC_SHARED, LKC_EXREQ, LKC_SMASK)
    assert (1 << 64) - 1 - (1 << 31) == sum(fields)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (2, "X2"),
        (LKC_SHARED | 3 * LKC_SCOUNT, "SHARED|S3"),
        (1 | LKC_EXREQ | LKC_SCOUNT, "X1|EXREQ|S1"),
        (LKC_CANCEL | LKC_EXREQ2 | LKC_UPREQ, "CANCEL|EXREQ2|UPREQ"),
    ],
)
def test_a_report_shows_the_fields_that_are_set(count, text):
    assert text == word.word_text(count)


@pytest.mark.parametrize(
    ("count", "granted"),
    [
        (0, True),
        (LKC_SHARED, True),
        (2 * LKC_SCOUNT, True),
        (LKC_SHARED | LKC_SCOUNT, False),
        (1, False),
        (LKC_EXREQ, False),
        (LKC_UPREQ, False),
    ],
)
def test_readers_that_hold_the_lock_stop_a_writer_and_readers_that_wait_do_not(count, granted):
    assert granted == word.exclusive_grantable(count)


def test_a_grant_of_exreq_takes_both_request_bits():
    assert 1 == word.grant_exreq(LKC_EXREQ | LKC_EXREQ2)


def test_a_grant_of_exreq_keeps_a_cached_shared():
    assert 1 | LKC_SHARED == word.grant_exreq(LKC_EXREQ | LKC_SHARED)


@pytest.mark.parametrize(
    ("count", "flags", "canceled"),
    [(LKC_CANCEL, LK_CANCELABLE, True), (LKC_CANCEL, 0, False), (0, LK_CANCELABLE, False)],
)
def test_only_a_cancelable_request_is_canceled(count, flags, canceled):
    assert canceled == word.canceled(count, flags)


@pytest.mark.parametrize("bit", [LKC_EXREQ, LKC_UPREQ])
def test_an_uncounted_reader_waits_while_readers_hold_the_lock_and_a_writer_waits(bit):
    assert None is word.shared_admitted(LKC_SHARED | LKC_SCOUNT | bit)


def test_an_uncounted_reader_is_admitted_when_no_writer_waits():
    assert "no writer waits for the readers any more" == word.shared_admitted(LKC_SHARED | LKC_SCOUNT)


@pytest.mark.parametrize(
    ("count", "why"),
    [
        (LKC_SHARED | LKC_SCOUNT, "it holds the lock shared"),
        (LKC_SCOUNT, "the lock is free"),
        (1 | LKC_SCOUNT, None),
        (LKC_EXREQ | LKC_SCOUNT, None),
        (LKC_UPREQ | LKC_SCOUNT, None),
    ],
)
def test_a_counted_reader_is_due_when_shared_is_set_or_nothing_is_in_its_way(count, why):
    assert why == word.shared_granted(count)


@pytest.mark.parametrize(
    ("count", "why"),
    [
        (0, "the lock is free"),
        (1, "its EXREQ2 is gone, nobody will wake it"),
        (1 | LKC_EXREQ2, None),
    ],
)
def test_a_writer_without_exreq_is_due_when_it_could_have_the_lock_or_nobody_will_wake_it(count, why):
    assert why == word.exclusive_due(count)


@pytest.mark.parametrize("bit", [LKC_EXREQ, LKC_UPREQ])
def test_the_owner_of_a_request_bit_is_due_when_the_bit_is_gone(bit):
    assert "it holds the lock exclusively" == word.grant_due(1, bit)


@pytest.mark.parametrize("bit", [LKC_EXREQ, LKC_UPREQ])
def test_the_owner_of_a_request_bit_waits_in_vain_when_nobody_holds_the_lock(bit):
    assert "nobody is left to grant it the lock" == word.grant_due(bit, bit)


@pytest.mark.parametrize("holders", [1, LKC_SCOUNT])
def test_the_owner_of_a_request_bit_waits_for_whoever_holds_the_lock(holders):
    assert None is word.grant_due(LKC_EXREQ | holders, LKC_EXREQ)
