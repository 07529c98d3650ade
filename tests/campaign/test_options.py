"""The options of a run: the caller's word, else the scenario's own, else the default."""

from __future__ import annotations

import argparse

import pytest

from vmsmp import scenario
from vmsmp.campaign.options import options_for, words_for
from vmsmp.cli.arguments import add_options, options_of
from vmsmp.engine.options import OPTION_KINDS, Options
from vmsmp.errors import UsageError
from vmsmp.library import find_scenario


def plain(m):
    pass


@scenario(cpus=3, locks="exact", timeouts="any", spurious=True)
def own(m):
    """A scenario that says how it is to be run."""


@scenario(cpus=3, fixed=True)
def fixed(m):
    """A scenario whose CPUs have roles."""


def test_a_plain_function_has_the_defaults():
    assert Options() == options_for(plain)


def test_a_scenario_says_how_it_is_run():
    assert Options(locks="exact", timeouts="any", spurious=True) == options_for(own)


def test_none_says_nothing():
    assert options_for(own) == options_for(own, locks=None, timeouts=None, spurious=None)


def test_the_caller_wins_over_the_scenario():
    assert Options() == options_for(own, locks="atomic", timeouts="idle", spurious=False)


def test_names_of_patches_become_sets():
    options = options_for(plain, mutants=["SP-05"], repairs=["vm-wait-interlocks"])
    assert Options(mutants=frozenset({"SP-05"}), repairs=frozenset({"vm-wait-interlocks"})) == options


def test_the_scenario_s_number_of_cpus_is_not_an_option():
    assert None is options_for(own).cpus


def test_a_scenario_may_be_run_on_another_number_of_cpus():
    assert 5 == options_for(own, cpus=5).cpus


def test_a_fixed_scenario_may_be_told_its_own_number():
    assert 3 == options_for(fixed, cpus=3).cpus


def test_a_fixed_scenario_refuses_another_number():
    with pytest.raises(UsageError, match="scenario 'fixed' runs on 3 CPUs, not on 2"):
        options_for(fixed, cpus=2)


@pytest.mark.parametrize("option", ["pages", "pressure"])
@pytest.mark.parametrize("name", ["spin_upgrade", "vm_wait_misses_a_free", "stats_rollup"])
def test_a_scenario_with_its_own_memory_or_none_refuses_other_memory(option, name):
    with pytest.raises(UsageError, match=f"scenario '{name}' takes no option '{option}': it has its own mem"):
        options_for(find_scenario(name), **{option: 1 if option == "pages" else True})


def test_a_scenario_that_needs_some_memory_refuses_less():
    scenario = find_scenario("object_comes_and_goes")
    with pytest.raises(UsageError, match="needs 2 free pages as its CPUs start, not 1"):
        options_for(scenario, pages=1)
    assert (2, True) == (options_for(scenario, pages=2).pages, options_for(scenario, pressure=True).pressure)


def test_a_program_of_the_user_s_own_may_be_told_any_memory():
    assert (0, True) == (options_for(plain, pages=0).pages, options_for(plain, pressure=True).pressure)


def test_scarce_memory_is_told_to_the_command_line():
    options = options_for(plain, pages=0, pressure=True)
    assert ("--pages", "0", "--pressure") == words_for(plain, options)


@pytest.mark.parametrize("wrong", [{"mutants": ["XX-99"]}, {"repairs": ["x"]}, {"locks": "both"}], ids=str)
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError):
        options_for(plain, **wrong)


def test_an_option_that_does_not_exist_is_a_type_error():
    with pytest.raises(TypeError, match="depth"):
        options_for(plain, depth="exact")


# -- what the command line is told ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "said", "words"),
    [
        (plain, {}, ""),
        (plain, {"locks": "exact", "cpus": 3}, "--locks exact --cpus 3"),
        (plain, {"max_steps": 500, "spurious": True, "races": True}, "--spurious --races --max-steps 500"),
        (plain, {"mutants": ["SP-05"], "repairs": ["vm-wait-interlocks"]},
         "--repair vm-wait-interlocks --mutant SP-05"),
        (own, {}, ""),
        (own, {"locks": "atomic", "timeouts": "idle"}, "--locks atomic --timeouts idle"),
    ],
)  # fmt: skip
def test_the_command_line_is_told_what_the_scenario_does_not_say_itself(program, said, words):
    assert tuple(words.split()) == words_for(program, options_for(program, **said))


@pytest.mark.parametrize("name", OPTION_KINDS)
def test_what_the_command_line_is_told_comes_to_the_same_options(name):
    other = {
        "locks": "exact",
        "timeouts": "any",
        "repairs": ["vm-wait-interlocks"],
        "mutants": ["SP-05"],
        **dict.fromkeys(("spurious", "races", "pressure"), True),
    }.get(name, 7)
    options = options_for(plain, **{name: other})
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert options == options_of(parser.parse_args(words_for(plain, options)), plain)
