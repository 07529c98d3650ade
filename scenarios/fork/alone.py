"""One thread that forks: what the copy has, what both share, and what stays private to each."""

from vmsmp import scenario
from vmsmp.scenarios._kit import contents, run_in
from vmsmp.scenarios.fork._processes import at, exits, fork, new_process, write
from vmsmp.scenarios.vm_fault.devices import Kpmap
from vmsmp.scenarios.vm_map._spaces import map_anon, map_device
from vmsmp.scenarios.vm_map.files import Upmap
from vmsmp.vm.vm_map import (
    COPIED,
    LPMAP,
    MAP_ENTRY_COW,
    MAP_ENTRY_NEEDS_COPY,
    MAP_ENTRY_USER_WIRED,
    VM_INHERIT_SHARE,
    vm_map_inherit,
    vm_map_user_wiring,
    vmspace_fork,
    vmspace_getrefs,
    vmspace_rel,
)
from vmsmp.vm.vm_meter import Lwp
from vmsmp.vm.vm_page import PAGE_SIZE

BOTH = MAP_ENTRY_COW | MAP_ENTRY_NEEDS_COPY


def entry_at(process, page):
    """The entry of a page, read invisibly."""
    return process.map.raw_rb_root.at_or_before(at(page))


def told(process):
    """The entries of a map without their flags, read invisibly."""
    return [
        (
            e.ba.raw_start,
            e.ba.raw_end,
            e.raw_protection,
            e.peek("max_protection"),
            e.raw_inheritance,
            e.raw_id,
        )
        for e in process.map.raw_rb_root
    ]


def seen(process, page):
    """What a process would read from a page, by the chain of its objects; read invisibly."""
    for ba in entry_at(process, page).chain():
        pindex = (ba.raw_offset + at(page) - ba.raw_start) // PAGE_SIZE
        if ba.raw_object is not None and pindex in ba.raw_object.raw_rb_memq:
            return contents(ba.raw_object.raw_rb_memq[pindex])
    return 0


def both(process, page):
    """`seen` of two pages."""
    return seen(process, page), seen(process, page + 1)


@scenario(cpus=1, tags={"map", "fork", "fault", "cow"}, pages=None)
def forks_alone(m):
    """A thread forks: the child has all that its parent had, and shares only what is to be shared."""
    vm = m.boot(pages=56, l2_size=1)
    vm.sysctl["vm.prefault_pages"] = 0

    def thread():
        parent = new_process(m, vm, 2)
        for n, name in enumerate(COPIED):
            setattr(parent.vmspace, name, 100 + n)
        for page in (4, 6, 8):
            map_anon(m, parent.map, at(page), 1)
        vm_map_inherit(parent.map, at(6), at(7), VM_INHERIT_SHARE)
        write(parent, 0, 1)
        write(parent, 4, 4)

        # -- what a child has
        child = fork(parent)
        m.check(told(child) == told(parent), "a child maps what its parent does")
        sizes = [getattr(child.vmspace, name) for name in COPIED]
        m.check(sizes == [*range(100, 100 + len(COPIED))], "and is as large")
        m.check(vmspace_getrefs(child.vmspace) == 1, "it has its own address space")
        for process in (parent, child):
            flags = [entry_at(process, page).raw_eflags for page in (0, 4, 6, 8)]
            m.check(flags == [BOTH, BOTH, 0, 0], "memory that both see is copied on write")
        shared = entry_at(parent, 6).ba.raw_object
        m.check(shared is not None and shared is entry_at(child, 6).ba.raw_object, "but for what is shared")
        m.check(entry_at(child, 8).ba.raw_object is None, "and for what is not there yet")
        origin = entry_at(parent, 0).ba.raw_object
        m.check(origin.peek("ref_count") == 2, "both refer to it")
        write(parent, 6, 6)
        write(parent, 0, 11)
        write(child, 8, 8)
        m.check([seen(child, page) for page in (0, 4, 6)] == [1, 4, 6], "a child has what its parent had")
        m.check([seen(parent, page) for page in (0, 6, 8)] == [11, 6, 0], "what it writes is its own")

        # -- memory that begins to be shared, and memory that is shared already
        vm_map_inherit(parent.map, at(4), at(5), VM_INHERIT_SHARE)
        second = fork(parent)
        write(second, 4, 45)
        m.check([seen(one, 4) for one in (parent, child)] == [45, 4], "only from then on")
        write(second, 6, 66)
        m.check([seen(one, 6) for one in (parent, child)] == [66, 66], "and all share the same")
        exits(second)

        exits(child)
        exits(parent)

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "fork", "fault", "collapse"}, pages=None)
def forks_of_chains_alone(m):
    """A process with objects behind its own forks: objects that are not needed go, all others stay."""
    vm = m.boot(pages=56, l2_size=1)
    vm.sysctl["vm.prefault_pages"] = 0

    def thread():
        parent = new_process(m, vm, 2)
        write(parent, 0, 1)
        child = fork(parent)

        def depth(process):
            return len(entry_at(process, 0).chain())

        # -- there are pages behind the first object, and it is not long
        write(parent, 0, 11)
        m.check(depth(parent) == 2, "a write puts an object in front")
        second = fork(parent)
        m.check((depth(parent), depth(second)) == (2, 2), "a child has it, too")
        m.check(both(second, 0) == (11, 0) and both(child, 0) == (1, 0), "each has its own moment")

        # -- or it is
        vm.map.map_backing_limit = 1
        third = fork(parent)
        m.check((depth(parent), depth(second)) == (1, 2), "a long chain is cut")
        objects = [entry_at(process, 0).ba.raw_object for process in (parent, second)]
        m.check(objects[0] is not objects[1], "by who has it, alone")
        m.check(both(third, 0) == both(second, 0) == both(parent, 0) == (11, 0), "and nothing is lost")
        exits(second)
        vm.map.map_backing_limit = 9

        # -- there are none
        write(parent, 0, 12)
        write(parent, 1, 13)
        vm.map.map_backing_shadow_test = 0
        exits(fork(parent))
        m.check(depth(parent) == 2, "what is behind stays if nobody asks whether it is needed")
        write(parent, 0, 12)
        write(parent, 1, 13)
        vm.map.map_backing_shadow_test = 1
        second = fork(parent)
        m.check(depth(parent) == 1 and both(second, 0) == (12, 13), "else it is let go, and nothing is lost")

        # -- there are some, and they are shared
        write(parent, 0, 14)
        vm_map_inherit(parent.map, at(0), at(2), VM_INHERIT_SHARE)
        fourth = fork(parent)
        m.check((depth(parent), depth(fourth)) == (2, 2), "what is shared has objects behind it, too")
        vm.map.map_backing_limit = 1
        exits(fork(parent))
        m.check(depth(parent) == 1, "which may be let go")
        write(parent, 0, 15)
        m.check(both(fourth, 0) == (15, 13) and both(second, 0) == (12, 13), "and it is shared still")
        for process in (child, second, third, fourth, parent):
            exits(process)

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "fork", "fault", "wire"}, pages=None)
def forks_of_wired_memory_alone(m):
    """A process that has locked its memory forks: it is copied at once, and the copy is not locked."""
    vm = m.boot(pages=40, l2_size=1)
    vm.sysctl["vm.prefault_pages"] = 0

    def thread():
        parent = new_process(m, vm, 2)
        write(parent, 0, 1)
        first = fork(parent)
        write(parent, 0, 11)
        vm_map_user_wiring(parent.map, at(0), at(2), False)
        m.check(len(entry_at(parent, 0).chain()) == 2, "memory that is locked may have objects behind it")
        child = fork(parent)
        copy = entry_at(child, 0)
        m.check(len(copy.chain()) == 1, "a copy has not")
        m.check(copy.raw_wired_count == copy.raw_eflags & MAP_ENTRY_USER_WIRED == 0, "and is not locked")
        m.check(not entry_at(parent, 0).raw_eflags & MAP_ENTRY_NEEDS_COPY, "what is locked is not copied")
        faults = vm.mycpu().v_cow_faults
        write(parent, 1, 12)
        m.check(vm.mycpu().v_cow_faults == faults, "when it is written to")
        m.check((both(child, 0), both(first, 0)) == ((11, 0), (1, 0)), "each has its own moment")
        for process in (first, child, parent):
            exits(process)

    m.spawn(thread)
    m.join()


@scenario(cpus=1, tags={"map", "fork", "device"}, pages=None)
def forked_devices_alone(m):
    """A process that maps devices of a process, a thread and the kernel forks: the child gets its own."""
    vm = m.boot(pages=24, l2_size=1)
    other = vm.mycpu().proc

    def thread():
        process = new_process(m, vm, 1)
        run_in(vm, process.vmspace)
        gd = vm.mycpu()
        upmap, lpmap, kpmap, disk = Upmap(m), Kpmap(m, 0), Kpmap(m, 0), Kpmap(m, 0)
        lpmap.minor, disk.minor = LPMAP, 99
        for page, device in enumerate((upmap, lpmap, kpmap, disk), 4):
            map_device(m, process.map, device, device.uksmap, at(page), 1)
        same, another = (Lwp(other, gd.lwp.lwp_tid + n) for n in (0, 1))
        for lp2 in (None, another, same):
            space = vmspace_fork(process.vmspace, other, lp2)
            there = [space.vm_map.raw_rb_root.at_or_before(at(page)) for page in range(4, 8)]
            starts = [entry.ba.raw_start for entry in there]
            expected = [at(4), at(5) if lp2 is same else at(4), at(6), at(7)]
            m.check(starts == expected, "what shows a thread goes where that goes, and all else everywhere")
            shown = [entry.ba.peek("aux_info") for entry in there]
            m.check(shown[0] is other and shown[2:] == [None, None], "a child is shown itself")
            m.check(lp2 is not same or shown[1] is lp2, "and its own thread")
            m.check(upmap.mapped.value == 2, "a device knows who maps it")
            vmspace_rel(space)
        exits(process)

    m.spawn(thread)
    m.join()
