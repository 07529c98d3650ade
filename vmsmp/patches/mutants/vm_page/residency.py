"""Mutants of inserting, removing and renaming a page."""

from __future__ import annotations

from vmsmp.patches.patch import Mutant

_MODULE = "vmsmp.vm.vm_page"

MUTANTS = (
    Mutant(
        "AL-10",
        f"{_MODULE}:vm_page_insert",
        """
        m.publish("object", None)
        m.publish("pindex", 0)
        """,
        "pass",
        "INV-O1",
        "a page that lost the race for an index still says it is the object's",
        "grab_the_same_page",
    ),
    Mutant(
        "AL-25",
        f"{_MODULE}:vm_page_rename",
        "        vm_page_deactivate(m)\n",
        "        pass\n",
        "INV-Q7",
        "a cached page becomes dirty",
        "lookup_against_rename",
    ),
    Mutant(
        "AL-27",
        f"{_MODULE}:vm_page_remove",
        "vm_object_hold(obj)",
        """
        from vmsmp.vm.vm_object.hold import vm_object_hold_shared

        vm_object_hold_shared(obj)
        """,
        "INV-O2",
        "two CPUs that hold the object shared count its pages down at once",
        "object_comes_and_goes",
    ),
)
