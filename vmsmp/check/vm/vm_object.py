"""The invariants of every object at every step: its tree, its counts, its end.

INV-O1, O2, O3: the pages in a tree name the object and their index, and are counted.  INV-O4: the counts
match the outstanding references and holds.  INV-O5: memory is freed once, and only when unused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vmsmp.check.rules import Books, Broken, Rules, SystemRules
from vmsmp.vm.system import VmSystem
from vmsmp.vm.vm_object.object import OBJ_DEAD, OBJECT_HOLD, REF, VmObject
from vmsmp.vm.vm_page.page import VmPage

# Read from their slots, unseen: the rules run after every step that wrote an object.
_peek_memq, _peek_count = (VmObject.fields[name].peek for name in ("rb_memq", "resident_page_count"))
_peek_object, _peek_pindex = (VmPage.fields[name].peek for name in ("object", "pindex"))


def broken_object(obj: VmObject, books: Books) -> Broken | None:
    """Return the first rule that the object breaks, or None."""
    memq = _peek_memq(obj)
    if _peek_count(obj) != len(memq):
        text = f"it counts {_peek_count(obj)} resident pages and has {len(memq)}"
        return Broken("INV-O2", text)
    for pindex, m in memq.items():
        if (_peek_object(m) is not obj or _peek_pindex(m) != pindex) and not m.spin_held():
            return Broken("INV-O1", f"its tree has {m.klass} at an index, which says it is elsewhere")
    out = books.counts(obj)
    refs, holds = out.get(REF, 0), out.get(OBJECT_HOLD, 0)
    if obj.ref_count.value != refs:
        return Broken("INV-O4", f"its word counts {obj.ref_count.value} references, and {refs} are out")
    if obj.hold_count.value != holds:
        return Broken("INV-O4", f"its word counts {obj.hold_count.value} holds, and {holds} are out")
    return None


def freed_wrongly(obj: VmObject, _books: Books) -> Broken | None:
    """Return the rule broken by freeing an object that is still in use or already freed (INV-O5)."""
    if obj.freed:
        return Broken("INV-O5", "it is freed twice")
    if obj.hold_count.value or obj.ref_count.value or obj.peek("rb_memq"):
        return Broken("INV-O5", "it is freed, and held, referenced or not empty")
    if not obj.flags.value & OBJ_DEAD:
        return Broken("INV-O5", "it is freed and not dead")
    return None


def never_freed(vm: VmSystem) -> Iterator[tuple[VmObject, Broken]]:
    """Yield objects that are dead at the end of a run but whose memory was never freed (INV-O5)."""
    for obj in vm.objects:
        if obj.flags.value & OBJ_DEAD and not obj.freed:
            yield obj, Broken("INV-O5", "it is dead and nobody freed it")


RULES: Final = (
    Rules(
        VmObject,
        written=dict.fromkeys(("", *VmObject.fields), (broken_object,)),
        at_rest=(broken_object,),
        freed=freed_wrongly,
        stored=False,
    ),
)
SYSTEM: Final = SystemRules(leaks=(never_freed,))
