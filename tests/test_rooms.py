"""The rooms of the package: imports go one way, and the house is kept."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import vmsmp

PACKAGE = Path(vmsmp.__file__).resolve().parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
#: What the modules of a room may import from other rooms, while running.
BELOW = {
    "engine": {"engine", "errors"},
    "sched": {"sched", "engine", "errors"},
    "records": {"records", "engine", "errors"},
    "sync": {"sync", "records", "engine", "errors"},
    "mmu": {"mmu", "sync", "records", "engine", "errors"},
    "vm": {"vm", "mmu", "sync", "records", "engine", "errors"},
}
#: What looks at everything, and is looked at by nothing below, not even for its types.
ABOVE = {"check", "patches", "campaign", "report", "cli", "pytest_plugin", "hypothesis_support"}
LOWER = [name for name in MODULES if name.split(".")[1:2] and name.split(".")[1] in BELOW]


def room(module):
    """`vmsmp.engine.cpu` is in room `engine`; `vmsmp` itself in none."""
    return [*module.split("."), ""][1]


def typing_only(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(node, running=True):
    """(module, whether it is imported when the code runs) for every import of our own."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, running) for alias in child.names if room(alias.name))
        elif isinstance(child, ast.ImportFrom) and child.module:
            names = [f"{child.module}.{alias.name}" for alias in child.names]
            yield from (
                (name if name in MODULES or child.module == "vmsmp" else child.module, running)
                for name in names
                if child.module.split(".")[0] == "vmsmp"
            )
        elif typing_only(child):
            for part in child.body:
                yield from imports(ast.Module([part], []), running=False)
            for part in child.orelse:
                yield from imports(ast.Module([part], []), running)
        else:
            yield from imports(child, running)


@cache
def tree_of(name):
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def imported(name, *, running=None):
    return sorted({m for m, runs in imports(tree_of(name)) if room(m) and running in (None, runs)})


def test_the_walk_sees_imports_while_running_and_those_for_types():
    tree = ast.parse(
        "import vmsmp.check\n"
        "if TYPE_CHECKING:\n    from vmsmp.engine.scheduler import Scheduler\n"
        "def f():\n    from vmsmp import cli\n"
    )
    assert [("vmsmp.check", True), ("vmsmp.engine.scheduler", False), ("vmsmp.cli", True)] == list(
        imports(tree)
    )


def test_the_lower_rooms_are_there():
    assert {"engine", "sched", "sync"} <= {room(name) for name in LOWER}


def test_a_lower_room_imports_only_from_below_while_running():
    wrong = {n: [m for m in imported(n, running=True) if room(m) not in BELOW[room(n)]] for n in LOWER}
    assert {} == {name: others for name, others in wrong.items() if others}


def test_a_lower_room_does_not_know_those_who_look_at_it():
    wrong = {name: [m for m in imported(name) if room(m) in ABOVE] for name in LOWER}
    assert {} == {name: others for name, others in wrong.items() if others}


def test_the_engine_knows_schedulers_by_their_interface_alone():
    known = {m for name in LOWER if room(name) == "engine" for m in imported(name) if room(m) == "sched"}
    assert set() == known


#: What each of the upper rooms may not name, not even for its types.
BEYOND = {
    "check": {"patches", "campaign", "report", "cli"},
    "patches": {"check", "campaign", "report", "cli"},
    "campaign": {"report", "cli"},
    "report": {"cli"},
}


def test_an_upper_room_does_not_know_those_above_it():
    upper = [name for name in MODULES if room(name) in BEYOND]
    wrong = {name: [m for m in imported(name) if room(m) in BEYOND[room(name)]] for name in upper}
    assert {} == {name: others for name, others in wrong.items() if others}


def test_a_module_has_at_most_500_lines():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {} == {name: length for name, length in lengths.items() if length > 500}


def test_a_module_says_what_it_is():
    assert [] == [name for name in MODULES if not ast.get_docstring(tree_of(name))]


def loaded_by(module):
    """What a fresh interpreter has loaded after importing `module`, by name."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sorted(sys.modules))"],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


HEAVY = {
    "vmsmp.engine.controlled",
    "vmsmp.campaign.search",
    "vmsmp.machine",
    "hypothesis",
    "rich",
    "jinja2",
    "loguru",
    "sqlite3",
}


def test_importing_the_package_stays_cheap():
    assert set() == loaded_by("vmsmp") & HEAVY


def test_importing_the_pytest_plugin_stays_cheap():
    assert set() == loaded_by("vmsmp.pytest_plugin") & HEAVY


# -- the engine ---------------------------------------------------------------------------------------


def circle(modules):
    """The modules that none of the given can be loaded before, by what each of them imports."""
    needs = {name: set(imported(name)) & set(modules) - {name} for name in modules}
    while free := {name for name in needs if not needs[name]}:
        needs = {name: below - free for name, below in needs.items() if name not in free}
    return needs


def test_a_circle_is_seen(monkeypatch, tmp_path):
    for name, text in (
        ("a", "from vmsmp import b"),
        ("b", "from vmsmp import a"),
        ("c", "from vmsmp import a"),
    ):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setitem(MODULES, f"vmsmp.{name}", tmp_path / f"{name}.py")
    assert {"vmsmp.a", "vmsmp.b", "vmsmp.c"} == set(circle(["vmsmp.a", "vmsmp.b", "vmsmp.c"]))


def test_no_circle_of_imports_is_in_the_engine_not_even_for_types():
    assert {} == circle([name for name in MODULES if room(name) == "engine"])
