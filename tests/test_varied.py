"""`stress/varied.py`: what its pieces are, what it takes for explained, and that it goes on where it was."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import vmsmp
from vmsmp.campaign.options import options_for
from vmsmp.campaign.outcome import Outcome
from vmsmp.engine.options import MAX_STEPS
from vmsmp.library import find_scenario, matching
from vmsmp.sched.names import CHOICES, make_scheduler

STRESS = Path(__file__).resolve().parents[1] / "stress"


@pytest.fixture(scope="module")
def varied():
    """The entry, loaded as a module."""
    spec = importlib.util.spec_from_file_location("varied", STRESS / "varied.py")
    module = sys.modules["varied"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["varied"]


@pytest.fixture
def run(varied, monkeypatch, capsys, tmp_path):
    """Call it with a journal of its own: its exit code, what it prints, and the pieces of the journal."""

    def call(*words):
        journal = tmp_path / "journal"
        monkeypatch.setattr("sys.argv", ["varied.py", "--journal", str(journal), *words])
        capsys.readouterr()
        code = varied.main()
        return code, capsys.readouterr().out, [json.loads(line) for line in journal.read_text().splitlines()]

    return call


# -- pieces ---------------------------------------------------------------------------------------


def pieces(varied, many, seed=1):
    scenarios = matching("*")
    return [varied.piece_of(n, seed, scenarios) for n in range(many)]


def test_a_piece_follows_from_its_number_and_the_seed(varied):
    assert pieces(varied, 30) == pieces(varied, 30)
    assert pieces(varied, 30) != pieces(varied, 30, seed=2)


def test_every_scenario_has_its_turn(varied):
    scenarios = matching("*")
    assert {1} == set(Counter(piece.scenario.__name__ for piece in pieces(varied, len(scenarios))).values())


def test_every_option_is_varied(varied):
    drawn = pieces(varied, 600)
    options = [piece.options for piece in drawn]
    assert {"exact", "atomic"} == {one.locks for one in options}
    assert {"idle", "any"} == {one.timeouts for one in options}
    assert {(False, False), (False, True), (True, False), (True, True)} == {
        (one.spurious, one.races) for one in options
    }
    assert {2, 3, 4, 5, 6} == {piece.options.cpus for piece in drawn if not piece.scenario.fixed}
    assert {None} == {piece.options.cpus for piece in drawn if piece.scenario.fixed}
    assert (500, MAX_STEPS) == (min(one.max_steps for one in options), max(one.max_steps for one in options))
    assert {True, False} == {bool(one.repairs) for one in options}
    assert {*varied.SAMPLING, *varied.SYSTEMATIC} == {piece.sched for piece in drawn}


def test_a_scenario_about_time_has_sleeps_that_end_in_time(varied):
    about_time = [piece for piece in pieces(varied, 600) if "clock" in piece.scenario.tags]
    assert {("idle", False)} == {(piece.options.timeouts, piece.options.spurious) for piece in about_time}


def test_every_kind_of_scheduler_is_among_them(varied):
    names = {*varied.SAMPLING, *varied.SYSTEMATIC}
    assert {choice.name for choice in CHOICES} == {name.partition(":")[0] for name in names}
    assert [True] * len(varied.SYSTEMATIC) == [make_scheduler(n, 1).systematic for n in varied.SYSTEMATIC]


# -- explanations ---------------------------------------------------------------------------------


def piece_on(varied, name, **options):
    """The piece of a scenario, and the failure that a search of it finds."""
    scenario = find_scenario(name)
    result = vmsmp.explore(scenario, schedules=2_000, **options)
    return varied.Piece(0, scenario, result.options, "random", 0), result.failure


def test_a_known_finding_is_explained_by_its_name(varied):
    piece, failure = piece_on(varied, "stop_cancels_another_call")
    assert "stop-cancels-another-call" == varied.explanation(piece, failure)


def test_a_run_that_its_limit_cut_short_is_explained(varied):
    piece, failure = piece_on(varied, "spin_storm", max_steps=20)
    assert ("livelock", "the step limit cut it short") == (failure.kind, varied.explanation(piece, failure))


@pytest.mark.parametrize(
    ("kind", "message"), [("livelock", "no end in sight after the step limit"), ("check", "a new one")]
)
def test_one_that_fails_at_the_usual_limit_is_not(varied, monkeypatch, kind, message):
    piece, failure = piece_on(varied, "spin_storm", max_steps=20)
    again = replace(failure, kind=kind, message=message, signature=f"{kind}: {message}")
    monkeypatch.setattr(varied, "replay", lambda *_: Outcome("spin_storm", "", 1, again))
    monkeypatch.setattr(varied, "known_cause", lambda *_: None)
    assert "" == varied.explanation(piece, failure)


def test_one_that_shows_a_known_finding_at_the_usual_limit_is(varied, monkeypatch):
    piece, failure = piece_on(varied, "spin_storm", max_steps=20)
    _, known = piece_on(varied, "stop_cancels_another_call")
    monkeypatch.setattr(varied, "replay", lambda *_: Outcome("spin_storm", "", 1, known))
    assert "stop-cancels-another-call, behind the step limit" == varied.explanation(piece, failure)


def test_a_planted_bug_is_not_explained(varied):
    piece, failure = piece_on(varied, "spin_writers_queue", mutants=["SP-05"])
    assert "" == varied.explanation(piece, failure)


# -- a run of it ----------------------------------------------------------------------------------

FEW = ("--executions", "40", "--scenarios", "spin_upgrade")


@pytest.fixture
def short(varied, monkeypatch):
    """Pieces of a few executions."""
    monkeypatch.setattr(varied, "PIECE", 20)


def test_what_is_clean_ends_with_0_and_says_how_much_it_was(run, short):
    code, out, done = run(*FEW)
    assert (0, True) == (code, out.startswith(f"40 executions in {len(done)} pieces"))


def test_it_goes_on_behind_the_last_piece(run, short):
    _, _, before = run(*FEW)
    code, out, done = run("--executions", "60", "--scenarios", "spin_upgrade")
    assert (0, before) == (code, done[: len(before)])
    assert [*range(len(done))] == [one["number"] for one in done]
    assert out.startswith("60 executions")


def test_a_last_line_that_was_cut_off_is_done_again(run, short, tmp_path):
    _, _, whole = run(*FEW)
    journal = tmp_path / "journal"
    journal.write_text(journal.read_text()[:-5])
    _, _, again = run(*FEW)
    assert [one["number"] for one in whole] == [one["number"] for one in again]


def test_a_file_that_is_no_journal_is_left_alone(run, short, tmp_path, capsys):
    (tmp_path / "journal").write_text("mine\n")
    with pytest.raises(SystemExit) as end:
        run(*FEW)
    assert (2, "mine\n") == (end.value.code, (tmp_path / "journal").read_text())
    assert "is there, and no journal" in capsys.readouterr().err


def test_what_nothing_explains_is_shown_and_ends_with_1(run, short, varied, monkeypatch):
    def broken(number, seed, scenarios):
        piece = pieces_of(number, seed, scenarios)
        return replace(piece, options=options_for(piece.scenario, mutants=["SP-05"]), sched="portfolio")

    pieces_of = varied.piece_of
    monkeypatch.setattr(varied, "PIECE", 400)
    monkeypatch.setattr(varied, "piece_of", broken)
    code, out, _ = run("--executions", "400", "--scenarios", "spin_writers_queue")
    assert (1, True) == (code, "piece 0, spin_writers_queue by portfolio: " in out)


def test_an_error_of_the_tool_s_own_is_shown_and_does_not_end_it(run, short, varied, monkeypatch):
    def search(*args, **options):
        calls.append(options["seed"])
        if len(calls) == 1:
            raise IndexError("no such entry")
        return real(*args, **options)

    calls = []
    real = varied.search
    monkeypatch.setattr(varied, "search", search)
    code, out, done = run(*FEW)
    assert (1, ["IndexError: no such entry"]) == (code, done[0]["unexplained"])
    assert "by" in out.splitlines()[0]
