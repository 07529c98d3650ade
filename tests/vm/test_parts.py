"""Every part of the virtual memory (a package of `vm`, named after its kernel file) has all its pieces."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path
from types import FunctionType

import pytest

from vmsmp import vm
from vmsmp.check.vm import RULES, SYSTEM
from vmsmp.patches.mutants import MUTANTS
from vmsmp.records.record import Record
from vmsmp.vm import ddb, system

HERE = Path(vm.__file__).parent
PARTS = sorted(path.parent.name for path in HERE.glob("*/__init__.py"))
EACH_PART = pytest.mark.parametrize("part", PARTS)

#: What a part does without, and why.
EXCEPTIONS = {
    ("vm_fault", "ddb"): "the kernel has no command for faults",
    ("vm_pager", "ddb"): "the kernel has no command for pagers",
    ("vm_meter", "Proc"): "its one word is a flag; whatever it says is allowed",
    ("vm_meter", "ddb"): "`show page` of vm_page.c shows its counts and thresholds, as in the kernel",
    ("vm_pageout", "ddb"): "`show page` of vm_page.c shows its words, as in the kernel",
    ("vm_page", "VmPageHashElm"): "its words race by design; what a lookup makes of them is judged instead",
}


def modules(part):
    """The modules of a part, by name."""
    return {
        path.stem: import_module(f"vmsmp.vm.{part}.{path.stem}")
        for path in sorted((HERE / part).glob("*.py"))
        if path.stem != "__init__"
    }


def own(part, sort):
    """The classes or functions that a part defines at the top of its modules, by name."""
    return {
        name: thing
        for module in modules(part).values()
        for name, thing in vars(module).items()
        if isinstance(thing, sort) and thing.__module__ == module.__name__
    }


def records(part):
    return [thing for thing in own(part, type).values() if issubclass(thing, Record)]


def is_module(path):
    """Whether vmsmp has a module or package at that path."""
    where = HERE.parent / path
    return where.is_dir() or where.with_suffix(".py").is_file()


def missing(part):
    """The pieces that a part lacks, by the names under which `EXCEPTIONS` has them."""
    if not is_module(f"vm/{part}/ddb"):
        yield "ddb"
    if not is_module(f"check/vm/{part}"):
        yield "rules"
    judged = {rules.record for rules in RULES}
    yield from (record.__name__ for record in records(part) if record not in judged)


def test_the_parts_are_found():
    assert {"vm_meter", "vm_object", "vm_page", "vm_pageout"} <= set(PARTS)


@EACH_PART
def test_a_part_lacks_no_piece_without_a_reason(part):
    assert [] == [piece for piece in missing(part) if (part, piece) not in EXCEPTIONS]


def test_no_exception_is_made_for_a_piece_that_is_there():
    assert [] == [(part, piece) for part, piece in EXCEPTIONS if piece not in set(missing(part))]


@EACH_PART
def test_a_part_starts_up_from_the_machine_and_its_configuration(part):
    startup = modules(part)["startup"].startup
    assert ["vm", "config"] == [name.lstrip("_") for name in inspect.signature(startup).parameters]


@EACH_PART
def test_a_machine_boots_every_part(part):
    assert modules(part)["startup"] is vars(system)[part]


@EACH_PART
def test_the_debugger_has_every_command_of_a_part(part):
    commands = modules(part)["ddb"].COMMANDS if "ddb" in modules(part) else ()
    assert [] == [command for command in commands if command not in ddb.COMMANDS]


@EACH_PART
def test_a_checker_asks_every_rule_of_a_part(part):
    if not is_module(f"check/vm/{part}"):
        return
    rules = import_module(f"vmsmp.check.vm.{part}")
    assert [] == [rule for rule in rules.RULES if rule not in RULES]
    assert rules.SYSTEM in SYSTEM


@EACH_PART
def test_the_rules_of_a_part_are_about_its_own_records(part):
    if not is_module(f"check/vm/{part}"):
        return
    rules = import_module(f"vmsmp.check.vm.{part}")
    assert [] == [rule.record for rule in rules.RULES if rule.record not in records(part)]


@EACH_PART
def test_a_part_has_mutants(part):
    assert () != import_module(f"vmsmp.patches.mutants.{part}").MUTANTS


@EACH_PART
def test_the_catalogue_has_every_mutant_of_a_part(part):
    mutants = import_module(f"vmsmp.patches.mutants.{part}").MUTANTS
    assert [] == [mutant.ident for mutant in mutants if mutant not in MUTANTS]


@EACH_PART
def test_the_mutants_of_a_part_change_its_own_functions(part):
    mutants = import_module(f"vmsmp.patches.mutants.{part}").MUTANTS
    elsewhere = [m.ident for m in mutants if not m.function.startswith(f"vmsmp.vm.{part}")]
    assert [] == elsewhere


@EACH_PART
@pytest.mark.parametrize("sort", [FunctionType, type], ids=["function", "class"])
def test_a_part_lists_everything_public_that_it_defines(part, sort):
    listed = dir(import_module(f"vmsmp.vm.{part}"))
    assert [] == [name for name in own(part, sort) if not name.startswith("_") and name not in listed]


@EACH_PART
@pytest.mark.parametrize("heading", ["Models:", "Locks:", "Deviations:"])
def test_every_module_of_a_part_says_what_it_models_what_it_locks_and_how_it_deviates(part, heading):
    silent = [
        path.name
        for path in sorted((HERE / part).glob("*.py"))
        if path.stem != "__init__"
        and heading not in (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
    ]
    assert [] == silent
