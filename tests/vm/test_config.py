"""The sizes with which a machine boots: what each may be, and what is said of the others."""

from __future__ import annotations

import dataclasses

import pytest

import vmsmp
from vmsmp.vm.config import BootConfig
from vmsmp.vm.vm_page import PQ_L2_SIZE


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"pages": 0}, "a machine has at least 1 page, not 0"),
        ({"pages": -1}, "a machine has at least 1 page, not -1"),
        ({"pages": 10**12}, "a machine has at most 1,048,576 pages, not 1000000000000"),
        ({"l2_size": 0}, "l2_size must be a power of two up to 1024, not 0"),
        ({"l2_size": 6}, "l2_size must be a power of two up to 1024, not 6"),
        ({"l2_size": 2048}, "l2_size must be a power of two up to 1024, not 2048"),
        ({"adj_limit": -1}, "adj_limit must not be negative, and is -1"),
        ({"low_pages": -1}, "low_pages must be from 0 to 64, not -1"),
        ({"pages": 8, "low_pages": 9}, "low_pages must be from 0 to 8, not 9"),
        ({"pages": 100_000, "low_pages": 65537}, "low_pages must be from 0 to 65536, not 65537"),
        ({"dma_pages": -1}, "dma_pages must not be negative, and is -1"),
        (
            {"map_entry_cache": (8, 0)},
            "a CPU needs at least 1 map entry, and the zone of entries 0 or more",
        ),
        ({"map_entries": -1}, "a CPU needs at least 1 map entry, and the zone of entries 0 or more"),
        (
            {"map_reserve_slop": 4, "map_reserve_hyst": 5},
            "map_reserve_hyst must be from 0 to map_reserve_slop",
        ),
        (
            {"topology": (1, 0, 1)},
            "topology counts sockets, cores and threads from 1 on, not (1, 0, 1)",
        ),
    ],
)
def test_a_size_that_cannot_be_is_refused_with_its_value(sizes, message):
    with pytest.raises(vmsmp.UsageError) as refused:
        BootConfig.of(**sizes)
    assert message == str(refused.value)


@pytest.mark.parametrize(
    "sizes",
    [
        {"pages": 1},
        {"l2_size": 1},
        {"l2_size": PQ_L2_SIZE},
        {"adj_limit": 0},
        {"topology": (1, 1, 1)},
        {"object_hash": 1},
        {"object_hash": 256},
        {"swap_pages": 0},
    ],
)
def test_the_least_and_the_most_that_a_size_may_be_is_accepted(sizes):
    (name, value), *_ = sizes.items()
    assert value == getattr(BootConfig.of(**sizes), name)


def test_an_unknown_size_is_refused_with_those_that_are_known():
    with pytest.raises(vmsmp.UsageError) as refused:
        BootConfig.of(l3_size=4, pages=8)
    known = ", ".join(field.name for field in dataclasses.fields(BootConfig))
    assert f"boot() knows no size 'l3_size': there are {known}" == str(refused.value)


def test_a_configuration_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BootConfig().pages = 8


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"pages": 0}, "at least 1 page"),
        ({"l2_size": 0}, "power of two"),
        ({"l2_size": 6}, "power of two"),
        ({"l2_size": 2048}, "power of two"),
        ({"adj_limit": -1}, "adj_limit"),
        ({"topology": (1, 0, 1)}, "topology"),
        ({"object_hash": 0}, "object_hash must be a power of two up to 256, not 0"),
        ({"object_hash": 3}, "power of two"),
        ({"object_hash": 512}, "power of two"),
        ({"swap_pages": -1}, "swap_pages must not be negative"),
        ({"hash_size": 6}, "page hash"),
        ({"hash_set": 3}, "page hash"),
    ],
)
def test_sizes_that_cannot_be_are_refused(alone, sizes, words):
    with pytest.raises(vmsmp.UsageError, match=words):
        alone(lambda vm: vm, **sizes)


def test_the_kernel_s_own_limit_is_1024(alone):
    assert 1024 == alone(lambda vm: vm.meter.adj_limit)
