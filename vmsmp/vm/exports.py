"""The lazily loaded names of a kernel file's package.

Kernel files call each other in cycles (vm_object.c frees pages through vm_page.c, which holds objects
through vm_object.c).  Their modules do not: each imports only modules below it.  A package must therefore
not import all of its modules when one of them is imported; it lists its names and loads them on demand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def exports(
    package: str, names: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` for a package that lists its names by module."""
    home = {name: module for module, listed in names.items() for name in listed}

    def find(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    public = sorted(name for name in home if not name.startswith("_"))
    return find, lambda: sorted(home), public
