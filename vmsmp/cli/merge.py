"""`vmsmp merge`: stores of several machines made one."""

from __future__ import annotations

import argparse
from pathlib import Path

from vmsmp.campaign.store.merge import merge
from vmsmp.campaign.store.read import read_store
from vmsmp.campaign.store.schema import StoreError
from vmsmp.cli.arguments import Subparsers, add_json, pattern, print_json
from vmsmp.errors import HostError

_FILE = pattern("(?s).+", "a file")
#: How one of what is counted is called.
ONE = {"runs": "run", "batches": "batch", "signatures": "signature"}


def register(commands: Subparsers) -> None:
    parser = commands.add_parser(
        "merge",
        help="make one store of several",
        description="Put all that the given stores have into one, which is made if it is not there. What "
        "several have is had once; order and repetition do not matter.",
    )
    parser.add_argument("stores", nargs="+", type=_FILE, metavar="STORE", help="a store to take in")
    parser.add_argument("--store", required=True, type=_FILE, metavar="FILE", help="the store to put it in")
    add_json(parser)
    parser.set_defaults(main=main)


def main(args: argparse.Namespace) -> int:
    into = Path(args.store)
    try:
        merge(into, map(Path, args.stores))
    except StoreError as error:
        raise HostError(str(error)) from None
    contents = read_store(into)
    batches = sum(row.batches for row in contents.rows)
    told = {"runs": len(contents.runs), "batches": batches, "signatures": len(contents.signatures)}
    if args.json:
        print_json(told)
    else:
        counted = (f"{count:,} {what if count != 1 else ONE[what]}" for what, count in told.items())
        print(f"{into}: {', '.join(counted)}")
    return 0
