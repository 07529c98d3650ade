"""Address spaces that end while others look at them, and memory that is counted meanwhile."""

from vmsmp import scenario
from vmsmp.scenarios._kit import leave, run_in
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, new_space
from vmsmp.vm.vm_map import (
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    vm_map_check_protection,
    vm_map_protect,
    vm_map_remove,
    vmspace_anonymous_count,
    vmspace_drop,
    vmspace_drop_notoken,
    vmspace_exec,
    vmspace_exitfree,
    vmspace_getrefs,
    vmspace_hold,
    vmspace_ref,
    vmspace_rel,
    vmspace_relexit,
    vmspace_swap_count,
)
from vmsmp.vm.vm_page import PAGE_SIZE


@scenario(cpus=4, tags={"map", "vmspace"})
def vmspace_last_uses(m):
    """CPUs refer to, hold and let go of an address space: it ends once, in two stages, after its last use."""
    vm = m.boot(pages=8, l2_size=1)
    vmspace = new_space(vm)
    map_anon(m, vmspace.vm_map, BASE, 2)
    for _ in range(1, max(1, m.ncpus - 1)):
        vmspace_ref(vmspace)
    vmspace_hold(vmspace)
    vmspace.vm_map.token.release()

    def onlooker():
        """Has a hold from the start, and may be the last."""
        m.check(vmspace_getrefs(vmspace) >= -1, "references are counted, or gone")
        vmspace_drop_notoken(vmspace)

    def user():
        deed = m.choose(3)
        if deed == 0:
            vmspace_ref(vmspace)
            vmspace_rel(vmspace)
        elif deed == 1:
            vmspace_hold(vmspace)
            m.check(
                vmspace.vm_map.hint("nentries") == 1, "an address space that is referenced keeps what it maps"
            )
            vmspace_drop(vmspace)
        vmspace_rel(vmspace)

    for n in range(m.ncpus):
        m.spawn(user if n < max(1, m.ncpus - 1) else onlooker)
    m.join()
    if m.ncpus < 2:
        onlooker()
    m.check(vmspace.freed and not vmspace.vm_map.peek("nentries"), "the last one empties it, and frees it")


@scenario(cpus=4, tags={"map", "vmspace"})
def exit_and_reap(m):
    """A process exits and is reaped while others look into its address space, and a sibling goes, too."""
    vm = m.boot(pages=8, l2_size=1)
    vmspace = new_space(vm)
    map_anon(m, vmspace.vm_map, BASE, 2)
    vmspace_ref(vmspace)
    allproc = m.atomic(None, name="allproc")
    zombie = m.atomic(False, name="zombie")
    p_lock = m.atomic(0, name="p_lock")

    def process():
        run_in(vm, vmspace)
        allproc.store(vm.mycpu().proc)
        vmspace_relexit(vmspace)
        leave(vm)
        zombie.store(True)

    def parent():
        vmspace_rel(vmspace)  # a child that shares it goes
        while not zombie.load():
            m.pause()
        p = allproc.swap(None)
        while p_lock.load():  # PSTALL
            m.pause()
        vmspace_exitfree(p)

    def scanner():
        for _ in m.rounds(2):
            p_lock.fetchadd(1)  # PHOLD
            p = allproc.load()
            if p is not None:
                seen = p.hint("p_vmspace")
                if m.choose(2) or vmspace_getrefs(seen) >= 0:
                    vmspace_hold(seen)
                    vm_map_check_protection(seen.vm_map, BASE, BASE + PAGE_SIZE, VM_PROT_NONE, False)
                    vmspace_drop(seen)
            p_lock.fetchadd(-1)

    for n in range(m.ncpus):
        m.spawn((process, parent)[n] if n < 2 else scanner)
    m.join()
    m.check(m.ncpus < 2 or vmspace.freed, "an address space goes when its process is reaped")


@scenario(cpus=3, tags={"map", "vmspace"}, pages=3)
def exec_against_scan(m):
    """A process gets new address spaces while the daemon looks into the one that it has."""
    vm = m.boot(pages=8, l2_size=1)
    allproc = m.atomic(None, name="allproc")
    p_token = m.token("p_token")

    def process():
        run_in(vm, new_space(vm))
        p = vm.mycpu().proc
        allproc.store(p)
        for _ in m.rounds(2):
            map_anon(m, p.p_vmspace.vm_map, BASE, 1)
            p_token.acquire()
            vmspace_exec(p)
            p_token.release()
            m.check(not p.p_vmspace.vm_map.peek("nentries"), "a process begins with an empty map")

    def daemon():
        for _ in m.rounds(2):
            p = allproc.load()
            if p is None:
                continue
            p_token.acquire()
            seen = p.hint("p_vmspace")
            vmspace_hold(seen)
            vm_map_check_protection(seen.vm_map, BASE, BASE + PAGE_SIZE, VM_PROT_NONE, False)
            vmspace_drop(seen)
            p_token.release()

    for n in range(m.ncpus):
        m.spawn(daemon if n else process)
    m.join()
    vmspace_rel(allproc.load().p_vmspace)


@scenario(cpus=3, tags={"map", "vmspace", "count"})
def counting_a_changing_map(m):
    """The memory of an address space is counted while a thread of it changes rights, maps and unmaps."""
    vm = m.boot(pages=10, l2_size=1)
    vmspace = new_space(vm)
    map = vmspace.vm_map
    map_anon(m, map, BASE, 4)

    def counter():
        for _ in m.rounds(2):
            m.check(vmspace_anonymous_count(vmspace) >= 0, "there is a count")
            m.check(vmspace_swap_count(vmspace) == 0, "nothing is swapped")

    def changer():
        for _ in m.rounds(2):
            first = BASE + PAGE_SIZE * m.choose(3)
            if m.choose(3):
                vm_map_protect(map, first, first + PAGE_SIZE, VM_PROT_READ, False)
                vm_map_protect(map, first, first + PAGE_SIZE, VM_PROT_RW, False)
            else:
                vm_map_remove(map, first, first + PAGE_SIZE)

    for n in range(m.ncpus):
        m.spawn(changer if n else counter)
    m.join()
    vmspace_rel(vmspace)
