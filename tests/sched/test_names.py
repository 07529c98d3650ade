"""The strings that name schedulers."""

from __future__ import annotations

from pathlib import Path

import pytest

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
        "unknown scheduler 'bogus': use portfolio, random, sticky, rr, pct:D (D from 1 to 100), pos, urw, surw, "
        "dfs, dfs:P, delay:D or dpor"
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
