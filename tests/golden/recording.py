"""The recordings of the kernel's lock code, read back.

A recording is one run of a small program by the kernel's own sources, access by access.  They are no part
of the repository: `../shared/golden/locks` beside the checkout has them, and a README of their format.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "golden" / "locks"

#: Accesses that may change a word.
STORES = ("cmpset", "add", "store", "setbits", "clearbits", "swap", "sub")
PARAMETERS = (
    "id",
    "seed",
    "pswitch",
    "ptimeout",
    "window",
    "tokwin",
    "same",
    "locks",
    "spins",
    "tokens",
    "refs",
    "channels",
    "flags",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a recording: what a CPU did, to which word, and what that changed."""

    cpu: int
    kind: str
    word: str
    old: str
    new: str
    where: str

    @property
    def changes(self) -> bool:
        """Whether a word is another one after it."""
        return self.kind in STORES and self.old != self.new

    def __str__(self) -> str:
        return f"cpu{self.cpu} {self.kind} {self.word} {self.old} {self.new} {self.where}".rstrip(" -")


@dataclass(slots=True)
class Run:
    """One recorded run: its program for each CPU, what happened, and how it ended."""

    family: str
    parameters: dict[str, str]
    programs: list[list[str]]
    lines: list[Line] = field(default_factory=list)
    outcome: str = ""
    message: str = ""
    left: dict[str, str] = field(default_factory=dict)

    def number(self, name: str, part: int = 0) -> int:
        """A parameter of the run, or one part of it (`LOCKS:TIMO`)."""
        return int(float(self.parameters[name].split(":")[part]))

    def __str__(self) -> str:
        return f"{self.family} run {self.parameters['id']}"


def folder() -> Path | None:
    """Where the recordings are, or None."""
    return FOLDER if FOLDER.is_dir() else None


def read(path: Path) -> Iterator[Run]:
    """All runs of a file, in order."""
    family = path.name.split(".")[0]
    run = None
    with gzip.open(path, "rt") as file:
        for text in file:
            word, _, rest = text.rstrip("\n").partition(" ")
            if word == "run":
                if run is not None:
                    yield run
                run = _begun(family, rest)
            elif run is not None:
                _add(run, word, rest)
    if run is not None:
        yield run


def _begun(family: str, header: str) -> Run:
    *values, programs = header.split("/", len(PARAMETERS))
    return Run(
        family,
        dict(zip(PARAMETERS, values, strict=True)),
        [[one for one in program.split(",") if one] for program in programs.split(";")],
    )


def _add(run: Run, word: str, rest: str) -> None:
    if word == "fin":  # `fin OUTCOME CPU MESSAGE`
        run.outcome, _, run.message = rest.strip().partition(" ")
    elif word == "left":
        name, _, value = rest.partition(" ")
        run.left[name] = value
    elif word != "stuck":  # where a CPU stands in a deadlock
        kind, name, old, new, *where = rest.split(" ")
        run.lines.append(Line(int(word), kind, name, old, new, " ".join(where)))
