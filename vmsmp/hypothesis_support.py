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

Where there is more to say than a few functions do, write a class, and one test of it:

    class Counter(ConcurrentStateMachine):
        def setup(self):
            self.word = self.m.cell(0, name="word")

        @operation(st.integers(1, 3))
        def add(self, n):
            self.word.store(self.word.load() + n)

        @at_end
        def nothing_is_lost(self): ...

    test_counter = concurrent_test(Counter)

Program and schedule shrink together, and the report's line replays on the command line, with the program
beside it: `vmsmp replay 'v1:Counter:0:1.2>2' 'test_it.py::Counter(cpu1=[add(1)], cpu2=[add(1)])'`.

No generator of ours has to be registered with hypothesis: whatever a run draws comes from streams of its
schedule's seed.  Draws of hypothesis happen on the test's own thread, before the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar

from vmsmp.campaign.options import Program, options_for
from vmsmp.campaign.replay import parse_for, replay
from vmsmp.campaign.runner import runner_for
from vmsmp.concurrent import ConcurrentProgram, ConcurrentStateMachine, Operation, at_end, operation
from vmsmp.engine.ops import MAX_CPUS
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Preemption, Schedule, program_name
from vmsmp.errors import ReplayDiverged, UsageError
from vmsmp.machine import Machine
from vmsmp.sched.replay import OpCounter, Preempting

try:
    from hypothesis import given, settings
    from hypothesis import strategies as st
except ModuleNotFoundError as missing:
    if missing.name != "hypothesis":
        raise
    raise ModuleNotFoundError(
        "vmsmp.hypothesis_support needs hypothesis, which is not installed: pip install 'vmsmp[test]'",
        name="hypothesis",
    ) from None

T = TypeVar("T")

#: Whether to draw another one: mostly, and in the smallest case not.
_MORE: Final = st.integers(0, 4)

__all__ = [
    "ConcurrentProgram",
    "ConcurrentStateMachine",
    "Operation",
    "at_end",
    "check",
    "concurrent_test",
    "operation",
    "programs",
    "runs",
    "schedules",
]

#: An operation: a function of what the setup made, or a tuple of one and strategies for its other arguments.
OperationForm = Callable[[Any], Any] | tuple[Any, ...]

#: The latest operation of a CPU to preempt in a program that was not run first.
MAX_OP: Final = 60
#: Half of the preemptions come no later than this operation: most programs are short.
EARLY: Final = 8
#: The last operation that a schedule's line can name.
LAST_OP: Final = 999_999_999


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
    seed: int | st.SearchStrategy[int] = 0,
    options: Options | None = None,
) -> st.SearchStrategy[Schedule]:
    """Draw schedules of a program: a few preemptions, at operations up to `max_op` of each CPU.

    `program` is a program or its name.  `cpus` work beside the boot CPU, by default as many as the program
    declares.  `max_op` is 60 by default.  `seed` is for what the program draws, or a strategy for it.
    `options` are those of a schedule, by default those that a scenario declares.
    A program drawn by `programs` is run before each preemption is drawn.  Its schedules preempt only CPUs
    that do something, anywhere in what they do up to `max_op`.  A preemption is drawn relative to an
    operation of the list, so it stays with that operation when others are removed.
    A preemption that does not apply is ignored, so every schedule can be run.  Shrinks to no preemptions,
    and to early operations.
    Raises: UsageError for impossible bounds.
    """
    if not isinstance(seed, int):
        of_seed = partial(
            schedules, program, cpus=cpus, max_preemptions=max_preemptions, max_op=max_op, options=options
        )
        return seed.flatmap(lambda drawn: of_seed(seed=drawn))
    cpus = _working_cpus(program, cpus)
    _in_range("max_preemptions", max_preemptions, 0)
    if max_op is not None:
        _in_range("max_op", max_op, 0, LAST_OP)
    empty = _empty_schedule(program, seed, options)
    if isinstance(program, ConcurrentProgram):
        return _schedules_inside(program, empty, max_preemptions, LAST_OP if max_op is None else max_op)
    step = _steps_anywhere(cpus, MAX_OP if max_op is None else max_op)
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


@st.composite
def _schedules_inside(
    draw: st.DrawFn, program: ConcurrentProgram, empty: Schedule, max_preemptions: int, last: int
) -> Schedule:
    """Draw a schedule of a drawn program, one preemption after the other.

    A preemption is drawn as the CPU, which of its operations, how far into that one: as they are in the run
    along the preemptions before it, since an operation takes another way where somebody is in its way.
    """
    working = [cpu for cpu, operations in enumerate(program.lists, 1) if operations]
    drawn: dict[tuple[int, int], Preemption] = {}
    schedule = empty
    while len(drawn) < max_preemptions and len(working) > 1 and draw(_MORE):
        spans = _spans(program, schedule, last)
        preempted = [cpu for cpu in working if spans[cpu]]
        if not preempted:
            break
        cpu = _pick(draw, preempted)
        other = _pick(draw, [other for other in working if other != cpu])
        nth = _pick(draw, _pick(draw, spans[cpu]))
        if (cpu, nth) in drawn:
            break
        drawn[cpu, nth] = Preemption(cpu, nth, other)
        schedule = empty.with_steps(tuple(sorted(drawn.values())))
    return schedule


def _spans(program: ConcurrentProgram, schedule: Schedule, last: int) -> dict[int, list[range]]:
    """Run the program; return by CPU the visible operations up to `last` of each of its operations."""
    begun: list[list[int]] = [[] for _ in program.lists]
    ends = _run(program, schedule, instead=partial(program, begun=begun)).ends
    spans = {}
    for cpu, (numbers, end) in enumerate(zip(begun, ends, strict=True), 1):
        edges = [min(number, last + 1) for number in (*numbers, end)]  # one that never ended ends there
        spans[cpu] = [range(*edge) for edge in pairwise(edges) if edge[0] < edge[1]]
    return spans


class Run(NamedTuple):
    """A program and a schedule of it."""

    program: ConcurrentProgram
    schedule: Schedule

    def __repr__(self) -> str:
        return f"{self.program!r} along {self.schedule}"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))


@st.composite
def runs(
    draw: st.DrawFn,
    state: type[ConcurrentStateMachine],
    *,
    seed: int | st.SearchStrategy[int] = 0,
) -> Run:
    """Draw a program of the operations of `state`, and a schedule of it.

    Shrinks to few operations and few preemptions, and keeps each preemption with its operation.
    """
    program = draw(
        programs(state, state.operations(), cpus=state.cpus, max_ops=state.max_ops, finish=state.finish)
    )
    return Run(
        program,
        draw(schedules(program, max_preemptions=state.max_preemptions, seed=seed, options=state.options)),
    )


def concurrent_test(state: type[ConcurrentStateMachine], **bounds: Any) -> Callable[[], None]:
    """A test that no program of `state` fails along any schedule.

    `bounds` are hypothesis' settings by name, such as `max_examples`.  Unless they say otherwise, there is no
    deadline, as runs take longer on a busy machine, and hypothesis shows how to reproduce a failure, too.
    """

    def test(run: Run) -> None:
        check(*run)

    # By its name hypothesis keeps the examples that failed.
    test.__name__ = test.__qualname__ = f"test_{program_name(state)}"
    test.__module__ = state.__module__
    test.__doc__ = state.__doc__
    return settings(**{"deadline": None, "print_blob": True} | bounds)(given(runs(state))(test))


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
    if _run(program, parse_for(program, schedule), check=True).failed:
        failure = replay(program, schedule).failure  # with its story, which is three times slower
        if failure is None:
            raise ReplayDiverged("the program failed once along this schedule and not again")
        raise AssertionError(failure.report())


class _Ran(NamedTuple):
    """Whether a run failed, and how many visible operations each CPU beside the boot CPU did."""

    failed: bool
    ends: list[int]


def _run(
    program: Program, schedule: Schedule, *, check: bool = False, instead: Program | None = None
) -> _Ran:
    """One run along the schedule.  `instead` is run under the program's name."""
    with runner_for(program, schedule.options, check=check) as runner:
        runner.program = instead or program
        ran: list[_Ran] = []

        def run() -> None:
            machine = runner.run(Preempting(schedule.preemptions), schedule.seed, (OpCounter(),))
            ran.append(_Ran(machine.violation is not None, [cpu.nops for cpu in machine.cpus[1:]]))
            machine.close()

        runner.drive(run)
    return ran[0]
