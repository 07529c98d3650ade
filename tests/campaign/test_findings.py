"""Known findings: each replays, is explained, and is gone behind its repair."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

import vmsmp
from library_runs import EXACT_FIRST
from vmsmp.campaign.cause import known_cause
from vmsmp.campaign.findings import Finding, explain, findings, read_findings
from vmsmp.campaign.options import options_for
from vmsmp.campaign.outcome import Failure
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError
from vmsmp.library import all_scenarios, find_scenario
from vmsmp.patches.catalogue import REPAIR_BY_NAME
from vmsmp.patches.patch import Mutant

REGRESSIONS = [s for s in all_scenarios().values() if "finding" in s.tags]


def by_name(thing):
    return getattr(thing, "name", None) or thing.__name__


@pytest.fixture(params=findings(), ids=by_name)
def finding(request):
    return request.param


# -- the list -------------------------------------------------------------------------------------


def test_a_finding_s_line_fails_as_the_finding_says(finding):
    line = Schedule.parse(finding.schedule)
    failure = vmsmp.replay(find_scenario(line.program), line).failure
    assert finding is explain(failure)


@pytest.mark.ci
def test_a_finding_s_line_is_as_short_as_can_be(finding):
    line = Schedule.parse(finding.schedule)
    assert len(line) == len(vmsmp.minimize(find_scenario(line.program), line))


@pytest.mark.ci
@pytest.mark.parametrize("locks", EXACT_FIRST)
@pytest.mark.parametrize("schedules", [20, pytest.param(500, marks=pytest.mark.nightly)])
def test_behind_its_repair_a_finding_is_gone_and_nothing_unknown_is_left(finding, locks, schedules):
    scenario = find_scenario(finding.scenario)
    result = vmsmp.explore(
        scenario,
        sched="random",
        schedules=schedules,
        locks=locks,
        timeouts="any",
        repairs=[finding.repair],
        stop="never",
    )
    causes = [(known_cause(scenario, one, result.options), one.schedule) for one in result.failures]
    assert [] == [line for cause, line in causes if cause in (None, finding)]
    assert schedules == result.executions


#: Repairs of other findings that mend one as well.
MENDED_TOO = {
    "block-is-freed-as-it-is-written": "file-outdates-a-write-to-swap",
    "failed-sync-is-not-tried-again": "write-cleans-before-transfer",
    "fault-keeps-an-older-right": "protection-waits-for-transitions",
    "fault-sleeps-on-a-lost-vnode": "fault-waits-for-a-vnode-unlocked",
    "lookup-keeps-an-older-right": "protection-wires-copies",
    "reader-waits-for-its-own-page": "peeks-spare-wirings",
    "refused-mapping-unmaps": "mmap-replaces-at-once",
    "replaced-entry-stays-counted": "failed-wiring-looks-behind",
    "reclaim-meets-a-block-that-is-freed": "cache-is-emptied-at-once",
    "shared-mapping-is-copied": "fork-leaves-a-shared-file-shared",
}


@pytest.mark.ci
def test_a_finding_is_there_without_its_repair(finding):
    scenario = find_scenario(finding.scenario)
    line = Schedule.parse(finding.schedule)
    repairs = frozenset(REPAIR_BY_NAME) - {finding.repair, MENDED_TOO.get(finding.name)}
    options = replace(line.options, repairs=repairs)
    failure = vmsmp.replay(scenario, str(replace(line, options=options))).failure
    for sched in ("sticky", "portfolio"):
        if failure is None:  # another repair moves the steps of its line
            failure = vmsmp.explore(
                scenario,
                sched=sched,
                schedules=3_000,
                timeouts=options.timeouts,
                max_steps=options.max_steps,
                repairs=repairs,
            ).failure
    assert finding is known_cause(scenario, failure, options)


def test_a_finding_gives_its_reason_in_a_sentence(finding):
    assert len(finding.reason.split()) > 5


def test_findings_have_names_of_their_own():
    names = [finding.name for finding in findings()]
    assert sorted(set(names)) == sorted(names)


def test_a_finding_s_scenario_names_its_repair(finding):
    assert f"Repair `{finding.repair}`" in find_scenario(finding.scenario).__doc__


# -- the regressions ------------------------------------------------------------------------------


@pytest.mark.parametrize("regression", REGRESSIONS, ids=by_name)
def test_a_regression_s_own_line_fails_with_a_known_finding(regression):
    failure = vmsmp.replay(regression, regression.schedule).failure
    known = explain(failure)
    assert regression.__name__ == known.scenario


@pytest.mark.parametrize("regression", REGRESSIONS, ids=by_name)
def test_a_regression_and_the_list_show_the_same_line(regression):
    assert [regression.schedule] == [f.schedule for f in findings() if f.scenario == regression.__name__]


@pytest.mark.ci
@pytest.mark.parametrize("locks", ["exact", "atomic"])
@pytest.mark.parametrize("schedules", [6, pytest.param(500, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("regression", REGRESSIONS, ids=by_name)
def test_a_regression_is_clean_with_all_repairs_and_sleeps_that_end_at_any_moment(
    regression, schedules, locks
):
    in_time = "clock" in regression.tags  # its story is the time at which sleeps end
    result = vmsmp.explore(
        regression,
        sched="portfolio",
        schedules=schedules,
        locks=locks,
        timeouts="idle" if in_time else "any",
        spurious=not in_time,
        repairs=REPAIR_BY_NAME,
    )
    assert None is result.failure


@pytest.mark.ci
@pytest.mark.parametrize("locks", EXACT_FIRST)
@pytest.mark.parametrize("regression", REGRESSIONS, ids=by_name)
def test_checkers_do_not_change_a_regression_s_run(regression, locks):
    options = options_for(regression, locks=locks, timeouts="idle", repairs=REPAIR_BY_NAME)
    line = str(Schedule(regression.__name__, 1, (), options))
    checked, bare = (vmsmp.replay(regression, line, check=on).digest for on in (True, False))
    assert checked == bare


# -- explaining -----------------------------------------------------------------------------------


def found(signature="check: state of lockmgr 'a': bad", program="number_one", step="load w in f < g"):
    kind, _, message = signature.partition(": ")
    return Failure(kind, message, signature, "", "", program=program, step=step)


ONE = Finding(
    "number-one",
    ("check: no such", "check: state of *: bad"),
    ("store w in h", "* in f < *"),
    "because",
    "mend-it",
    "v1:number_one:0:",
)


def test_a_signature_of_another_kind_is_explained_by_nothing():
    assert None is explain(found("deadlock: nobody can run", "lockmgr_storm"))


def test_a_finding_explains_nothing_while_its_repair_is_on(finding):
    line = Schedule.parse(finding.schedule)
    failure = vmsmp.replay(find_scenario(line.program), line).failure
    assert finding is not explain(failure, [finding.repair])


def test_a_finding_explains_what_it_names():
    assert ONE.explains(found())


@pytest.mark.parametrize(
    "other",
    [
        {"program": "number_one_too"},
        {"signature": "check: state of lockmgr 'a': worse"},
        {"step": "load w in g < f"},
    ],
    ids=str,
)
def test_a_finding_explains_nothing_else(other):
    assert not ONE.explains(found(**other))


def test_a_free_run_does_not_know_its_steps():
    assert ONE.explains(found(step=""))


def test_a_finding_s_scenario_is_the_one_of_its_line(finding):
    assert finding.scenario == Schedule.parse(finding.schedule).program
    assert finding.scenario in all_scenarios()


def test_no_finding_excuses_a_whole_kind_of_failure_or_any_step(finding):
    assert [] == [one for one in (*finding.signatures, *finding.steps) if not one.replace("*", "").strip()]
    assert [] == [one for one in finding.signatures if one.startswith("*")]


ALWAYS_DEAD = Mutant(
    "XX-01",
    "vmsmp.vm.vm_object:_is_dead",
    "return not obj.ref_count.load() and bool(obj.flags.bits(OBJ_DEAD))",
    "return True",
    breaks="INV-O5",
    story="every object that is dropped counts as dead",
)


@pytest.mark.parametrize("scenario", [s for s in all_scenarios().values() if "object" in s.tags], ids=by_name)
def test_an_object_that_always_counts_as_dead_is_not_known(scenario):
    with ALWAYS_DEAD.plant():
        result = vmsmp.explore(scenario, schedules=50)
    assert (True, None) == (result.failure is not None, explain(result.failure))


# -- the file -------------------------------------------------------------------------------------

GOOD = """
[[finding]]
name = "one"
signatures = ["check: bad"]
steps = ["* in f"]
reason = "because"
repair = "mend-it"
schedule = "v1:one:0:"
"""


@pytest.fixture
def read(tmp_path):
    """Read a file that holds this text."""

    def reading(text):
        path = tmp_path / "known.toml"
        path.write_text(text)
        return read_findings(path)

    return reading


def test_a_file_is_read(read):
    assert (Finding("one", ("check: bad",), ("* in f",), "because", "mend-it", "v1:one:0:"),) == read(GOOD)


def test_a_finding_may_expire(read):
    (finding,) = read(f"{GOOD}\nexpires = 2027-01-31")
    assert [False, True] == [finding.expired(date(2027, 1, day)) for day in (30, 31)]


def test_an_empty_file_has_no_findings(read):
    assert () == read("")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[finding", "known.toml: "),
        ("other = 1", "known.toml: it holds entries [[finding]] and nothing else"),
        ("finding = 1", "known.toml: it holds entries [[finding]] and nothing else"),
        ("finding = [1]", "known.toml: finding 1: it is not a table"),
        (GOOD + GOOD.replace("reason", "because"), "known.toml: finding 2 (one): unknown key 'because'"),
        (GOOD.replace('steps = ["* in f"]\n', ""), "finding 1 (one): steps is missing"),
        (GOOD.replace('["* in f"]', '"* in f"'), "finding 1 (one): steps is not a list of patterns"),
        (GOOD.replace('["* in f"]', "[]"), "finding 1 (one): steps is not a list of patterns"),
        (GOOD.replace('["check: bad"]', '"check: bad"'), "(one): signatures is not a list of patterns"),
        (GOOD.replace('["check: bad"]', '[""]'), "(one): signatures is not a list of patterns"),
        (GOOD.replace('"because"', "7"), "finding 1 (one): reason is not a text"),
        (
            f'{GOOD}\nexpires = "2027-01-31"',
            "finding 1 (one): expires is not a day, as in 2027-01-31 without quotes",
        ),
        (
            f"{GOOD}\nexpires = 2027-01-31T12:00:00",
            "finding 1 (one): expires is not a day, as in 2027-01-31 without quotes",
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_line(read, text, words):
    with pytest.raises(UsageError) as refused:
        read(text)
    assert (True, 1) == (words in str(refused.value), len(str(refused.value).splitlines()))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"known\.toml: .*No such file"):
        read_findings(tmp_path / "known.toml")


# -- repairs --------------------------------------------------------------------------------------


def test_a_finding_names_a_repair_of_the_catalogue(finding):
    assert finding.repair in REPAIR_BY_NAME


def test_every_repair_belongs_to_a_finding():
    assert set(REPAIR_BY_NAME) == {finding.repair for finding in findings()}


@pytest.mark.parametrize("use", [vmsmp.replay, vmsmp.minimize])
def test_a_line_with_an_unknown_repair_is_refused(use):
    with pytest.raises(UsageError, match="unknown repair 'x'"):
        use(find_scenario("spin_upgrade"), "v1:spin_upgrade+repair=x:0:")
