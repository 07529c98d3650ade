"""The timer of the pytest plugin: it says what each CPU of a hung test holds and wants.

No faulthandler: on a free-threaded build that shows the current thread only, and its own watchdog
has crashed there.  What is shown is the model's view, taken without any lock.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_timeout  # type: ignore[import-untyped]  # it has no stubs

from vmsmp.engine.flag import Flag
from vmsmp.engine.watch import WATCH, Watch

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.machine import CpuSnapshot

#: Seconds that a stopped test gets to come to its end before pytest-timeout ends the process.
GRACE_S: Final = 30.0
#: Seconds that its CPUs get to unwind before they are abandoned.
PATIENCE_S: Final = 5.0
#: Seconds in which a CPU that gets on does something, however busy the host is.
LOOK_S: Final = 0.5


class Watchdog:
    """One test's timer.

    When the time is up and machines run, it writes down how they stand and stops them; the test
    fails with that text.  Without a machine, or if the test does not end all the same,
    pytest-timeout does what it would have done.  `again` is the command that runs the test again.
    """

    def __init__(self, item: pytest.Item, settings: Any, again: str) -> None:
        self.item = item
        self.settings = settings
        self.again = again
        self.over = Flag()
        self.tested = threading.current_thread()
        self.watch = Watch()
        WATCH.set(self.watch)
        self.alarm = (
            settings.method == "signal"
            and hasattr(signal, "SIGALRM")
            and self.tested is threading.main_thread()
        )
        if self.alarm:
            signal.signal(signal.SIGALRM, self._alarmed)
        self.thread = threading.Thread(target=self._run, name="vmsmp-watchdog", daemon=True)

    def cancel(self) -> None:
        """The test has ended.  May be called more than once, on the test's thread."""
        if self.over.is_set():
            return
        self.over.set()
        self.thread.join(timeout=GRACE_S)
        if self.alarm:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        if WATCH.get() is self.watch:
            WATCH.set(None)

    def in_time(self) -> bool:
        """Wait until the test ends or its time is up.  Returns whether it has ended."""
        return self.over.wait(self.settings.timeout)

    def _run(self) -> None:
        if self.in_time():
            return
        if not self.settings.disable_debugger_detection and pytest_timeout.is_debugging():
            return
        try:
            text = self._report()
        except Exception as error:  # the CPUs run on meanwhile; a test must end whatever they do
            text = f"hang: the machines could not be looked at: {error!r}"
        if text:
            self.watch.stop(pytest.fail.Exception(text, pytrace=False), PATIENCE_S)
            ended = self.over.wait(GRACE_S)
        elif self.alarm and not self.over.is_set():
            signal.pthread_kill(self.tested.ident or 0, signal.SIGALRM)
            ended = self.over.wait(GRACE_S)
        else:
            ended = self.over.is_set()
        if not ended:
            pytest_timeout.timeout_timer(self.item, self.settings)

    def _alarmed(self, *_: object) -> None:
        __tracebackhide__ = True
        pytest_timeout.timeout_sigalrm(self.item, self.settings)

    def engines(self) -> list[Any]:
        """The engines that run a machine of the test right now."""
        engines = [pool.engine for pool in list(self.watch.pools)]
        return [engine for engine in engines if engine is not None and engine.machine is not None]

    def _report(self) -> str:
        """How the machines of the test stand, "" if none runs."""
        engines: list[Any] = []

        def seen() -> bool:
            """There may be none just now, in a test that makes one after the other."""
            engines[:] = self.engines()
            return bool(engines) or self.over.is_set()

        _soon(seen)
        return "\n\n".join(self._standing(engine) for engine in engines)

    def _standing(self, engine: Any) -> str:
        """How the machine that an engine runs stands."""
        from vmsmp.campaign.outcome import signature_of
        from vmsmp.engine.verdict import FailureKind, Violation
        from vmsmp.report.text import scene_lines

        before = engine.execution.progress()
        name, cpus, scene = _scene(engine)
        violation = Violation(
            FailureKind.HANG, f"{name} has not come to its end in {self.settings.timeout:g} s"
        )
        self.item.user_properties.append(("vmsmp.signature", signature_of(violation)))
        execution = engine.execution
        moving = _soon(lambda: engine.execution.progress() != before)
        lines = [
            f"hang: {violation.message}",
            f"  {execution.name} engine; {'its CPUs still get on' if moving else 'no CPU gets on'}"
            + (": give the test more time, or the search less (schedules, time_s)" if moving else ""),
            *(f"  the test is at {place}" for place in self._places()),
            "",
            *scene_lines(scene),
            "the last operations of every CPU:",
        ]
        for cpu in cpus:
            done = ", ".join(cpu.machine.describe(code) for code in execution.recent(cpu)[-16:])
            lines.append(f"  {cpu}: {done or 'none'}")
        lines += ["", f"again: {self.again}"]
        return "\n".join(lines)

    def _places(self) -> Iterator[str]:
        """Where the test's own thread stands: the innermost place that is not ours."""
        from vmsmp.engine import source

        frame = source.current_frames().get(self.tested.ident or 0)
        for place in source.standing(frame):
            if "pytest_plugin/" not in place.file:
                yield str(place)
                return


def _soon(happens: Callable[[], bool]) -> bool:
    """Whether it happens while we look."""
    deadline = time.monotonic() + LOOK_S
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.005)
    return happens()


def _scene(engine: Any) -> tuple[str, list[Cpu], tuple[CpuSnapshot, ...]]:
    """The program, the CPUs and how they stand, of a later execution if the search is there now."""
    from vmsmp.engine.schedule import program_name

    name = "the program"
    cpus: list[Cpu] = []
    scene: tuple[CpuSnapshot, ...] = ()

    def running() -> bool:
        """Look at the execution of this moment; between two of them there is nothing to see."""
        nonlocal name, cpus, scene
        current = engine.machine
        # First what a machine forgets when its execution ends, which may be any moment.
        cpus = list(current.cpus)
        boot = cpus[0].fn if cpus else None
        scene = current.survey()
        if boot is None or all(stand.done for stand in scene):
            return False
        name = program_name(boot)
        return True

    _soon(running)
    return name, cpus, scene
