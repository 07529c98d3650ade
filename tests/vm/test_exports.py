"""What the packages of kernel files offer: each name they list, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from vmsmp import vm
from vmsmp.vm.exports import exports

PACKAGES = [f"vmsmp.vm.{path.parent.name}" for path in sorted(Path(vm.__file__).parent.glob("*/__init__.py"))]
EACH_PACKAGE = pytest.mark.parametrize("package", PACKAGES)


def listing():
    """`__getattr__`, `__dir__` and `__all__` for a list of two names of this package's own module."""
    return exports("vmsmp.vm", {"command": ("whole_number", "_hidden"), "ddb": ("COMMANDS",)})


def test_a_name_is_found_in_the_module_that_is_listed_for_it():
    find, _, _ = listing()
    assert import_module("vmsmp.vm.command").whole_number is find("whole_number")


def test_a_name_that_is_not_listed_is_no_attribute():
    find, _, _ = listing()
    with pytest.raises(AttributeError) as refused:
        find("ShowCommand")
    assert "module 'vmsmp.vm' has no attribute 'ShowCommand'" == str(refused.value)


def test_all_names_are_shown_in_order():
    _, names, _ = listing()
    assert ["COMMANDS", "_hidden", "whole_number"] == names()


def test_a_star_import_takes_no_private_name():
    _, _, public = listing()
    assert ["COMMANDS", "whole_number"] == public


@EACH_PACKAGE
def test_every_name_that_a_package_lists_is_there(package):
    module = import_module(package)
    assert [] == [name for name in dir(module) if not hasattr(module, name)]


@EACH_PACKAGE
def test_a_name_that_a_package_does_not_list_is_no_attribute(package):
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'vm_nothing'"):
        _ = import_module(package).vm_nothing


@EACH_PACKAGE
def test_a_package_loads_none_of_its_modules_before_one_is_asked_for(package):
    program = f"import sys, {package}; print([name for name in sys.modules if name.startswith('{package}.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()
