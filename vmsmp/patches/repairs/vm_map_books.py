"""Repairs of what is known of a map's entries (sys/vm/vm_map.c): what they hold, and where there is room."""

from __future__ import annotations

from vmsmp.patches.patch import Edit, Repair

_MODULE = "vmsmp.vm.vm_map"

REPAIRS = (
    Repair(
        "count-counts-an-object-once",
        f"{_MODULE}.counters:vmspace_anonymous_count",
        'count += obj.hint("resident_page_count")',
        """
        if obj not in seen:
            seen.append(obj)
            count += obj.hint("resident_page_count")
        """,
        "the pages of an object are added at the first of its entries",
        also=(
            Edit(
                f"{_MODULE}.counters:vmspace_anonymous_count",
                "count = 0",
                """
                count = 0
                seen: list[VmObject] = []
                """,
            ),
        ),
    ),
    Repair(
        "count-looks-behind",
        f"{_MODULE}.counters:vmspace_anonymous_count",
        'if obj is not None and obj.hint("type") in ANONYMOUS:',
        """
        behind = entry.ba.hint("backing_ba") if obj is not None else None
        while behind is not None:
            if behind.hint("object").hint("type") in ANONYMOUS:
                count += behind.hint("object").hint("resident_page_count")
            behind = behind.hint("backing_ba")
        if obj is not None and obj.hint("type") in ANONYMOUS:
        """,
        "the pages of the objects behind the first one are added, too",
    ),
    Repair(
        "search-begins-anew",
        f"{_MODULE}.find:vm_map_find",
        "if found is None:",
        """
        if found is None and address > map.min_addr:
            found = vm_map_findspace(
                map, map.min_addr, length, align, MAP_32BIT if what.cow & COWF_32BIT else 0
            )
        if found is None:
        """,
        "a search that finds no room behind an address begins once more with the map",
    ),
    Repair(
        "joined-parts-have-the-lower-one-s-room",
        f"{_MODULE}.clip:vm_map_simplify_entry",
        "vm_map_backing_adjust_start(entry, prev.ba.start)",
        """
        vm_map_backing_adjust_start(entry, prev.ba.start)
        entry.aux = prev.aux
        """,
        "an entry that begins lower has the room below what it was joined with",
    ),
)
