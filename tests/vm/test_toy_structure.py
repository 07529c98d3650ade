"""Adding a kernel structure costs one declaration: one package of `vm`, one file each of rules and mutants.

The structure is a toy.  It is added to a copy of vmsmp, the way its author would: a new module in one
package of `vm`, and a line or an entry in files that list what there is.  Everything else must notice it.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import pytest

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]

#: The new module: two fields under a spinlock, a share, a function, and what the debugger shows.
TOY = '''
"""struct vm_toy: a spring that may be wound up to its limit.

Models: nothing; it is a toy.
Locks: S, the toy's spinlock.
Deviations: none.
"""

from __future__ import annotations

from typing import Any, Final

from vmsmp.records.field import field, plain
from vmsmp.records.letters import Letter
from vmsmp.records.record import Record, has, record
from vmsmp.records.share import Share
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.vm.command import ShowCommand

KEY: Final = Share("key", owned=True, invariant="INV-TY2")
TOY_LEGEND: Final = {"S": Letter("the toy's spinlock", lambda cpu, toy: has(cpu, toy.spin_made, EXCLUSIVE))}


@record(legend=TOY_LEGEND)
class VmToy(Record):
    """struct vm_toy."""

    kind = "toy"

    # invariant: wound <= limit
    limit: int = field("S", default=1)
    wound: int = field("S")
    number: int = plain()

    @property
    def name(self) -> str:
        return f"toy[{self.number}]"

    def state(self) -> str:
        return f"wound {self.peek('wound')} of {self.peek('limit')}"


def vm_toy_wind(toy: VmToy) -> None:
    """Wind the toy by one turn unless it is at its limit."""
    toy.spin.acquire()
    if toy.wound < toy.limit:
        toy.wound += 1
    toy.spin.release()


def show_toy(vm: Any, _argument: str | None = None) -> str:
    """All toys."""
    return "\\n".join(f"{toy.name}: {toy.state()}" for toy in vm.page.toys) or "no toys"


COMMAND: Final = ShowCommand("toy", (("show toy", "all toys"),), show_toy)
'''

#: The rule: what must hold whenever the toy's spinlock is let go of.
RULE = """
    Rules(
        VmToy,
        written={
            "": (
                lambda toy, _books: Broken("INV-TY1", "it is wound beyond its limit")
                if toy.peek("wound") > toy.peek("limit")
                else None,
            )
        },
    ),
"""
MUTANT = """
    Mutant(
        "TY-01",
        f"{_MODULE}:vm_toy_wind",
        "if toy.wound < toy.limit:",
        "if True:",
        "INV-TY1",
        "nobody looks at the limit and the toy is wound twice",
        "alloc_storm_one_colour",
    ),
"""

FUTURE = "from __future__ import annotations\n"
#: What is added to files that are there already: path, the line to add it after, the text
#: (None: the import of the toy).
ADDED = [
    ("vm/vm_page/__init__.py", "    {\n", '        "toy": ("KEY", "VmToy", "vm_toy_wind", "show_toy"),\n'),
    ("vm/vm_page/startup.py", FUTURE, None),
    ("vm/vm_page/startup.py", "        self.l2_mask = size - 1\n", "        self.toys = vm.pool(VmToy)\n"),
    ("vm/vm_page/ddb.py", FUTURE, None),
    ("vm/vm_page/ddb.py", "COMMANDS: Final = (\n", "    COMMAND,\n"),
    ("check/vm/vm_page.py", FUTURE, None),
    ("check/vm/vm_page.py", "RULES: Final = (\n", RULE),
    ("patches/mutants/vm_page/holding.py", "MUTANTS = (\n", MUTANT),
]
IMPORT = "from vmsmp.vm.vm_page.toy import COMMAND, VmToy\n"

#: Runs on the copy and prints what it saw, by name.
PROBE = """
import json, sys
import vmsmp
from vmsmp.vm.vm_page import KEY, VmToy, vm_toy_wind

def once(program, **options):
    def booted(m):
        vm = m.boot(pages=8, l2_size=1)
        program(m, vm.page.toys.make(number=17))
    failure = vmsmp.explore(booted, sched="dfs:0", schedules=1, **options).failure
    return failure and [failure.kind, failure.message]

def wound_twice(m, toy):
    for _ in range(2):
        m.spawn(vm_toy_wind, toy)
    m.join()

def overwound(m, toy):
    with toy.spin:
        toy.wound = 3
    m.choose(1)

def unlocked(m, toy):
    m.spawn(lambda: toy.wound)
    m.join()

def key_kept(m, toy):
    m.spawn(lambda: toy.took(KEY))
    m.join()

def key_given_back_by_another(m, toy):
    m.spawn(lambda: toy.gave(KEY))
    m.join()

json.dump({
    "file": vmsmp.__file__,
    "clean": once(wound_twice),
    "rule": once(overwound),
    "letters": once(unlocked),
    "leak": once(key_kept),
    "ledger": once(key_given_back_by_another),
    "mutant": once(wound_twice, mutants=["TY-01"]),
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def toyshop(tmp_path_factory):
    """A copy of vmsmp and its scenarios with the toy in it."""
    shop = tmp_path_factory.mktemp("toyshop")
    for folder in ("vmsmp", "scenarios"):
        shutil.copytree(CHECKOUT / folder, shop / folder)
    shutil.copy(CHECKOUT / "pyproject.toml", shop)  # says that the folder of scenarios beside it is ours
    (shop / "vmsmp/vm/vm_page/toy.py").write_text(TOY.lstrip(), encoding="utf-8")
    for name, after, text in ADDED:
        path = shop / "vmsmp" / name
        source = path.read_text(encoding="utf-8")
        assert 1 == source.count(after), f"{name} no longer has {after!r}, once"
        path.write_text(source.replace(after, after + (text or IMPORT)), encoding="utf-8")
    return shop


def finished(shop, *arguments):
    """A fresh interpreter that has worked with the copy."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=shop,
        env={**os.environ, "PYTHONPATH": str(shop)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run(shop, *arguments):
    """What a fresh interpreter prints that works with the copy."""
    done = finished(shop, *arguments)
    assert (0, "") == (done.returncode, done.stderr), indent(done.stdout + done.stderr, "| ")
    return done.stdout


@pytest.fixture(scope="module")
def seen(toyshop):
    return json.loads(run(toyshop, "-c", dedent(PROBE)))


def differing(one, other, below=Path()):
    """Files that are in one of the trees only, or not the same in both."""
    compared = filecmp.dircmp(one / below, other / below, ignore=["__pycache__"])
    for name in (*compared.left_only, *compared.right_only, *compared.diff_files):
        yield str(below / name)
    for name in compared.common_dirs:
        yield from differing(one, other, below / name)


def test_the_toy_touches_one_package_of_vm_one_file_of_rules_and_one_of_mutants(toyshop):
    outside = [
        name
        for name in differing(CHECKOUT / "vmsmp", toyshop / "vmsmp")
        if not name.startswith("vm/vm_page/")
    ]
    assert ["check/vm/vm_page.py", "patches/mutants/vm_page/holding.py"] == sorted(outside)


def test_the_copy_is_what_runs(toyshop, seen):
    assert str(toyshop / "vmsmp/__init__.py") == seen["file"]


def test_a_machine_boots_with_the_toy_and_its_protocol_holds(seen):
    assert None is seen["clean"]


def test_the_toy_s_rule_is_asked(seen):
    assert ["accounting", "INV-TY1: toy: it is wound beyond its limit"] == seen["rule"]


def test_the_toy_s_letters_are_checked(seen):
    assert ["field-lock", "toy.wound read without the toy's spinlock"] == seen["letters"]


def test_the_toy_s_share_never_given_back_is_a_leak_under_its_own_invariant(seen):
    assert ["leak", "INV-TY2: key of toy never given back"] == seen["leak"]


def test_the_ledger_keeps_books_of_the_toy_s_share(seen):
    assert ["accounting", "INV-TY2: key of toy given back by a CPU that has none"] == seen["ledger"]


def test_the_toy_s_mutant_breaks_its_rule(seen):
    assert ["accounting", "INV-TY1: toy: it is wound beyond its limit"] == seen["mutant"]


def test_the_debugger_shows_toys(toyshop):
    shown = run(toyshop, "-m", "vmsmp", "ddb", "v1:alloc_storm_one_colour:0:", "-c", "show toy")
    assert "no toys" in shown.splitlines()


def test_the_debugger_s_help_has_the_toy_s_command(toyshop):
    assert "show toy" in run(toyshop, "-m", "vmsmp", "ddb", "--help")


def test_the_command_line_plants_the_toy_s_mutant(toyshop):
    line = ("alloc_storm_one_colour", "--mutant", "TY-01", "--schedules", "1", "--sched", "dfs:0")
    assert "TY-01" in run(toyshop, "-m", "vmsmp", "run", *line)


# -- the walk over the parts, with the toy in one of them ---------------------------------------------

WALK = ("-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", str(HERE / "test_parts.py"))


@pytest.fixture
def without(toyshop):
    """`without(name, text)`: the copy while that file lacks that text."""
    changed = []

    def cut(name, text):
        path = toyshop / "vmsmp" / name
        source = path.read_text(encoding="utf-8")
        changed.append((path, source))
        path.write_text(source.replace(text, ""), encoding="utf-8")
        return toyshop

    yield cut
    for path, source in changed:
        path.write_text(source, encoding="utf-8")


@pytest.mark.ci
def test_the_toy_has_all_its_pieces(toyshop):
    done = finished(toyshop, *WALK)
    assert 0 == done.returncode, done.stdout


@pytest.mark.ci
@pytest.mark.parametrize(
    ("name", "text", "test"),
    [
        ("check/vm/vm_page.py", RULE, "test_a_part_lacks_no_piece_without_a_reason"),
        ("vm/vm_page/__init__.py", '"vm_toy_wind", ', "test_a_part_lists_everything_public_that_it_defines"),
        ("vm/vm_page/toy.py", "Deviations: none.", "test_every_module_of_a_part_says_what_it_models"),
    ],
    ids=["rule", "export", "docstring"],
)
def test_a_piece_of_the_toy_that_is_missing_is_found(without, name, text, test):
    done = finished(without(name, text), *WALK)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert 1 == len(failed), done.stdout
    assert f"::{test}" in failed[0]
