"""Tables of the README: how they are read, and what the code says must be in them.

`python tests/support/readme_tables.py` makes anew what of the README the code knows: the report at its top,
operation kinds, kinds of failure, words that may race.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from vmsmp.campaign.replay import replay
from vmsmp.campaign.search import explore
from vmsmp.engine import ops, verdict
from vmsmp.engine.schedule import Schedule
from vmsmp.library import find_scenario
from vmsmp.sync.cell import Cell

HOME = Path(__file__).resolve().parents[2]
README = (HOME / "README.md").read_text(encoding="utf-8")
PACKAGE = HOME / "vmsmp"

TAKES = {ops.Takes.NO: "", ops.Takes.ONE_MORE: "takes", ops.Takes.PERHAPS: "may take"}
ORDERS = {
    ops.Order.NOTHING: "nothing",
    ops.Order.ACQUIRE: "acquire",
    ops.Order.RELEASE: "release",
    ops.Order.BOTH: "acquire, release",
    ops.Order.ELSEWHERE: "",
}


def table(heading):
    """The rows of the first table below that heading, each a tuple of cells, its head left out."""
    below = re.split(rf"^#+ {heading}$", README, maxsplit=1, flags=re.MULTILINE)[1]
    lines = re.search(r"(^\|.*\n)+", below, re.MULTILINE)[0].splitlines()
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


def operation_rows():
    """A row for each kind of operation."""
    return [
        (
            str(kind.number),
            kind.name,
            kind.subject.value,
            "yes" if kind.reads else "",
            "yes" if kind.changes else "",
            "gives" if kind.gives else TAKES[kind.takes],
            ORDERS[kind.order],
        )
        for kind in sorted(ops.TABLE, key=lambda kind: kind.number)
    ]


def failure_rows():
    """A row for each kind of failure."""
    return [
        (f"`{kind.value}`", kind.meaning, "all CPUs" if kind.of_all else "one CPU")
        for kind in verdict.FailureKind
    ]


def sloppy_rows():
    """A row for each word of the booted system that is declared sloppy."""
    found = []

    def program(m):
        m.boot(pages=4, l2_size=1, low_pages=2)
        found.extend(thing for thing in m.identities if isinstance(thing, Cell) and thing.sloppy)

    explore(program, schedules=1)
    return sorted((f"`{cell.name}`", cell.sloppy) for cell in dict.fromkeys(found))


def invariants_named():
    """The ids of all invariants that the package names, in messages, docstrings and mutants."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        found |= set(re.findall(r"INV-[A-Z]{2,}\d*|INV-[A-Z]\d+", path.read_text(encoding="utf-8")))
    return found


def modelled():
    """(kernel file, package or module of `vm` or `sync`) for each file that a module says it models."""
    found = set()
    for room in ("sync", "vm"):
        for path in (PACKAGE / room).rglob("*.py"):
            says = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            models = re.search(r"^Models:(.*?)(?=^\w+:|\Z)", says, re.MULTILINE | re.DOTALL)
            place = path.relative_to(PACKAGE / room).with_suffix("").parts[0]
            if models:
                found |= {(name, f"{room}/{place}") for name in re.findall(r"\b\w+\.[ch]\b", models[1])}
    return found


def report():
    """The report at the top of the README, made anew."""
    schedule = Schedule.parse(re.search(r"vmsmp replay '([^']+)'", README)[1])
    schedule = schedule.with_steps(schedule.preemptions)  # the report may have moved
    return replay(find_scenario(schedule.program), schedule).failure.report() + "\n"


def renewed():
    """The README with its report and the tables that the code knows made anew."""
    text = re.sub(r"(?ms)(?<=^```text\n).*?(?=^```$)", lambda _: report(), README)
    tables = {
        "Operation kinds": operation_rows(),
        "Kinds of failure": failure_rows(),
        "Words that may race": sloppy_rows(),
    }
    for heading, rows in tables.items():
        before, after = text.split(f"\n### {heading}\n")
        lines = "".join(f"| {' | '.join(row)} |\n".replace("  ", " ").replace("  ", " ") for row in rows)
        after = re.sub(r"(?m)(?<=---\|\n)(^\|.*\n)*", lambda _, lines=lines: lines, after, count=1)
        text = f"{before}\n### {heading}\n{after}"
    return text


if __name__ == "__main__":
    (HOME / "README.md").write_text(renewed(), encoding="utf-8")
