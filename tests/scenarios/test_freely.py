"""The scenarios in the free engine: clean."""

from __future__ import annotations

import pytest

import vmsmp.engine.supervisor
from library_runs import EVERY, EXACT_FIRST, alone, by_name, repairs_for
from vmsmp.campaign.free_run import free_rounds
from vmsmp.campaign.options import options_for

#: What one CPU does alone is the same in this engine.
EACH = [pytest.param(s, marks=pytest.mark.nightly if alone(s) else (), id=by_name(s)) for s in EVERY]


@pytest.mark.parametrize("locks", EXACT_FIRST)
@pytest.mark.parametrize("scenario", EACH)
def test_a_scenario_is_clean_in_the_free_engine(scenario, locks):
    options = options_for(scenario, locks=locks, repairs=repairs_for(scenario))
    rounds = free_rounds(scenario, time_s=0.02, options=options)
    assert [] == [(failure.signature, failure.history) for failure in rounds.failures]
    assert rounds.rounds > 0


@pytest.mark.ci
@pytest.mark.parametrize("locks", EXACT_FIRST)
@pytest.mark.parametrize("scenario", EVERY, ids=by_name)
def test_a_scenario_is_clean_however_often_its_cpus_stand_still(scenario, locks, monkeypatch):
    monkeypatch.setattr(vmsmp.engine.supervisor, "RENDEZVOUS_S", 0.0)
    monkeypatch.setattr(vmsmp.engine.supervisor, "LOOK_S", 0.0005)
    options = options_for(scenario, locks=locks, repairs=repairs_for(scenario))
    rounds = free_rounds(scenario, time_s=0.1, options=options)
    assert [] == [(failure.signature, failure.history) for failure in rounds.failures]
