"""Findings in what system calls refuse, and what they do before: the model does what vm_mmap.c does."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object
from vmsmp.scenarios.fork._processes import at, exits, new_process, write
from vmsmp.vm.vm_map import MAP_FIXED, MAP_SHARED, VM_PROT_ALL, VM_PROT_RW
from vmsmp.vm.vm_meter import vmstats_rollup
from vmsmp.vm.vm_mmap import MCL_FUTURE, sys_mlock, sys_mlockall, sys_munlock, vm_mmap
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vnode import getnewvnode, vrele


@scenario(cpus=1, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:refused_mapping_unmaps:0:")
def refused_mapping_unmaps(m):
    """A process maps a file in the place of something else, is refused, and has nothing there any more.

    `vm_mmap` unmaps what MAP_FIXED replaces before it asks the device, or the file, whether there is anything
    to be mapped: the device may refuse, and the file may just have lost its object.
    Repair `refusal-comes-first`: ask before.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 1)
    vp = getnewvnode(vm, "revoked")

    def user():
        process.enter()
        how = MAP_FIXED | MAP_SHARED
        error, _ = vm_mmap(process.map, at(0), PAGE_SIZE, VM_PROT_RW, VM_PROT_ALL, how, vp)
        m.check(error and write(process, 0, 1), "what is not replaced stays")

    m.spawn(user)
    m.join()
    exits(process)
    vrele(vp)


@scenario(cpus=1, tags={"map", "wire", "finding"}, fixed=True, schedule="v1:locks_pass_the_limit:0:")
def locks_pass_the_limit(m):
    """A process locks its memory page by page, and has more of it locked in the end than it may have.

    `sys_mlock` adds what it is to wire to the global count of wired pages, and compares that with the limit
    (vm_page_max_wired).  But a wiring is counted by the CPU, and the counts of CPUs are added to the global
    one at the next tick.
    Repair `mlock-counts-now`: add them before.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 3)
    for page in range(3):
        write(process, page, 1)
    vmstats_rollup(vm)
    limit = vm.pageout.vm_page_max_wired = vm.meter.vmstats.peek("v_wire_count") + 1

    def user():
        process.enter()
        for page in range(3):
            sys_mlock(process.map, at(page), PAGE_SIZE)
        vmstats_rollup(vm)
        m.check(vm.meter.vmstats.peek("v_wire_count") <= limit, "no more is locked than may be")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(
    cpus=1, tags={"map", "mmap", "finding"}, fixed=True, schedule="v1:mapping_begins_before_its_file:0:"
)
def mapping_begins_before_its_file(m):
    """A process maps a file from an offset on that is negative, and is told that it has it mapped.

    Neither the system call nor `vm_mmap` looks at the sign of the offset.  The pages before the file are
    those of the highest indexes that there could be; the first of the file is somewhere behind them.
    Repair `offsets-are-no-less-than-zero`: refuse it.
    """
    vm = m.boot(pages=16, l2_size=1, object_hash=1)
    process = new_process(m, vm, 1)
    vp, obj = file_object(vm, 1)

    def user():
        process.enter()
        error, _ = vm_mmap(
            process.map, at(8), 2 * PAGE_SIZE, VM_PROT_RW, VM_PROT_ALL, MAP_SHARED, vp, -PAGE_SIZE
        )
        m.check(error, "what is before a file cannot be mapped")

    m.spawn(user)
    m.join()
    exits(process)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(cpus=1, tags={"map", "wire", "finding"}, fixed=True, schedule="v1:munlock_wants_all_locked:0:")
def munlock_wants_all_locked(m):
    """A process unlocks a range of which a part is locked, and is told that there is no memory.

    To unlock what is not locked is no error, if it is mapped.  `vm_map_unwire` looks whether each entry of
    the range is wired for the user, and unwires none if one is not: what is locked stays so.
    Repair `munlock-passes-over`: leave what is not wired as it is.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 2)

    def user():
        process.enter()
        sys_mlock(process.map, at(0), PAGE_SIZE)
        error = sys_munlock(process.map, at(0), 2 * PAGE_SIZE)
        locked = process.map.raw_rb_root.at_or_before(at(0)).peek("wired_count")
        m.check(not error and not locked, "what was unlocked is not locked")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(cpus=1, tags={"map", "wire", "finding"}, fixed=True, schedule="v1:mlock_counts_what_is_locked:0:")
def mlock_counts_what_is_locked(m):
    """A process locks what it has locked already, and is refused, though nothing more would be locked.

    `sys_mlock` adds the size of the range to the pages that are wired, and compares that with the limit.  The
    pages of the range that are wired are counted twice.
    Repair `mlock-counts-what-it-wires`: count those that are not wired yet.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 1)

    def user():
        process.enter()
        sys_mlock(process.map, at(0), PAGE_SIZE)
        vmstats_rollup(vm)
        vm.pageout.vm_page_max_wired = vm.meter.vmstats.peek("v_wire_count")
        m.check(not sys_mlock(process.map, at(0), PAGE_SIZE), "what is locked may be locked")

    m.spawn(user)
    m.join()
    exits(process)


@scenario(cpus=1, tags={"map", "wire", "mmap", "finding"}, fixed=True, schedule="v1:future_is_not_locked:0:")
def future_is_not_locked(m):
    """A process locks all memory that it will map, maps more than a file has, and none of it is locked.

    `vm_mmap` wires what it has mapped, and does not ask whether that could be done.  It cannot behind the end
    of a file, and then nothing of the range is wired.  The call succeeds.
    Repair `mmap-fails-with-its-wiring`: unmap the range again, and fail.
    """
    vm = m.boot(pages=16, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1, range(1))
    process = new_process(m, vm, 1)

    def user():
        process.enter()
        sys_mlockall(process.map, MCL_FUTURE)
        how = MAP_FIXED | MAP_SHARED
        error, _ = vm_mmap(process.map, at(4), 2 * PAGE_SIZE, VM_PROT_RW, VM_PROT_ALL, how, vp)
        locked = not error and process.map.raw_rb_root.at_or_before(at(4)).peek("wired_count")
        m.check(error or locked, "what is mapped is locked if the future is")

    m.spawn(user)
    m.join()
    exits(process)
    vm_object_deallocate(obj)
    end_of_file(vp)
