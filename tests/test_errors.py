"""What errors are, and how their messages are cut."""

from __future__ import annotations

import pytest

from vmsmp.errors import Halt, ReplayDiverged, UsageError, VmsmpError, shorten


def test_a_usage_error_is_a_value_error():
    assert issubclass(UsageError, ValueError)


@pytest.mark.parametrize("kind", [UsageError, ReplayDiverged])
def test_what_a_caller_can_catch_has_one_base(kind):
    assert issubclass(kind, VmsmpError)


def test_a_model_that_catches_exceptions_does_not_catch_a_halt():
    assert not issubclass(Halt, Exception)


def test_shorten_keeps_a_short_text():
    assert "short" == shorten("short")


def test_shorten_cuts_a_long_text_to_its_limit():
    assert "aaaaaaa..." == shorten("a" * 11, 10)
