"""Findings where a process changes its address space: the model does what vm_map.c and kern_exec.c do."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, leave, run_in
from vmsmp.scenarios.fork._processes import exits, new_process
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_device
from vmsmp.sync.errno import EINVAL
from vmsmp.vm.imgact_elf import each_segment
from vmsmp.vm.imgact_resident import exec_resident_imgact, exec_sys_register, exec_sys_unregister
from vmsmp.vm.kern_plimit import setrlimit_stack
from vmsmp.vm.kern_proc import memuksmap, proc_userunmap
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    UKSMAPOP_FAULT,
    USRSTACK,
    VM_MAX_USER_ADDRESS,
    VM_PROT_EXECUTE,
    VM_PROT_READ,
    VM_PROT_RW,
    exec_new_vmspace,
    vm_map_check_protection,
    vm_map_protect,
    vmspace_ref,
    vmspace_rel,
    vmspace_unshare,
)
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE, VM_ALLOC_NORMAL, vm_page_alloczwq, vm_page_freezwq


class Upmap:
    """/dev/upmap: a page that the kernel shares with a process, and with no other."""

    minor = 5

    def __init__(self, frame):
        self.frame = frame

    def uksmap(self, ba, op, _dev, fake):
        """The device's function: give the frame of the process that the mapping is for, if there is one."""
        if op != UKSMAPOP_FAULT:
            return 0
        if ba.aux_info is None:
            return EINVAL
        fake.phys = self.frame
        return 0


@scenario(
    cpus=1,
    tags={"map", "fault", "device", "vmspace", "finding"},
    fixed=True,
    schedule="v1:unshared_process_loses_its_page:0:",
)
def unshared_process_loses_its_page(m):
    """A process unshares its address space, and is killed when it reads its page of the kernel (/dev/upmap).

    The kernel shares a page with each process (/dev/upmap), with its id, for instance.  A copy of such an
    entry must be for the process that gets the copy.  `vmspace_unshare` copies it for no process.
    Repair `unshare-knows-the-process`: pass the process.
    """
    vm = m.boot(pages=32, l2_size=1)
    page = vm_page_alloczwq(vm, 0, VM_ALLOC_NORMAL)
    upmap = Upmap(page.phys)
    process = new_process(m, vm, 1)
    vmspace_ref(process.vmspace)

    def user():
        run_in(vm, process.vmspace)
        map_device(m, process.map, upmap, upmap.uksmap, BASE + 8 * PAGE_SIZE, 1)
        m.check(process.load(BASE + 8 * PAGE_SIZE) == 0, "what the kernel shows can be read")
        p = vm.mycpu().proc
        vmspace_unshare(p)
        m.check(process.load(BASE + 8 * PAGE_SIZE) == 0, "what the kernel shows can still be read")
        mine = p.p_vmspace
        leave(vm)
        vmspace_rel(mine)

    m.spawn(user)
    m.join()
    exits(process)
    vm_page_freezwq(page)


@scenario(
    cpus=1,
    tags={"map", "exec", "vmspace", "finding"},
    fixed=True,
    schedule="v1:resident_program_has_a_stack:0:",
)
def resident_program_has_a_stack(m):
    """A program is made resident, and cannot be run any more.

    The kernel keeps a copy of the address space of a process that runs it, which has a stack.  An exec of the
    program copies that in turn.  The pages of the stack are unmapped then, but the stack's entry stays, so
    there is no room for a new one.
    Repair `resident-program-has-no-stack`: unmap the stack.
    """
    vm = m.boot(pages=32, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    process = new_process(m, vm, 1, VM_MAX_USER_ADDRESS)

    def user():
        run_in(vm, process.vmspace)
        p = vm.mycpu().proc
        m.check(exec_new_vmspace(p) == KERN_SUCCESS, "a program can be run")
        exec_sys_register(p, vp)
        rv = exec_resident_imgact(p, vp)
        exec_sys_unregister(vm, vm.residents.exec_res_id)
        mine = p.p_vmspace
        leave(vm)
        vmspace_rel(mine)
        m.check(rv == KERN_SUCCESS, "a resident program can be run")

    m.spawn(user)
    m.join()
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(cpus=1, tags={"map", "stack", "finding"}, fixed=True, schedule="v1:raised_stack_may_be_executed:0:")
def raised_stack_may_be_executed(m):
    """A process lowers the limit of its stack and raises it again, and a part of its stack is executable.

    What is below a limit that is lowered has no rights any more, and gets all of them (VM_PROT_ALL) when the
    limit is raised, whatever those of the stack are.
    Repair `raised-stack-has-its-rights`: it gets those that a stack is made with.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1, VM_MAX_USER_ADDRESS)

    def user():
        run_in(vm, process.vmspace)
        p = vm.mycpu().proc
        exec_new_vmspace(p)
        map_anon(m, process.map, BASE, 1)
        for limit in (PAGE_SIZE, p.peek("rlim_stack")):
            setrlimit_stack(p, limit)
        below = USRSTACK - 2 * PAGE_SIZE
        execute = vm_map_check_protection(process.map, below, below + PAGE_SIZE, VM_PROT_EXECUTE, False)
        m.check(not execute, "a stack has the rights that it was made with")

    m.spawn(user)
    m.join()
    exits(process)


class Minor:
    """A page that the kernel shares: minor 5 is a process' (/dev/upmap), 7 a thread's (/dev/lpmap)."""

    def __init__(self, minor):
        self.minor = minor


@scenario(
    cpus=1,
    tags={"map", "exec", "device", "vmspace", "finding"},
    fixed=True,
    schedule="v1:page_is_looked_for_in_vain+steps=2000:0:",
)
def page_is_looked_for_in_vain(m):
    """A process that shares its address space maps its thread's page (/dev/lpmap), and an exec never ends.

    An exec gives the process an address space of its own, and then unmaps the page of its thread until no
    mapping of it is left (`lwp_userunmap`).  It looks in the new address space.  The page is mapped in the
    old one, which the other process still has.
    Repair `page-is-unmapped-where-it-is`: unmap it from the map that it is in.
    """
    vm = m.boot(pages=24, l2_size=1)
    process = new_process(m, vm, 1, VM_MAX_USER_ADDRESS)
    vmspace_ref(process.vmspace)

    def user():
        run_in(vm, process.vmspace)
        map_device(m, process.map, Minor(7), memuksmap, BASE + 8 * PAGE_SIZE, 1)
        p = vm.mycpu().proc
        m.check(exec_new_vmspace(p) == KERN_SUCCESS, "a program can be run")
        mine = p.p_vmspace
        leave(vm)
        vmspace_rel(mine)

    m.spawn(user)
    m.join()
    exits(process)


@scenario(
    cpus=1,
    tags={"map", "exec", "device", "vmspace", "finding"},
    fixed=True,
    schedule="v1:page_outlives_its_process:0:",
)
def page_outlives_its_process(m):
    """A process that shares its address space maps its page (/dev/upmap) and runs a program: it is freed.

    An exec gives the process an address space of its own, and then frees the page that the kernel has shared
    with it (`proc_userunmap`).  The other process still has it mapped in the old address space, and writes to
    memory that is free.
    Repair `page-goes-with-its-process`: unmap it from the address space that the process leaves.
    """
    vm = m.boot(pages=32, l2_size=1)
    process = new_process(m, vm, 1, VM_MAX_USER_ADDRESS)
    vmspace_ref(process.vmspace)
    shown = BASE + 8 * PAGE_SIZE

    def user():
        run_in(vm, process.vmspace)
        map_device(m, process.map, Minor(5), memuksmap, shown, 1)
        p = vm.mycpu().proc
        m.check(process.load(shown) == 0, "what the kernel shows can be read")
        exec_new_vmspace(p)
        mine = p.p_vmspace
        leave(vm)
        vmspace_rel(mine)
        process.enter().store(shown, 1)

    m.spawn(user)
    m.join()
    exits(process)


@scenario(
    cpus=1,
    tags={"map", "exec", "device", "vmspace", "finding"},
    fixed=True,
    schedule="v1:resident_program_loses_its_page:0:",
)
def resident_program_loses_its_page(m):
    """A program that has mapped its page (/dev/upmap) is made resident, and killed when it reads the page.

    An exec of the program copies the address space that the kernel has kept, `vmspace_exec` for no process,
    as `vmspace_unshare` does (`unshared_process_loses_its_page`).
    Repair `resident-program-knows-its-process`: pass the process.
    """
    vm = m.boot(pages=32, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    process = new_process(m, vm, 1, VM_MAX_USER_ADDRESS)
    shown = BASE + 8 * PAGE_SIZE

    def user():
        run_in(vm, process.vmspace)
        map_device(m, process.map, Minor(5), memuksmap, shown, 1)
        p = vm.mycpu().proc
        exec_sys_register(p, vp)
        m.check(exec_resident_imgact(p, vp) == KERN_SUCCESS, "a resident program can be run")
        seen = process.load(shown)
        exec_sys_unregister(vm, vm.residents.exec_res_id)
        mine = p.p_vmspace
        leave(vm)
        vmspace_rel(mine)
        proc_userunmap(p)
        m.check(seen == 0, "what the kernel shows can be read")

    m.spawn(user)
    m.join()
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(
    cpus=2,
    tags={"map", "exec", "finding"},
    fixed=True,
    schedule="v1:dump_walks_an_unlocked_map:0:1.30>2",
)
def dump_walks_an_unlocked_map(m):
    """A process dumps core while another one that shares its address space changes it: a freed entry is read.

    `each_segment` walks the entries of the map without a lock.  The threads of the process are stopped by
    then, but not those of a process that shares the address space (RFMEM).
    Repair `dump-locks-the-map`: lock the map shared for the walk.
    """
    vm = m.boot(pages=16, l2_size=1)
    process = new_process(m, vm, 2, VM_MAX_USER_ADDRESS)
    vm_map_protect(process.map, BASE, BASE + PAGE_SIZE, VM_PROT_READ, False)
    sizes = []

    def segment(entry):
        sizes.append(entry.ba.hint("end") - entry.ba.hint("start"))
        return 0

    m.spawn(each_segment, process.map, segment, name="dump")
    m.spawn(vm_map_protect, process.map, BASE, BASE + PAGE_SIZE, VM_PROT_RW, False, name="other")
    m.join()
    exits(process)
