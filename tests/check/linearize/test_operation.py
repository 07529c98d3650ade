"""Operations and values as text."""

import pytest

from vmsmp.check.linearize import Operation, show
from vmsmp.errors import UsageError


def test_an_operation_returns_after_its_call():
    with pytest.raises(UsageError, match=r"cpu1 put\(1\) -> None returns before it is called"):
        Operation(1, "put", (1,), None, 5, 3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (frozenset("cab"), "{'a', 'b', 'c'}"),
        ((frozenset("ba"), 1), "({'a', 'b'}, 1)"),
        ((1,), "(1,)"),
        (object(), "<object object>"),
        ("x" * 100, "'" + "x" * 76 + "..."),
    ],
)
def test_values_are_shown_the_same_in_every_process(value, words):
    assert words == show(value)
