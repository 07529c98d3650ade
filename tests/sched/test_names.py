"""The strings that name schedulers."""

from __future__ import annotations

from pathlib import Path

import pytest

import vmsmp
from lost_update import lost_update
from vmsmp.errors import UsageError
from vmsmp.sched.dfs import DepthFirst
from vmsmp.sched.names import CHOICES, make_scheduler
from vmsmp.sched.pct import Pct

README = Path(__file__).resolve().parents[2] / "README.md"
FORMS = [choice.form for choice in CHOICES]
EXAMPLES = [form.replace(":D", ":1").replace(":P", ":0") for form in FORMS]


@pytest.mark.parametrize("name", [*EXAMPLES, "pct:100", "dfs:12", "delay:999999"])
def test_every_documented_name_makes_a_scheduler_that_begins(name):
    assert make_scheduler(name, seed=1).begin()


@pytest.mark.parametrize(
    "name",
    [
        *("", "bogus", "Random", "random:3", "rr:1"),
        *("pct", "pct:", "pct:0", "pct:101", "pct:x", "pct:-1", "pct:1:2", "pct:²", "pct:" + "9" * 5000),
        *("dfs:", "dfs:-1", "dfs:x", "dfs:²", "dfs:" + "9" * 5000),
    ],
    ids=lambda name: name[:12] or "empty",
)
def test_an_unknown_name_is_a_usage_error(name):
    with pytest.raises(UsageError, match=r"\Aunknown scheduler "):
        make_scheduler(name, seed=1)


def test_the_error_lists_every_form():
    with pytest.raises(UsageError) as caught:
        make_scheduler("bogus", seed=1)
    assert (
        "unknown scheduler 'bogus': use portfolio, random, sticky, rr, pct:D (D from 1 to 100), pos, urw, "
        "surw, dfs, dfs:P, delay:D or dpor"
    ) == str(caught.value)


def test_the_parameter_reaches_the_scheduler():
    assert 7 == make_scheduler("pct:7", seed=1).depth


def test_a_bound_of_preemptions_reaches_the_search():
    assert 2 == make_scheduler("dfs:2", seed=1).bound


def test_without_a_parameter_depth_first_search_has_no_bound():
    assert None is make_scheduler("dfs", seed=1).bound


def test_the_seed_reaches_the_scheduler():
    one, other, again = (make_scheduler("pct:3", seed=seed)._rng.random() for seed in (1, 2, 1))
    assert one == again
    assert one != other


@pytest.mark.parametrize(("name", "kind"), [("pct:3", Pct), ("dfs", DepthFirst), ("dfs:3", DepthFirst)])
def test_a_name_with_a_parameter_and_one_without_are_told_apart(name, kind):
    assert kind is type(make_scheduler(name, seed=0))


@pytest.mark.parametrize("form", FORMS)
def test_the_readme_names_every_scheduler(form):
    assert f"`{form}`" in README.read_text(encoding="utf-8")


# -- what every sampling scheduler promises ---------------------------------------------------------

sampling = pytest.mark.parametrize("sched", ["pos", "urw", "surw", "sticky"])


@sampling
def test_what_takes_one_preemption_is_found(sched):
    assert "check" == vmsmp.explore(lost_update, sched=sched, schedules=200).failure.kind


@sampling
def test_a_search_of_the_same_seed_goes_the_same_way(sched):
    one, other = (
        vmsmp.explore(lost_update, sched=sched, schedules=100, seed=7, stop="never") for _ in range(2)
    )
    assert (one.counts, one.steps, one.failure.schedule) == (
        other.counts,
        other.steps,
        other.failure.schedule,
    )


@sampling
def test_searches_of_different_seeds_go_different_ways(sched):
    assert 1 < len({vmsmp.explore(lost_update, sched=sched, schedules=20, seed=s).steps for s in range(9)})


@sampling
def test_a_spin_loop_ends(sched):
    def program(m):
        flag = m.cell(0)

        def spinner():
            while not flag.load():
                m.yield_()

        m.spawn(spinner)
        m.spawn(flag.store, 1)
        m.join()

    assert None is vmsmp.explore(program, sched=sched, schedules=200, max_steps=2_000).failure


@sampling
def test_a_cpu_that_spawns_is_followed(sched):
    def program(m):
        word = m.cell(0)

        def parent():
            m.spawn(word.store, 1)
            word.store(2)

        m.spawn(parent)
        m.spawn(parent)
        m.join()

    assert None is vmsmp.explore(program, sched=sched, schedules=200).failure
