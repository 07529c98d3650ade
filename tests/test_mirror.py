"""Tests mirror the package: each module has a file of tests under its own name, in the folder of its room.

A module that needs several files has them under its name with one word more: `test_alloc_grab.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "vmsmp"
#: The rooms whose tests are kept so.
ROOMS = ("records", "mmu", "vm", "check")

#: Modules without tests of their own, and why.
UNTESTED = {
    "records/home.py": "protocols alone: mypy holds them",
}
#: Files of tests that are about no single module, and what they are about.
ACROSS = {
    "mmu/textbook/test_figures.py": "the worked figures of the course, of all mechanisms",
    "check/test_silence.py": "no checker changes a run",
    "vm/test_parts.py": "every package of the room has all its pieces",
    "vm/test_toy_structure.py": "what adding a structure touches",
}

MODULES = [
    path.relative_to(PACKAGE)
    for room in ROOMS
    for path in sorted((PACKAGE / room).rglob("*.py"))
    if path.name != "__init__.py"
]
FILES = [path.relative_to(TESTS) for room in ROOMS for path in sorted((TESTS / room).rglob("test_*.py"))]


def files_of(module):
    """The files of tests of a module."""
    names = [path for path in FILES if path.parent == module.parent]
    longer = {other.stem for other in MODULES if other.parent == module.parent and other != module}
    for path in names:
        name = path.stem.removeprefix("test_")
        if name == module.stem or (name.startswith(f"{module.stem}_") and name not in longer):
            yield path


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_tests_under_its_name(module):
    assert str(module) in UNTESTED or [*files_of(module)]


def test_a_file_of_tests_has_a_module_s_name():
    named = {path for module in MODULES for path in files_of(module)}
    assert [] == [str(file) for file in FILES if str(file) not in ACROSS and file not in named]


def test_no_exception_is_made_without_need():
    assert [] == [name for name in UNTESTED if [*files_of(Path(name))]]
    assert [] == [name for name in ACROSS if not (TESTS / name).exists()]
