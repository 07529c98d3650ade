"""The end of a session: every schedule that failed, with the command that replays it.

Reports carry the commands as properties, so they come from xdist's workers as well.
"""

from __future__ import annotations

import pytest


class FailedSchedules:
    """Collects what reports say of failed schedules; lives in the process that owns the terminal."""

    def __init__(self) -> None:
        #: For each test that failed, signatures and commands in the order in which they were found.
        self.found: dict[str, list[tuple[str, str]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" or not report.failed:
            return
        signatures = _properties(report, "vmsmp.signature")
        commands = _properties(report, "vmsmp.replay", "vmsmp.again")
        if commands:
            self.found[report.nodeid] = list(zip(signatures, commands, strict=False))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.found:
            return
        terminalreporter.section("vmsmp: failed schedules")
        for nodeid, failures in sorted(self.found.items()):
            for signature, command in failures:
                terminalreporter.line(f"{nodeid}: {signature}")
                terminalreporter.line(f"  {command}")


def _properties(report: pytest.TestReport, *wanted: str) -> list[str]:
    return [str(value) for name, value in report.user_properties if name in wanted]
