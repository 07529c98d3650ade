"""The fixture `explore`: a search with the defaults of one test."""

from __future__ import annotations

import inspect
import time
import warnings
from typing import Any

import pytest

from vmsmp.campaign.findings import explain
from vmsmp.campaign.options import Program
from vmsmp.campaign.outcome import Failure, Result, Unread
from vmsmp.campaign.replay import follow, parse_for
from vmsmp.campaign.search import explore
from vmsmp.engine.schedule import Schedule, program_name
from vmsmp.errors import UsageError
from vmsmp.library import all_scenarios, find_scenario, with_own
from vmsmp.pytest_plugin.crash import Note
from vmsmp.pytest_plugin.marks import expected_bugs, is_expected, is_free, options_of
from vmsmp.pytest_plugin.reports import FOUND, Found, again_command, note, told
from vmsmp.pytest_plugin.settings import DEFAULT_SCHED, SETTINGS, gil_word, plain, seed_of
from vmsmp.report.known import finding_lines


class Explorer:
    """A search with the defaults of one test.

    They come from the markers, then from the command line, then from `vmsmp.explore` itself; the
    seed from the base seed and the test's name.  With --vmsmp-replay or --vmsmp-lf it follows the
    given lines instead of searching.  `seed` is that of the only schedule to run, if there is one.
    """

    def __init__(self, item: pytest.Item, seed: int | None = None) -> None:
        self.item = item
        self.seed = seed
        self.nodeid = plain(item.nodeid, item.config)
        self.settings = item.config.stash[SETTINGS]
        self.found = item.stash.setdefault(FOUND, Found())
        #: The bugs that the test is to find; None if it is to find none.
        self.expected = expected_bugs(item)
        self.free = is_free(item, self.settings.mode)

    def __str__(self) -> str:
        return f"{self.settings.seed if self.seed is None else self.seed:#x}"

    def __call__(
        self, program: Program | None = None, *, must_pass: bool | None = None, **options: Any
    ) -> Result:
        """Search `program`, or the marker's scenario, with the options of `vmsmp.explore`.

        A failure fails the test: at once if `must_pass`, at its end if it never looked at the
        result's verdict, and not at all if `must_pass` is False or the test judged the result.
        Where the marker `expect_bug` says which one is to be found, that one does not.
        """
        __tracebackhide__ = True
        scenario, defaults = self._defaults()
        if program is None:
            program = self._scenario(scenario)
        options = defaults | options
        note(self.item, "vmsmp.seed", f"{options['seed']:#x}")
        for name in (
            "sched",
            "scheduler",
        ):  # as the options are called, which have a short name and a long one
            note(self.item, f"vmsmp.{name}", "free" if self.free else options.get("sched", DEFAULT_SCHED))
        note(self.item, "vmsmp.gil", gil_word())
        result = self._run(program, options)
        self._write_down(program, result)
        if self.expected is not None and must_pass is None:
            must_pass = True
        if must_pass:
            self._judge(result)
        elif must_pass is None and result.failures:
            result = Unread.of(result)
            self.found.given.append(result)
        return result

    def _judge(self, result: Result) -> None:
        """Fail the test over what it was not to find."""
        __tracebackhide__ = True
        strange = [one for one in result.failures if self.expected is None or not self._expects(one)]
        if strange:
            self.found.told = len(self.found.failures)
            pytest.fail("\n\n".join(told(self.item, failure) for failure in strange), pytrace=False)

    def _expects(self, failure: Failure) -> bool:
        return self.expected is not None and is_expected(failure, self.expected)

    def _run(self, program: Program, options: dict[str, Any]) -> Result:
        """Search, or follow the lines that were given."""
        __tracebackhide__ = True
        lines = self._lines(program)
        try:
            if lines:
                result = _follow(program, lines, options)
            elif self.free:
                result = self._freely(program, options)
            else:
                result = self._search(program, options)
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

    def _freely(self, program: Program, options: dict[str, Any]) -> Result:
        """Run in the free engine."""
        __tracebackhide__ = True
        from vmsmp.pytest_plugin.freely import freely

        with Note(self.item, f"{program_name(program)} freely, seed {options['seed']:#x}"):
            return freely(program, options)

    def _defaults(self) -> tuple[str | None, dict[str, Any]]:
        """The markers' scenario, and the options of the markers over those of the command line."""
        __tracebackhide__ = True
        marked = options_of(self.item)
        scenario = marked.pop("scenario", None)
        known = set(inspect.signature(explore).parameters) - {"program", "progress"}
        if strange := sorted(set(marked) - known):
            pytest.fail(
                f"the marker vmsmp has no {strange[0]!r}: use scenario, {', '.join(sorted(known))}",
                pytrace=False,
            )
        given: dict[str, Any] = {"seed": seed_of(self.settings.seed, self.nodeid)}
        if self.settings.sched is not None:
            given["sched"] = self.settings.sched
        if self.settings.schedules is not None:
            given["schedules"] = self.settings.schedules
        only = {} if self.seed is None else {"seed": self.seed, "schedules": 1}
        return scenario, given | marked | only

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

    def _write_down(self, program: Program, result: Result) -> None:
        """What the result says, where reports and JUnit files look for it."""
        properties: dict[str, Any] = dict(self.item.user_properties)
        before = properties.get("vmsmp.executions", 0)
        note(self.item, "vmsmp.executions", before + result.executions)
        note(self.item, "vmsmp.steps", properties.get("vmsmp.steps", 0) + result.steps)
        for failure in result.failures:
            self.found.failures.append(failure)
            self.found.met = self.found.met or self._expects(failure)
            if failure.schedule:
                self._property("schedule", failure.schedule)
            self._property("signature", failure.signature)
            finding = explain(failure, result.options.repairs)
            if finding is not None:
                self._property("known", finding.name)
                self.found.known[failure.signature] = finding_lines(program, failure, result.options, finding)
            self._property("replay" if failure.schedule else "again", again_command(self.item, failure))
        self._keep(result)

    def _property(self, name: str, value: str) -> None:
        self.item.user_properties.append((f"vmsmp.{name}", value))

    def _keep(self, result: Result) -> None:
        """Put the result where the command line and the test want it, too."""
        store = getattr(self.item, "funcargs", {}).get("vmsmp_store")
        if store is not None:
            store.keep(result)
        if self.settings.traces is not None:
            from vmsmp.pytest_plugin.traces import write_trace

            for failure in result.failures:
                if failure.story is not None:
                    self._property("trace", write_trace(self.settings.traces, self.nodeid, failure))


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
