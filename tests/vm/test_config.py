"""The sizes with which a machine boots: what each may be, and what is said of the others."""

from __future__ import annotations

import pytest

import vmsmp


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"pages": 0}, "at least 1 page"),
        ({"l2_size": 0}, "power of two"),
        ({"l2_size": 6}, "power of two"),
        ({"l2_size": 2048}, "power of two"),
        ({"adj_limit": -1}, "adj_limit"),
        ({"topology": (1, 0, 1)}, "topology"),
        ({"hash_size": 6}, "page hash"),
        ({"hash_size": 2, "hash_set": 4}, "page hash"),
    ],
)
def test_sizes_that_cannot_be_are_refused(alone, sizes, words):
    with pytest.raises(vmsmp.UsageError, match=words):
        alone(lambda vm: vm, **sizes)


def test_the_kernel_s_own_limit_is_1024(alone):
    assert 1024 == alone(lambda vm: vm.meter.adj_limit)
