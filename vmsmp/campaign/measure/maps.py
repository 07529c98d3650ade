"""What a map costs by the number of its entries: lookups, insertions and cuts.

Times are of the measuring thread alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from vmsmp.campaign.measure.figure import Figure
from vmsmp.campaign.measure.pages import run_once
from vmsmp.campaign.options import options_for
from vmsmp.campaign.runner import runner_for
from vmsmp.engine.limits import MOST_STEPS
from vmsmp.machine import Machine
from vmsmp.vm.vm_map.clip import vm_map_clip_end
from vmsmp.vm.vm_map.flags import VM_MAX_USER_ADDRESS, VM_PROT_ALL, VM_PROT_RW
from vmsmp.vm.vm_map.insert import Mapping, vm_map_insert
from vmsmp.vm.vm_map.link import vm_map_lookup_entry
from vmsmp.vm.vm_map.lock import vm_map_lock
from vmsmp.vm.vm_map.map import VmMap, vm_map_init
from vmsmp.vm.vm_map.supply import Reserved, vm_map_entry_reserve
from vmsmp.vm.vm_page.flags import PAGE_SIZE

MANY_ENTRIES, FEW_ENTRIES = 100_000, 1_000
#: Pages of a machine: the entries of a large map take addresses of the kernel's, and these take page tables.
PAGES = 64
#: Entries that are looked up, and that are added and cut in each of the rounds; how far apart they are.
LOOKS = 5_000
CHANGES = 200
STEP = 7919
ROUNDS = 4
#: An entry's share of the addresses: two pages that are mapped, and room behind them.
SLOT = 4 * PAGE_SIZE
#: What a figure of a large map may be to that of a small one.
GOAL = 0.5
_OURS, _OTHERS = (Mapping(prot=VM_PROT_RW, max=VM_PROT_ALL, id=number) for number in (1, 2))


@dataclass
class _Sizes:
    """What maps of several sizes came to, by their number of entries: operations a second."""

    looked: dict[int, float] = field(default_factory=dict)
    inserted: dict[int, float] = field(default_factory=dict)
    cut: dict[int, float] = field(default_factory=dict)

    def measure(self, entries: int) -> None:
        """Fill a map, and look, map and cut at places far apart."""

        def program(m: Machine) -> None:
            vm = m.boot(pages=PAGES)
            map = vm_map_init(vm, 0, VM_MAX_USER_ADDRESS, vm.pmap.make("pmap"))
            map.system_map = 1  # entries are cut without objects, whose cost is measured elsewhere
            reserved = vm_map_entry_reserve(vm, entries + 4 * ROUNDS * CHANGES)
            vm_map_lock(map)
            for n in range(entries):
                vm_map_insert(map, reserved, n * SLOT, n * SLOT + 2 * PAGE_SIZE, _OURS)
            places = [n * STEP % entries * SLOT for n in range(LOOKS)]
            for turn in range(ROUNDS):
                self._rate(self.looked, entries, partial(vm_map_lookup_entry, map), places)
                mine = places[turn * CHANGES : (turn + 1) * CHANGES]
                self._rate(self.inserted, entries, partial(_insert, map, reserved), mine)
                self._rate(self.cut, entries, partial(_cut, map, reserved), mine)

        with runner_for(program, options_for(program, max_steps=MOST_STEPS), check=False, hang_s=0) as runner:
            runner.drive(partial(run_once, runner))

    @staticmethod
    def _rate(rates: dict[int, float], entries: int, do: Callable[[int], object], places: list[int]) -> None:
        """Do it at each place; keep the best rate."""
        start = time.thread_time()
        for place in places:
            do(place)
        rates[entries] = max(len(places) / (time.thread_time() - start), rates.get(entries, 0.0))


def _insert(map: VmMap, reserved: Reserved, place: int) -> None:
    """Map a page behind the entry there."""
    vm_map_insert(map, reserved, place + 2 * PAGE_SIZE, place + 3 * PAGE_SIZE, _OTHERS)


def _cut(map: VmMap, reserved: Reserved, place: int) -> None:
    """Cut the entry there in two."""
    _, entry = vm_map_lookup_entry(map, place)
    assert entry is not None
    vm_map_clip_end(map, entry, place + PAGE_SIZE, reserved)


def map_figures(entries: int = MANY_ENTRIES) -> list[Figure]:
    """Fill a large map and a small one: what looking up, mapping and cutting costs."""
    sizes = _Sizes()
    for count in (FEW_ENTRIES, entries):
        sizes.measure(count)
    figures = []
    for what, rates in (("lookup", sizes.looked), ("insert", sizes.inserted), ("clip", sizes.cut)):
        rate, ratio = rates[entries], rates[entries] / rates[FEW_ENTRIES]
        name = f"{what} in a map of {entries:,} entries"
        figures.append(Figure(name, rate, "calls/s", ratio, GOAL, f"to one of {FEW_ENTRIES:,}"))
    return figures
