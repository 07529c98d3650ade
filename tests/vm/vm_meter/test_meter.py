"""The thresholds of a machine, by its size."""

from __future__ import annotations

import pytest

from page_layer import LIMITS
from vmsmp.vm.vm_meter import Thresholds


@pytest.mark.parametrize("pages", [1024, 1000, 1 << 20])
def test_the_limits_are_in_their_order(pages):
    found = [getattr(Thresholds(pages), name) for name in LIMITS]
    assert sorted(set(found)) == found


@pytest.mark.parametrize("pages", [1, 8, 64, 200])
def test_the_limits_of_a_small_machine_are_not_out_of_order_and_it_has_a_reserve(pages):
    found = [getattr(Thresholds(pages), name) for name in LIMITS]
    assert (sorted(found), True) == (found, found[0] >= 1)
