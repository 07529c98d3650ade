"""What observers see of an access, a flush that is done, and a frame that changes hands."""

from __future__ import annotations

from vmsmp.check import checkers
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.workers import WorkerPool
from vmsmp.machine import Machine
from vmsmp.mmu.observer import MmuObserver
from vmsmp.mmu.space import AddressSpace
from vmsmp.sched.random_walk import RandomWalk


class Diary(MmuObserver):
    def __init__(self):
        self.seen = []

    def walks(self, cpu, root, va):
        self.seen.append(("walks", root, va))

    def walked(self, cpu, found):
        self.seen.append(("walked", found.frame, found.dirty))

    def filled(self, cpu, entry):
        self.seen.append(("filled", entry.frame, entry.dirty))

    def used(self, cpu, entry, va, access):
        self.seen.append(("used", va, access.write, cpu.machine.engine.log[-1] >> 12))

    def settled(self, cpu, root, va, npages):
        self.seen.append(("settled", root, va, npages))

    def assigned(self, cpu, frame, owner):
        self.seen.append(("assigned", frame, owner))


def test_an_observer_sees_every_event_in_the_step_in_which_it_happens():
    diary = Diary()

    def program(m):
        mmu = m.mmu(frames=8)
        space = AddressSpace(mmu, "P")
        space.enter(0x1000, 6)
        space.activate()
        diary.seen.clear()
        m.curcpu.store(0x1000, 1)
        m.curcpu.load(0x1000)
        mmu.settled(space.root, 0x1000, 2)
        mmu.memory.assign(6, "P")

    with WorkerPool() as pool:
        execution = ControlledEngine(pool).prepare(RandomWalk(0))
        machine = Machine(execution, hooks=Hooks((*checkers(True), diary)))
        pool.drive(lambda: execution.execute(machine, program))
    assert None is machine.violation
    assert [
        ("walks", 0, 0x1000),
        ("walked", 6, False),
        ("filled", 6, True),
        ("used", 0x1000, True),
        ("used", 0x1000, False),
        ("settled", 0, 0x1000, 2),
        ("assigned", 6, "P"),
    ] == [event[:3] if event[0] == "used" else event for event in diary.seen]
    first, second = (event[3] for event in diary.seen if event[0] == "used")
    assert first == second  # both in the step of an operation on the same frame


def test_what_an_observer_does_not_override_costs_nothing():
    hooks = Hooks((MmuObserver(),))
    assert ((), (), ()) == (hooks.walks, hooks.used, hooks.assigned)


class Contents(MmuObserver):
    def __init__(self):
        self.seen = []

    def saw(self, cpu, va, access, value):
        self.seen.append(("saw", va, access.write, value))

    def wrote(self, cpu, frame, offset, source):
        self.seen.append(("wrote", frame, offset, source))

    def zeroed(self, cpu, frame):
        self.seen.append(("zeroed", frame))


def test_an_observer_sees_what_is_read_and_written():
    contents = Contents()

    def program(m):
        mmu = m.mmu(frames=8)
        space = AddressSpace(mmu, "P")
        space.enter(0x1000, 6)
        space.activate()
        m.curcpu.store(0x1200, 1)
        m.curcpu.load(0x1200)
        mmu.memory.store(5, 0, 2)
        mmu.memory.copy(6, 5)
        mmu.memory.zero(5)

    with WorkerPool() as pool:
        execution = ControlledEngine(pool).prepare(RandomWalk(0))
        machine = Machine(execution, hooks=Hooks((*checkers(True), contents)))
        pool.drive(lambda: execution.execute(machine, program))
    assert None is machine.violation
    assert [
        ("wrote", 6, 0x200, None),
        ("saw", 0x1200, True, 1),
        ("saw", 0x1200, False, 1),
        ("wrote", 5, 0, None),
        ("zeroed", 5),
        ("wrote", 5, 0x200, 6),
        ("zeroed", 5),
    ] == contents.seen
