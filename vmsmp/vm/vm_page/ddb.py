"""The kernel debugger's commands for pages and queues.

Models: the DB_SHOW_COMMANDs of sys/vm/vm_page.c (`show page`, `show pageq`).
Locks: none; the machine is stopped.
Deviations:
  * `show page` also takes a page number, and then shows that page.
  * the tables are the model's own, with the hold queues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.errors import UsageError
from vmsmp.vm.command import ShowCommand, whole_number
from vmsmp.vm.vm_meter.meter import COUNTS
from vmsmp.vm.vm_page.flags import PQ_TYPES, busy_format, flags_format
from vmsmp.vm.vm_page.page import is_marker

if TYPE_CHECKING:
    from vmsmp.vm.system import VmSystem
    from vmsmp.vm.vm_page.page import VmPage


def vm_page_print_page_info(vm: VmSystem) -> list[str]:
    """`show page`: the global, true and per-CPU counts, and the thresholds."""
    lines = [f"{'':22} {'global':>8} {'true':>8}  view (delta) by CPU"]
    for count in COUNTS:
        by_cpu = "  ".join(
            f"{gd.cpu}: {gd.gd_vmstats.peek(count)} ({gd.gd_vmstats_adj.peek(count):+d})"
            for gd in vm.meter.cpus()
        )
        lines.append(f"{count:22} {vm.meter.vmstats.peek(count):>8} {vm.meter.count(count):>8}  {by_cpu}")
    limits = vm.meter.limits
    lines += [f"{name:26} {getattr(limits, name):>4}" for name in sorted(limits.__slots__)]
    for cell in (
        vm.pageout.vm_pages_needed,
        vm.pageout.vm_pages_waiting,
        vm.pageout.vm_pageout_pages_needed,
        vm.pageout.vm_pageout_deficit,
    ):
        lines.append(f"{cell.name:26} {cell.peek():>4}")
    return lines


def vm_page_print_pageq_info(vm: VmSystem, kind: str | None = None) -> list[str]:
    """`show pageq`: count, lock and members of all non-empty queues, or of the queues of one type."""
    lines = []
    for pq in vm.page.vm_page_queues[1:]:
        name = PQ_TYPES[(pq.index - 1) // vm.page.l2_size]
        members = [m.name for m in pq.pages()]
        if (kind is None and members) or kind == name:
            lock = pq.spin_state()
            shown = " ".join(members[:16]) + (" ..." if len(members) > 16 else "")
            lines.append(f"{pq.name:18} lcnt {pq.peek('lcnt'):>4}  lock {lock:22} {shown}".rstrip())
    return lines or ["no pages on any queue"]


def vm_page_print_page(m: VmPage) -> list[str]:
    """`show page N`: every field of one page, its lock, and the holders of its shares."""
    shares = [f"{mode} by {cpu}" for cpu, mode in m.holders]
    shares += [f"{share} by I/O in progress" for share in m.in_progress]
    return [
        f"{m.name}{' (marker)' if is_marker(m) else ''}",
        f"  queue       {m.vm.page.queue_name(m.peek('queue'))}, colour {m.pc}",
        f"  spin        {m.spin_state()}",
        f"  object      {_where(m)}",
        f"  busy_count  {busy_format(m.peek('busy_count'))}",
        f"  hold_count  {m.peek('hold_count')}",
        f"  wire_count  {m.peek('wire_count')}",
        f"  flags       {flags_format(m.peek('flags'))}",
        f"  valid       {m.peek('valid'):#04x}, dirty {m.peek('dirty'):#04x}",
        f"  act_count   {m.peek('act_count')}",
        f"  interlock   {m.interlock_count.state()}",
        f"  in hands of {', '.join(shares) or 'nobody'}",
    ]


def _where(m: VmPage) -> str:
    obj = m.peek("object")
    return "none" if obj is None else f"{obj.name}, pindex {m.peek('pindex')}"


# -- commands -------------------------------------------------------------------------------------


def show_page(vm: VmSystem, number: int | None = None) -> str:
    """Show one page, or the counts."""
    if number is None:
        return "\n".join(vm_page_print_page_info(vm))
    pages = vm.page.vm_page_array
    if not 0 <= number < len(pages):
        raise UsageError(f"there is no page {number}: this machine has {len(pages)}")
    return "\n".join(vm_page_print_page(pages[number]))


def show_pageq(vm: VmSystem, kind: str | None = None) -> str:
    """Show all non-empty queues, or those of one type."""
    if kind is not None and kind not in PQ_TYPES:
        raise UsageError(f"there is no queue type {kind!r}: there are {', '.join(PQ_TYPES)}")
    return "\n".join(vm_page_print_pageq_info(vm, kind))


def _page_by_text(vm: VmSystem, text: str | None) -> str:
    """Show the page of a number, which may be written as in reports: `pg[3]`."""
    return show_page(vm, None if text is None else whole_number(text.removeprefix("pg[").rstrip("]")))


COMMANDS: Final = (
    ShowCommand(
        "page",
        (("show page", "page counts and thresholds"), ("show page N", "one page")),
        _page_by_text,
    ),
    ShowCommand(
        "pageq",
        (
            (
                "show pageq [TYPE]",
                f"the queues that are not empty, or those of one type ({' '.join(PQ_TYPES)})",
            ),
        ),
        show_pageq,
    ),
)
