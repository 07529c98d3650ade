"""What a store keeps of a campaign."""

from __future__ import annotations

import resource
import signal
from dataclasses import replace

import pytest

from vmsmp.campaign.store.read import read_store
from vmsmp.campaign.store.schema import StoreError
from vmsmp.campaign.store.write import FAILS, LINES, PASSES, ident_of
from vmsmp.campaign.way import Way

FREE = Way("free", "exact")


@pytest.fixture
def found(tmp_path):
    """The findings of the store, and what stands for them."""

    def told():
        return [one for signature in read_store(tmp_path / "s").signatures for one in signature.findings]

    return told


# -- batches --------------------------------------------------------------------------------------


def test_a_batch_that_is_done_is_known_as_such(opened, report, failure):
    store = opened()
    done = report(failure())
    assert store.done(done.batch) is None
    store.keep(done, {})
    again = store.done(done.batch)
    assert (8, 80, {"check: bad": 3}, ["v1:mine:0:1.2>2,2.3>1"]) == (
        again.executions,
        again.operations,
        again.counts,
        [one.schedule for one in again.failures],
    )


def test_a_batch_of_other_seed_schedules_way_or_code_is_another(opened, report):
    store = opened()
    store.keep(report(), {})
    batch = report().batch
    others = [
        replace(batch, seed=1),
        replace(batch, schedules=9),
        replace(batch, way=Way("controlled", "atomic")),
        replace(batch, options=replace(batch.options, spurious=True)),
    ]
    assert [None] * 4 == [store.done(other) for other in others]
    store.__exit__()
    assert opened(code="other").done(batch) is None


@pytest.mark.parametrize("parts", [{"complete": False}, {"complete": False, "error": "its worker died"}])
def test_a_batch_that_is_not_complete_is_not_done(opened, report, parts):
    store = opened()
    store.keep(report(**parts), {})
    assert store.done(report().batch) is None


def test_a_batch_that_is_run_again_is_counted_once(opened, report, failure, tmp_path):
    store = opened()
    store.keep(report(failure(), complete=False, executions=5), {})
    store.keep(report(failure()), {})
    contents = read_store(tmp_path / "s")
    assert (1, 8, 3) == (contents.rows[0].batches, contents.rows[0].executions, contents.signatures[0].times)


def test_a_free_batch_is_each_run_s_own(opened, report, tmp_path):
    for _ in range(2):
        store = opened()
        store.keep(report(way=FREE), {})
        store.__exit__()
    assert [2] == [row.batches for row in read_store(tmp_path / "s").rows]


# -- traces ---------------------------------------------------------------------------------------


def test_traces_are_new_in_the_round_that_saw_them_first(opened, report):
    store = opened()
    store.keep(report(seed=0, turn=0, traces={1: 1, 2: 1}), {})
    store.keep(report(seed=1, turn=1, traces={2: 1, 3: 1}), {})
    fresh = [store.fresh(turn) for turn in range(3)]
    assert [{("mine", "portfolio exact"): 2}, {("mine", "portfolio exact"): 1}, {}] == fresh


def test_the_order_in_which_batches_end_does_not_matter(opened, report):
    store = opened()
    store.keep(report(seed=1, turn=1, traces={2: 1, 3: 1}), {})
    store.keep(report(seed=0, turn=0, traces={1: 1, 2: 1}), {})
    assert [2, 1] == [sum(store.fresh(turn).values()) for turn in range(2)]


def test_a_trace_that_was_seen_once_is_told_apart(opened, report, tmp_path):
    store = opened()
    store.keep(report(seed=0, traces={1: 1, 2: 2, 3: 1}), {})
    store.keep(report(seed=1, traces={3: 1, 4: 1}), {})
    (row,) = read_store(tmp_path / "s").rows
    assert (6, 4, 2, 2 / 6) == (row.sampled, row.traces, row.once, row.unseen)


def test_a_batch_that_was_cut_short_shows_no_traces(opened, report):
    store = opened()
    store.keep(report(traces={1: 1}, complete=False), {})
    assert {} == store.fresh(0)


def test_a_fingerprint_of_64_bits_is_kept(opened, report):
    store = opened()
    store.keep(report(traces={0: 1, (1 << 64) - 1: 1, 1 << 63: 1}), {})
    assert [3] == [*store.fresh(0).values()]


# -- findings -------------------------------------------------------------------------------------


def test_the_first_failures_of_a_signature_are_to_be_shortened(opened, report, failure):
    store = opened()
    kept = [store.keep(report(failure(schedule=f"v1:mine:{n}:"), seed=n), {}) for n in range(LINES + 2)]
    assert [1] * LINES + [0, 0] == [*map(len, kept)]


def test_what_is_explained_is_not_to_be_shortened(opened, report, failure, found):
    store = opened()
    assert () == store.keep(report(failure()), {"check: bad": "an-entry"})
    assert [("an-entry", "known")] == [(one.known, one.status) for one in found()]


def test_a_failure_that_was_shortened_stands_for_itself(opened, report, failure, found):
    store = opened()
    store.keep(report(failure()), {})
    assert [failure().schedule] == [one.schedule for one in store.unminimized()]
    short = failure(schedule="v1:mine:0:1.2>2")
    store.replace(failure(), short)
    assert [] == store.unminimized()
    assert [(ident_of(short), "v1:mine:0:1.2>2", True, "new")] == [
        (one.ident, one.line, one.minimized, one.status) for one in found()
    ]


def test_failures_that_the_same_steps_led_to_are_one_finding(opened, report, failure, found):
    store = opened()
    for n in range(2):
        first = failure(schedule=f"v1:mine:{n}:1.2>2,2.3>1")
        store.keep(report(first, seed=n), {})
        store.replace(first, failure(schedule=f"v1:mine:{n}:1.2>2", trace="same"))
    assert 1 == len(found())


def test_a_free_failure_is_one_finding_and_a_line_another(opened, report, failure, found):
    store = opened()
    free = failure(schedule="", engine="free", trace="")
    for n in range(3):
        store.keep(report(free, way=FREE, seed=n), {})
    assert 1 == len(found())
    store.keep(report(failure()), {})
    assert ["v1:mine:0:1.2>2,2.3>1", ""] == [one.line for one in found()]


def test_a_finding_has_its_report(opened, report, failure, found):
    opened().keep(report(failure()), {})
    assert failure().report() == found()[0].report


# -- the corpus -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "outcome", "known", "status"),
    [
        ("code", FAILS, "", "new"),
        ("code", FAILS, "an-entry", "known"),
        ("code", PASSES, "", "unsteady"),
        ("other", PASSES, "", "fixed"),
        ("other", FAILS, "", "new"),
        ("other", "check: worse", "", "fixed"),
    ],
)
def test_a_finding_s_status_is_what_its_line_comes_to(
    opened, report, failure, found, code, outcome, known, status
):
    store = opened()
    store.keep(report(failure()), {})
    store.__exit__()
    store = opened(code=code)
    (asked,) = store.corpus()
    assert status == store.checked(asked, outcome, known)
    assert [(status, code, outcome)] == [(one.status, one.checked_on, one.outcome) for one in found()]


def test_what_comes_back_is_fixed_no_more(opened, report, failure, found):
    store = opened()
    store.keep(report(failure()), {})
    store.__exit__()
    store = opened(code="other")
    store.checked(store.corpus()[0], PASSES, "")
    assert ["fixed"] == [one.status for one in found()]
    store.keep(report(failure(schedule="v1:mine:5:", trace="x")), {})
    assert {"new"} == {one.status for one in found()}


@pytest.mark.parametrize("kind", ["nondeterminism", "hang"])
def test_what_no_two_runs_have_in_common_is_not_replayed(opened, report, failure, kind):
    store = opened()
    store.keep(report(replace(failure(), kind=kind)), {})
    assert ([], []) == (store.corpus(), store.unminimized())


def test_what_is_explained_later_is_counted_as_known(opened, report, failure, tmp_path):
    store = opened()
    store.keep(report(failure()), {})
    (asked,) = store.corpus()
    store.checked(asked, FAILS, "an-entry")
    assert [("an-entry", "known", 3)] == [
        (one.known, one.status, one.times) for one in read_store(tmp_path / "s").signatures
    ]


@pytest.mark.parametrize("outcome", [FAILS, PASSES])
def test_a_finding_that_was_minimized_while_its_line_ran_leaves_nothing_to_judge(
    opened, report, failure, found, outcome
):
    store = opened()
    store.keep(report(failure()), {})
    (asked,) = store.corpus()
    short = failure(schedule="v1:mine:0:1.2>2")
    store.replace(failure(), short)
    store.checked(asked, outcome, "an-entry")
    assert [(ident_of(short), "new", "")] == [(one.ident, one.status, one.known) for one in found()]


def test_the_corpus_has_the_shortest_line_of_every_finding(opened, report, failure):
    store = opened()
    store.keep(report(failure()), {})
    store.replace(failure(), failure(schedule="v1:mine:0:1.2>2"))
    store.keep(report(failure("worse", "v1:mine:3:"), seed=1), {})
    assert ["v1:mine:0:1.2>2", "v1:mine:3:"] == sorted(asked.line for asked in store.corpus())


# -- what cannot be written -----------------------------------------------------------------------


def test_a_full_disk_is_told_in_a_line_and_what_was_kept_stays(opened, report, failure, tmp_path):
    store = opened()
    store.keep(report(failure()), {})
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "s-wal").stat().st_size, limit[1]))
    try:
        with pytest.raises(StoreError) as told:
            store.keep(report(seed=1, traces=dict.fromkeys(range(10000), 1)), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert str(told.value).endswith("what was found before is kept")
    assert "\n" not in str(told.value)
    store.__exit__()
    contents = read_store(tmp_path / "s")
    assert (["check: bad"], 1) == ([one.text for one in contents.signatures], contents.rows[0].batches)


def test_a_store_that_has_become_read_only_is_told_in_a_line(opened, report):
    store = opened()
    store._base.execute("PRAGMA query_only = 1")
    with pytest.raises(
        StoreError, match="attempt to write a readonly database; what was found before is kept"
    ):
        store.keep(report(), {})
