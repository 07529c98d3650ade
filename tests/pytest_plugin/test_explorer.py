"""The fixture `explore`: what it runs, with what, and when it fails the test."""

import re

import pytest

from inner_session import Counts, each_marked, replay_option

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions


# -- the fixture -----------------------------------------------------------------------------------


def test_a_failure_found_fails_the_test_with_its_story_and_the_command_that_replays_it(session):
    text = session("def test_it(explore): explore(lost_update)")
    assert Counts(failed=1) == session.counts
    assert "check: both increments are counted" in text
    assert "how every CPU stood:" in text
    assert re.search(r"^schedule: v1:lost_update:[0-9a-f]+:[0-9.>,]+$", text, re.MULTILINE)
    assert re.search(
        r"^replay: pytest test_it.py::test_it --vmsmp-replay 'v1:lost_update:\S+'$", text, re.MULTILINE
    )
    assert "vmsmp replay" not in text.replace("--vmsmp-replay", "")  # it knows scenarios only


def test_a_known_finding_is_named_in_the_report_and_the_properties(session):
    text = session(
        "@pytest.mark.vmsmp(scenario='stop_cancels_another_call')\ndef test_it(explore): explore()",
        "--junitxml=junit.xml",
    )
    assert "known finding stop-cancels-another-call: a stop cancels every request " in text
    assert (
        "  what lies behind it: vmsmp run stop_cancels_another_call --repair cancel-of-another-call" in text
    )
    assert "  its story: vmsmp replay stop-cancels-another-call; its entry is in stress/known.toml" in text
    assert "stop-cancels-another-call" == session.properties("junit.xml")["test_it"]["vmsmp.known"]


def test_what_is_no_known_finding_names_none(session):
    assert "known finding" not in session("def test_it(explore): explore(lost_update)")


def test_the_printed_command_replays_the_failure(session):
    first = session("def test_it(explore): explore(lost_update)")
    digest = re.search(r"digest: \S+", first)[0]
    again = session("", *replay_option(first), "test_it.py::test_it")
    assert Counts(failed=1) == session.counts
    assert digest in again


@pytest.mark.ci
def test_the_printed_command_names_a_parameter_in_quotes(session):
    text = session("@pytest.mark.parametrize('n', ['a b'])\ndef test_it(explore, n): explore(lost_update)")
    assert "replay: pytest 'test_it.py::test_it[a b]' --vmsmp-replay 'v1:" in text


@pytest.mark.ci
def test_a_line_of_another_program_fails_the_test_in_one_line(session):
    text = session("def test_it(explore): explore(counted)", "--vmsmp-replay", "v1:lost_update:1:")
    assert Counts(failed=1) == session.counts
    assert "ValueError: this schedule is of program 'lost_update', not of 'counted'" in text
    assert "Traceback" not in text


@pytest.mark.ci
def test_a_line_that_does_not_fit_is_warned_of(session):
    text = session("def test_it(explore): explore(counted)", "--vmsmp-replay", "v1:counted:0:1.99>2")
    assert "UserWarning: the line does not fit this program: 1 of its 1 preemptions do not apply" in text


def test_a_test_that_says_so_or_looks_at_the_verdict_judges_it_itself(session):
    session(
        """
        def test_said(explore):
            explore(lost_update, must_pass=False)

        def test_looked_at(explore):
            result = explore(lost_update)
            assert "check" == result.failure.kind
        """
    )
    assert Counts(passed=2) == session.counts


@pytest.mark.ci
def test_a_test_that_never_looks_at_the_verdict_fails_over_it(session):
    text = session(
        """
        def test_it(explore):
            assert explore(lost_update).executions
        """
    )
    assert Counts(failed=1) == session.counts
    assert "both increments are counted" in text


@pytest.mark.ci
def test_must_pass_fails_the_test_at_once(session):
    text = session(
        """
        def test_it(explore):
            explore(lost_update, must_pass=True)
            raise RuntimeError("the test went on")
        """
    )
    assert Counts(failed=1) == session.counts
    assert "the test went on" not in text


@pytest.mark.ci
def test_a_test_that_fails_over_a_result_shows_the_failure(session):
    text = session(
        """
        def test_it(explore):
            assert explore(lost_update).ok
        """
    )
    assert Counts(failed=1) == session.counts
    assert "vmsmp failure" in text
    assert "replay: pytest test_it.py::test_it --vmsmp-replay 'v1:lost_update:" in text


def test_the_fixture_takes_the_marker_then_the_command_line_then_its_own_defaults(session):
    session(
        """
        @pytest.mark.vmsmp(schedules=3)
        def test_marker(explore):
            assert 3 == explore(counted).executions

        def test_command_line(explore):
            result = explore(counted)
            assert (4, "random") == (result.executions, result.scheduler)

        @pytest.mark.vmsmp(schedules=3, sched="rr", locks="exact", seed=9)
        def test_call(explore):
            result = explore(counted, schedules=5, sched="pct:2")
            assert (5, "pct:2") == (result.executions, result.scheduler)
            assert ("exact", 9) == (result.options.locks, result.seed)
        """,
        "--vmsmp-schedules",
        "4",
        "--vmsmp-sched",
        "random",
    )
    assert Counts(passed=3) == session.counts


@pytest.mark.ci
def test_the_closest_marker_wins(session):
    session(
        """
        pytestmark = pytest.mark.vmsmp(schedules=3, sched="rr")

        @pytest.mark.vmsmp(schedules=2)
        def test_it(explore):
            result = explore(counted)
            assert (2, "rr") == (result.executions, result.scheduler)
        """
    )
    assert Counts(passed=1) == session.counts


def test_a_bad_marker_fails_the_test_in_one_line(session):
    bad = {
        "vmsmp(speed=3)": "the marker vmsmp has no 'speed': use scenario, check, cpus,",
        "vmsmp('rr')": "the marker vmsmp takes its arguments by name",
        "vmsmp(sched='x')": "ValueError: unknown scheduler 'x'",
    }
    text = session(each_marked(bad))
    assert Counts(failed=3) == session.counts
    assert [] == [message for message in bad.values() if message not in text]


def test_a_program_is_needed_unless_the_marker_names_a_scenario(session):
    text = session("def test_it(explore): explore()")
    assert Counts(failed=1) == session.counts
    assert "explore() needs a program, or a marker" in text


def plant_scenario(session):
    """Put a scenario that fails where the inner session finds it."""
    session.pytester.makepyfile(
        conftest="""
        import vmsmp.library

        @vmsmp.library.scenario(cpus=2)
        def torn(m):
            word = m.cell(0, name="word")
            for _ in range(m.ncpus):
                m.spawn(lambda: word.store(word.load() + 1))
            m.join()
            m.check(word.load() == 2, "nothing is lost")

        torn.__module__ = "vmsmp.scenarios.torn"

        def pytest_configure():
            vmsmp.library.all_scenarios = lambda: {"torn": torn}
        """
    )


def test_the_marker_names_the_scenario_to_run_and_the_report_replays_it_both_ways(session):
    plant_scenario(session)
    text = session("@pytest.mark.vmsmp(scenario='torn')\ndef test_it(explore): explore()")
    assert Counts(failed=1) == session.counts
    assert re.search(r"^replay: vmsmp replay 'v1:torn:\S+'$", text, re.MULTILINE)
    assert re.search(r"^replay: pytest test_it.py::test_it --vmsmp-replay 'v1:torn:\S+'$", text, re.MULTILINE)


def test_an_unknown_scenario_fails_the_test_with_near_misses(session):
    plant_scenario(session)
    text = session("@pytest.mark.vmsmp(scenario='thorn')\ndef test_it(explore): explore()")
    assert Counts(failed=1) == session.counts
    assert "ValueError: unknown scenario 'thorn': did you mean torn?" in text


# -- seeds -----------------------------------------------------------------------------------------


SEEDS = """
@pytest.mark.parametrize("n", range(3))
def test_it(explore, n): explore(counted, schedules=2)
"""


def seeds(session, *options):
    """The seed of each test of `SEEDS`."""
    session(SEEDS, "--junitxml", "junit.xml", *options)
    return {name: kept["vmsmp.seed"] for name, kept in session.properties("junit.xml").items()}


@pytest.mark.ci
def test_every_test_has_its_own_seed_and_keeps_it(session):
    found = seeds(session)
    assert 3 == len(set(found.values()))
    assert found == seeds(session)


@pytest.mark.ci
def test_another_base_seed_gives_other_seeds(session):
    assert set() == set(seeds(session).values()) & set(seeds(session, "--vmsmp-seed", "1").values())


@pytest.mark.ci
@pytest.mark.parametrize("dist", ["load", "loadgroup"])
def test_seeds_are_the_same_under_xdist(session, dist):
    session.pytester.makeconftest(
        "import pytest\n"
        "@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items: item.add_marker(pytest.mark.xdist_group('one'))\n"
    )
    alone = seeds(session, "--vmsmp-seed", "0x51")
    spread = seeds(session, "--vmsmp-seed", "0x51", "-n", "2", "--dist", dist)
    assert alone == {name.removesuffix("@one"): seed for name, seed in spread.items()}
