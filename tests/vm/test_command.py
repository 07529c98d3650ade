"""Commands of the kernel's debugger: numbers typed at its prompt."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.vm.command import whole_number


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("17", 17), ("007", 7)])
def test_digits_are_a_whole_number(text, number):
    assert number == whole_number(text)


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.5", "0x10", " 1", "one", "²", "\u0661"])
def test_anything_else_is_refused_as_it_was_typed(text):
    with pytest.raises(vmsmp.UsageError) as refused:
        whole_number(text)
    assert f"ddb: {text!r} is not a number" == str(refused.value)
