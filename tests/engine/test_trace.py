"""The log of a run and its digest."""

from __future__ import annotations

import hashlib
import struct

from vmsmp.engine import ops, trace

STORE = ops.op(ops.identity(0, 1), ops.STORE)
LOAD = ops.op(ops.identity(0, 1), ops.LOAD)
RUN = [STORE, -2, LOAD, LOAD, -1, STORE]


def test_equal_logs_have_equal_digests():
    assert trace.digest(list(RUN)) == trace.digest(list(RUN))


def test_the_digest_is_of_little_endian_words_on_every_machine():
    packed = struct.pack("<3q", STORE, -2, LOAD)
    assert hashlib.blake2b(packed, digest_size=8).hexdigest() == trace.digest([STORE, -2, LOAD])


def test_another_order_is_another_digest():
    assert trace.digest([STORE, LOAD]) != trace.digest([LOAD, STORE])


def test_who_performs_an_operation_is_part_of_the_digest():
    assert trace.digest([STORE, -2, LOAD]) != trace.digest([STORE, -3, LOAD])


def test_an_empty_log_has_a_digest():
    assert 16 == len(trace.digest([]))


def test_rolling_digests_come_once_a_stride():
    assert 3 == len(trace.rolling([LOAD] * 25, stride=10))


def test_the_last_rolling_digest_is_of_the_whole_log():
    assert trace.digest(RUN) == trace.rolling(RUN, stride=4)[-1]


def test_the_first_rolling_digest_that_differs_brackets_the_divergence():
    other = [LOAD] * 40
    other[25] = STORE
    same = [a == b for a, b in zip(trace.rolling([LOAD] * 40, 10), trace.rolling(other, 10), strict=True)]
    assert [True, True, False, False] == same


def test_steps_name_the_cpu_of_each_operation():
    assert [(0, STORE), (1, LOAD), (1, LOAD), (0, STORE)] == list(trace.steps(RUN))


def test_switches_are_not_counted_as_steps():
    assert 4 == trace.count_steps(RUN)


def test_equal_logs_do_not_diverge():
    assert None is trace.divergence(RUN, list(RUN))


def test_divergence_names_the_first_step_that_differs():
    assert "step 1: recorded cpu1 load object 0.1, now cpu2 load object 0.1" == trace.divergence(
        [STORE, -2, LOAD], [STORE, -3, LOAD]
    )


def test_divergence_says_that_the_recorded_run_is_the_shorter():
    assert "the recorded run ends after 1 of 2 steps" == trace.divergence([STORE], [STORE, LOAD])


def test_divergence_says_that_the_new_run_is_the_shorter():
    assert "the new run ends after 1 of 2 steps" == trace.divergence([STORE, LOAD], [STORE])
