"""Strategies for hypothesis: schedules with few preemptions, concurrent programs of few operations.

    from hypothesis import given, strategies as st
    from vmsmp.hypothesis_support import check, programs, schedules

    def counter(m):                                # makes what the operations share
        return SimpleNamespace(word=m.cell(0, name="word"), added=m.atomic(0, name="added"))

    def add(world, n):                             # an operation
        world.word.store(world.word.load() + n)
        world.added.fetchadd(n)

    def nothing_is_lost(world):                    # what holds when all have ended
        assert world.word.load() == world.added.load()

    @given(st.data())
    def test_every_addition_counts(data):
        program = data.draw(programs(counter, [(add, st.integers(1, 3))], cpus=2, finish=nothing_is_lost))
        check(program, data.draw(schedules(program)))

The test fails, and shrinks to the program `counter(cpu1=[add(1)], cpu2=[add(1)])` and the schedule
`v1:counter:0:1.2>2`.  A drawn program has its setup's name; to replay a schedule line, pass the same
drawn program.
Only this module imports hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar

from vmsmp.campaign.search import Program, Runner, options_for, parse_for, replay
from vmsmp.engine.ops import MAX_CPUS
from vmsmp.engine.schedule import Options, Preemption, Schedule, program_name
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.errors import ReplayDiverged, UsageError
from vmsmp.machine import Machine
from vmsmp.mutants.patch import planted
from vmsmp.sched.replay import OpCounter, Preempting

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as missing:
    if missing.name != "hypothesis":
        raise
    raise ModuleNotFoundError(
        "vmsmp.hypothesis_support needs hypothesis, which is not installed: pip install 'vmsmp[test]'",
        name="hypothesis",
    ) from None

T = TypeVar("T")

__all__ = ["check", "programs", "schedules"]

#: An operation: a function of what the setup made, or a tuple of one and strategies for its other arguments.
OperationForm = Callable[[Any], Any] | tuple[Any, ...]

#: The latest operation of a CPU to preempt in a program that was not run first.
MAX_OP: Final = 60
#: Half of the preemptions come no later than this operation: most programs are short.
EARLY: Final = 8
#: The last operation that a schedule's line can name.
LAST_OP: Final = 999_999_999


class Operation(NamedTuple):
    """One operation of a drawn program: `function(world, *values)`, shown without the world."""

    function: Callable[..., Any]
    values: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        values = (program_name(v) if callable(v) else repr(v) for v in self.values)
        return f"{program_name(self.function)}({', '.join(values)})"


@dataclass(frozen=True, slots=True, repr=False)
class ConcurrentProgram:
    """A drawn program: CPU n does `lists[n - 1]`.  Call it with a machine, like any program.

    CPUs without operations are spawned too, so that the others keep their numbers.
    """

    setup: Callable[[Machine], Any]
    lists: tuple[tuple[Operation, ...], ...]
    finish: Callable[[Any], Any] | None = None

    @property
    def __name__(self) -> str:
        return program_name(self.setup)

    @property
    def cpus(self) -> int:
        """How many CPUs work beside the boot CPU, as a scenario declares it."""
        return len(self.lists)

    def __call__(self, m: Machine, begun: list[list[int]] | None = None) -> None:
        """Run it.

        `begun` gets for each CPU the number of the visible operation at which each of its operations
        begins, and of the one after the last.  They are right only if the run has an `OpCounter`.
        """
        world = self.setup(m)
        for place, operations in enumerate(self.lists):
            m.spawn(_do, m, world, operations, begun[place] if begun else [])
        m.join()
        if self.finish is not None:
            self.finish(world)

    def __len__(self) -> int:
        return sum(map(len, self.lists))

    def __bool__(self) -> bool:
        return True  # although one without operations has length 0

    def __repr__(self) -> str:
        does = ", ".join(
            f"cpu{n}=[{', '.join(map(repr, operations))}]"
            for n, operations in enumerate(self.lists, 1)
            if operations
        )
        return f"{self.__name__}({does})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))  # hypothesis would show the fields of a dataclass


def _do(m: Machine, world: Any, operations: tuple[Operation, ...], begun: list[int]) -> None:
    for function, values in operations:
        begun.append(m.curcpu.nops)
        function(world, *values)
    begun.append(m.curcpu.nops)


def programs(
    setup: Callable[[Machine], Any],
    operations: Sequence[OperationForm],
    *,
    cpus: int,
    max_ops: int = 4,
    finish: Callable[[Any], Any] | None = None,
) -> st.SearchStrategy[ConcurrentProgram]:
    """Draw concurrent programs: for each CPU a list of operations.

    `setup(m)` runs on the boot CPU and returns the world: whatever the operations share.  An operation
    is a function `f(world)`, or a tuple `(f, strategy, ...)` for `f(world, value, ...)`.  It must release
    what it takes, since any other may follow it.  `finish(world)` runs when all have ended.
    `cpus` CPUs work beside the boot CPU and do at most `max_ops` operations each.
    Shrinks to few operations, and to those that come early in `operations`.
    Raises: UsageError for an operation of neither form, for none at all, or for impossible bounds.
    """
    _in_range("cpus", cpus, 1, MAX_CPUS - 1)
    _in_range("max_ops", max_ops, 0)
    if not operations:
        raise UsageError("a program is drawn from at least one operation")
    calls = st.one_of(*map(_operation, operations))
    lists = st.tuples(*[st.lists(calls, max_size=max_ops)] * cpus)

    return lists.map(lambda drawn: ConcurrentProgram(setup, tuple(map(tuple, drawn)), finish))


def _operation(form: OperationForm) -> st.SearchStrategy[Operation]:
    function, *strategies = form if isinstance(form, tuple) and form else (form,)
    if not callable(function) or not all(isinstance(s, st.SearchStrategy) for s in strategies):
        raise UsageError(
            f"an operation is a function, or a tuple of a function and strategies, and not {form!r}"
        )
    return st.tuples(*strategies).map(lambda values: Operation(function, values))


def schedules(
    program: Program | str,
    *,
    cpus: int | None = None,
    max_preemptions: int = 4,
    max_op: int | None = None,
    seed: int = 0,
    options: Options | None = None,
) -> st.SearchStrategy[Schedule]:
    """Draw schedules of a program: a few preemptions, at operations up to `max_op` of each CPU.

    `program` is a program or its name.  `cpus` work beside the boot CPU, by default as many as the program
    declares.  `max_op` is 60 by default.  `seed` is for what the program draws.  `options` are those of a
    schedule, by default those that a scenario declares.
    A program drawn by `programs` is run once first.  Its schedules preempt only CPUs that do something,
    anywhere in what they do up to `max_op`.  A preemption is drawn relative to an operation of the list,
    so it stays with that operation when others are removed.
    A preemption that does not apply is ignored, so every schedule can be run.  Shrinks to no preemptions,
    and to early operations.
    Raises: UsageError for impossible bounds.
    """
    cpus = _working_cpus(program, cpus)
    _in_range("max_preemptions", max_preemptions, 0)
    if max_op is not None:
        _in_range("max_op", max_op, 0, LAST_OP)
    empty = _empty_schedule(program, seed, options)
    if isinstance(program, ConcurrentProgram):
        step = _steps_inside(program, empty, max_op)
    else:
        step = _steps_anywhere(cpus, MAX_OP if max_op is None else max_op)
    if step is None:
        return st.just(empty)
    steps = st.lists(step, max_size=max_preemptions, unique_by=lambda p: (p.cpu, p.nth))
    return steps.map(lambda drawn: empty.with_steps(tuple(sorted(drawn))))


def _working_cpus(program: Program | str, cpus: int | None) -> int:
    """Return how many CPUs work beside the boot CPU."""
    declared: int | None = getattr(program, "cpus", None)
    number = declared if cpus is None else cpus
    if number is None:
        raise UsageError("cpus must be given for a program that does not say how many it has")
    _in_range("cpus", number, 1, MAX_CPUS - 1)
    if isinstance(program, ConcurrentProgram) and number != declared:
        raise UsageError(f"{program.__name__!r} was drawn for {declared} CPUs, not for {number}")
    return number


def _empty_schedule(program: Program | str, seed: int, options: Options | None) -> Schedule:
    """Return the program's schedule without preemptions."""
    name = program if isinstance(program, str) else program_name(program)
    if options is None:
        options = Options() if isinstance(program, str) else options_for(program)
    return Schedule.parse(str(Schedule(name, seed, (), options)))  # parsed, to reject a bad name


def _steps_anywhere(cpus: int, max_op: int) -> st.SearchStrategy[Preemption]:
    """Draw preemptions of a program about which nothing is known."""
    working = range(1, cpus + 1)
    pairs = [(cpu, other) for cpu in working for other in working if cpu != other]
    pairs = [*pairs * 4, *((cpu, 0) for cpu in working), *((0, cpu) for cpu in working)]  # it mostly waits
    nth = st.integers(0, min(EARLY, max_op)) | st.integers(0, max_op)
    return st.builds(lambda pair, n: Preemption(pair[0], n, pair[1]), st.sampled_from(pairs), nth)


def _steps_inside(
    program: ConcurrentProgram, schedule: Schedule, max_op: int | None
) -> st.SearchStrategy[Preemption] | None:
    """Draw preemptions of a drawn program: the CPU, which of its operations, how far into that one.

    None if there is nothing to preempt.
    """
    spans = _spans(program, schedule, LAST_OP if max_op is None else max_op)
    preempted = [cpu for cpu, its in spans.items() if its]
    working = [cpu for cpu, operations in enumerate(program.lists, 1) if operations]
    if not preempted or len(working) < 2:
        return None

    @st.composite
    def step(draw: st.DrawFn) -> Preemption:
        cpu = _pick(draw, preempted)
        other = _pick(draw, [other for other in working if other != cpu])
        nth = _pick(draw, _pick(draw, spans[cpu]))
        return Preemption(cpu, nth, other)

    return step()


def _spans(program: ConcurrentProgram, schedule: Schedule, last: int) -> dict[int, list[range]]:
    """Run the program once; return by CPU the visible operations up to `last` of each of its operations."""
    begun: list[list[int]] = [[] for _ in program.lists]
    _run(program, schedule, instead=partial(program, begun=begun))
    return {
        cpu: [
            range(first, min(end, last + 1)) for first, end in pairwise(numbers) if first < min(end, last + 1)
        ]
        for cpu, numbers in enumerate(begun, 1)
    }


def _pick(draw: st.DrawFn, choices: Sequence[T]) -> T:
    """Draw one of the choices.

    Draws even if there is only one: else all later draws would shift as lists shrink.
    """
    return choices[min(draw(st.integers(0, max(1, len(choices) - 1))), len(choices) - 1)]


def _in_range(name: str, value: int, least: int, most: int | None = None) -> None:
    if value < least or (most is not None and value > most):
        limits = f"at least {least}" if most is None else f"from {least} to {most}"
        raise UsageError(f"{name} must be {limits}, not {value}")


def check(program: Program, schedule: Schedule) -> None:
    """Run a program along a schedule with all checkers, and fail the test if it fails.

    Hypothesis tells failures apart by where they are raised, and all are raised here: of two bugs in a
    program it shows one.
    Raises: AssertionError with the report of the failure; UsageError for a schedule of another
    program.
    """
    if _run(program, parse_for(program, schedule), check=True):
        failure = replay(program, schedule).failure  # with its story, which is three times slower
        if failure is None:
            raise ReplayDiverged("the program failed once along this schedule and not again")
        raise AssertionError(failure.report())


def _run(
    program: Program, schedule: Schedule, *, check: bool = False, instead: Program | None = None
) -> bool:
    """Whether one run along the schedule fails.  `instead` is run under the program's name."""
    with planted(schedule.options.mutants), WorkerPool(current_core()) as pool:
        runner = Runner(pool, program, schedule.options, check=check)
        runner.program = instead or program
        failed: list[bool] = []

        def run() -> None:
            machine = runner.run(Preempting(schedule.preemptions), schedule.seed, (OpCounter(),))
            failed.append(machine.violation is not None)
            machine.close()

        pool.drive(run)
    return failed[0]
