"""The sizes of an MMU: what can be, and what is refused in one sentence."""

from __future__ import annotations

from dataclasses import fields

import pytest

from vmsmp import UsageError
from vmsmp.engine.limits import MOST_PAGES
from vmsmp.mmu.config import MmuConfig


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"frames": 0}, "a machine has at least 1 frame, not 0"),
        ({"frames": MOST_PAGES + 1}, "a machine has at most 1,048,576 frames, not 1048577"),
        ({"tlb": 0}, "a TLB has at least 1 entry, not 0"),
        ({"replacement": "fifo"}, "a TLB replaces by lru or draw, not by 'fifo'"),
        ({"pages": 3}, "unknown size 'pages': there are frames, tlb, "),
    ],
)
def test_what_cannot_be_is_refused(sizes, told):
    with pytest.raises(UsageError) as refused:
        MmuConfig.of(**sizes)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize("frames", [1, MOST_PAGES])
def test_the_smallest_and_the_largest_memory_can_be(frames):
    assert frames == MmuConfig.of(frames=frames).frames


def test_every_size_has_a_value_of_its_own():
    assert {} == {field.name: field for field in fields(MmuConfig) if not hasattr(MmuConfig(), field.name)}
