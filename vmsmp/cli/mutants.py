"""`vmsmp mutants`: remove guards one at a time, and see whether the scenarios notice."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vmsmp.campaign.code import code_name
from vmsmp.campaign.kill_table import BUDGET, HANG_S, Trial, Verdict, kill_table, trial_of
from vmsmp.campaign.reach import Reach, reach_of
from vmsmp.campaign.store.measured import keep_sites, keep_verdict
from vmsmp.campaign.store.schema import StoreError
from vmsmp.campaign.store.write import Store
from vmsmp.cli.arguments import Subparsers, add_json, number, pattern, print_json
from vmsmp.cli.console import Progress
from vmsmp.errors import HostError
from vmsmp.library import Scenario, matching
from vmsmp.patches.catalogue import MUTANT_BY_ID, find_mutant, mutants_matching
from vmsmp.patches.equivalent import equivalent
from vmsmp.patches.removals import Removal, all_removals
from vmsmp.report.kill_table import kill_text


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "mutants",
        help="remove guards one at a time, and see whether the scenarios notice",
        description="The kill table: each guard removal against the scenarios. Written mutants are tried on "
        "the scenario that they name; removals, which are derived from every test, lock, wakeup and order of "
        "the model's source, on all scenarios that run their line. Known findings are repaired meanwhile. "
        "Removals that are known to change nothing (vmsmp/patches/equivalent) are tried only if named in "
        "full.",
        epilog="Exit code 0: all were noticed; 1: some were not; 4: interrupted, results so far shown.",
    )
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="mutants or removals, as shell patterns (default: all mutants)"
    )
    parser.add_argument("--removals", action="store_true", help="all removals instead of the written mutants")
    parser.add_argument(
        "--budget",
        type=number(int, 1, 10**9),
        default=BUDGET,
        metavar="N",
        help=f"schedules for each on a scenario (default {BUDGET})",
    )
    parser.add_argument(
        "--scenarios", default="*", metavar="GLOB", help="try removals on these only (default: all)"
    )
    parser.add_argument(
        "--workers", type=number(int, 1, 256), metavar="N", help="processes (default: one a core)"
    )
    parser.add_argument(
        "--patience",
        type=number(float, 1, 10**6),
        default=HANG_S,
        metavar="S",
        help=f"seconds without a complete run after which a trial counts as a hang (default {HANG_S:g})",
    )
    parser.add_argument(
        "--store",
        type=pattern("(?s).+", "a file"),
        metavar="FILE",
        help="keep the kill table, and of removals which scenarios run their lines, in this store",
    )
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    show = Progress(quiet=args.json)
    scenarios = matching(args.scenarios)
    idents, left_out = _chosen(args)
    verdicts: list[Verdict] = []
    interrupted = False
    trouble: StoreError | None = None
    with _store(args.store) as store:
        try:
            reach = _reach(scenarios, idents, show)
            trials = [trial_of(ident, reach, args.budget) for ident in idents]
            if store is not None:
                keep_sites(store, _places(trials))
            for verdict in kill_table(trials, args.workers or len(os.sched_getaffinity(0)), args.patience):
                verdicts.append(verdict)
                lost = sum(not one.killed for one in verdicts)
                show.say(f"{len(verdicts)} of {len(idents)} tried, {lost} not noticed; last: {verdict.ident}")
                if store is not None:
                    keep_verdict(store, verdict)
        except KeyboardInterrupt:
            interrupted = True
        except StoreError as error:
            trouble = error
    show.clear()
    if args.json:
        print_json([verdict.as_dict() for verdict in verdicts])
    else:
        print("\n".join(kill_text(verdicts, len(idents), left_out=left_out, interrupted=interrupted)))
    if trouble is not None:
        raise HostError(str(trouble))
    if interrupted:
        return 4
    return 0 if all(verdict.killed for verdict in verdicts) else 1


@contextmanager
def _store(name: str | None) -> Iterator[Store | None]:
    """The store to keep it in, if one is named.

    Raises: UsageError for what is none, before anything is tried.
    """
    if name is None:
        yield None
        return
    with Store(Path(name), code_name()) as store:
        yield store


def _places(trials: Sequence[Trial]) -> dict[str, int]:
    """In how many places the line of each removal is run."""
    return {
        trial.ident: len(trial.places) for trial in trials if isinstance(find_mutant(trial.ident), Removal)
    }


def _chosen(args: argparse.Namespace) -> tuple[list[str], int]:
    """The ids to try, and how many are left out since they change nothing.

    Raises: UsageError for a pattern that matches none.
    """
    if args.ids:
        chosen = mutants_matching(args.ids)
    else:
        chosen = [removal.ident for removal in all_removals()] if args.removals else list(MUTANT_BY_ID)
    wanted = [ident for ident in chosen if ident in args.ids or not _is_equivalent(ident)]
    return wanted, len(chosen) - len(wanted)


def _is_equivalent(ident: str) -> bool:
    mutant = find_mutant(ident)
    return isinstance(mutant, Removal) and equivalent(mutant) is not None


def _reach(scenarios: Sequence[Scenario], idents: Sequence[str], show: Progress) -> Reach:
    """Where the lines of the removals among them are run."""
    found = [mutant for mutant in map(find_mutant, idents) if isinstance(mutant, Removal)]
    functions = sorted({removal.function for removal in found})
    return reach_of(scenarios, functions, show.say) if functions else {}
