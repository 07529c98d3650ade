"""The limit of resident pages, for one process: which mappings are removed, and the state of their pages."""

from vmsmp import scenario
from vmsmp.scenarios._kit import busied, give_back, queue_of
from vmsmp.scenarios.vm_fault._alone import at, mapped, page_at
from vmsmp.scenarios.vm_fault._memory import Process, share
from vmsmp.scenarios.vm_map._spaces import map_anon
from vmsmp.vm.pmap import (
    PmapPgscanInfo,
    pmap_pgscan,
    pmap_resident_tlnw_count,
    pmap_ts_referenced,
)
from vmsmp.vm.vm_map import VM_MAX_USER_ADDRESS
from vmsmp.vm.vm_page import (
    PG_REFERENCED,
    PG_UNQUEUED,
    vm_page_deactivate,
    vm_page_flag_clear,
    vm_page_flag_set,
    vm_page_hold,
    vm_page_unhold,
    vm_page_unqueue,
    vm_page_unwire,
    vm_page_wire,
)
from vmsmp.vm.vm_pageout import vm_pageout_map_deactivate_pages, vm_pageout_mdp_callback


def _unused(page):
    """Clear the accessed bits of a page."""
    vm_page_flag_clear(page, PG_REFERENCED)
    pmap_ts_referenced(page)
    return page


@scenario(cpus=1, tags={"map", "fault", "pageout", "limit"}, pages=None)
def residents_alone(m):
    """A process exceeds its limit: mappings of unused pages are removed, and faulted in again."""
    vm = m.boot(pages=32, l2_size=1, object_hash=1)
    vm.sysctl["vm.prefault_pages"] = 0

    def visit(process, limit=0):
        """Scan all pages of a process once; return how many were visited, and how many were gained."""
        info = PmapPgscanInfo(process.map.pmap, 0, VM_MAX_USER_ADDRESS, vm_pageout_mdp_callback, limit)
        pmap_pgscan(info)
        return info.actioncount, info.cleancount

    def owner():
        process, other = Process(vm), Process(vm)
        process.enter()
        map_anon(m, process.map, at(0), 8)
        for n in range(8):  # those that stay clean are not written with one beside them
            process.store(at(n), 10 + n) if n in (0, 6) else process.load(at(n))
        share(process.map, other.map, at(0))
        other.enter().load(at(6))
        process.enter()
        written, marked, used, held, wired, hidden, shared, clean = pages = [
            _unused(page_at(process, n)) for n in range(8)
        ]
        vm_page_flag_set(marked, PG_REFERENCED)
        credit = marked.peek("act_count")
        busied(used, vm_page_deactivate)
        process.load(at(2))
        busied(held, vm_page_hold)
        busied(wired, vm_page_wire)
        busied(hidden, vm_page_unqueue)
        busied(hidden, vm_page_flag_set, PG_UNQUEUED)
        there = pmap_resident_tlnw_count(process.map.pmap)
        m.check(visit(process, there) == (0, 0), "who keeps to the limit loses nothing")
        transfers = vm.pager.device.transfers
        m.check(visit(process) == (5, 2), "pages that are kept are not looked at, and clean ones are gained")
        m.check(mapped(process) == [1, 2, 3, 4, 5], "what was used since stays")
        m.check(vm.pager.device.transfers == transfers + 1, "who is dirty is written")
        m.check(
            (queue_of(written), written.peek("dirty")) == ("cache", 0), "a page that was written is laundered"
        )
        m.check(queue_of(clean) == "cache", "one that was not is cached")
        m.check((queue_of(marked), marked.peek("act_count")) == ("active", credit + 1), "use gives credit")
        m.check(queue_of(used) == "active", "and makes a page active")
        m.check(not marked.peek("flags") & PG_REFERENCED, "once")
        m.check(queue_of(shared) == "active" and mapped(other) == [6], "what others map is theirs")
        m.check(not any(page.peek("busy_count") for page in pages), "all are let go")
        # to a limit, from where the last scan stopped
        for n, left in ((1, [2, 3, 4, 5]), (2, [0, 3, 4, 5])):
            vm_pageout_map_deactivate_pages(process.map, pmap_resident_tlnw_count(process.map.pmap) - 1)
            m.check((mapped(process), process.map.pgout_offset) == (left, at(n)), "as many go as must")
            process.load(at(0))
            if n == 1:
                _unused(page_at(process, 0))
        vm_pageout_map_deactivate_pages(process.map, 0)
        m.check(process.map.pgout_offset == VM_MAX_USER_ADDRESS, "what is kept may be too much")
        m.check(mapped(process) == [3, 4, 5], "what was used goes the second time")
        vm.pageout.memuse_mode = 1
        for n in (0, 6):
            m.check(process.load(at(n)) == 10 + n, "what was taken away comes back")
        page = _unused(page_at(process, 0))
        process.store(at(0), 20)
        _unused(page)
        _unused(shared)
        vm_pageout_map_deactivate_pages(process.map, pmap_resident_tlnw_count(process.map.pmap) - 1)
        m.check(mapped(process) == [3, 4, 5, 6], "a scan begins anew behind the last page")
        m.check(
            queue_of(page) == "inactive" and page.peek("dirty"), "unless it may write, it deactivates alone"
        )
        vm_page_unhold(held)
        busied(wired, vm_page_unwire, True)
        busied(hidden, vm_page_flag_clear, PG_UNQUEUED)
        m.check(process.load(at(0)) == 20, "nothing is lost")
        for one in (other, process):
            give_back(one.vmspace)

    m.spawn(owner)
    m.join()
