"""What comes out of runs: an `Outcome` of one, a `Result` of a search, a `Failure` to act on."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any, ClassVar, Final

from vmsmp.campaign.certificate import Certificate
from vmsmp.campaign.story import Story
from vmsmp.engine.machine import CpuSnapshot
from vmsmp.engine.options import Options
from vmsmp.engine.verdict import Violation
from vmsmp.sync.lock import LockStatistics

#: Who puts a failure into words: named and not imported, since reports are made of these values.
RENDERER: Final = "vmsmp:failure_text"


def without_addresses(message: str) -> str:
    """A message without addresses, which differ from process to process."""
    return re.sub(r"0x[0-9a-f]+", "N", message)


def signature_of(violation: Violation) -> str:
    """What went wrong, without instance numbers: equal for the same bug in different runs."""
    message = _NUMBER.sub(lambda found: found[1] or "N", without_addresses(violation.message))
    return f"{violation.kind}: {message}"


#: A number, or the name of an invariant, which ends in one.
_NUMBER = re.compile(r"(INV-[A-Z]+\d+)|(?:(?<=[ (])-)?\d+(?:\.\d+)*")


def replaying(program: str, line: str, *, listed: bool, check: bool = True, place: str = "") -> str:
    """What to type to see a line again: a command, or (neither `listed` nor in a file, `place`) a call."""
    if listed or place:
        where = f" {shlex.quote(place)}" if place else ""
        return f"vmsmp replay {'' if check else '--no-check '}'{line}'{where}"
    return f"vmsmp.replay({program}, '{line}'{'' if check else ', check=False'})"


@dataclass(frozen=True, slots=True)
class History:
    """How a free run ended: how every CPU stood, and by CPU the last operations of each."""

    scene: tuple[CpuSnapshot, ...]
    recent: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Failure:
    """A bug found, with all that is needed to see it again.

    `kind` and `message` are the headline, `facts` the lines below it; `signature` groups failures of one bug.
    `schedule` is the line that replays it ("" for a free run, which has a `history` instead).  `digest` names
    the exact run.  `confirmation` says whether targeted runs could make a prediction happen ("" for what did
    happen).  `listed`: the program is a scenario, which the command line finds by its name; `place` is the
    file where it finds another program, if the user named one.

    `step` is the last step before it failed, in words with its functions ("" for a free run).
    `trace` names what led to the failure up to the order of independent steps: of two failures with the same
    signature and trace, one is enough.
    """

    kind: str
    message: str
    signature: str
    schedule: str
    digest: str
    facts: tuple[str, ...] = ()
    program: str = ""
    cpu: int = 0
    engine: str = "controlled"
    execution: int = 0
    story: Story | None = field(default=None, repr=False, compare=False)
    history: History | None = None
    confirmation: str = ""
    listed: bool = True
    place: str = ""
    trace: str = ""
    step: str = ""

    @property
    def line(self) -> str:
        """The schedule line with the digest, so that a replay can tell whether it is this run."""
        return f"{self.schedule}:{self.digest}" if self.schedule and self.digest else self.schedule

    def report(self, *, everything: bool = False) -> str:
        """The story as text: one column a CPU, what each holds and wants, the line to replay it.

        `everything` shows every row of a long run.
        """
        # Reports stand above campaigns, so the text comes through the package's own door.
        text: str = resolve_name(RENDERER)(self, everything=everything)
        return text

    def as_dict(self) -> dict[str, object]:
        """The failure for `--json` and the store."""
        return {
            "kind": self.kind,
            "message": self.message,
            "signature": self.signature,
            "schedule": self.schedule,
            "digest": self.digest,
            "trace": self.trace,
            "step": self.step,
            "facts": list(self.facts),
            "confirmation": self.confirmation,
            "program": self.program,
            "engine": self.engine,
            "execution": self.execution,
        }


@dataclass(frozen=True)
class Outcome:
    """One run: clean (`failure` is None) or not.

    `rolling` are digests after every 64 entries of its log: the first that differs from another
    run's brackets where the two parted.  `misfit` says why this is not the run that a replayed line was made
    of, "" if nothing tells against it.
    """

    program: str
    digest: str
    steps: int
    failure: Failure | None = None
    schedule: str = ""
    operations: int = 0
    seconds: float = 0.0
    locks: tuple[LockStatistics, ...] = ()
    rolling: tuple[str, ...] = ()
    misfit: str = ""
    story: Story | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        return self.failure is None


@dataclass
class Result:
    """A search: under which options and seed, how many schedules ran, what failed, whether all was seen.

    `failures` holds the first of each signature; `counts` how often each came.  `steps` is the
    number of visible operations of all executions together.
    """

    program: str
    scheduler: str
    options: Options
    seed: int = 0
    executions: int = 0
    steps: int = 0
    longest: int = 0
    seconds: float = 0.0
    exhausted: bool = False
    interrupted: bool = False
    certificate: Certificate = field(default_factory=Certificate)
    failures: list[Failure] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    #: What the command line is told of the options, to search in the same way again.
    arguments: tuple[str, ...] = ()

    @property
    def failure(self) -> Failure | None:
        """The first failure, or None."""
        return self.failures[0] if self.failures else None

    @property
    def ok(self) -> bool:
        return not self.failures

    def as_dict(self) -> dict[str, object]:
        """The result for `--json`."""
        return {
            "program": self.program,
            "scheduler": self.scheduler,
            "executions": self.executions,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "exhausted": self.exhausted,
            "interrupted": self.interrupted,
            "certificate": self.certificate.as_dict(),
            "counts": self.counts,
            "failures": [failure.as_dict() for failure in self.failures],
        }


class Unread(Result):
    """A result that knows whether anybody has looked at its verdict."""

    _VERDICT: ClassVar = frozenset(("failure", "failures", "ok", "counts"))
    read = False

    def __getattribute__(self, name: str) -> Any:
        if name in Unread._VERDICT:
            object.__setattr__(self, "read", True)
        return object.__getattribute__(self, name)

    @classmethod
    def of(cls, result: Result) -> Unread:
        """The same result, its verdict unread."""
        unread = cls(**vars(result))
        unread.read = False
        return unread
