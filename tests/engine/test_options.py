"""Options: words, parser and checks all follow from what each field declares."""

from __future__ import annotations

import pytest

from vmsmp.engine.options import MAX_STEPS, OPTION_KINDS, Options
from vmsmp.errors import UsageError

#: One value per field that is not the default, and its words on a line.
OTHER = {
    "locks": ("exact", ["exact"]),
    "timeouts": ("any", ["any"]),
    "spurious": (True, ["spurious"]),
    "races": (True, ["races"]),
    "cpus": (3, ["cpus=3"]),
    "rounds": (2, ["rounds=2"]),
    "pages": (0, ["pages=0"]),
    "pressure": (True, ["pressure"]),
    "max_steps": (500, ["steps=500"]),
    "repairs": (frozenset({"b", "a"}), ["repair=a", "repair=b"]),
    "mutants": (frozenset({"SP-04", "LK-10"}), ["mutant=LK-10", "mutant=SP-04"]),
}


def test_every_field_is_tested_here():
    assert set(OPTION_KINDS) == set(OTHER)


@pytest.mark.parametrize("kind", OPTION_KINDS.values(), ids=OPTION_KINDS)
def test_a_field_has_a_help_text(kind):
    assert len(kind.help.split()) > 3


# -- words ----------------------------------------------------------------------------------------


def test_default_options_have_no_words():
    assert [] == Options().words()


@pytest.mark.parametrize(("name", "value", "words"), [(n, *other) for n, other in OTHER.items()])
def test_a_field_that_is_not_the_default_has_its_words(name, value, words):
    assert words == Options(**{name: value}).words()


def test_words_come_in_the_order_of_the_line():
    every = Options(**{name: value for name, (value, _) in OTHER.items()})
    assert [word for _, words in OTHER.values() for word in words] == every.words()


@pytest.mark.parametrize(("name", "value", "words"), [(n, *other) for n, other in OTHER.items()])
def test_words_are_read_back(name, value, words):
    assert Options(**{name: value}) == Options.parse(words, "line")


def test_words_are_read_in_any_order():
    words = ["mutant=SP-04", "steps=500", "exact"]
    assert Options(locks="exact", max_steps=500, mutants=frozenset({"SP-04"})) == Options.parse(words, "")


def test_the_usual_step_limit_may_stand_on_a_line():
    assert Options() == Options.parse([f"steps={MAX_STEPS}"], "line")


@pytest.mark.parametrize(
    "word",
    [
        "",
        "bogus",
        "atomic",
        "idle",
        "exact=1",
        "cpus",
        "cpus=",
        "cpus=\u00b2",
        "repair=",
        "mutant=",
    ],
)
def test_an_unknown_word_is_refused_with_its_line(word):
    with pytest.raises(UsageError) as raised:
        Options.parse([word], "v1:the line")
    assert f"schedule 'v1:the line': unknown option {word!r}" == str(raised.value)


def test_a_word_out_of_its_limits_is_refused_with_its_line():
    with pytest.raises(UsageError) as raised:
        Options.parse(["cpus=1000"], "v1:the line")
    assert "schedule 'v1:the line': cpus must be a number from 1 to 63, not 1000" == str(raised.value)


# -- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"locks": "both"}, "locks must be 'atomic' or 'exact', not 'both'"),
        ({"timeouts": "never"}, "timeouts must be 'idle' or 'any', not 'never'"),
        ({"cpus": 0}, "cpus must be a number from 1 to 63, not 0"),
        ({"cpus": 64}, "cpus must be a number from 1 to 63, not 64"),
        ({"cpus": 2.0}, "cpus must be a number from 1 to 63, not 2.0"),
        ({"cpus": "2"}, "cpus must be a number from 1 to 63, not '2'"),
        ({"rounds": 0}, "rounds must be a number from 1 to 1,000,000, not 0"),
        ({"rounds": 1_000_001}, "rounds must be a number from 1 to 1,000,000, not 1000001"),
        ({"max_steps": 0}, "max_steps must be a number from 1 to 10,000,000, not 0"),
        ({"max_steps": None}, "max_steps must be a number from 1 to 10,000,000, not None"),
        ({"max_steps": 999_999_999_999}, "max_steps must be a number from 1 to 10,000,000, not 999999999999"),
        ({"repairs": frozenset({"a:b"})}, "'a:b' is not a name of a repair or mutant"),
        ({"repairs": frozenset({"a+b"})}, "'a+b' is not a name of a repair or mutant"),
        ({"mutants": frozenset({""})}, "'' is not a name of a repair or mutant"),
        ({"mutants": frozenset({"a b"})}, "'a b' is not a name of a repair or mutant"),
    ],
    ids=str,
)
def test_a_value_out_of_its_limits_is_refused(wrong, message):
    with pytest.raises(UsageError) as raised:
        Options(**wrong)
    assert message == str(raised.value)


def test_picks_are_fair_in_the_second_half_of_the_step_limit():
    assert 250 == Options(max_steps=500).fair_from
