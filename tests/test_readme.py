"""The README says what is so: its report is real, its code runs, its line replays."""

import ast
import importlib
import re
from itertools import pairwise

import pytest

import vmsmp
from readme_tables import (
    HOME,
    PACKAGE,
    README,
    failure_rows,
    invariants_named,
    modelled,
    operation_rows,
    sloppy_rows,
    table,
)
from reference import deadlock01
from vmsmp.cli import main
from vmsmp.cli.command_line import COMMANDS, parser
from vmsmp.engine import ops
from vmsmp.patches.mutants import MUTANTS

pytest_plugins = ["pytester"]

INVARIANTS = table("Invariants")
SOURCES = table("Where the model comes from")
#: (kernel file, package) for each kernel file of that table.
LISTED = {
    (path.rsplit("/", 1)[-1], place.strip("`")) for files, place, _ in SOURCES for path in files.split(", ")
}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def without_line_numbers(report):
    """Places move with every edit of a file; what they say of a run does not."""
    return re.sub(r"(?<=[a-z]):\d+", ":N", report)


def test_the_report_in_the_readme_is_what_its_line_replays_to(capsys):
    (report,) = blocks("text")
    line = re.search(r"vmsmp replay '([^']+)'", report).group(1)
    assert 1 == main(["replay", line])
    assert without_line_numbers(report) == without_line_numbers(capsys.readouterr().out)


def test_the_predicted_deadlock_in_the_readme_is_what_a_search_reports():
    (shown,) = re.findall(r"^```\n(lock-order: .*?)^```$", README, re.MULTILINE | re.DOTALL)
    report = vmsmp.explore(deadlock01, races=True).failure.report()
    assert shown.splitlines() == report.split("\n\n")[0].splitlines()


def test_the_first_python_block_runs_as_it_stands(capsys):
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    assert "both increments are counted" in capsys.readouterr().out


def test_the_page_layer_s_block_runs_as_it_stands():
    exec(compile(blocks("python")[1], "README.md", "exec"), {})


@pytest.mark.parametrize("block", blocks("py"))
def test_an_example_runs_as_it_stands(block):
    exec(compile(block, "README.md", "exec"), {})


def test_the_order_of_steps_of_a_sleep_matters():
    """Looking before the interlock, as the text says, loses the wakeup."""
    block, *_ = blocks("py")
    program = block.split("\n\n\nassert ")[0]
    swapped = program.replace("            m.tsleep_interlock(word)\n", "").replace(
        "word, PINTERLOCKED", "word, 0"
    )
    names = {}
    exec(compile(swapped, "README.md", "exec"), names)
    assert "lost-wakeup" == vmsmp.explore(names["busy_word"], locks="exact", schedules=3000).failure.kind


def test_the_block_of_tests_runs_as_it_stands(pytester):
    program = blocks("python")[0].split("\n\n\nresult = ")[0]
    pytester.makepyfile(programs=program, test_it=blocks("python")[2])
    pytester.syspathinsert()
    done = pytester.inline_run("-p", "no:cacheprovider", "--import-mode=importlib")
    assert [1, 0, 1] == [len(reports) for reports in done.listoutcomes()]


@pytest.mark.parametrize("command", blocks("sh"))
def test_each_command_makes_its_own_environment(command):
    assert command.startswith("python3 -m venv .venv && ")


def test_there_are_three_commands():
    assert 3 == len(blocks("sh"))


def test_the_first_command_finds_the_bug_of_the_report(capsys):
    words = re.search(r"\.venv/bin/vmsmp (.*)$", blocks("sh")[0], re.MULTILINE).group(1).split()
    assert 1 == main(words)
    assert blocks("text")[0].splitlines()[0] in capsys.readouterr().out.splitlines()


def test_the_second_command_runs_the_tests():
    assert blocks("sh")[1].rstrip().endswith("-m pytest -n 2")


def test_the_third_command_stresses():
    assert blocks("sh")[2].rstrip().endswith("vmsmp stress --minutes 1")


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__.rsplit(".", 1)[-1])
def test_every_command_stands_in_the_readme(module):
    names = {"listing": "list"}
    short = module.__name__.rsplit(".", 1)[-1]
    assert f"| `vmsmp {names.get(short, short)}" in README


def test_every_scheduler_of_the_readme_exists():
    for sched in ("portfolio", "random", "pct:3", "rr", "dfs:1"):
        assert 1 <= vmsmp.explore(lambda m: m.cell(0).load(), sched=sched, schedules=2).executions


def test_the_help_names_every_command():
    text = parser().format_help()
    for command in ("list", "run", "replay", "minimize", "ddb", "stress", "bench", "doctor"):
        assert command in text


# -- for contributors -----------------------------------------------------------------------------


def rooms():
    """The packages of the table of rooms, in its order."""
    return [re.search(r"vmsmp/(\w+)", room).group(1) for room, _ in table("Rooms")]


def test_every_room_stands_in_the_readme():
    assert sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")) == sorted(rooms())


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_from_rooms_that_stand_above_it(room):
    above = rooms()[: rooms().index(room) + 1]
    assert [] == sorted(imported(room) & {*rooms()} - {*above})


def imported(room):
    """What the modules of a room import of vmsmp: rooms, and modules beside them."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (PACKAGE / room).rglob("*.py")]
    froms = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [f"{node.module}.{alias.name}" for node in froms if node.module for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("vmsmp.")}


def test_every_path_in_the_readme_is_there():
    paths = set(re.findall(r"`((?:vmsmp|scenarios|stress|tests|\.ci)/[\w/.]*)`", README))
    assert [] == [path for path in sorted(paths) if not (HOME / path).exists()]


def test_the_table_of_operation_kinds_is_the_code_s():
    assert operation_rows() == table("Operation kinds")


def test_the_free_numbers_are_free():
    even, odd = [*range(22, 43, 2), *range(46, 63, 2)], [*range(57, 64, 2)]
    assert "the even numbers 22 to 42 and 46 to 62" in README
    assert "the odd numbers 57 to 63" in README.replace("\n", " ")
    assert sorted({*range(64)} - ops.KINDS.keys()) == sorted(even + odd)


def test_the_table_of_failure_kinds_is_the_code_s():
    assert failure_rows() == table("Kinds of failure")


def test_the_table_of_words_that_may_race_is_the_code_s():
    assert sloppy_rows() == table("Words that may race")


def test_every_invariant_that_the_code_names_stands_in_the_readme_and_no_other():
    assert sorted(invariants_named()) == sorted(ident for ident, *_ in INVARIANTS)


@pytest.mark.parametrize(("ident", "checker"), [(ident, checker) for ident, _, checker, _ in INVARIANTS])
def test_the_checkers_of_an_invariant_name_it(ident, checker):
    short = re.compile(rf"\b{ident.removeprefix('INV-')}\b")
    modules = [importlib.import_module(f"vmsmp.{name}") for name in re.findall(r"`([\w.]+)`", checker)]
    assert [] == [module.__name__ for module in modules if not short.search(source(module))]


def source(module):
    return (HOME / module.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("ident", [ident for ident, _, checker, _ in INVARIANTS if "`" not in checker])
def test_an_invariant_without_a_checker_falls_to_a_mutant(ident):
    assert ident in {mutant.breaks for mutant in MUTANTS}


def test_every_kernel_file_that_a_module_models_stands_in_the_readme():
    assert [] == sorted(modelled() - LISTED)


def test_every_c_file_of_the_readme_is_one_that_its_package_models():
    assert [] == sorted((path, place) for path, place in LISTED - modelled() if path.endswith(".c"))


def test_every_kernel_file_of_the_readme_has_its_place_in_the_kernel():
    assert [] == [path for files, *_ in SOURCES for path in files.split(", ") if not path.startswith("sys/")]


@pytest.mark.parametrize("heading", ["a kernel function", "a kernel structure"])
def test_the_steps_of_adding_are_numbered_from_one(heading):
    below = README.split(f"### How to add {heading}\n")[1].split("\n#")[0]
    steps = [int(n) for n in re.findall(r"^(\d+)\. ", below, re.MULTILINE)]
    assert [(0, 1), *pairwise(steps)] == [(n, n + 1) for n in range(steps[-1])]
