"""What a search that found nothing is worth.

Fingerprints tell distinct traces apart; how many were seen only once says how likely the next run is to show
a new one (Good and Turing, 1953).  The number of schedules is estimated as the product of the choices along
random runs (Knuth, 1975).  Runs of a systematic search are neighbours and no sample: of it the share of its
tree that is explored is told, and from that how many runs it has.  PCT's bound follows from the measured
number of CPUs and choices.  All of it holds for sequentially consistent memory.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from vmsmp.sched.fingerprint import fingerprint

#: Every run is looked at until so many have been, then one in STRIDE.
EVERY: Final = 128
STRIDE: Final = 32


@dataclass
class Certificate:
    """Counts of one search.  `sampled` runs were looked at; `watched` runs had their choices counted."""

    sampled: int = 0
    cpus: int = 0
    choices: int = 0
    watched: int = 0
    #: Sum of the decimal logarithms of the number of schedules, as each watched run estimates it.
    magnitude: float = 0.0
    #: Of a systematic search that has runs left: the share of its tree that is explored, below 1.
    share: float | None = None
    #: Of a systematic search that has none left and has not seen everything: why.
    limits: tuple[str, ...] = ()
    _traces: Counter[int] = field(default_factory=Counter, repr=False)

    @staticmethod
    def looks_at(execution: int) -> bool:
        """Whether that run of a search is one whose trace counts."""
        return execution <= EVERY or not execution % STRIDE

    def add(
        self,
        execution: int,
        log: list[int],
        draws: Iterable[int],
        cpus: int,
        effects: Mapping[int, Iterable[int]] | None = None,
    ) -> None:
        """Count a run, if it is one that is looked at; `effects` are as `fingerprint` takes them."""
        self.cpus = max(self.cpus, cpus)
        if self.looks_at(execution):
            self.sampled += 1
            self._traces[fingerprint(log, draws, effects)] += 1

    def start_anew(self) -> None:
        """Forget the traces: they were told apart by too little."""
        self.sampled = 0
        self._traces.clear()

    def watch(self, candidates: Iterable[int]) -> None:
        """Count how many CPUs could run at each choice of a run."""
        widths = [width for width in candidates if width > 1]
        self.watched += 1
        self.choices = max(self.choices, len(widths))
        self.magnitude += sum(map(math.log10, widths))

    @property
    def seen(self) -> Mapping[int, int]:
        """The traces that have been seen, by fingerprint, and how often."""
        return self._traces

    @property
    def traces(self) -> int:
        """How many traces have been seen."""
        return len(self._traces)

    @property
    def unseen(self) -> float:
        """The probability that one more run shows a trace not seen yet (Good-Turing)."""
        if not self.sampled:
            return 1.0
        once = list(self._traces.values()).count(1)
        return once / self.sampled

    def runs_in_all(self, executions: int) -> float | None:
        """How many runs an unfinished systematic search has if the rest of its tree is like its beginning."""
        return max(executions / self.share, executions + 1.0) if self.share else None

    def bound(self, depth: int) -> float:
        """PCT's bound: a run hits a bug of that depth with at least this probability."""
        return 1.0 / (max(1, self.cpus) * float(max(1, self.choices)) ** (depth - 1))

    def runs_for(self, depth: int, confidence: float = 0.95) -> int:
        """How many runs of PCT find a bug of that depth with that confidence."""
        p = self.bound(depth)
        return 1 if p >= 1.0 else math.ceil(math.log(1.0 - confidence) / math.log1p(-p))

    def as_dict(self) -> dict[str, object]:
        """The certificate for `--json`."""
        return {
            "sampled": self.sampled,
            "traces": self.traces,
            "unseen": round(self.unseen, 6),
            "cpus": self.cpus,
            "choices": self.choices,
            "schedules_log10": round(self.magnitude / self.watched, 1) if self.watched else None,
            "pct_bound": {str(depth): self.bound(depth) for depth in (1, 2, 3)},
            "memory": "sequentially consistent",
            **({} if self.share is None else {"share": self.share}),
            **({"limits": list(self.limits)} if self.limits else {}),
        }

    def lines(self) -> list[str]:
        """The certificate in words, a line each."""
        if not self.sampled:
            return []
        if self.share is not None or self.limits:
            return [f"traces: {self.traces:,} in {self.sampled:,} runs looked at"]
        lines = [
            f"traces: {self.traces:,} in {self.sampled:,} runs looked at; the next run is a new one "
            f"with probability {self.unseen:.1%}"
        ]
        if self.watched and self.choices:
            lines.append(
                f"size: up to {self.choices:,} choices a run among {self.cpus} CPUs, "
                f"about 10^{self.magnitude / self.watched:.0f} schedules"
            )
            lines.append(
                "PCT's bound: "
                + ", ".join(
                    f"a bug of depth {depth} in {self.runs_for(depth):,} runs of pct:{depth} with 95 %"
                    for depth in (2, 3)
                )
            )
        return lines
