"""`vmsmp ddb`: stop a replayed run at a step and look around, as in the kernel's debugger."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from vmsmp.campaign.debugger import stop_at
from vmsmp.cli import INTERRUPTED
from vmsmp.cli.arguments import Subparsers, add_hang, add_json, hang_of, number, print_json
from vmsmp.cli.lines import add_line, line_and_program
from vmsmp.cli.streams import asks, typed_line
from vmsmp.engine.machine import CpuSnapshot, Machine
from vmsmp.errors import UsageError, quoted
from vmsmp.report.text import scene_lines
from vmsmp.vm.command import whole_number
from vmsmp.vm.ddb import COMMANDS, HARDWARE

_CALLS = (
    *(call for command in (*COMMANDS, *HARDWARE) for call in command.help),
    ("show cpus", "how every CPU stands"),
    ("sysctl [NAME]", "all sysctls, or one"),
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
        epilog=f"Commands:\n{HELP}\nExit code 0, whether the run fails or not; 4: interrupted.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_line(parser)
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
    add_hang(parser)
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    schedule, program = line_and_program(args)
    session = _Session(args.command, quiet=args.json)
    with _interruptible(session):
        violation = stop_at(program, schedule, args.step, session.visit, hang_s=hang_of(args))
    if session.error:
        raise UsageError(session.error)
    end = f"{violation.kind}: {violation.message}" if violation is not None else "clean"
    if args.json:
        ends = None if session.over else end
        print_json({"schedule": str(schedule), "stops": session.stops, "ends": ends})
    elif not session.over:
        print(f"the run ends: {end}")
    return 0


@contextmanager
def _interruptible(session: _Session) -> Iterator[None]:
    """Let Ctrl-C end the process at once while the session waits for a line.

    No thread can be called back from that wait.  At any other time Ctrl-C is what it was.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        if session.asking:
            print("\nvmsmp: interrupted", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Session:
    """The commands of one session, from the command line or the prompt.

    `stops` has for every stop where it was and what the commands given there said; `quiet` prints none of it.
    """

    def __init__(self, commands: list[str], *, quiet: bool = False) -> None:
        self.stops: list[dict[str, Any]] = []
        self.error = ""
        self.over = False
        #: Whether the machine stands still until a line is typed.
        self.asking = False
        self._quiet = quiet
        self._given = bool(commands)
        self._left = deque(commands)
        self._stopped = False

    def _lines(self) -> Iterator[str]:
        """The commands given, one by one, or what is typed until the input ends."""
        while self._left:
            yield self._left.popleft()
        prompt = "db> " if asks() and not self._quiet else ""
        while not self._given:
            self.asking = True
            print(prompt, end="", flush=True)
            line = typed_line()
            self.asking = False
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
        elif name == "sysctl" and len(rest) <= 1:
            self._say(_sysctl(machine, rest))
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
            raise UsageError(f"ddb: unknown command {quoted(' '.join(words))}; `help` lists them")
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


def _sysctl(machine: Any, names: list[str]) -> str:
    """The text of one `sysctl`."""
    tree = _booted(machine).sysctl
    return "\n".join(f"{name}: {tree[name]}" for name in names or tree)


def _booted(machine: Any) -> Any:
    """The machine's memory."""
    if machine.vm is None:
        raise UsageError("ddb: this machine has not booted a VM")
    return machine.vm


def _mmu(machine: Any) -> Any:
    """The machine's memory-management units."""
    if machine.hardware is None:
        raise UsageError("ddb: this machine has no MMU")
    return machine.hardware


def _show(machine: Any, scene: tuple[CpuSnapshot, ...], what: list[str]) -> str:
    """The text of one `show`."""
    name, *rest = what
    if name == "cpus" and not rest:
        return "\n".join(scene_lines(scene))
    command = next((command for command in (*COMMANDS, *HARDWARE) if command.name == name), None)
    if command is None or len(rest) > 1:
        raise UsageError(f"ddb: cannot show {quoted(' '.join(what))}; `help` lists what can be shown")
    shown = _mmu(machine) if command in HARDWARE else _booted(machine)
    return command.show(shown, rest[0] if rest else None)
