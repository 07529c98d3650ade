"""The fixture `explore`: a search with the defaults of one test."""

from __future__ import annotations

import inspect
import time
import warnings
from hashlib import blake2b
from typing import Any

import pytest

from vmsmp.campaign.options import Program
from vmsmp.campaign.outcome import Result, Unread
from vmsmp.campaign.replay import follow, parse_for
from vmsmp.campaign.search import explore
from vmsmp.engine.schedule import Schedule, program_name
from vmsmp.errors import UsageError
from vmsmp.library import all_scenarios, find_scenario, with_own
from vmsmp.pytest_plugin.crash import Note
from vmsmp.pytest_plugin.reports import FOUND, Found, note, replay_command, told
from vmsmp.pytest_plugin.settings import DEFAULT_SCHED, SETTINGS, gil_word, plain


class Explorer:
    """A search with the defaults of one test.

    They come from the marker, then from the command line, then from `vmsmp.explore` itself; the
    seed from the base seed and the test's name.  With --vmsmp-replay or --vmsmp-lf it follows the
    given lines instead of searching.
    """

    def __init__(self, item: pytest.Item) -> None:
        self.item = item
        self.nodeid = plain(item.nodeid, item.config)
        self.settings = item.config.stash[SETTINGS]
        self.found = item.stash.setdefault(FOUND, Found())

    def __call__(
        self, program: Program | None = None, *, must_pass: bool | None = None, **options: Any
    ) -> Result:
        """Search `program`, or the marker's scenario, with the options of `vmsmp.explore`.

        A failure fails the test: at once if `must_pass`, at its end if it never looked at the
        result's verdict, and not at all if `must_pass` is False or the test judged the result.
        """
        __tracebackhide__ = True
        scenario, defaults = self._defaults()
        if program is None:
            program = self._scenario(scenario)
        options = defaults | options
        note(self.item, "vmsmp.seed", f"{options['seed']:#x}")
        note(self.item, "vmsmp.sched", options.get("sched", DEFAULT_SCHED))
        note(self.item, "vmsmp.gil", gil_word())
        result = self._run(program, options)
        self._write_down(result)
        if must_pass and result.failure is not None:
            self.found.told = len(self.found.failures)
            texts = [told(self.item, failure) for failure in result.failures]
            pytest.fail("\n\n".join(texts), pytrace=False)
        if must_pass is None and result.failures:
            result = Unread.of(result)
            self.found.given.append(result)
        return result

    def _run(self, program: Program, options: dict[str, Any]) -> Result:
        """Search, or follow the lines that were given."""
        __tracebackhide__ = True
        lines = self._lines(program)
        try:
            result = _follow(program, lines, options) if lines else self._search(program, options)
        except UsageError as error:
            pytest.fail(f"ValueError: {error}", pytrace=False)
        if result.interrupted:
            raise KeyboardInterrupt
        return result

    def _search(self, program: Program, options: dict[str, Any]) -> Result:
        """Search, and keep a note of how far it is."""
        sched, said = options.get("sched", DEFAULT_SCHED), options.get("progress")
        with Note(self.item, f"{program_name(program)} under {sched}, seed {options['seed']:#x}") as kept:

            def say(so_far: Result) -> None:
                kept.write(so_far.executions)
                if said is not None:
                    said(so_far)

            return explore(program, **options | {"progress": say})

    def _defaults(self) -> tuple[str | None, dict[str, Any]]:
        """The marker's scenario, and the options of the marker over those of the command line."""
        __tracebackhide__ = True
        marked = self._marked()
        scenario = marked.pop("scenario", None)
        known = set(inspect.signature(explore).parameters) - {"program", "progress"}
        if strange := sorted(set(marked) - known):
            pytest.fail(
                f"the marker vmsmp has no {strange[0]!r}: use scenario, {', '.join(sorted(known))}",
                pytrace=False,
            )
        given: dict[str, Any] = {"seed": self._seed()}
        if self.settings.sched is not None:
            given["sched"] = self.settings.sched
        if self.settings.schedules is not None:
            given["schedules"] = self.settings.schedules
        return scenario, given | marked

    def _marked(self) -> dict[str, Any]:
        """The arguments of all markers; the closest one wins."""
        __tracebackhide__ = True
        marked: dict[str, Any] = {}
        for marker in reversed(list(self.item.iter_markers("vmsmp"))):
            if marker.args:
                pytest.fail("the marker vmsmp takes its arguments by name", pytrace=False)
            marked |= marker.kwargs
        return marked

    def _seed(self) -> int:
        """A seed of the test's own, derived from the base seed and its name."""
        name = f"{self.settings.seed}/{self.nodeid}".encode()
        return int.from_bytes(blake2b(name, digest_size=4).digest(), "big")

    def _scenario(self, name: str | None) -> Program:
        __tracebackhide__ = True
        if name is None:
            raise TypeError("explore() needs a program, or a marker vmsmp(scenario=...)")
        try:
            known = all_scenarios()
            return find_scenario(name, known if name in known else with_own(self.settings.scenarios))
        except UsageError as error:
            pytest.fail(f"ValueError: {error}", pytrace=False)

    def _lines(self, program: Program) -> list[str]:
        """The schedule lines to follow, none to search."""
        if self.settings.replay is not None:
            return [self.settings.replay]
        if not self.settings.failed:
            return []
        stored = self.settings.failed.get(self.nodeid, [])
        return [line for line in stored if self._usable(program, line)]

    def _usable(self, program: Program, line: str) -> bool:
        """Whether a stored line is one of the program; a warning if nobody can follow it any more."""
        try:
            schedule = Schedule.parse(line)
            if schedule.program == program_name(program):
                parse_for(program, schedule)
                return True
        except UsageError as error:
            self.item.warn(
                pytest.PytestWarning(f"vmsmp: a schedule stored for --vmsmp-lf is ignored: {error}")
            )
        return False

    def _write_down(self, result: Result) -> None:
        """What the result says, where reports and JUnit files look for it."""
        properties: dict[str, Any] = dict(self.item.user_properties)
        before = properties.get("vmsmp.executions", 0)
        note(self.item, "vmsmp.executions", before + result.executions)
        note(self.item, "vmsmp.steps", properties.get("vmsmp.steps", 0) + result.steps)
        for failure in result.failures:
            self.found.failures.append(failure)
            self.item.user_properties.append(("vmsmp.schedule", failure.schedule))
            self.item.user_properties.append(("vmsmp.signature", failure.signature))
            self.item.user_properties.append(("vmsmp.replay", replay_command(self.item, failure)))


def _follow(program: Program, lines: list[str], options: dict[str, Any]) -> Result:
    """Replay `lines` as if they were a search, with a warning of one that does not fit.

    Raises: UsageError, as `vmsmp.replay` does.
    """
    schedules = [parse_for(program, line) for line in lines]
    kept = {key: options[key] for key in ("check",) if key in options}
    first = schedules[0]
    result = Result(first.program, "replay", first.options, first.seed)
    start = time.monotonic()
    for schedule in schedules:
        outcome = follow(program, schedule, **kept)
        if outcome.misfit:
            warnings.warn(outcome.misfit, stacklevel=2)
        result.executions += 1
        result.steps += outcome.steps
        result.longest = max(result.longest, outcome.steps)
        failure = outcome.failure
        if failure is not None:
            if failure.signature not in result.counts:
                result.failures.append(failure)
            result.counts[failure.signature] = result.counts.get(failure.signature, 0) + 1
    result.seconds = time.monotonic() - start
    return result
