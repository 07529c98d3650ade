"""The static site: an index of bugs, a page each, the runs, and what they covered.

Pages name each other and their files by relative paths, load nothing from elsewhere and hold no script.
Whatever a message or a name holds is escaped: templates escape all that they are given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vmsmp.errors import UsageError
from vmsmp.report.dashboard.charts import charts
from vmsmp.report.dashboard.guards import OUTCOMES, about, guards_of, sites_of
from vmsmp.report.dashboard.interleaving import interleaving_of
from vmsmp.report.dashboard.values import MEANING, day, searched
from vmsmp.report.text import again, scene_lines

if TYPE_CHECKING:
    from vmsmp.report.dashboard.retold import Retold
    from vmsmp.report.dashboard.values import Bug, Dashboard

#: Where the templates are, in the package.
TEMPLATES: Final = Path(__file__).resolve().parent / "templates"
#: Runs that a sparkline shows, at most: the last ones.
SPARKS: Final = 30
#: How high its highest bar is.
_HEIGHT: Final = 20
#: Findings of one signature that its page lists, at most.
LISTED: Final = 50


@dataclass(frozen=True, slots=True)
class Bar:
    """One run in a sparkline."""

    x: int
    height: int
    times: int


def site(board: Dashboard, retold: Mapping[str, Retold]) -> Iterator[tuple[str, bytes]]:
    """Return the path and the content of each file, the index last.

    `retold` has by bug what its line came to.
    Raises: UsageError if Jinja2 or pygal is not installed.
    """
    pages = _environment()
    bugs = board.bugs
    yield "style.css", (TEMPLATES / "style.css").read_bytes()
    drawn = charts(board)
    yield from ((f"plot/{name}.svg", content) for name, content in drawn.items())
    page = pages.get_template("bug.html")
    for bug in bugs:
        yield from _bug_files(page, board, bug, retold[bug.name])
    covered = {
        "plots": drawn,
        "searched": searched(board.contents.rows),
        "guards": guards_of(board.verdicts),
        "sites": sites_of(board.contents.sites),
        "lost": [verdict for verdict in board.verdicts if not verdict.killed],
        "outcomes": OUTCOMES,
        "about": about,
    }
    yield "coverage.html", _rendered(pages.get_template("coverage.html"), board, covered)
    yield "runs.html", _rendered(pages.get_template("runs.html"), board, {"plots": drawn})
    groups = [(status, [bug for bug in bugs if bug.signature.status == status]) for status in MEANING]
    yield "index.html", _rendered(pages.get_template("index.html"), board, {"groups": groups})


def _bug_files(page: Any, board: Dashboard, bug: Bug, told: Retold) -> Iterator[tuple[str, bytes]]:
    """The page of a bug, and the files that it offers."""
    files = {}
    if told.trace:
        files["trace"] = f"trace/{bug.name}.json"
        yield files["trace"], told.trace.encode()
    if told.test:
        files["test"] = f"test/{test_name(bug)}"
        yield files["test"], told.test.encode()
    failure = told.failure if told.failure is not None else bug.failure
    story = failure.story
    values = {
        "bug": bug,
        "told": told,
        "table": interleaving_of(failure) if story is not None else None,
        "scene": "\n".join(line[2:] for line in scene_lines(story.scene)[1:]) if story is not None else "",
        "files": files,
        "again": [line for line in again(bug.failure) if not line.startswith("digest")],
        "findings": bug.signature.findings[:LISTED],
        "met": [(run, times) for run, times in zip(board.contents.runs, bug.times, strict=True) if times],
    }
    yield f"bug/{bug.name}.html", _rendered(page, board, values, root="../")


def test_name(bug: Bug) -> str:
    """The name of the pytest file of a bug."""
    program = re.sub(r"\W+", "_", bug.signature.scenario, flags=re.ASCII).lower()[:60].strip("_")
    return f"test_{program}_{bug.name}.py"


def _rendered(template: Any, board: Dashboard, values: Mapping[str, object], *, root: str = "") -> bytes:
    """A page; `root` leads from it to the top of the site."""
    text: str = template.render(values, board=board, root=root, MEANING=MEANING)
    return text.encode("utf-8", "backslashreplace")


def bars(times: Sequence[int]) -> list[Bar]:
    """The sparkline of how often each run met a bug; what was met at all is seen."""
    last = times[-SPARKS:]
    top = max(last, default=0)
    return [Bar(n, -(-count * _HEIGHT // top) if count else 0, count) for n, count in enumerate(last)]


def _environment() -> Any:
    """Return what renders the templates.

    Raises: UsageError if Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise UsageError("--html needs jinja2: pip install 'vmsmp[report]'") from None
    pages = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters.update(day=day, bars=bars, count=lambda number: f"{number:,}")
    return pages
