"""The options of a run: the caller's word, else the scenario's own, else the default."""

from __future__ import annotations

import pytest

from vmsmp import scenario
from vmsmp.campaign.options import options_for
from vmsmp.engine.options import Options
from vmsmp.errors import UsageError


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


@pytest.mark.parametrize("wrong", [{"mutants": ["XX-99"]}, {"repairs": ["x"]}, {"locks": "both"}], ids=str)
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError):
        options_for(plain, **wrong)


def test_an_option_that_does_not_exist_is_a_type_error():
    with pytest.raises(TypeError, match="depth"):
        options_for(plain, depth="exact")
