"""Processes that run other programs, lock their memory and fork in trees, while others run."""

from vmsmp import scenario
from vmsmp.scenarios._kit import end_of_file, file_object, leave, run_in
from vmsmp.scenarios.fork._processes import at, exits, fork, new_process, read, write
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon
from vmsmp.vm.imgact_resident import exec_resident_imgact, exec_sys_register, exec_sys_unregister
from vmsmp.vm.vm_map import (
    KERN_SUCCESS,
    VM_INHERIT_COPY,
    VM_INHERIT_SHARE,
    VM_MAX_USER_ADDRESS,
    VM_PROT_READ,
    VM_PROT_RW,
    vm_map_inherit,
    vm_map_protect,
    vm_map_remove,
    vm_map_user_wiring,
    vmspace_exec,
    vmspace_ref,
    vmspace_rel,
)
from vmsmp.vm.vm_mmap import MCL_FUTURE, sys_mlockall, sys_munlockall
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE


@scenario(cpus=2, tags={"map", "fault", "vmspace", "exec"})
def exec_beside_faults(m):
    """A process leaves a shared address space by an exec while the other one faults: the space stays."""
    vm = m.boot(pages=32, l2_size=1)
    parent = new_process(m, vm, 2)
    write(parent, 0, 1)
    for _ in range(1, m.ncpus):
        vmspace_ref(parent.vmspace)
    leave(vm)

    def runner():
        run_in(vm, parent.vmspace)
        p = vm.mycpu().proc
        m.check(parent.load(at(0)) == 1, "memory is shared")
        vmspace_exec(p)
        m.check(p.p_vmspace is not parent.vmspace, "another program has another address space")
        m.check(parent.load(at(0)) is None, "a new program has nothing of the old one")
        mine = p.p_vmspace
        leave(vm)
        vmspace_rel(mine)

    def sharer():
        for turn in m.rounds(2):
            m.check(write(parent, 1, turn), "memory that is shared can be written")
            m.check(read(parent, 1) == turn and read(parent, 0) == 1, "what was stored is loaded")
        leave(vm)
        vmspace_rel(parent.vmspace)

    for n in range(m.ncpus):
        m.spawn(sharer if n else runner)
    m.join()
    m.check(parent.vmspace.freed or m.ncpus < 2, "an address space goes with its last process")


@scenario(cpus=3, tags={"map", "fault", "fork", "exec"})
def resident_programs(m):
    """A program is made resident, run by others and forgotten: whoever runs it has all its memory."""
    vm = m.boot(pages=48, l2_size=1, object_hash=1)
    vp, obj = file_object(vm, 1)
    program = new_process(m, vm, 1, VM_MAX_USER_ADDRESS)
    write(program, 0, 7)

    def keeper():
        run_in(vm, program.vmspace)
        p = vm.mycpu().proc
        for _ in m.rounds(2):
            if exec_sys_register(p, vp) == 0:
                write(program, 0, 7)
                exec_sys_unregister(vm, vm.residents.exec_res_id)
            m.check(exec_sys_unregister(vm, 99) != 0, "what is not resident cannot be forgotten")
        leave(vm)

    def runner():
        mine = new_process(m, vm, 1)
        mine.enter()
        p = vm.mycpu().proc
        rv = exec_resident_imgact(p, vp)
        if rv is not None:
            m.check(rv == KERN_SUCCESS, "a resident program can be run")
            m.check(mine.load(at(0)) == 7, "who runs a resident program has what it had")
        space = p.p_vmspace
        leave(vm)
        vmspace_rel(space)

    for n in range(m.ncpus):
        m.spawn(runner if n else keeper)
    m.join()
    exits(program)
    vm_object_deallocate(obj)
    end_of_file(vp)


@scenario(cpus=2, tags={"map", "fault", "fork", "cow", "collapse"})
def tree_of_forks(m):
    """Processes fork in a tree, share and copy memory, and end in any order: none loses its own."""
    vm = m.boot(pages=56, l2_size=1)
    vm.map.map_backing_limit = 2
    root = new_process(m, vm, 2)
    write(root, 0, 1)
    write(root, 1, 1)

    def member(n):
        vm_map_inherit(root.map, at(1), at(2), (VM_INHERIT_COPY, VM_INHERIT_SHARE)[m.choose(2)])
        child = fork(root)
        value = read(child, 0)
        m.check(value >= 1, "a child has what its parent had")
        m.check(write(child, 0, 10 + n), "a child may write")
        grandchild = fork(child)
        if m.choose(2):
            exits(child)
            m.check(read(grandchild, 0) == 10 + n, "a grandchild has what its parent had")
        else:
            write(grandchild, 0, 20)
            m.check(read(child, 0) == 10 + n, "what a child writes is its own")
            exits(child)
        exits(grandchild)

    for n in range(min(m.ncpus, 4)):  # a tree of more is only longer
        m.spawn(member, n)
    m.join()
    m.check(read(root, 0) == 1, "what children write is their own")
    exits(root)


@scenario(cpus=3, tags={"map", "fault", "fork", "wire"})
def forks_of_locked_memory(m):
    """A child locks memory that it shares with its parent, which uses it: wirings add up to 0 in the end."""
    vm = m.boot(pages=48, l2_size=1)
    parent = new_process(m, vm, 1)
    write(parent, 0, 1)
    child = fork(parent)

    def locker():
        child.enter()
        for _ in m.rounds(2):
            rv = vm_map_user_wiring(child.map, at(0), at(1), False)
            m.check(rv == KERN_SUCCESS, "memory that is mapped can be locked")
            m.check(read(child, 0) == 1, "a child has what its parent had")
            vm_map_user_wiring(child.map, at(0), at(1), True)

    def toucher():
        for turn in m.rounds(2):
            m.check(write(parent, 0, 2 + turn), "a parent may write")
            m.check(read(parent, 0) == 2 + turn, "what was stored is loaded")

    def forker():
        grandchild = fork(child)
        m.check(read(grandchild, 0) == 1, "a grandchild has what its parent had")
        exits(grandchild)

    for n in range(m.ncpus):
        m.spawn((locker, toucher, forker)[n % 3] if n < 3 else toucher)
    m.join()
    exits(child)
    exits(parent)
    wired = [page for page in vm.page.vm_page_array if page.peek("wire_count") and page.peek("object")]
    m.check(not wired, "no page of a process stays wired")


@scenario(cpus=3, tags={"map", "fault", "wire"})
def all_is_unlocked(m):
    """Memory is locked as it is mapped, range by range, while a thread unlocks all of it at once."""
    vm = m.boot(pages=32, l2_size=1)
    process = new_process(m, vm, 2)

    def locker():
        process.enter()
        for _ in m.rounds(2):
            vm_map_user_wiring(process.map, at(0), at(2), False)
            m.check(write(process, 1, 3), "memory that is locked can be written")

    def unlocker():
        for _ in m.rounds(2):
            sys_mlockall(process.map, MCL_FUTURE)
            m.check(sys_munlockall(process.map) == 0, "all can be unlocked")

    def mapper(n):
        first = at(4 + 2 * n)
        for _ in m.rounds(2):
            map_anon(m, process.map, first, 1)
            vm_map_user_wiring(process.map, first, first + PAGE_SIZE, False)
            vm_map_remove(process.map, first, first + PAGE_SIZE)

    for n in range(m.ncpus):
        m.spawn(*((mapper, n) if n > 1 else ((locker, unlocker)[n],)))
    m.join()
    exits(process)
    wired = [page for page in vm.page.vm_page_array if page.peek("wire_count") and page.peek("object")]
    m.check(not wired, "no page of a process stays wired")


@scenario(cpus=3, tags={"map", "fault", "wire", "protect", "fork"})
def four_verbs(m):
    """Threads map, lock, protect, write and fork one range in any order: errors are allowed, nothing else."""
    vm = m.boot(pages=56, l2_size=1)
    process = new_process(m, vm, 2)
    write(process, 0, 1)

    def thread(n):
        process.enter()
        for turn in m.rounds(2):
            verb = m.choose(5)
            page = m.choose(2)
            if verb == 0:
                vm_map_user_wiring(process.map, at(page), at(page + 1), bool(m.choose(2)))
            elif verb == 1:
                prot = (VM_PROT_READ, VM_PROT_RW)[m.choose(2)]
                vm_map_protect(process.map, at(page), at(page + 1), prot, False)
            elif verb == 2:
                child = fork(process)
                read(child, page)
                write(child, page, 50)
                exits(child)
                process.enter()
            elif verb == 3:
                write(process, page, 10 * n + turn)
            else:
                vm_map_remove(process.map, at(1), at(2))
                map_anon(m, process.map, BASE + 8 * (n + 1) * PAGE_SIZE, 1) if not turn else None
            m.check(read(process, page) != 50, "what a child writes is its own")

    for n in range(m.ncpus):
        m.spawn(thread, n + 1)
    m.join()
    exits(process)
    wired = [page for page in vm.page.vm_page_array if page.peek("wire_count") and page.peek("object")]
    m.check(not wired, "no page of a process stays wired")
