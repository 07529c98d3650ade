"""The name of the code that runs: batches and findings are of one code, and tell nothing of another."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from pathlib import Path

from vmsmp.library import Scenario, own_place, scenario_folder
from vmsmp.program_files import file_of


@cache
def code_name() -> str:
    """The digest of all source of the package and of the scenarios: the same on every machine, and the same
    in a checkout and where it is installed.
    """
    package, scenarios = Path(__file__).resolve().parents[1], scenario_folder()
    own = [path for path in package.rglob("*.py") if scenarios not in path.parents]
    files = {path.relative_to(package.parent).as_posix(): path for path in own}
    files |= {path.relative_to(scenarios.parent).as_posix(): path for path in scenarios.rglob("*.py")}
    digest = blake2b(digest_size=8)
    for name in sorted(files):
        digest.update(f"{name}\0".encode() + files[name].read_bytes() + b"\0")
    return digest.hexdigest()


def own_code(scenarios: Iterable[Scenario]) -> str:
    """What to put behind the name where some scenarios are a user's own: a digest of their files."""
    files = sorted({file_of(own_place(scenario)) for scenario in scenarios} - {""})
    digest = blake2b(digest_size=8)
    for file in files:
        digest.update(Path(file).read_bytes() + b"\0")
    return f"+{digest.hexdigest()}" if files else ""
