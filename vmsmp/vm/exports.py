"""What a kernel file's package offers, loaded when it is first asked for.

Kernel files call each other in circles (vm_page.c frees what vm_object.c terminates, which holds objects
for vm_page.c).  Their modules do not: each imports only modules below it.  A package must therefore not
import all of its modules when one of them is imported; it lists its names and finds them on demand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def exports(
    package: str, names: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package that lists its names by module."""
    home = {name: module for module, listed in names.items() for name in listed}

    def find(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    public = sorted(name for name in home if not name.startswith("_"))
    return find, lambda: sorted(home), public
