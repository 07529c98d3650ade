"""What reports say of the failures that a test's searches found."""

from __future__ import annotations

import os
import shlex
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from vmsmp.pytest_plugin.blobs import decorators
from vmsmp.pytest_plugin.marks import expectation, expected_bugs
from vmsmp.pytest_plugin.settings import SETTINGS, plain

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Failure, Unread


@dataclass
class Found:
    """The failures that one test's searches found, and how many of them its report shows."""

    failures: list[Failure] = field(default_factory=list)
    #: What to say of those that are known findings, by signature.
    known: dict[str, list[str]] = field(default_factory=dict)
    told: int = 0
    #: Whether one of them is what the marker `expect_bug` asks for.
    met: bool = False
    #: Results that the test has been given to judge.
    given: list[Unread] = field(default_factory=list)


#: The fixtures that search.
SEARCHING: Final = frozenset(("explore", "machine", "schedule"))
FOUND: Final = pytest.StashKey[Found]()


def note(item: pytest.Item, name: str, value: object) -> None:
    """Set a property of the test's report, in place of an earlier value."""
    item.user_properties[:] = [p for p in item.user_properties if p[0] != name]
    item.user_properties.append((name, value))


def told(item: pytest.Item, failure: Failure) -> str:
    """A failure's story, with the commands that show it again from here."""
    from vmsmp.campaign.outcome import replaying

    lines = failure.report().splitlines()
    if not failure.listed:  # only pytest knows the program
        own = f"replay: {replaying(failure.program, failure.line, listed=False)}"
        lines[:] = [f"schedule: {failure.schedule}" if line == own else line for line in lines]
    lines += item.stash.setdefault(FOUND, Found()).known.get(failure.signature, [])
    lines.append(f"{'replay' if failure.schedule else 'again'}: {again_command(item, failure)}")
    return "\n".join(lines)


def again_command(item: pytest.Item, failure: Failure) -> str:
    """The command that replays a failure in its test; of a free run, the one that runs the test so again."""
    if failure.schedule:
        return f"{command(item)} --vmsmp-replay '{failure.line}'"
    return f"{command(item)} --vmsmp-mode free --vmsmp-seed {item.config.stash[SETTINGS].seed:#x}"


def command(item: pytest.Item) -> str:
    """The command that runs this test alone."""
    path, _, name = plain(item.nodeid, item.config).partition("::")
    path = os.path.relpath(item.config.rootpath / path, item.config.invocation_params.dir)
    return f"pytest {shlex.quote(f'{path}::{name}')}"


def _may_search(item: pytest.Item) -> bool:
    """Whether the test asks for a fixture that searches."""
    return not SEARCHING.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that found a failure and never looked, or has not found the bug that it was to find."""
    yield
    found = item.stash.get(FOUND, None)
    bugs = expected_bugs(item)
    if bugs is not None and _may_search(item) and (found is None or not found.met):
        tried = dict(item.user_properties).get("vmsmp.executions", 0)
        pytest.fail(f"{expectation(bugs)}: no such failure (schedules: {tried:,})", pytrace=False)
    ignored = [given for given in (found.given if found else ()) if not given.read]
    if found is not None and ignored:
        found.told = len(found.failures)
        texts = [told(item, failure) for given in ignored for failure in given.failures]
        pytest.fail("\n\n".join(texts), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the failures that the test got as results, if it failed over them, and how to see one again."""
    report = yield
    if report.failed and report.when == "call" and call.excinfo is not None:
        for decorator in decorators(call.excinfo.value):
            again = f'{command(item)} --vmsmp-replay "{decorator}"'
            item.user_properties.append(("vmsmp.reproduce", again))
            report.sections.append(("vmsmp reproduce", f"again: {again}"))
    found = item.stash.get(FOUND, None)
    if found is not None and report.failed and report.when == "call":
        for failure in found.failures[found.told :]:
            report.sections.append(("vmsmp failure", told(item, failure)))
        found.told = len(found.failures)
    return report
