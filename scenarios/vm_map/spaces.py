"""Address spaces that end while others look at them, and memory that is counted meanwhile."""

from vmsmp import scenario
from vmsmp.scenarios._kit import idle_pages, leave, repaired, run_in
from vmsmp.scenarios.vm_fault._memory import page_out
from vmsmp.scenarios.vm_map._spaces import BASE, map_anon, map_private, new_space, write_page
from vmsmp.vm.vm_map import (
    COPIED,
    KERN_NO_SPACE,
    KERN_SUCCESS,
    SWAP_META_PAGES,
    USRSTACK,
    VM_MAX_USER_ADDRESS,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_RW,
    VM_PROT_WRITE,
    exec_new_vmspace,
    vm_map_check_protection,
    vm_map_protect,
    vm_map_remove,
    vm_map_user_wiring,
    vmspace_alloc,
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
    vmspace_unshare,
)
from vmsmp.vm.vm_object import OBJT_PHYS, vm_object_allocate, vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE


@scenario(cpus=4, tags={"map", "vmspace"})
def vmspace_last_uses(m):
    """CPUs reference, hold and drop an address space: it ends once, in two stages, after its last use."""
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
    """A process exits and is reaped while others look into its address space, and a sharer exits, too."""
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
        vmspace_rel(vmspace)  # a child that shares it exits
        while not zombie.load():
            m.pause()
        p = allproc.swap(None)
        while p_lock.load():  # PSTALL
            m.pause()
        vmspace_exitfree(p)
        m.check(p.hint("p_vmspace") is None, "a process that was reaped has none")

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
    """A process gets new address spaces while the daemon looks into its current one."""
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


@scenario(cpus=1, tags={"map", "vmspace", "count"}, pages=None)
def spaces_alone(m):
    """A thread makes and ends address spaces: each stage does its part, and the memory is reused."""
    vm = m.boot(pages=16 + 8 * m.ncpus, l2_size=1)
    spaces = vm.map.vmspaces
    other = vm_object_allocate(vm, 1, objt=OBJT_PHYS)
    idle_pages(vm, other, [0])

    def free():
        """How many pages are free, read invisibly."""
        return sum(vm.page.queue_type(page.raw_queue) == "free" for page in vm.page.vm_page_array)

    def thread():
        before = free()
        vmspace = vmspace_alloc(vm, BASE, 2 * BASE)
        map, pmap = vmspace.vm_map, vmspace.vm_pmap
        m.check(vmspace_getrefs(vmspace) == spaces.created == 1, "a new address space has one reference")
        m.check((map.min_addr, map.max_addr, map.pmap) == (BASE, 2 * BASE, pmap), "its map, and its tables")
        vmspace_ref(vmspace)
        m.check(vmspace_getrefs(vmspace) == 2, "references are counted")
        vmspace_rel(vmspace)

        # -- what it has
        run_in(vm, vmspace)
        for page in (4, 6):
            map_anon(m, map, BASE + page * PAGE_SIZE, 1)
        map_private(m, map, other, BASE + 8 * PAGE_SIZE, 1)
        map_anon(m, map, BASE, 2)
        for page in (0, 1, 6):
            m.curcpu.store(BASE + page * PAGE_SIZE, "stored")
        obj = map.raw_rb_root.at_or_before(BASE).ba.raw_object
        m.check(vmspace_anonymous_count(vmspace) == obj.raw_resident_page_count + 1, "its memory is counted")
        m.check(vmspace_swap_count(vmspace) == 0, "and what of it is swapped")
        page_out(obj, 0)
        pages = 2 if repaired(m, "count-has-no-more-than-is-mapped") else SWAP_META_PAGES
        m.check(vmspace_swap_count(vmspace) == pages + 1, "about")
        m.check(vmspace_anonymous_count(vmspace) == obj.raw_resident_page_count + 1, "which is not memory")
        m.check(vm_map_user_wiring(map, BASE, BASE + 2 * PAGE_SIZE, False) == KERN_SUCCESS, "some is locked")
        page = obj.raw_rb_memq[0]
        leave(vm)

        # -- its end
        vmspace_hold(vmspace)
        vmspace_rel(vmspace)
        m.check(vmspace_getrefs(vmspace) == -1 and not vmspace.freed, "it goes with its last reference")
        m.check(not map.peek("nentries") and not page.peek("wire_count"), "and so does what it has")
        map_anon(m, map, BASE, 1)
        vmspace_drop(vmspace)
        m.check(vmspace.freed and not map.peek("nentries"), "with its last hold all is gone")

        # -- and its reuse
        m.check((len(spaces.cached), spaces.created) == (1, 1), "its memory is kept")
        vmspace = vmspace_alloc(vm, BASE, 2 * BASE)
        m.check((vmspace.vm_pmap, spaces.cached, spaces.created) == (pmap, [], 1), "and used anew")
        map_anon(m, vmspace.vm_map, BASE, 1)
        vmspace_hold(vmspace)
        vmspace_rel(vmspace)
        m.check(not vmspace.vm_map.peek("nentries"), "it goes as the first one did")
        vmspace_drop(vmspace)
        several = [*(vmspace_alloc(vm, BASE, 2 * BASE) for _ in range(4 * vm.ncpus + 1))]
        m.check(spaces.created == len(several), "what there is not is made")
        for vmspace in several:
            vmspace_rel(vmspace)
        m.check(len(spaces.cached) == spaces.created == 4 * vm.ncpus, "not too much is kept")
        spaces.reclaim()
        m.check((spaces.cached, spaces.created) == ([], 0), "and none that somebody else needs")
        m.check(free() == before, "which is given back")

    m.spawn(thread)
    m.join()
    vm_object_deallocate(other)


@scenario(cpus=1, tags={"map", "vmspace", "exec"}, pages=None)
def programs_alone(m):
    """A thread runs several programs, in its own or a shared address space: each begins with a stack."""
    vm = m.boot(pages=24, l2_size=1)
    stack = USRSTACK - vm.config.maxssiz
    step = vm.config.sgrowsiz

    def thread():
        p = vm.mycpu().proc
        first = new_space(vm, VM_MAX_USER_ADDRESS)
        run_in(vm, first)

        def told():
            """Where the process' memory begins and ends, read invisibly."""
            return [(entry.ba.raw_start, entry.ba.raw_end) for entry in p.p_vmspace.vm_map.raw_rb_root]

        def fill(vmspace):
            for n, name in enumerate(COPIED):
                setattr(vmspace, name, 100 + n)
            map_anon(m, vmspace.vm_map, BASE, 1)
            m.check(write_page(vmspace.vm_map, BASE, VM_PROT_WRITE)[1] == 0, "it has memory")

        begin = [(USRSTACK - step, USRSTACK)]

        # -- an address space of its own is emptied and kept
        fill(first)
        vmspace_unshare(p)
        m.check(p.p_vmspace is first, "what is not shared need not be copied")
        m.check(exec_new_vmspace(p) == KERN_SUCCESS and p.p_vmspace is first, "a program may keep its memory")
        m.check(told() == begin, "but not what it had")
        m.check((first.vm_ssize, first.vm_maxsaddr) == (step // PAGE_SIZE, stack), "it has a stack")

        # -- a shared one is replaced
        vmspace_ref(first)
        fill(first)
        m.check(exec_new_vmspace(p) == KERN_SUCCESS and p.p_vmspace is not first, "what is shared is left")
        second = p.p_vmspace
        m.check(told() == begin and second.vm_tsize == first.vm_tsize == 102, "with another stack")
        m.check(vm.mycpu().lwp.lwp_vmspace is second, "in which the thread runs")
        m.check(
            vmspace_getrefs(first) == 1 and first.vm_map.peek("nentries") == 2, "who shares it has it still"
        )

        # -- a copy of another one
        m.check(
            exec_new_vmspace(p, first) != KERN_SUCCESS or told()[-1] == begin[0], "one may begin with a copy"
        )
        third = p.p_vmspace
        m.check(second.freed and third not in (first, second), "of what was there before")
        m.check(told()[0] == (BASE, BASE + PAGE_SIZE), "which has all that that had")
        vmspace_ref(third)
        vmspace_unshare(p)
        fourth = p.p_vmspace
        m.check(fourth is not third and vmspace_getrefs(third) == 1, "what is shared can be copied")
        m.check(told()[0] == (BASE, BASE + PAGE_SIZE), "with all that there is")
        vmspace_exec(p)
        m.check(fourth.freed and not told(), "or be left for nothing")
        fifth = p.p_vmspace
        bounds = (fifth.vm_map.min_addr, fifth.vm_map.max_addr)
        m.check(bounds == (0, VM_MAX_USER_ADDRESS), "of the same bounds")

        # -- there may be no room for a stack
        small = new_space(vm, 2 * BASE)
        vmspace_exec(p, small)
        m.check(exec_new_vmspace(p) == KERN_NO_SPACE, "a program needs a stack")
        m.check(p.p_vmspace.vm_ssize == 0, "else it has none")
        last = p.p_vmspace
        leave(vm)
        for vmspace in (first, third, small, last):
            vmspace_rel(vmspace)
        m.check(fifth.freed, "who is left by all goes")

    m.spawn(thread)
    m.join()
