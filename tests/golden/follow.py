"""Follow recordings and tell the first difference of each kind: `python tests/golden/follow.py FILE [N]`.

`FILE` is the name of a file of recordings (`lk-basic`), of a family (`lk`), or `all`; with `N` only that
run is followed.
"""

# ruff: noqa: T201

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from families import family_of  # noqa: E402 - both paths are set above
from follower import Difference, follow  # noqa: E402 - both paths are set above
from recording import folder, read  # noqa: E402 - both paths are set above
from vmsmp.engine.workers import WorkerPool  # noqa: E402 - both paths are set above


def follow_file(path: Path, only: int | None) -> tuple[int, int, dict[str, list[str]]]:
    """How many runs a file has, how many are followed, and the differences by kind."""
    runs = followed = 0
    differences: dict[str, list[str]] = {}
    family = family_of(path.name)
    with WorkerPool() as pool:
        for run in read(path) if family else ():
            if only is not None and run.number("id") != only:
                continue
            runs += 1
            try:
                follow(run, family, pool)
                followed += 1
            except Difference as difference:
                differences.setdefault(difference.kind, []).append(f"run {run.number('id')}: {difference}")
    return runs, followed, differences


def main(name: str, only: str | None = None) -> int:
    """Follow and print; 0 if there was no difference."""
    place = folder()
    if place is None:
        print("there are no recordings beside this checkout (../shared/golden/locks)")
        return 2
    paths = [p for p in sorted(place.glob("*.txt.gz")) if name == "all" or p.name.startswith(name)]
    missed = Counter()
    for path in paths:
        runs, followed, differences = follow_file(path, None if only is None else int(only))
        missed[path.name] = runs - followed
        print(f"{path.name}: {followed} of {runs} runs followed")
        for kind, texts in sorted(differences.items(), key=lambda item: -len(item[1])):
            print(f"  {len(texts):4} {kind}\n       {texts[0]}")
    return 1 if missed.total() else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
