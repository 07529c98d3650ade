"""The markers of a test: what it searches, with which options and engine, and which bug it is to find."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

from vmsmp.pytest_plugin.settings import seed_of

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Failure

MARKERS: Final = (
    "vmsmp(scenario=None, **options): what the fixture `explore` runs by default, a scenario by name, and "
    "with which options of vmsmp.explore (sched, schedules, seed, locks, ...)",
    "schedules(n): how many schedules a test searches, or into how many tests one with the fixture "
    "`schedule` is made",
    "scenario(name): the scenario that `explore` runs by default",
    "expect_bug(*bugs): the test is to find a failure of one of these kinds, such as 'lost-wakeup', or with "
    "these words in its signature, and no other; without words any will do",
    "free_mode: the test runs in the free engine, where CPUs run in parallel",
)


def options_of(item: pytest.Item) -> dict[str, Any]:
    """What the markers `vmsmp`, `scenario` and `schedules` say together; the closest one wins."""
    __tracebackhide__ = True
    marked: dict[str, Any] = {}
    for marker in reversed([*item.iter_markers()]):
        if marker.name == "vmsmp":
            if marker.args:
                pytest.fail("the marker vmsmp takes its arguments by name", pytrace=False)
            marked |= marker.kwargs
        elif marker.name in ("scenario", "schedules"):
            marked[marker.name] = _only(marker)
    return marked


def _only(marker: pytest.Mark) -> Any:
    """The only argument of a marker."""
    __tracebackhide__ = True
    if len(marker.args) != 1 or marker.kwargs:
        pytest.fail(f"the marker {marker.name} takes one argument", pytrace=False)
    return marker.args[0]


def expected_bugs(item: pytest.Item) -> tuple[str, ...] | None:
    """The bugs that the test is to find: none in particular if it is empty; None: it is to find none."""
    marker = item.get_closest_marker("expect_bug")
    return None if marker is None else tuple(map(str, marker.args))


def is_expected(failure: Failure, bugs: tuple[str, ...]) -> bool:
    """Whether the failure is one of these; "LostWakeup" and "lost wakeup" are the kind "lost-wakeup"."""
    return not bugs or any(
        _plain(bug) == _plain(failure.kind) or bug.casefold() in failure.signature.casefold() for bug in bugs
    )


def _plain(words: str) -> str:
    return re.sub(r"[\W_]", "", words).casefold()


def is_free(item: pytest.Item, mode: str) -> bool:
    """Whether the test runs in the free engine, where the command line asks for `mode`."""
    return mode == "free" or item.get_closest_marker("free_mode") is not None


def expectation(bugs: tuple[str, ...]) -> str:
    """The marker as it is written."""
    return f"expect_bug({', '.join(map(repr, bugs))})"


def seeds_of(metafunc: pytest.Metafunc, base: int) -> Iterator[int]:
    """The seeds of the tests that one with the fixture `schedule` is made into."""
    marker = metafunc.definition.get_closest_marker("schedules")
    count = ITEMS if marker is None or len(marker.args) != 1 else marker.args[0]
    for n in range(count):
        yield seed_of(base, f"{metafunc.definition.nodeid}/{n}")


#: Tests that one with the fixture `schedule` is made into, where no marker says how many.
ITEMS: Final = 8
