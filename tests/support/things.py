"""A record with one of each sort of field, and a machine with nothing but records."""

from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.machine import Machine
from vmsmp.records.field import Bits, field, plain, word
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, record
from vmsmp.records.share import Share
from vmsmp.sched.random_walk import RandomWalk
from vmsmp.sync.lock import EXCLUSIVE

OWNER = Share("owner", owned=True, invariant="INV-X1")
READER = Share("reader", owned=True, invariant="INV-X2")
WIRING = Share("wiring", owned=False, invariant="INV-X3")

LEGEND = {
    "S": Letter("thing.spin", lambda cpu, thing: cpu.holds(thing.spin, EXCLUSIVE)),
    "O": Letter("its own share", lambda cpu, thing: cpu.holds(thing, OWNER)),
    "Z": Letter("a zero", lambda _cpu, thing: thing.peek("free") == 0),
}


@record(legend=LEGEND)
class Thing(Record):
    """One of each sort of field."""

    kind = "thing"

    count = word(format=hex, default=7)
    both = field("S", "S+O", format=lambda value: f"<{value}>", watch=True)
    either = field("S|O")
    free = field("")
    seen = field("", "S")
    items = field("S", factory=dict)
    label = plain()

    @property
    def name(self):
        return f"thing[{self.label}]"


@record(legend=LEGEND)
class Marked(Record):
    """A word with bits that have locks of their own, and a field that stands still under a share."""

    kind = "marked"

    marks = word(format=hex, default=5, bits=(Bits(0x3, "O", "S"), Bits(0x4, "S")))
    size = field("", "S", still="O")
    label = plain()

    @property
    def name(self):
        return f"marked[{self.label}]"


class Home:
    """What records hang off, without a kernel around it."""

    def __init__(self, m):
        self.machine = m
        self.engine = m.engine
        self.hooks = m.hooks
        self.point = m.point
        self.making = m.making
        self.booted = True


def run(program, *observers):
    """Run `program(machine, home)` under the controlled engine and give back what it returned."""
    told = []
    with WorkerPool(current_core()) as pool:
        execution = ControlledEngine(pool, max_steps=10_000).prepare(RandomWalk(0))
        machine = Machine(execution, hooks=Hooks(observers))
        pool.drive(lambda: execution.execute(machine, lambda m: told.append(program(m, Home(m)))))
    assert None is machine.violation
    return told[0]


def operations(program):
    """The visible operations of `act()` of `act = program(machine, home)`."""

    def measured(m, home):
        act = program(m, home)
        before = len(m.engine.log)
        act()
        return [m.describe(code) for code in m.engine.log[before:]]

    return run(measured)
