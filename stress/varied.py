"""Run every scenario under options drawn at random, a million times, and tell what nothing explains.

    .venv/bin/python stress/varied.py [--executions N] [--seed S] [--journal FILE] [--scenarios GLOB]

A piece is a search of one scenario: every strategy, both depths, timeouts and wakeups at any moment, races,
2 to 6 CPUs, step limits from 500 up, with and without the repairs of known findings.  What piece N is follows
from N and the seed.  The journal (default .vmsmp/varied.jsonl) has a JSON object for each piece that is done;
the same command goes on behind its last one, so an interrupted run loses a piece at most.

A failure is explained if it is a known finding or proven to come from one, or a run that its step limit cut
short: along the same line it is no livelock at the usual limit.  Everything else is shown with its line, and
the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from vmsmp.campaign.cause import known_cause
from vmsmp.campaign.options import options_for
from vmsmp.campaign.outcome import Failure
from vmsmp.campaign.replay import replay
from vmsmp.campaign.search import search
from vmsmp.engine.options import MAX_STEPS, Options
from vmsmp.engine.schedule import Schedule
from vmsmp.engine.verdict import FailureKind
from vmsmp.library import Scenario, matching
from vmsmp.patches.catalogue import REPAIR_BY_NAME

#: Executions and seconds of a piece, at most.
PIECE = 2_000
PIECE_S = 4.0
#: The strategies, those that sample more often than the systematic ones.
SAMPLING = ("portfolio", "random", "sticky", "rr", "pct:2", "pct:3", "pct:10", "pos", "urw", "surw")
SYSTEMATIC = ("dfs", "dfs:1", "dfs:2", "delay:1", "delay:3", "dpor")
STEPS = (500, 700, 1_000, 2_000, 5_000, 20_000, MAX_STEPS)
#: Seconds between two lines of progress.
PROGRESS_S = 60.0


@dataclass(frozen=True)
class Piece:
    """One search: what it runs, and how."""

    number: int
    scenario: Scenario
    options: Options
    sched: str
    seed: int


@dataclass(frozen=True)
class Done:
    """What a piece came to: how often each explanation was needed, and what has none."""

    number: int
    scenario: str
    sched: str
    executions: int
    seconds: float
    explained: dict[str, int] = field(default_factory=dict)
    unexplained: list[str] = field(default_factory=list)


def piece_of(number: int, seed: int, scenarios: list[Scenario]) -> Piece:
    """The piece of that number; every scenario has its turn.

    A scenario whose story is the time at which things happen (tag "clock") has its sleeps end in time.
    """
    rng = random.Random(f"{seed}/{number}")
    scenario = scenarios[number % len(scenarios)]
    in_time = "clock" in scenario.tags
    locks, timeouts, spurious = (
        rng.choice(("exact", "atomic")),
        rng.choice(("idle", "any")),
        rng.random() < 0.3,
    )
    options = options_for(
        scenario,
        locks=locks,
        timeouts=None if in_time else timeouts,
        spurious=None if in_time else spurious,
        races=rng.random() < 0.3,
        cpus=None if scenario.fixed else rng.randint(2, 6),
        rounds=rng.choice((None, 1, 2, 3)),
        max_steps=rng.choice(STEPS),
        repairs=REPAIR_BY_NAME if rng.random() < 0.5 else (),
    )
    sched = rng.choice(SAMPLING if rng.random() < 0.75 else SYSTEMATIC)
    return Piece(number, scenario, options, sched, rng.randrange(1 << 32))


def work(piece: Piece) -> Done:
    """Do one piece."""
    start = time.monotonic()
    explained: Counter[str] = Counter()
    unexplained = []
    executions = 0
    try:
        result = search(
            piece.scenario,
            piece.options,
            sched=piece.sched,
            schedules=PIECE,
            seed=piece.seed,
            stop="never",
            time_s=PIECE_S,
        )
        if result.interrupted:
            raise KeyboardInterrupt
        executions = result.executions
        for failure in result.failures:
            why = explanation(piece, failure)
            if why:
                explained[why] += result.counts[failure.signature]
            else:
                unexplained.append(f"{failure.signature} [{failure.line or failure.schedule}]")
    except Exception as error:  # the tool's own failure, which must not end the others
        unexplained.append(f"{type(error).__name__}: {error}")
    return Done(
        piece.number,
        piece.scenario.__name__,
        piece.sched,
        executions,
        round(time.monotonic() - start, 2),
        dict(explained),
        unexplained,
    )


def explanation(piece: Piece, failure: Failure) -> str:
    """Why a failure is none of the tool's and nothing new, "" if nobody knows."""
    options, behind = piece.options, ""
    if failure.kind == FailureKind.LIVELOCK and options.max_steps < MAX_STEPS:
        longer = replace(options, max_steps=MAX_STEPS)
        again = replay(piece.scenario, replace(Schedule.parse(failure.schedule), options=longer)).failure
        if again is None:
            return "the step limit cut it short"
        if again.kind != FailureKind.LIVELOCK:
            failure, options, behind = again, longer, ", behind the step limit"
    finding = known_cause(piece.scenario, failure, options)
    return f"{finding.name}{behind}" if finding is not None else ""


def read_journal(path: Path) -> list[Done]:
    """The pieces that are done; a last line that was cut off does not count."""
    found = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(Done(**json.loads(line)))
            except (ValueError, TypeError):
                break
    return found


def told(done: list[Done]) -> str:
    """How far it has come."""
    executions = sum(one.executions for one in done)
    seconds = sum(one.seconds for one in done)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    new = sum(len(one.unexplained) for one in done)
    pieces = f"{executions:,} executions in {len(done):,} pieces and {seconds:,.0f} s"
    return f"{pieces}, {memory} MB; {new} unexplained"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--journal", type=Path, default=Path(".vmsmp/varied.jsonl"))
    parser.add_argument("--scenarios", metavar="GLOB", default="*")
    args = parser.parse_args()
    scenarios = matching(args.scenarios)
    args.journal.parent.mkdir(parents=True, exist_ok=True)
    done = read_journal(args.journal)
    if not done and args.journal.exists() and args.journal.stat().st_size:
        parser.error(f"{args.journal} is there, and no journal")
    executions = sum(one.executions for one in done)
    next_progress = time.monotonic() + PROGRESS_S
    with args.journal.open("w", encoding="utf-8") as journal:
        journal.writelines(json.dumps(asdict(one)) + "\n" for one in done)
        try:
            while executions < args.executions:
                one = work(piece_of(len(done), args.seed, scenarios))
                done.append(one)
                executions += one.executions
                print(json.dumps(asdict(one)), file=journal, flush=True)
                for failure in one.unexplained:
                    print(f"piece {one.number}, {one.scenario} by {one.sched}: {failure}", flush=True)
                if time.monotonic() >= next_progress:
                    next_progress += PROGRESS_S
                    print(told(done), file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            pass
    explained = sum((Counter(one.explained) for one in done), Counter())
    print(told(done))
    for why, times in sorted(explained.items()):
        print(f"  {times:,} times {why}")
    return 1 if any(one.unexplained for one in done) else 0


if __name__ == "__main__":
    sys.exit(main())
