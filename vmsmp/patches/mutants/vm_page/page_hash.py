"""Mutants of the page hash, which is read without a lock."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Mutant

_MODULE = "vmsmp.vm.vm_page"

MUTANTS = (
    Mutant(
        "HL-01",
        f"{_MODULE}:vm_page_hash_get",
        "if m.object is obj and m.pindex == pindex:",
        "if True:",
        "INV-H1",
        "the page becomes another object's between the guess and the soft busy",
        "hash_against_remove",
    ),
    Mutant(
        "HL-02",
        f"{_MODULE}:vm_page_hash_get",
        "    vm_page_sbusy_drop(m)\n",
        "    pass\n",
        "INV-PB2",
        "a wrong guess keeps its soft busy",
        "hash_against_remove",
    ),
    Mutant(
        "HL-04",
        f"{_MODULE}:vm_page_hash_get",
        'if m is None or m.hint("object") is not obj or m.hint("pindex") != pindex:',
        "if m is None:",
        "INV-H1",
        "half of one entry and half of another name a page of a third object",
        "hash_against_rename",
        also=(Edit(f"{_MODULE}:vm_page_hash_get", "if m.object is obj and m.pindex == pindex:", "if True:"),),
    ),
)
