"""A schedule line: printing and parsing are inverse, and what is malformed says so in a sentence."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Preemption, Schedule, program_name
from vmsmp.errors import UsageError

names = st.text("ABCxyz019_.-", min_size=1, max_size=12)
runs = st.builds(Preemption, st.integers(0, 63), st.integers(0, 10**9 - 1), st.integers(0, 63))
draws = st.builds(
    Preemption,
    st.integers(0, 63),
    st.integers(0, 10**9 - 1),
    st.integers(0, 10**9 - 1),
    st.just(True),
)
options = st.builds(
    Options,
    locks=st.sampled_from(["atomic", "exact"]),
    timeouts=st.sampled_from(["idle", "any"]),
    spurious=st.booleans(),
    cpus=st.none() | st.integers(1, 63),
    rounds=st.none() | st.integers(1, 10**6),
    repairs=st.frozensets(names, max_size=3),
    mutants=st.frozensets(names, max_size=3),
)
digests = st.just("") | st.text("0123456789abcdef", min_size=16, max_size=16)
schedules = st.builds(
    Schedule, names, st.integers(0, 2**64 - 1), st.lists(runs | draws).map(tuple), options, digests
)


@settings(database=None, deadline=None)
@given(schedules)
def test_parse_reads_back_what_str_printed(schedule):
    assert schedule == Schedule.parse(str(schedule))


@settings(database=None, deadline=None)
@given(schedules)
def test_a_schedule_prints_to_one_line_without_blanks(schedule):
    assert [str(schedule)] == str(schedule).split()


@settings(database=None, deadline=None)
@given(st.text(max_size=40))
def test_any_text_either_parses_or_is_a_usage_error(text):
    try:
        schedule = Schedule.parse(text)
    except UsageError:
        return
    assert schedule == Schedule.parse(str(schedule))


@settings(database=None, deadline=None)
@given(schedules, st.integers(0, 10**6), st.characters())
def test_a_line_with_one_character_changed_parses_or_is_a_usage_error(schedule, at, other):
    line = str(schedule)
    at %= len(line)
    try:
        changed = Schedule.parse(line[:at] + other + line[at + 1 :])
    except UsageError:
        return
    assert changed == Schedule.parse(str(changed))


def test_a_schedule_prints_as_the_documented_line():
    schedule = Schedule("lost_update", 42, (Preemption(1, 2, 2), Preemption(2, 3, 1)))
    assert "v1:lost_update:2a:1.2>2,2.3>1" == str(schedule)


def test_a_choice_prints_with_an_equals_sign():
    assert "1.7=3" == str(Preemption(1, 7, 3, choice=True))


def test_options_print_between_name_and_seed_in_a_fixed_order():
    every = Options(
        locks="exact",
        timeouts="any",
        spurious=True,
        cpus=3,
        rounds=2,
        max_steps=500,
        repairs=frozenset({"b", "a"}),
        mutants=frozenset({"SP-04"}),
    )
    line = "v1:p+exact+any+spurious+cpus=3+rounds=2+steps=500+repair=a+repair=b+mutant=SP-04:0:"
    assert line == str(Schedule("p", options=every))


def test_blanks_around_a_line_are_ignored():
    assert Schedule("p", 1) == Schedule.parse("  v1:p:1:\n")


def test_the_length_of_a_schedule_is_its_number_of_preemptions():
    assert 2 == len(Schedule.parse("v1:p:0:1.2>2,2.3=1"))


def test_with_steps_changes_the_preemptions_alone():
    schedule = Schedule.parse("v1:p+exact:7:1.2>2,2.3>1")
    assert "v1:p+exact:7:2.3>1" == str(schedule.with_steps(schedule.preemptions[1:]))


def test_a_digest_comes_last():
    assert "v1:p:0:1.2>2:0123456789abcdef" == str(
        Schedule("p", 0, (Preemption(1, 2, 2),), digest="0123456789abcdef")
    )


def test_other_steps_have_no_digest():
    assert "v1:p:0:1.2>2" == str(
        Schedule.parse("v1:p:0::0123456789abcdef").with_steps((Preemption(1, 2, 2),))
    )


MALFORMED = {
    "nothing": "",
    "one part": "v1",
    "three parts": "v1:p:0",
    "a digest of nothing": "v1:p:0:1.2>3:",
    "a digest of 15 digits": "v1:p:0:1.2>3:0123456789abcde",
    "a digest of other letters": "v1:p:0:1.2>3:0123456789abcdeg",
    "six parts": "v1:p:0:1.2>3:0123456789abcdef:",
    "another version": "v2:p:0:",
    "no name": "v1::0:",
    "a blank in the name": "v1:a b:0:",
    "a slash in the name": "v1:a/b:0:",
    "no seed": "v1:p::",
    "a seed that is no number": "v1:p:zz:",
    "a negative seed": "v1:p:-1:",
    "a seed of more than 64 bits": "v1:p:10000000000000000:",
    "an unknown option": "v1:p+bogus:0:",
    "an empty option": "v1:p+:0:",
    "cpus without a number": "v1:p+cpus=:0:",
    "no cpus": "v1:p+cpus=0:0:",
    "too many cpus": "v1:p+cpus=65:0:",
    "too many steps": "v1:p+steps=999999999999:0:",
    "steps of 5,000 digits": "v1:p+steps=" + "9" * 5000 + ":0:",
    "too many rounds": "v1:p+rounds=999999999:0:",
    "a long name": "v1:" + "p" * 100_000 + ":0:",
    "a long version": "v" * 100_000 + ":p:0:",
    "a long seed": "v1:p:" + "z" * 100_000 + ":",
    "a long digest": "v1:p:0::" + "z" * 100_000,
    "a long preemption": "v1:p:0:" + "1" * 100_000,
    "a long mutant": "v1:p+mutant=" + "M" * 100_000 + ":0:",
    "negative cpus": "v1:p+cpus=-1:0:",
    "no rounds": "v1:p+rounds=0:0:",
    "rounds without a number": "v1:p+rounds=:0:",
    "cpus in superscript": "v1:p+cpus=²:0:",
    "cpus of 5,000 digits": "v1:p+cpus=" + "9" * 5000 + ":0:",
    "a repair without a name": "v1:p+repair=:0:",
    "a mutant without a name": "v1:p+mutant=:0:",
    "a preemption of one number": "v1:p:0:1",
    "a preemption without a target": "v1:p:0:1.2>",
    "a trailing comma": "v1:p:0:1.2>3,",
    "a leading comma": "v1:p:0:,1.2>3",
    "another sign": "v1:p:0:1.2<3",
    "a blank between preemptions": "v1:p:0:1.2>3, 2.3>1",
    "a negative operation": "v1:p:0:1.-2>3",
    "a preempted cpu above 63": "v1:p:0:64.0>1",
    "a preempting cpu above 63": "v1:p:0:0.0>64",
    "an operation of ten digits": "v1:p:0:1.1234567890>1",
    "digits of another script": "v1:p:0:1.2>٣",
    "a second line": "v1:p:0:\nv1:p:0:",
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_line_is_a_usage_error(line):
    with pytest.raises(UsageError):
        Schedule.parse(line)


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
def test_the_error_for_a_malformed_line_is_one_short_sentence(line):
    with pytest.raises(ValueError, match=r"\A[^\n]{10,240}\Z"):
        Schedule.parse(line)


def test_a_usage_error_is_a_value_error():
    assert issubclass(UsageError, ValueError)


def test_an_endless_line_is_refused_by_its_length():
    with pytest.raises(UsageError, match="4,000,001 characters"):
        Schedule.parse("x" * 4_000_001)


def test_the_error_names_the_offending_word():
    with pytest.raises(UsageError, match=r"'1\.2<3'"):
        Schedule.parse("v1:p:0:1.2<3")


def test_a_program_is_called_as_its_function():
    def busy_handoff(m):
        pass

    assert "busy_handoff" == program_name(busy_handoff)


def test_a_partial_is_called_as_the_function_inside():
    def busy_handoff(m, n):
        pass

    assert "busy_handoff" == program_name(partial(partial(busy_handoff, n=1)))


def test_a_callable_object_is_called_as_its_class():
    class Handoff:
        def __call__(self, m):
            pass

    assert "Handoff" == program_name(Handoff())


def test_a_lambda_has_a_name_that_a_line_can_hold():
    name = program_name(lambda m: None)
    assert name == Schedule.parse(f"v1:{name}:0:").program
