"""`vmsmp doctor`: facts of this machine, and what would make runs worse."""

from __future__ import annotations

import os
import sys

import pytest

from vmsmp.cli import doctor


def advice_of():
    return "\n".join(doctor.diagnose()[1])


def test_a_diagnosis_is_clean(vmsmp):
    assert (0, "") == (vmsmp("doctor").code, vmsmp("doctor").err)


def test_the_json_of_a_diagnosis_has_its_keys(vmsmp):
    assert {"facts", "advice"} == set(vmsmp("doctor", "--json").json)


@pytest.mark.parametrize(
    "fact", ["vmsmp", "python", "GIL", "cores", "pinning", "hand-off", "switch interval", "system"]
)
def test_a_fact_is_named(vmsmp, fact):
    assert fact in vmsmp("doctor", "--json").json["facts"]


def test_the_text_has_every_fact_of_the_json(vmsmp, monkeypatch):
    monkeypatch.setenv("VMSMP_CORE", str(min(os.sched_getaffinity(0))))  # else it may change in between
    out = vmsmp("doctor").out
    assert [] == [value for value in vmsmp("doctor", "--json").json["facts"].values() if value not in out]


def test_the_gil_is_worth_a_word_when_it_is_on(monkeypatch):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    assert "the GIL is on" in advice_of()


def test_the_gil_is_no_violation_when_it_is_off(monkeypatch):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert "the GIL is on" not in advice_of()


def test_a_free_threaded_build_with_the_gil_on_asks_for_the_module_to_blame(monkeypatch):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    monkeypatch.setattr(sys, "abiflags", "t")
    assert "some imported module asked for it" in advice_of()


def test_greenlet_is_worth_a_word(monkeypatch):
    monkeypatch.setitem(sys.modules, "greenlet", sys)
    assert "greenlet is loaded" in advice_of()


def test_threads_that_cannot_be_pinned_are_worth_a_word(monkeypatch):
    monkeypatch.setattr(doctor, "current_core", lambda: None)
    assert "threads cannot be pinned here" in advice_of()


def test_a_missing_eventfd_is_worth_a_word(monkeypatch):
    monkeypatch.setattr(doctor, "HAVE_EVENTFD", False)
    assert "no eventfd here" in advice_of()


def test_a_single_core_is_worth_a_word(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0})
    assert "one core only" in advice_of()


def test_a_tracer_is_worth_a_word(monkeypatch):
    monkeypatch.setattr(sys, "gettrace", lambda: print)
    assert "a tracer or profiler is active" in advice_of()


def test_faulthandler_is_worth_a_word(monkeypatch):
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    assert "faulthandler is on" in advice_of()


def test_nothing_in_the_way_is_said_too(vmsmp, monkeypatch):
    monkeypatch.setattr(doctor, "diagnose", lambda: ({"python": "best"}, []))
    assert "python  best\n\n- nothing stands in the way\n" == vmsmp("doctor").out
