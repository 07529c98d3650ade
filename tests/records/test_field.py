"""Declarations inside a record: letters, offsets, plain slots, first values."""

from __future__ import annotations

import pytest

from things import Thing, run
from vmsmp.records.field import REQUIRED, FieldView, field, plain
from vmsmp.records.record import FIRST_FIELD, Record, record


def declared(slot):
    """A class of records with that one slot."""
    return record()(type("Declared", (Record,), {"slot": slot, "name": "declared"}))


def test_a_field_s_letters_for_writing_are_those_for_reading_if_not_given():
    assert [("S", "S+O"), ("S|O", "S|O"), ("", ""), ("", "S")] == [
        (Thing.fields[name].read, Thing.fields[name].write) for name in ("both", "either", "free", "seen")
    ]


def test_fields_know_their_names_and_no_two_share_an_offset():
    names = ["count", "both", "either", "free", "seen", "items"]
    assert names == [declared.name for declared in Thing.fields.values()]
    assert [*range(FIRST_FIELD, FIRST_FIELD + 6)] == [f.offset for f in Thing.fields.values()]


# -- declaring ------------------------------------------------------------------------------------


def test_a_field_s_first_value_is_its_default():
    assert 5 == run(lambda _m, home: declared(field("", default=5))(home).slot)


def test_a_field_s_first_value_is_zero_if_no_default_is_given():
    assert 0 == run(lambda _m, home: declared(field(""))(home).slot)


def test_a_factory_makes_a_first_value_for_each_record():
    def program(_m, home):
        made = declared(field("", factory=list))
        return made(home).slot is made(home).slot

    assert False is run(program)


def test_the_constructor_takes_a_field_s_first_value():
    assert 9 == run(lambda _m, home: declared(field(""))(home, slot=9).slot)


def test_a_plain_slot_without_a_default_must_be_given_a_value():
    def program(_m, home):
        with pytest.raises(TypeError, match="slot"):
            declared(plain())(home)
        return True

    assert True is run(program)


def test_a_plain_slot_may_have_a_default():
    assert "x" == run(lambda _m, home: declared(plain("x"))(home).slot)


def test_a_plain_slot_is_no_field():
    assert {} == declared(plain()).fields


def test_a_required_value_says_so():
    assert "required" == repr(REQUIRED)


# -- looking --------------------------------------------------------------------------------------


def test_a_view_of_a_field_is_named_after_the_record_and_the_field():
    view = run(lambda _m, home: FieldView(Thing(home, label="a"), Thing.fields["both"]))
    assert "thing[a].both" == view.name


def test_a_view_of_a_field_shows_its_value_in_the_format_it_was_declared_with():
    view = run(lambda _m, home: FieldView(Thing(home, label="a"), Thing.fields["both"]))
    assert "<0>" == view.state()


def test_a_look_or_a_change_behind_everybody_s_back_is_told_to_nobody():
    def program(m, home):
        thing = Thing.checked(home, label="a")
        m.hooks.unlocked = (lambda *_: pytest.fail("it is told"),)
        Thing.fields["both"].poke(thing, 3)
        return Thing.fields["both"].peek(thing)

    assert 3 == run(program)
