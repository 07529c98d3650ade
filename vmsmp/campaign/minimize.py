"""The shortest schedule that still fails the same way.

Three steps until none of them helps any more, then attempts to start from something better.
  * *Regroup*: of all orders of the same trace, take the one that changes CPUs only where it must, without the
    steps that the failure does not depend on.  One run replaces many removals.
  * *Delta debugging* (Zeller and Hildebrandt, TSE 2002) over the preemptions: every subset is a schedule.
  * *Move* each preemption to the nearest boundary of a locked section, where a reader expects it.
  * *Elsewhere*: where more than a few preemptions are left, search shortly for other runs that fail the same
    way, and shorten those.
  * *Fewer CPUs*, where the program asks how many there are (`m.ncpus`): try the same preemptions on the CPUs
    that they name, or on one less, or what a short search finds there.
  * *Fewer operations*, where the program says which of its loops mean the same with fewer turns
    (`m.rounds`): try one turn, two, four and so on.  Hypothesis itself leaves out operations of the programs
    that it has drawn (`vmsmp.hypothesis_support`).
A candidate counts if its signature is the same; the first schedule and the last are run twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from vmsmp.campaign.options import Program
from vmsmp.campaign.outcome import signature_of
from vmsmp.campaign.replay import parse_for
from vmsmp.campaign.runner import Runner, runner_for
from vmsmp.engine import ops, trace
from vmsmp.engine.hang import HANG_S
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Preemption, Schedule
from vmsmp.engine.scheduler import Scheduler
from vmsmp.errors import ReplayDiverged, UsageError
from vmsmp.sched import normal_form
from vmsmp.sched.portfolio import Portfolio
from vmsmp.sched.replay import LogReplay, OpCounter, Preempting, Recorder

#: Runs that a minimization may make, and the steps that these may have together.
BUDGET: Final = 2_000
STEPS: Final = 10_000_000
#: How many times as many preemptions there are where the first few of them are tried alone.
LONG: Final = 32
#: Runs of a short search for the same failure elsewhere.
TRIES: Final = 30
#: With more preemptions than these another run may do better; so many others are looked at.
FEW: Final = 3
RESTARTS: Final = 3

Steps = tuple[Preemption, ...]
Progress = Callable[[int, Schedule], None]


def minimize(
    program: Program,
    line: str | Schedule,
    *,
    check: bool = True,
    budget: int = BUDGET,
    progress: Progress | None = None,
    hang_s: float = HANG_S,
) -> Schedule:
    """Find a schedule with fewer preemptions and the same signature.

    `budget` bounds the number of runs, `STEPS` their length; then the shortest so far is returned.
    `progress` is called after every run with their number and the shortest schedule so far.

    Raises: UsageError if the line does not fail, is malformed, or is another program's; HostHang if a step
    takes `hang_s` seconds of processor time.
    """
    schedule = parse_for(program, line)
    schedule = schedule.with_steps(schedule.preemptions)
    kept: list[Schedule] = []
    with runner_for(program, schedule.options, check=check, hang_s=hang_s) as runner:
        runner.drive(lambda: kept.append(_Minimizer(runner, schedule, budget, progress).run()))
    return kept[0]


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of a candidate: what it came to, and all that is needed to reorder it."""

    signature: str | None
    preemptions: Steps
    log: list[int]
    draws: list[int]
    cpu: int
    #: CPUs beside the boot CPU, and whether the program can be given fewer.
    cpus: int
    asks: bool
    #: Turns of the longest loop that the program lets be shortened.
    rounds: int


class _Minimizer:
    def __init__(self, runner: Runner, schedule: Schedule, budget: int, progress: Progress | None) -> None:
        self.progress = progress
        self.shortest = schedule
        self.runner = runner
        self.schedule = schedule
        self.budget = budget
        self.runs = self.steps = 0
        self.wanted: str | None = None

    def run(self) -> Schedule:
        first = self._follow(Preempting(self.schedule.preemptions))
        if first.signature is None:
            raise UsageError("this schedule does not fail, so there is nothing to minimize")
        self.wanted = first.signature
        again = self._follow(Preempting(self.schedule.preemptions))
        parted = trace.divergence(first.log, again.log)
        if parted is not None:
            raise ReplayDiverged(f"the same schedule gives different runs: {parted}")
        best = self._shortened(first)
        if len(best.preemptions) > FEW:
            best = self._elsewhere(best)
        while best.asks and best.cpus > 1 and not self._spent():
            found = self._on_fewer(best)
            if found is None:
                break
            best = found
        best = self._in_fewer_rounds(best)
        if self._follow(Preempting(best.preemptions)).signature != self.wanted:
            raise ReplayDiverged("the minimized schedule failed once and not again")
        return self.schedule.with_steps(best.preemptions)

    def _shortened(self, best: _Run) -> _Run:
        """Regroup, remove and move until nothing helps any more."""
        while not self._spent():
            before = best.preemptions
            best = self._moved(self._fewer(self._regrouped(best)))
            if best.preemptions == before:
                break
        return best

    def _on_fewer(self, run: _Run) -> _Run | None:
        """The same failure on fewer CPUs with no more preemptions, if it is there too.

        With those alone that the preemptions name, or else with one less.
        """
        named = sorted({cpu for step in run.preemptions for cpu in _cpus(step) if cpu})
        ways = [{cpu: n for n, cpu in enumerate([0, *named])}] if 0 < len(named) < run.cpus - 1 else []
        ways.append({cpu: cpu for cpu in range(run.cpus)})
        for number in ways:
            kept = [step for step in run.preemptions if all(cpu in number for cpu in _cpus(step))]
            options = replace(self.schedule.options, cpus=len(number) - 1)
            found = self._under(options, tuple(_renumbered(step, number) for step in kept), run)
            if found is not None:
                return found
        return None

    def _in_fewer_rounds(self, run: _Run) -> _Run:
        """The same failure with as few turns of the loops as possible, and no more preemptions."""
        rounds = 1
        while rounds < run.rounds and not self._spent():
            found = self._under(replace(self.schedule.options, rounds=rounds), run.preemptions, run)
            if found is not None:
                return found
            rounds *= 2
        return run

    def _under(self, options: Options, steps: Steps, run: _Run) -> _Run | None:
        """The same failure under these options, if it is there and no longer than in `run`; they stay then.

        Along the given preemptions, or else where a short search finds it.
        """
        before = self.schedule, self.runner
        self.schedule = replace(self.schedule, options=options)
        self.runner = self.runner.with_options(options)
        try:
            found = self._try(steps)
            for hit in [found] if found is not None else self._hits():
                short = self._shortened(hit)
                if len(short.preemptions) <= len(run.preemptions):
                    return short
        except UsageError:
            pass  # the program does not run on so few CPUs
        self.schedule, self.runner = before
        return None

    def _elsewhere(self, run: _Run) -> _Run:
        """The shortest of what a short search finds from other runs that fail the same way."""
        for found in islice(self._hits(), RESTARTS):
            run = min(run, self._shortened(found), key=lambda run: len(run.preemptions))
            if len(run.preemptions) <= FEW:
                break
        return run

    def _hits(self) -> Iterator[_Run]:
        """The runs of a short search that fail the same way."""
        search = Portfolio(self.schedule.seed)
        for _ in range(TRIES):
            if self._spent():
                return
            search.begin()
            run = self._kept(self._follow(search))
            if run is not None:
                yield run

    def _spent(self) -> bool:
        return self.runs >= self.budget or self.steps >= STEPS

    def _follow(self, scheduler: Scheduler) -> _Run:
        """Run a candidate."""
        engine = self.runner.engine
        if engine.interrupted:
            raise KeyboardInterrupt
        recorder = Recorder(scheduler)
        machine = self.runner.run(recorder, self.schedule.seed, (OpCounter(),))
        found = machine.violation
        cpus = len(machine.cpus) - 1
        machine.close()
        self.runs += 1
        self.steps += len(engine.execution.log)
        if self.progress is not None:
            self.progress(self.runs, self.shortest)
        return _Run(
            signature_of(found) if found is not None else None,
            tuple(recorder.preemptions),
            engine.execution.log,
            list(engine.execution.draws),
            found.cpu if found is not None else 0,
            cpus,
            machine.asked_how_many and not getattr(self.runner.program, "fixed", False),
            machine.most_rounds,
        )

    def _try(self, steps: Steps) -> _Run | None:
        """The run along these preemptions, if it fails as it should."""
        return self._kept(self._follow(Preempting(steps)))

    def _kept(self, run: _Run) -> _Run | None:
        """The run, if it fails as it should."""
        if run.signature != self.wanted:
            return None
        if len(run.preemptions) <= len(self.shortest):
            self.shortest = self.schedule.with_steps(run.preemptions)
        return run

    # -- regroup ----------------------------------------------------------------------------------

    def _regrouped(self, run: _Run) -> _Run:
        """The same trace with as few changes of CPU as its order allows, if that takes fewer preemptions."""
        # The half of the step limit where picks are fair allows for one order only.
        if not run.preemptions or len(run.log) > min(normal_form.LIMIT, self.schedule.options.fair_from):
            return run
        for log, draws in _linear(run):
            try:
                found = self._kept(self._follow(LogReplay(log, draws)))
            except ReplayDiverged:
                continue
            if found is not None and len(found.preemptions) < len(run.preemptions):
                return found
        return run

    # -- delta debugging --------------------------------------------------------------------------

    def _fewer(self, run: _Run) -> _Run:
        """Remove preemptions until every one that is left is needed."""
        run = self._beginning(run)
        shrunk = True
        while shrunk:
            shrunk = False
            chunk = max(1, len(run.preemptions) // 2)
            while chunk and run.preemptions:
                at = 0
                while at < len(run.preemptions):
                    if self._spent():
                        return run
                    steps = run.preemptions
                    found = self._try(steps[:at] + steps[at + chunk :])
                    if found is not None and len(found.preemptions) < len(steps):
                        run, shrunk = found, True
                    else:
                        at += chunk
                chunk //= 2
        return run

    def _beginning(self, run: _Run) -> _Run:
        """Of very many preemptions try the first alone, then two, four and so on."""
        few = 1
        while few < len(run.preemptions) // LONG:
            found = self._try(run.preemptions[:few])
            if found is not None:
                return found
            few *= 2
        return run

    # -- move -------------------------------------------------------------------------------------

    def _moved(self, run: _Run) -> _Run:
        """Put each preemption where a locked section begins or ends, if the run fails there too."""
        at = 0
        while at < len(run.preemptions):
            step = run.preemptions[at]
            for nth in _boundaries(run.log, step):
                if self._spent():
                    return run
                moved = Preemption(step.cpu, nth, step.value)
                steps = (*run.preemptions[:at], moved, *run.preemptions[at + 1 :])
                found = self._try(steps)
                if found is not None and len(found.preemptions) <= len(steps) and moved in found.preemptions:
                    run = found
                    break
            at += 1
        return run


def _cpus(step: Preemption) -> tuple[int, ...]:
    """The CPUs that a preemption names."""
    return (step.cpu,) if step.choice else (step.cpu, step.value)


def _renumbered(step: Preemption, number: dict[int, int]) -> Preemption:
    value = step.value if step.choice else number[step.value]
    return replace(step, cpu=number[step.cpu], value=value)


def _linear(run: _Run) -> Iterator[tuple[list[int], list[int]]]:
    """The run in normal form, as a log with its draws: first what came before the failure, then all."""
    order = normal_form.order_of(run.log)
    drawn = iter(run.draws)
    draws = (n for n, event in enumerate(order.events) if ops.kind_of(event.code) == ops.CHOOSE)
    values = {n: next(drawn, 0) for n in draws}
    for wanted in (normal_form.causes(order, run.cpu), None):
        chosen = normal_form.grouped(order, wanted)
        yield normal_form.as_log(order, chosen), [values[n] for n in chosen if n in values]


def _boundaries(log: list[int], step: Preemption) -> list[int]:
    """Where the CPU's nearest locked section ends or begins, before and after the preemption."""
    if step.choice:
        return []
    mine = [code for cpu, code in trace.steps(log) if cpu == step.cpu]
    places = [
        n
        for n in range(1, len(mine))
        if mine[n - 1] & ops.KIND_MASK in ops.RELEASING or mine[n] & ops.KIND_MASK in _OPENS
    ]
    if step.nth in places:
        return []
    near = [n for n in places if n < step.nth][-1:] + [n for n in places if n > step.nth][:1]
    return sorted(near, key=lambda n: (abs(n - step.nth), n))


_OPENS: Final = ops.which(lambda kind: kind.opens)
