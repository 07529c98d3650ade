"""`vmsmp report`: what campaigns have found, from their store.

What makes the report is loaded here when it is needed, since no other command needs it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vmsmp.cli.arguments import Subparsers, add_json, number, pattern, print_json
from vmsmp.cli.files import OutputFile, add_force, output_file, same_file
from vmsmp.cli.folders import OutputFolder, output_folder
from vmsmp.cli.programs import add_places, scenarios_of
from vmsmp.errors import UsageError, quoted

if TYPE_CHECKING:
    from vmsmp.report.dashboard.retold import Retold
    from vmsmp.report.dashboard.values import Dashboard

#: Bugs whose lines are run again, where nobody says how many.
REPLAYS: Final = 200


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "report",
        help="what campaigns have found",
        description="Show what is in a campaign's store, grouped by signature: when and how often each was "
        "seen, its status, and the line that replays it.",
        epilog="Exit code 0: nothing new is in the store; 1: something is, or a finding that did not come "
        "again on the same code.",
    )
    parser.add_argument(
        "--store",
        type=pattern("(?s).+", "a file"),
        metavar="FILE",
        help="the store of `vmsmp stress --store`",
    )
    parser.add_argument(
        "--html",
        metavar="DIR",
        help="write a site of static pages: a page for each bug with its table, trace and test",
    )
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML, with a test case for each bug")
    parser.add_argument("--sarif", metavar="FILE", help="write SARIF 2.1.0, for pages that show code")
    parser.add_argument(
        "--github",
        action="store_true",
        help="print an annotation for each new bug, as GitHub's runner reads them, and append a summary to "
        "the file that GITHUB_STEP_SUMMARY names",
    )
    parser.add_argument(
        "--kills",
        metavar="FILE",
        help="show this kill table, output of `vmsmp mutants --json`, and not the store's own",
    )
    parser.add_argument(
        "--bench",
        metavar="FILE",
        help="show this contention, output of `vmsmp bench --plot PLOT --json`, and not the store's own",
    )
    parser.add_argument(
        "--replays",
        type=number(int, 0, 10**6),
        default=REPLAYS,
        metavar="N",
        help=f"run the lines of so many bugs again, for their tables, traces and tests (default {REPLAYS})",
    )
    add_places(parser)
    add_force(parser)
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    if args.json and args.github:
        raise UsageError("only one of --json and --github can go to standard output")
    folder = _folder(args) if args.html is not None else None
    places = _places(args)
    board = _board(args)
    retold = _write(board, places, folder, args)
    _print(board, retold, args)
    return 1 if board.alarming else 0


def _write(
    board: Dashboard, places: Mapping[str, OutputFile], folder: OutputFolder | None, args: argparse.Namespace
) -> Mapping[str, Retold]:
    """Write what was asked for, and return what the bugs' lines came to, if that was needed."""
    from vmsmp.report.dashboard.junit import junit_xml
    from vmsmp.report.dashboard.retold import retell
    from vmsmp.report.dashboard.sarif import sarif_json
    from vmsmp.report.dashboard.site import site

    known = scenarios_of(args.scenarios)
    retold = retell(board, args.replays, known) if folder or "--sarif" in places or args.github else {}
    if "--junit" in places:
        places["--junit"].write(junit_xml(board))
    if "--sarif" in places:
        places["--sarif"].write(sarif_json(board, retold))
    if folder is not None:
        folder.fill(site(board, retold))
    return retold


def _print(board: Dashboard, retold: Mapping[str, Retold], args: argparse.Namespace) -> None:
    """Say what was found, and to GitHub in its own way, too."""
    from vmsmp.report.dashboard.github import annotation_lines, silenced
    from vmsmp.report.dashboard.text import dashboard_dict, dashboard_text

    if args.json:
        print_json(dashboard_dict(board))
        return
    text = "\n".join([dashboard_text(board), *_written(args)])
    if args.github:
        _summarize(board)
        text = "\n".join([*annotation_lines(board, retold), silenced(text)])
    print(text)


def _folder(args: argparse.Namespace) -> OutputFolder:
    """Where the site goes.

    Raises: UsageError before anything is read, if it could not be written.
    """
    for library in ("jinja2", "pygal"):
        if importlib.util.find_spec(library) is None:
            raise UsageError(f"--html needs {library}: pip install 'vmsmp[report]'")
    return output_folder(args.html, force=args.force)


def _places(args: argparse.Namespace) -> dict[str, OutputFile]:
    """The files to write, by option.

    Raises: UsageError if one may not be written, or two outputs would go to one place.
    """
    named = {"--junit": args.junit, "--sarif": args.sarif}
    places = {
        option: output_file(name, force=args.force) for option, name in named.items() if name is not None
    }
    if len(places) == 2 and same_file(*places.values()):
        raise UsageError("--junit and --sarif cannot both go to the same file")
    return places


def _board(args: argparse.Namespace) -> Dashboard:
    """Everything to show.

    Raises: UsageError in one sentence for a file that cannot be read.
    """
    from vmsmp.campaign.store.read import read_store
    from vmsmp.report.dashboard.guards import verdicts_of
    from vmsmp.report.dashboard.values import Dashboard, colours_of

    if args.store is None:
        raise UsageError("which store? --store FILE names it, or VMSMP_STORE")
    contents = read_store(Path(args.store))
    verdicts, colours = contents.kills, contents.colours
    if args.kills is not None:
        verdicts = verdicts_of(_json(args.kills), args.kills)
    if args.bench is not None:
        colours = colours_of(_json(args.bench), args.bench)
    return Dashboard(args.store, contents, verdicts, colours)


def _json(name: str) -> Any:
    """Raises: UsageError for a file that is not there, or no JSON."""
    try:
        return json.loads(Path(name).read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {quoted(name, 300)}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{quoted(name, 300)} is no JSON") from None


def _written(args: argparse.Namespace) -> list[str]:
    """Which files there are now."""
    files = {"junit": args.junit, "sarif": args.sarif}
    written = [f"{what}: {name}" for what, name in files.items() if name is not None]
    return [*written, *([f"site: {os.path.join(args.html, 'index.html')}"] if args.html is not None else [])]


def _summarize(board: Dashboard) -> None:
    """Append to the summary of GitHub's step, if there is one.

    Raises: UsageError if it cannot be written.
    """
    from vmsmp.report.dashboard.github import summary

    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return
    try:
        with open(name, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(summary(board))
    except OSError as error:
        raise UsageError(f"cannot write the step's summary: {error.strerror}") from None
