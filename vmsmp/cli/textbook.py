"""`vmsmp textbook`: the worked examples of the course, computed."""

from __future__ import annotations

import argparse
import importlib.util
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from vmsmp.cli.arguments import Subparsers, add_json, print_json
from vmsmp.cli.files import OutputFile, add_force, output_file
from vmsmp.errors import UsageError, quoted
from vmsmp.report.plot import plot_curves
from vmsmp.report.table import table

if TYPE_CHECKING:
    from vmsmp.report.textbook.page import Chapter, Plot

#: Where most of the models are.
_MODELS: Final = "vmsmp.mmu.textbook"


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "textbook",
        help="the worked examples of the course, computed",
        description="Show a chapter of the textbook of virtual memory: each figure is computed by a model "
        "when it is shown.  Without a chapter, list them.",
    )
    parser.add_argument("chapter", nargs="?", metavar="CHAPTER", help="a chapter's name, as the list has it")
    parser.add_argument("--plot", metavar="FILE", help="also write the chapter's picture as SVG")
    add_force(parser)
    add_json(parser)
    parser.set_defaults(main=main)


def _chapters() -> tuple[Chapter, ...]:
    """Return all chapters; they are loaded here, since no other command needs them."""
    from vmsmp.report.textbook import CHAPTERS

    return CHAPTERS


def main(args: argparse.Namespace) -> int:
    if args.chapter is None:
        if args.plot is not None:
            raise UsageError(f"--plot needs a chapter with a picture: {_pictured()}")
        _list(as_json=args.json)
        return 0
    chapter = _chapter(args.chapter)
    place = _place(args, chapter) if args.plot is not None else None
    page = chapter.write()
    if place is not None and page.plot is not None:
        place.write(_drawn(page.plot))
    if args.json:
        print_json({**_as_dict(chapter), **page.as_dict()})
        return 0
    print(f"{chapter.name}: {chapter.title}")
    print("\n".join(page.lines()))
    print(f"\ncomputed by {', '.join(chapter.code)}")
    if place is not None:
        print(f"plot: {args.plot}")
    return 0


def _list(*, as_json: bool) -> None:
    """Print the chapters, in the order in which a student may read them."""
    if as_json:
        print_json([_as_dict(chapter) for chapter in _chapters()])
        return
    rows = [[one.name, one.title, _short(one.code), one.picture] for one in _chapters()]
    heads = ["chapter", "what it shows", f"computed by, in {_MODELS}", "--plot draws"]
    print("\n".join(table(heads, rows)))


def _short(code: tuple[str, ...]) -> str:
    return ", ".join(module.removeprefix(f"{_MODELS}.") for module in code)


def _as_dict(chapter: Chapter) -> dict[str, object]:
    return {
        "chapter": chapter.name,
        "title": chapter.title,
        "code": list(chapter.code),
        "picture": chapter.picture or None,
    }


def _chapter(name: str) -> Chapter:
    """Return the chapter of that name.

    Raises: UsageError that names a near miss.
    """
    known = {chapter.name: chapter for chapter in _chapters()}
    if name in known:
        return known[name]
    near = get_close_matches(name[:100], known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise UsageError(f"unknown chapter {quoted(name)}: {hint}")


def _pictured() -> str:
    return ", ".join(chapter.name for chapter in _chapters() if chapter.picture)


def _place(args: argparse.Namespace, chapter: Chapter) -> OutputFile:
    """Where the picture goes.

    Raises: UsageError before anything is computed, if there is none or it could not be written.
    """
    if not chapter.picture:
        raise UsageError(f"chapter {chapter.name} has no picture: {_pictured()} have one")
    place = output_file(args.plot, force=args.force)
    if importlib.util.find_spec("pygal") is None:
        raise UsageError("--plot needs pygal: pip install 'vmsmp[report]'")
    return place


def _drawn(plot: Plot) -> bytes:
    titles = (plot.title, plot.x_title, plot.y_title)
    return plot_curves("textbook", titles, plot.labels, plot.curves)
