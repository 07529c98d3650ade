"""Reading the engine's log step by step, and the names of CPUs across runs."""

from __future__ import annotations

from types import SimpleNamespace

from vmsmp.sched.log_cursor import LogCursor


class Run:
    """A machine as far as a cursor sees it."""

    def __init__(self, cursor):
        self.cursor = cursor
        self.engine = SimpleNamespace(log=[], current=SimpleNamespace(index=0))
        self.count = 0
        self.spawn(0)

    def spawn(self, parent):
        self.engine.current.index = parent
        cpu = SimpleNamespace(index=self.count, machine=SimpleNamespace(engine=self.engine))
        self.cursor.spawned(cpu)
        self.count += 1
        return cpu


def test_steps_are_told_with_their_cpus():
    run = Run(LogCursor())
    run.engine.log += [10, -2, 11, 12, -1, 13]
    assert [(0, 10), (1, 11), (1, 12), (0, 13)] == list(run.cursor.advance())


def test_a_step_is_told_once():
    run = Run(LogCursor())
    run.engine.log += [10]
    list(run.cursor.advance())
    assert [] == list(run.cursor.advance())


def test_the_running_cpu_is_kept_between_two_looks():
    run = Run(LogCursor())
    run.engine.log += [-3, 10]
    list(run.cursor.advance())
    run.engine.log += [11]
    assert [(2, 11)] == list(run.cursor.advance())


def test_a_new_run_is_read_from_its_beginning():
    cursor = LogCursor()
    run = Run(cursor)
    run.engine.log += [-3, 10]
    list(cursor.advance())
    again = Run(cursor)
    again.engine.log += [11]
    assert [(0, 11)] == list(cursor.advance())


def test_the_boot_cpu_has_the_empty_path():
    assert [()] == Run(LogCursor()).cursor.paths


def test_a_path_names_the_spawns_from_the_boot_cpu():
    run = Run(LogCursor())
    for parent in (0, 0, 2, 2, 1):
        run.spawn(parent)
    assert [(), (0,), (1,), (1, 0), (1, 1), (0, 0)] == run.cursor.paths


def test_a_path_does_not_depend_on_when_others_are_spawned():
    paths = []
    for order in ((0, 0, 1, 2), (0, 0, 2, 1)):
        run = Run(LogCursor())
        for parent in order:
            run.spawn(parent)
        paths.append(sorted(run.cursor.paths))
    assert paths[0] == paths[1]


def test_parents_are_told_by_index():
    run = Run(LogCursor())
    for parent in (0, 0, 2):
        run.spawn(parent)
    assert [0, 0, 0, 2] == run.cursor.parents
