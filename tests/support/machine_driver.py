"""A machine driven from outside: its boot CPU makes one call after another, as a test says."""

import threading
from queue import SimpleQueue

from vmsmp.check import checkers
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.workers import WorkerPool
from vmsmp.machine import Machine
from vmsmp.sched.random_walk import RandomWalk


class Driver:
    """The machine, with all checkers; `end` it or `stop` it, or its thread stays."""

    def __init__(self):
        self._calls, self._answers = SimpleQueue(), SimpleQueue()
        self._pool = WorkerPool()
        engine = ControlledEngine(self._pool, max_steps=1_000_000)
        self._execution = engine.prepare(RandomWalk(0))
        self.machine = Machine(self._execution, hooks=Hooks(checkers(True)))
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self):
        try:
            with self._pool:
                self._pool.drive(lambda: self._execution.execute(self.machine, self._boot))
        finally:
            self._answers.put((False, None))

    def _boot(self, m):
        while (call := self._calls.get()) is not None:
            self._answers.put((True, call()))

    def do(self, call, *args):
        """What `call(*args)` returns on the CPU; AssertionError if that was the machine's end."""
        self._calls.put(lambda: call(*args))
        alive, answer = self._answers.get()
        assert alive, self.violation()
        return answer

    def end(self):
        """Let the CPU end and what is checked then be checked."""
        self.stop()
        assert None is self.machine.violation, self.violation()

    def stop(self):
        """End the CPU whatever is left."""
        self._calls.put(None)
        self._thread.join()

    def violation(self):
        found = self.machine.violation
        return "\n  ".join([f"{found.kind}: {found.message}", *found.facts]) if found else "the CPU has ended"
