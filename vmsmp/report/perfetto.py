"""One run as a trace that ui.perfetto.dev and chrome://tracing show (Trace Event Format, JSON).

The trace has three processes: the CPUs with one slice a step, the locks with one slice a hold, and
counters of the locks that each CPU holds.  Time is the number of the step in microseconds: step n lasts
from n to n + 1.  The host's time is not in the file, so equal runs give equal files.

A hold is what the checkers see: it begins with the step that grants the lock and ends with the last one
before its release.  Viewers need the slices of one thread to nest, which the holds of several readers
do not, so a lock has as many threads as it has concurrent holds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine.ops import MAX_CPUS
from vmsmp.errors import UsageError

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Failure, Outcome
    from vmsmp.campaign.story import Story

#: What a trace is, and in which version of its form.
SCHEMA: Final = "vmsmp.trace/1"
#: The processes of a trace.
CPUS: Final = 1
LOCKS: Final = 2
COUNTERS: Final = 3
_PROCESSES: Final = {CPUS: "CPUs", LOCKS: "locks", COUNTERS: "locks held"}

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hold:
    """A lock held by a CPU from step `begin` until before step `end`; `kept` if it ends with the run."""

    lock: int
    name: str
    cpu: int
    mode: str
    begin: int
    end: int
    kept: bool


def perfetto_trace(outcome: Outcome) -> str:
    """Return the JSON text of a trace, one event a line.

    Raises: UsageError if the outcome has no story, like that of a free run.
    """
    if outcome.story is None:
        raise UsageError("this run has no story, so there is nothing to trace: replay a schedule line")
    about = {
        "schema": SCHEMA,
        "program": outcome.program,
        "schedule": outcome.schedule,
        "digest": outcome.digest,
        "outcome": outcome.failure.signature if outcome.failure is not None else "clean",
    }
    events = trace_events(outcome.story, outcome.failure)
    lines = ",\n".join(json.dumps(event) for event in events)
    return f'{{"displayTimeUnit": "ns", "otherData": {json.dumps(about)}, "traceEvents": [\n{lines}\n]}}\n'


def trace_events(story: Story, failure: Failure | None = None) -> list[Event]:
    """Return all events of a run: the names of the tracks, then what happened, in order of time."""
    threads: list[Event] = []
    for index, name in enumerate(story.cpus):
        threads += _named("thread", CPUS, index, name)
    holds = lock_holds(story)
    tracks = _tracks(holds)
    for (_, lane), (tid, name) in tracks.items():
        threads += _named("thread", LOCKS, tid, f"{name} ({lane + 1})" if lane else name)
    processes = [event for pid, name in _PROCESSES.items() for event in _named("process", pid, 0, name)]
    happened = [*_steps(story), *_held(story, holds, tracks), *_counts(story, holds)]
    if failure is not None:
        happened.append(_failed(story, failure))
    return [*processes, *threads, *sorted(happened, key=lambda event: event["ts"])]


def lock_holds(story: Story) -> list[Hold]:
    """Return who held which lock from when until when, in the order in which the holds began."""
    holds: list[Hold] = []
    held: dict[tuple[int, int], list[int]] = {}  # by CPU and lock: what it holds, as indices of `holds`
    released: dict[tuple[int, int], int] = {}  # ... and what it released last
    for grant in story.grants:
        key = grant.cpu, grant.lock
        if grant.taken:
            before = released.get(key)
            if before is not None and holds[before].end == grant.step + 1:
                # An upgrade or a downgrade releases and grants in one step, which belongs to the new hold.
                holds[before] = replace(holds[before], end=max(holds[before].begin, grant.step))
            held.setdefault(key, []).append(len(holds))
            end = max(grant.step + 1, len(story.rows))
            holds.append(Hold(grant.lock, grant.name, grant.cpu, grant.mode, grant.step, end, kept=True))
            continue
        for at in reversed(held.get(key, [])):
            if holds[at].mode == grant.mode:  # the latest of that mode, as the lock itself does
                holds[at] = replace(holds[at], end=grant.step + 1, kept=False)
                held[key].remove(at)
                released[key] = at
                break
    return holds


def _lanes(holds: list[Hold]) -> list[int]:
    """Return for each hold the first of its lock's threads that is free."""
    ends: dict[int, list[int]] = {}
    lanes = []
    for hold in holds:
        taken = ends.setdefault(hold.lock, [])
        lane = next((n for n, end in enumerate(taken) if end <= hold.begin), len(taken))
        taken[lane : lane + 1] = [hold.end]
        lanes.append(lane)
    return lanes


def _tracks(holds: list[Hold]) -> dict[tuple[int, int], tuple[int, str]]:
    """Return the number and name of the thread for each lock and lane.

    Locks come in the order in which they were first taken.  No number is a CPU's, since some viewers
    confuse threads of the same number.
    """
    names = {hold.lock: hold.name for hold in reversed(holds)}
    order = {lock: n for n, lock in enumerate(dict.fromkeys(hold.lock for hold in holds))}
    used = {(hold.lock, lane) for hold, lane in zip(holds, _lanes(holds), strict=True)}
    ranked = sorted(used, key=lambda track: (order[track[0]], track[1]))
    return {track: (MAX_CPUS + n, names[track[0]]) for n, track in enumerate(ranked)}


def _named(what: str, pid: int, tid: int, name: str) -> list[Event]:
    """Return the events that name a process or thread and sort it by its number."""
    return [
        {"ph": "M", "name": f"{what}_name", "pid": pid, "tid": tid, "args": {"name": name}},
        {
            "ph": "M",
            "name": f"{what}_sort_index",
            "pid": pid,
            "tid": tid,
            "args": {"sort_index": tid if what == "thread" else pid},
        },
    ]


def _steps(story: Story) -> list[Event]:
    return [
        {
            "ph": "X",
            "cat": "step",
            "name": row.text,
            "pid": CPUS,
            "tid": row.cpu,
            "ts": row.step,
            "dur": 1,
            "args": {
                "step": row.step,
                **_nonempty(value=row.change, place=" < ".join(map(str, row.place)), switch=row.switch),
            },
        }
        for row in story.rows
    ]


def _nonempty(**texts: str) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}


def _held(story: Story, holds: list[Hold], tracks: dict[tuple[int, int], tuple[int, str]]) -> list[Event]:
    return [
        {
            "ph": "X",
            "cat": "lock",
            "name": f"{hold.mode} {story.cpus[hold.cpu]}",
            "pid": LOCKS,
            "tid": tracks[hold.lock, lane][0],
            "ts": hold.begin,
            "dur": hold.end - hold.begin,
            "args": {
                "lock": hold.name,
                "cpu": story.cpus[hold.cpu],
                "mode": hold.mode,
                **_nonempty(until="the run ended" if hold.kept else ""),
            },
        }
        for hold, lane in zip(holds, _lanes(holds), strict=True)
    ]


def _counts(story: Story, holds: list[Hold]) -> list[Event]:
    """Return how many locks each CPU holds, whenever that changes; CPUs that hold none are left out."""
    events: list[Event] = []
    for index, name in enumerate(story.cpus):
        changes: dict[int, int] = {}
        for hold in holds:
            if hold.cpu == index:
                changes[hold.begin] = changes.get(hold.begin, 0) + 1
                if not hold.kept:
                    changes[hold.end] = changes.get(hold.end, 0) - 1
        times = sorted({0, *changes}) if changes else []
        values = accumulate(changes.get(time, 0) for time in times)
        events += [
            {"ph": "C", "name": name, "pid": COUNTERS, "tid": 0, "ts": time, "args": {"locks": value}}
            for time, value in zip(times, values, strict=True)
        ]
    return events


def _failed(story: Story, failure: Failure) -> Event:
    """Return the failure, after the last step and across all tracks."""
    return {
        "ph": "i",
        "cat": "failure",
        "name": f"{failure.kind}: {failure.message}",
        "pid": CPUS,
        "tid": failure.cpu,
        "ts": len(story.rows),
        "s": "g",
        "args": {"signature": failure.signature, "facts": list(failure.facts)},
    }
