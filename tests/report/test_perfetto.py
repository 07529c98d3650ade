"""A run as a Perfetto trace: it keeps the format's rules, and everything that happened is in it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

import vmsmp
from vmsmp.campaign.story import Grant
from vmsmp.errors import UsageError
from vmsmp.library import find_scenario
from vmsmp.report.perfetto import COUNTERS, CPUS, LOCKS, lock_holds, perfetto_trace, trace_events


def lost_update(m):
    word = m.cell(0, name="word")

    def incrementer():
        word.store(word.load() + 1)

    m.spawn(incrementer, name="one")
    m.spawn(incrementer, name="other")
    m.join()
    m.check(word.load() == 2, "both increments are counted")


def readers(m):
    lock, word = m.spinlock("l"), m.cell(0, name="word")

    def reader():
        lock.acquire_shared()
        word.load()
        lock.release_shared()

    m.spawn(reader, name="one")
    m.spawn(reader, name="other")
    m.join()


def nested(m):
    outer, inner, word = m.spinlock("outer"), m.spinlock("inner"), m.cell(0, name="word")

    def worker():
        with outer:
            word.load()
            with inner:
                word.load()

    m.spawn(worker)
    m.join()


def upgrader(m):
    lock, word = m.spinlock("l"), m.cell(0, name="word")

    def worker():
        lock.acquire_shared()
        word.load()
        lock.try_upgrade()
        word.load()
        lock.release()

    m.spawn(worker)
    m.join()


def embrace(m):
    one, other = m.spinlock("one"), m.spinlock("other")

    def worker(first, second):
        with first, second:
            pass

    m.spawn(worker, one, other)
    m.spawn(worker, other, one)
    m.join()


def of(outcome, phase, pid=None):
    events = json.loads(perfetto_trace(outcome))["traceEvents"]
    return [e for e in events if e["ph"] == phase and pid in (None, e["pid"])]


def holds(outcome):
    """(lock, cpu, mode, first step, step after the last) of every hold in the trace."""
    return [
        (e["args"]["lock"], e["args"]["cpu"], e["args"]["mode"], e["ts"], e["ts"] + e["dur"])
        for e in of(outcome, "X", LOCKS)
    ]


@pytest.fixture
def lost(tell):
    return tell(lost_update, "1.2>2")


@pytest.fixture(
    params=[
        "v1:lockmgr_storm+exact:0:1.9>2,2.5>3",
        "v1:tokens_in_any_order:0:1.3>2,2.4>1",
        "v1:spin_writers_queue+exact+mutant=SP-05:0:1.2>2",
        "v1:spin_upgrade+exact:0:1.3>2",
    ]
)
def run(request):
    """Runs of scenarios with locks of every kind."""
    return vmsmp.replay(find_scenario(request.param.split(":")[1].split("+")[0]), request.param)


# -- the format -----------------------------------------------------------------------------------


def test_a_trace_is_json_in_the_object_form(run):
    trace = json.loads(perfetto_trace(run))
    assert ("ns", True) == (trace["displayTimeUnit"], isinstance(trace["traceEvents"], list))


def test_processes_and_threads_are_integers(run):
    events = json.loads(perfetto_trace(run))["traceEvents"]
    assert {int} == {type(event[key]) for event in events for key in ("pid", "tid")}


def test_times_are_integers_and_no_duration_is_negative(run):
    events = [e for e in json.loads(perfetto_trace(run))["traceEvents"] if e["ph"] != "M"]
    assert {int} == {type(e[key]) for e in events for key in ("ts", "dur") if key in e}
    assert [] == [e for e in events if e.get("dur", 0) < 0]


def test_slices_of_one_thread_follow_each_other(run):
    by_thread = {}
    for event in of(run, "X"):
        by_thread.setdefault((event["pid"], event["tid"]), []).append(event)
    assert [] == [
        (one, two)
        for slices in by_thread.values()
        for one, two in pairwise(slices)
        if one["ts"] + one["dur"] > two["ts"]
    ]


def test_every_thread_with_slices_has_a_name(run):
    named = {(e["pid"], e["tid"]) for e in of(run, "M") if e["name"] == "thread_name"}
    assert set() == {(e["pid"], e["tid"]) for e in of(run, "X")} - named


def test_every_process_has_a_name(run):
    named = {e["pid"]: e["args"]["name"] for e in of(run, "M") if e["name"] == "process_name"}
    assert {CPUS: "CPUs", LOCKS: "locks", COUNTERS: "locks held"} == named


def test_no_lock_has_the_thread_number_of_a_cpu(run):
    threads = [(e["pid"], e["tid"]) for e in of(run, "M") if e["name"] == "thread_name"]
    assert set() == {n for pid, n in threads if pid == CPUS} & {n for pid, n in threads if pid == LOCKS}


def test_a_trace_is_plain_ascii(run):
    assert perfetto_trace(run).isascii()


def test_a_trace_says_what_it_is_of(lost):
    assert {
        "schema": "vmsmp.trace/1",
        "program": "lost_update",
        "schedule": "v1:lost_update:0:1.2>2",
        "digest": lost.digest,
        "outcome": "check: both increments are counted",
    } == json.loads(perfetto_trace(lost))["otherData"]


def test_two_exports_of_one_line_are_equal(run):
    again = vmsmp.replay(find_scenario(run.program), run.schedule)
    assert perfetto_trace(run) == perfetto_trace(again)


# -- the CPUs -------------------------------------------------------------------------------------


def test_every_step_is_there_once_on_its_cpu(run):
    told = [(row.step, row.cpu, row.text) for row in run.story.rows]
    assert told == [(e["ts"], e["tid"], e["name"]) for e in of(run, "X", CPUS)]


def test_every_step_lasts_as_long_as_any_other(run):
    assert {1} == {e["dur"] for e in of(run, "X", CPUS)}


def test_a_cpu_s_thread_has_its_name(lost):
    names = [e["args"]["name"] for e in of(lost, "M", CPUS) if e["name"] == "thread_name"]
    assert ["cpu0", "cpu1 one", "cpu2 other"] == names


def test_a_step_says_what_it_changed(lost):
    stores = [e["args"]["value"] for e in of(lost, "X", CPUS) if e["name"] == "store word"]
    assert ["0 -> 1", "1"] == stores


def test_a_step_says_where_it_was(lost):
    place = of(lost, "X", CPUS)[3]["args"]["place"]
    assert ("test_perfetto.py", "incrementer") == (
        place.rpartition(":")[0].rpartition("/")[2],
        place.rpartition(" in ")[2],
    )


def test_a_step_after_a_switch_says_why_it_came(lost):
    switches = [e["args"]["switch"] for e in of(lost, "X", CPUS) if "switch" in e["args"]]
    assert ["cpu0 waits: join one", "cpu1 one preempted", "cpu2 other ended", "cpu1 one ended"] == switches


# -- the locks ------------------------------------------------------------------------------------


def test_a_hold_lasts_from_the_step_that_takes_the_lock_to_the_one_that_gives_it_up(tell):
    told = tell(nested)
    steps = {row.text: row.step for row in told.story.rows if row.cpu == 1}
    assert [
        ("spinlock 'outer'", "cpu1", "exclusive", steps["acquire outer"], steps["release outer"] + 1),
        ("spinlock 'inner'", "cpu1", "exclusive", steps["acquire inner"], steps["release inner"] + 1),
    ] == holds(told)


def test_an_exact_lock_is_given_up_just_before_its_word_says_so(tell):
    told = tell(nested, options="+exact")
    gives = [row.step for row in told.story.rows if row.change == "1 -> 0"]
    assert sorted(gives) == sorted(end for *_, end in holds(told))


def test_every_grant_is_a_hold(run):
    assert sum(grant.taken for grant in run.story.grants) == len(holds(run))


def test_every_release_ends_a_hold(run):
    let_go = [hold for hold in lock_holds(run.story) if not hold.kept]
    assert sum(not grant.taken for grant in run.story.grants) == len(let_go)


@pytest.mark.parametrize("options", ["", "+exact"])
@pytest.mark.parametrize("program", [nested, readers, upgrader])
def test_at_the_end_of_a_clean_run_nothing_is_held(tell, program, options):
    assert [] == [hold for hold in lock_holds(tell(program, options=options).story) if hold.kept]


def test_readers_at_once_stand_on_threads_of_their_own(tell):
    told = tell(readers, "1.3>2")
    (one, other) = of(told, "X", LOCKS)
    assert one["ts"] < other["ts"] < one["ts"] + one["dur"]
    names = {e["tid"]: e["args"]["name"] for e in of(told, "M", LOCKS) if e["name"] == "thread_name"}
    assert ["spinlock 'l'", "spinlock 'l' (2)"] == [names[one["tid"]], names[other["tid"]]]


def test_readers_one_after_another_share_a_thread(tell):
    assert 1 == len({e["tid"] for e in of(tell(readers), "X", LOCKS)})


@pytest.mark.parametrize("options", ["", "+exact"])
def test_an_upgrade_ends_the_shared_hold_where_the_exclusive_one_begins(tell, options):
    (_, _, mode, _, end), (_, _, higher, begin, _) = holds(tell(upgrader, options=options))
    assert ("shared", "exclusive", end) == (mode, higher, begin)


def test_two_locks_of_one_name_are_two(tell):
    def program(m):
        for lock in (m.spinlock("twin"), m.spinlock("twin")):
            with lock:
                pass

    assert 2 == len({e["tid"] for e in of(tell(program), "X", LOCKS)})


def test_what_is_held_at_the_end_is_held_to_the_end(tell):
    told = tell(embrace, "1.2>2", check=False)
    assert [told.steps] * 2 == [end for *_, end in holds(told)]
    assert ["the run ended"] * 2 == [e["args"]["until"] for e in of(told, "X", LOCKS)]


def test_a_release_of_what_nobody_holds_is_no_hold(story):
    told = replace(story((0, "load word")), grants=(Grant(0, 0, 7, "l", "shared", False),))
    assert [] == lock_holds(told)


# -- counters -------------------------------------------------------------------------------------


def test_a_counter_follows_how_many_locks_a_cpu_holds(tell):
    assert [0, 1, 2, 1, 0] == [e["args"]["locks"] for e in of(tell(nested), "C")]


def test_a_counter_stays_where_it_is_when_the_run_ends(tell):
    counts = of(tell(embrace, "1.2>2", check=False), "C")
    assert [0, 1] * 2 == [e["args"]["locks"] for e in sorted(counts, key=lambda e: e["name"])]


def test_a_cpu_that_never_holds_a_lock_has_no_counter(tell):
    assert {"cpu1"} == {e["name"] for e in of(tell(nested), "C")}


# -- the end --------------------------------------------------------------------------------------


def test_a_failure_is_an_instant_across_all_tracks(lost):
    (event,) = of(lost, "i")
    assert ("check: both increments are counted", "g", lost.steps, 0) == (
        event["name"],
        event["s"],
        event["ts"],
        event["tid"],
    )


def test_a_failure_has_its_signature_and_its_facts(tell):
    told = tell(embrace, "1.2>2", check=False)
    args = of(told, "i")[0]["args"]
    assert (told.failure.signature, list(told.failure.facts)) == (args["signature"], args["facts"])


def test_a_clean_run_has_no_instant(tell):
    assert [] == of(tell(nested), "i")


def test_a_run_without_a_step_is_a_trace(story):
    assert {"M"} == {event["ph"] for event in trace_events(story())}


def test_a_run_without_a_story_cannot_be_traced(lost):
    with pytest.raises(UsageError, match="has no story"):
        perfetto_trace(replace(lost, story=None))
