"""A machine driven from outside: its boot CPU makes one call after another, as a test says."""

import threading
from queue import SimpleQueue

from vmsmp.check import checkers
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.crew import Crew
from vmsmp.engine.observer import Hooks
from vmsmp.machine import Machine
from vmsmp.sched.random_walk import RandomWalk


class Driver:
    """The machine, with all checkers; `end` it or `stop` it, or its thread stays."""

    def __init__(self):
        self._calls, self._answers = SimpleQueue(), SimpleQueue()
        self._crew = Crew()
        self._engine = ControlledEngine(self._crew, max_steps=1_000_000)
        self.machine = Machine(self._engine, hooks=Hooks(checkers(True)))
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self):
        try:
            with self._crew:
                self._crew.drive(lambda: self._engine.execute(self.machine, self._boot, RandomWalk(0)))
        finally:
            self._answers.put((False, None))

    def _boot(self, m):
        while (call := self._calls.get()) is not None:
            self._answers.put((True, call()))

    def do(self, call, *args):
        """What `call(*args)` returns on the CPU; AssertionError if that was the machine's end."""
        self._calls.put(lambda: call(*args))
        alive, answer = self._answers.get()
        assert alive, self.trouble()
        return answer

    def end(self):
        """Let the CPU end and what is checked then be checked."""
        self.stop()
        assert None is self.machine.trouble, self.trouble()

    def stop(self):
        """End the CPU whatever is left."""
        self._calls.put(None)
        self._thread.join()

    def trouble(self):
        found = self.machine.trouble
        return "\n  ".join([f"{found.kind}: {found.message}", *found.facts]) if found else "the CPU has ended"
