"""`vmsmp ddb`: stop a replayed run at a step and look around, as in the kernel's debugger."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

from vmsmp.campaign.debugger import stop_at
from vmsmp.cli.arguments import Subparsers, add_json, number, print_json
from vmsmp.cli.replay import read_schedule
from vmsmp.engine.machine import CpuSnapshot, Machine
from vmsmp.errors import UsageError
from vmsmp.library import find_scenario
from vmsmp.report.text import scene_lines
from vmsmp.vm.command import whole_number
from vmsmp.vm.ddb import COMMANDS

_CALLS = (
    *(call for command in COMMANDS for call in command.help),
    ("show cpus", "how every CPU stands"),
    ("step [N]", "go on for N steps (default 1)"),
    ("goto STEP", "go on to that step"),
    ("continue", "go on to the end"),
    ("quit", ""),
)
_WIDTH = max(len(call) for call, _ in _CALLS) + 1
HELP = "\n".join(f"{call:{_WIDTH}}{text}".rstrip() for call, text in _CALLS)


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "ddb",
        help="look around in a run that is stopped",
        description="Replay a schedule, stop before a step and run the debugger's commands there: those "
        "given with -c, or those typed at its prompt.",
        epilog=f"Commands:\n{HELP}\nExit code 0, whether the run fails or not.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("schedule", help="a line as a report prints it, or a file that holds one")
    parser.add_argument(
        "-c",
        "--command",
        action="append",
        default=[],
        metavar="COMMAND",
        help="run this command instead of asking; may be given several times",
    )
    parser.add_argument(
        "--step",
        type=number(int, 0, 10**9),
        metavar="N",
        help="stop before that step, as a report numbers them (default: the end)",
    )
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    schedule = read_schedule(args.schedule)
    session = _Session(args.command, quiet=args.json)
    violation = stop_at(find_scenario(schedule.program), schedule, args.step, session.visit)
    if session.error:
        raise UsageError(session.error)
    end = f"{violation.kind}: {violation.message}" if violation is not None else "clean"
    if args.json:
        ends = None if session.over else end
        print_json({"schedule": str(schedule), "stops": session.stops, "ends": ends})
    elif not session.over:
        print(f"the run ends: {end}")
    return 0


class _Session:
    """The commands of one session, from the command line or the prompt.

    `stops` has for every stop where it was and what the commands given there said; `quiet` prints none of it.
    """

    def __init__(self, commands: list[str], *, quiet: bool = False) -> None:
        self.stops: list[dict[str, Any]] = []
        self.error = ""
        self.over = False
        self._quiet = quiet
        self._given = bool(commands)
        self._left = deque(commands)
        self._stopped = False

    def _lines(self) -> Iterator[str]:
        """The commands given, one by one, or what is typed until the input ends."""
        while self._left:
            yield self._left.popleft()
        prompt = "db> " if sys.stdin.isatty() and not self._quiet else ""
        while not self._given:
            print(prompt, end="", flush=True)
            line = sys.stdin.readline()
            if not line:
                return
            yield line

    def visit(self, machine: Machine, step: int | None, scene: tuple[CpuSnapshot, ...]) -> int | None:
        """The run is stopped: take commands until one lets it go on."""
        if self.over or self.error or (self._given and step is None and self._stopped and not self._left):
            return None
        self._stopped = True
        self._arrive(machine, step)
        for line in self._lines():
            self._begin(line.strip())
            try:
                words = shlex.split(line)
                if words:
                    going = self._command(machine, scene, step, words)
                    if going is not None:
                        return going if going >= 0 else None
            except (UsageError, ValueError) as error:
                if self._given:
                    self.error = str(error)
                    return None
                self._say(str(error))
        self.over = True
        return None

    def _arrive(self, machine: Machine, step: int | None) -> None:
        """Say where the run is stopped."""
        cpu = machine.curcpu
        what = machine.describe(cpu.pending) if step is not None else ""
        self.stops.append({"step": step, "cpu": cpu.index, "before": what, "commands": []})
        if self._quiet:
            return
        if step is not None:
            print(f"stopped before step {step}: {cpu}, {what}")
            return
        print("stopped where the run ends")
        if machine.violation is not None:
            print("(it failed, and the CPUs have let go of what `show cpus` says they held)")

    def _begin(self, command: str) -> None:
        """What is said from now on answers that command."""
        if command:
            self.stops[-1]["commands"].append({"command": command, "says": ""})

    def _say(self, text: str) -> None:
        """Answer the command."""
        if self._quiet:
            self.stops[-1]["commands"][-1]["says"] = text
        else:
            print(text)

    def _command(
        self, machine: Any, scene: tuple[CpuSnapshot, ...], step: int | None, words: list[str]
    ) -> int | None:
        """Do one command.  Returns the step to stop at next, -1 for the end, or None to stay here."""
        name, *rest = words
        if name == "show" and rest:
            self._say(_show(machine, scene, rest))
        elif name in ("step", "s") and len(rest) <= 1:
            return self._onward(step, (step or 0) + (whole_number(rest[0]) if rest else 1))
        elif name == "goto" and len(rest) == 1:
            return self._onward(step, whole_number(rest[0]))
        elif name in ("continue", "c") and not rest:
            return -1
        elif name in ("quit", "q") and not rest:
            self.over = True
            return -1
        elif name == "help" and not rest:
            self._say(HELP)
        else:
            raise UsageError(f"ddb: unknown command {' '.join(words)!r}; `help` lists them")
        return None

    @staticmethod
    def _onward(step: int | None, wanted: int) -> int:
        if step is None:
            raise UsageError("ddb: the run is over")
        if wanted == step:
            raise UsageError(f"ddb: this is step {step}")
        if wanted < step:
            raise UsageError(f"ddb: step {wanted} is behind, start again with --step {wanted}")
        return wanted


def _show(machine: Any, scene: tuple[CpuSnapshot, ...], what: list[str]) -> str:
    """The text of one `show`."""
    name, *rest = what
    if name == "cpus" and not rest:
        return "\n".join(scene_lines(scene))
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None or len(rest) > 1:
        raise UsageError(f"ddb: cannot show {' '.join(what)!r}; `help` lists what can be shown")
    if machine.vm is None:
        raise UsageError("ddb: this machine has not booted a VM")
    return command.show(machine.vm, rest[0] if rest else None)
