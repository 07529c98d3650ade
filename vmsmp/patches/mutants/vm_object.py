"""Mutants of the memory objects (sys/vm/vm_object.c)."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_MODULE = "vmsmp.vm.vm_object"

MUTANTS = (
    Mutant(
        "OB-12c",
        f"{_MODULE}:vm_object_terminate",
        "while pages.failed:",
        "while False:",
        "INV-O5",
        "a page that was busy when termination came by is not looked at again, and stays in the dead object",
        "cached_page_of_held_object",
        also=(Edit(f"{_MODULE}:vm_object_terminate", "while obj.rb_memq:", "while False:"),),
    ),
)
