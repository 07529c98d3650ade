"""A failure or a clean run as text: headline, facts, the run's steps, who holds what, how to replay it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmsmp.campaign.outcome import replaying
from vmsmp.report.story import story_lines

if TYPE_CHECKING:
    from vmsmp.campaign.outcome import Failure, History, Outcome
    from vmsmp.campaign.story import Story
    from vmsmp.engine.machine import CpuSnapshot


def failure_text(failure: Failure, *, everything: bool = False) -> str:
    """Return the whole report of one failure; `everything` shows every row of a long run."""
    lines = [f"{failure.kind}: {failure.message}", f"  program {failure.program}, {_found(failure)}"]
    lines += [f"  {fact}" for fact in failure.facts]
    if failure.confirmation:
        lines.append(f"  {failure.confirmation}")
    if failure.story is not None:
        lines += [
            "",
            *story_lines(failure.story, everything=everything, keep=steps_that_matter(failure)),
            "",
            *scene_lines(failure.story.scene),
        ]
    if failure.history:
        lines += ["", *history_lines(failure.history)]
    lines += ["", *again(failure)]
    return "\n".join(lines)


def clean_text(outcome: Outcome, *, everything: bool = False) -> str:
    """Return the story of a run in which nothing fails."""
    lines = [f"clean: {outcome.program}, {outcome.steps} steps; nothing fails on this schedule"]
    if outcome.story is not None:
        lines += [
            "",
            *story_lines(outcome.story, everything=everything),
            "",
            *scene_lines(outcome.story.scene),
        ]
    return "\n".join([*lines, "", f"digest: {outcome.digest}"])


def steps_that_matter(failure: Failure) -> set[int]:
    """The steps that must be seen: those named, the last of every CPU, the last changes of what is named."""
    if failure.story is None:
        return set()
    words = "\n".join((failure.message, *failure.facts))
    steps = {int(found) for found in re.findall(r"\bstep (\d+)", words)}
    return steps | set(_last_steps(failure.story, words))


def _last_steps(story: Story, words: str) -> Iterator[int]:
    """The last step of every CPU, and by whom each object that `words` name was last changed."""
    yield from {row.cpu: row.step for row in story.rows}.values()
    changed = {row.thing: row.step for row in story.rows if row.thing and row.before != row.after}
    for thing, step in changed.items():
        if any(_is_named(name, words) for name in (thing, thing.partition(".")[0])):
            yield step


def _is_named(name: str, words: str) -> bool:
    """Whether the words have the name, and not as a part of a longer one."""
    return name in words and re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", words) is not None


def _found(failure: Failure) -> str:
    where = f"cpu{failure.cpu}"
    if failure.engine == "free":
        return f"free engine, on {where}"
    return f"execution {failure.execution}, on {where}" if failure.execution else f"on {where}"


def again(failure: Failure) -> list[str]:
    """Return the lines that say how to see it again."""
    if failure.schedule:
        command = replaying(failure.program, failure.line, listed=failure.listed, place=failure.place)
        return [f"replay: {command}", *([f"digest: {failure.digest}"] if failure.digest else [])]
    return [
        "a free run cannot be replayed; look for it under control:",
        f"  vmsmp run {shlex.quote(failure.place or failure.program)} --schedules 10000"
        if failure.listed or failure.place
        else f"  vmsmp.explore({failure.program}, schedules=10_000)",
    ]


def scene_lines(scene: tuple[CpuSnapshot, ...]) -> list[str]:
    """Return for each CPU what it holds, what it wants and where it stands."""
    lines = ["how every CPU stood:"]
    width = max((len(snapshot.name) for snapshot in scene), default=4)
    for snapshot in scene:
        label = _label(snapshot)
        if snapshot.done:
            lines.append(f"  {label:<{width + 6}} done" + _holding(snapshot))
            continue
        lines.append(
            f"  {label:<{width + 6}} holds {', '.join(snapshot.holds) or 'nothing'}; "
            f"wants {snapshot.wants or 'nothing'}; before: {snapshot.before}"
        )
        lines += [f"  {'':<{width + 6}} at {frame}" for frame in snapshot.frames[:3]]
    return lines


def history_lines(history: History) -> list[str]:
    """How a free run ended, with the last operations of every CPU."""
    lines = [*scene_lines(history.scene), "the last operations of every CPU:"]
    return lines + [f"  {cpu}: {', '.join(operations) or 'none'}" for cpu, operations in history.recent]


def _holding(snapshot: CpuSnapshot) -> str:
    return f", still holds {', '.join(snapshot.holds)}" if snapshot.holds else ""


def _label(snapshot: CpuSnapshot) -> str:
    plain = f"cpu{snapshot.cpu}"
    return plain if snapshot.name == plain else f"{plain} {snapshot.name}"
