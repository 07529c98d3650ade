"""Processes that fork while threads write: a copy is the memory of one moment, and stays so."""

from vmsmp import scenario
from vmsmp.scenarios._kit import leave
from vmsmp.scenarios.fork._processes import at, exits, fork, new_process, read, write
from vmsmp.scenarios.vm_map._spaces import map_anon
from vmsmp.vm.vm_map import (
    VM_INHERIT_SHARE,
    vm_map_inherit,
    vm_map_user_wiring,
)


@scenario(cpus=2, tags={"map", "fork", "fault", "cow"})
def fork_among_stores(m):
    """A thread writes one page and then the next while others fork: no child sees only the second write."""
    vm = m.boot(pages=36, l2_size=1)
    parent = new_process(m, vm, 2)
    write(parent, 0, 0)
    exits(fork(parent))
    write(parent, 0, 0)
    write(parent, 1, 0)

    def writer():
        for n in m.rounds(2):
            write(parent, 0, n + 1)
            write(parent, 1, n + 1)

    def forker():
        child = fork(parent)
        first, second = read(child, 0), read(child, 1)
        m.check(second <= first <= second + 1, "a child has the memory of one moment")
        m.check(read(child, 0) == first, "what the parent writes is its own")
        exits(child)

    for n in range(m.ncpus):
        m.spawn(forker if n else writer)
    m.join()
    exits(parent)


@scenario(cpus=2, tags={"map", "fork", "fault", "cow", "tlb"})
def stores_behind_a_fork(m):
    """A thread writes during and after forks of its process: to its own copy, whatever its TLB has cached."""
    vm = m.boot(pages=36, l2_size=1)
    parent = new_process(m, vm, 1)
    write(parent, 0, 0)
    children = []

    def forker():
        child = fork(parent)
        children.append((child, read(child, 0)))
        leave(vm)

    for _ in range(min(m.ncpus, 3)):  # more would need more memory, and show nothing new
        m.spawn(forker)
    for n in m.rounds(2):
        write(parent, 0, n + 1)
    m.join()
    write(parent, 0, "last")
    for child, seen in children:
        m.check(read(child, 0) == seen, "what the parent writes later is its own")
        exits(child)
    exits(parent)


@scenario(cpus=3, tags={"map", "fork", "fault", "cow"})
def parent_child_grandchild(m):
    """A process, its child and its grandchild write to one page: each has its own copy."""
    vm = m.boot(pages=36, l2_size=1)
    spaces = [new_process(m, vm, 1)]
    write(spaces[0], 0, 100)
    for n in range(1, m.ncpus):
        spaces.append(fork(spaces[n - 1]))
    leave(vm)

    def process(n):
        mine = spaces[n]
        m.check(read(mine, 0) == 100, "a page that was not written to is as it was")
        write(mine, 0, n)
        m.check(read(mine, 0) == n, "a process reads what it wrote")
        exits(mine)

    for n in range(m.ncpus):
        m.spawn(process, n)
    m.join()
    m.check(all(space.vmspace.freed for space in spaces), "address spaces go with their processes")


@scenario(cpus=2, tags={"map", "fork", "fault", "wire"})
def wired_memory_of_forks(m):
    """A process with locked memory forks while a thread writes there: no fault, and the child has a copy."""
    vm = m.boot(pages=36, l2_size=1)
    parent = new_process(m, vm, 1)
    write(parent, 0, 1)
    vm_map_user_wiring(parent.map, at(0), at(1), False)

    def forker():
        child = fork(parent)
        value = read(child, 0)
        m.check(value in (1, 2), "a child has what its parent had")
        write(child, 0, 3)
        m.check(read(child, 0) == 3, "a process reads what it wrote")
        exits(child)

    def writer():
        faults = vm.mycpu().v_cow_faults
        write(parent, 0, 2)
        m.check(vm.mycpu().v_cow_faults == faults, "memory that is locked is not copied by a write")

    for n in range(m.ncpus):
        m.spawn(writer if n else forker)
    m.join()
    m.check(read(parent, 0) == (1 if m.ncpus < 2 else 2), "what a child writes is its own")
    exits(parent)


@scenario(cpus=2, tags={"map", "fork", "fault", "cow"})
def shared_memory_of_forks(m):
    """A forked process makes its memory shared, and forks: its child sees what it writes."""
    vm = m.boot(pages=36, l2_size=1)
    parent = new_process(m, vm, 1)
    map_anon(m, parent.map, at(4), 1)
    write(parent, 0, 1)
    process = fork(parent)
    for page in (0, 4):
        vm_map_inherit(process.map, at(page), at(page + 1), VM_INHERIT_SHARE)
    child = fork(process)

    def thread(n):
        if n % 2:
            write(parent, 0, 3)
        else:
            write(child, 0, 2)
            write(process, 4, 2)

    for n in range(m.ncpus):
        m.spawn(thread, n)
    m.join()
    m.check(read(process, 0) == read(child, 4) == 2, "what is shared is the same for both")
    m.check(read(parent, 0) == (1 if m.ncpus < 2 else 3), "what is copied is one's own")
    for one in (parent, process, child):
        exits(one)


@scenario(cpus=2, tags={"map", "fork", "fault", "cow"})
def chains_that_are_cut(m):
    """A process with a chain of objects forks, which cuts it, while its parent writes: nothing is lost."""
    vm = m.boot(pages=36, l2_size=1)
    vm.map.map_backing_limit = 1
    parent = new_process(m, vm, 2)
    write(parent, 1, 1)
    child = fork(parent)
    write(child, 0, 2)

    def thread(n):
        if n % 2:
            write(parent, 1, 5)
        else:
            last = fork(child)
            m.check((read(last, 0), read(last, 1)) == (2, 1), "a child has what its parent had")
            exits(last)

    for n in range(m.ncpus):
        m.spawn(thread, n)
    m.join()
    m.check((read(child, 0), read(child, 1)) == (2, 1), "what a child has stays")
    exits(child)
    exits(parent)


@scenario(cpus=2, tags={"map", "fork", "fault", "cow", "tlb"}, pages=None)
def copy_replaces_what_threads_read(m):
    """Threads have read a page that their process shares with a child; one writes to it, and all see that."""
    vm = m.boot(pages=40, l2_size=1)
    parent = new_process(m, vm, 1)
    write(parent, 0, 1)
    child = fork(parent)
    together = m.barrier(m.ncpus)

    def thread(n):
        m.check(read(parent, 0) == 1, "memory has what was stored")
        together.wait()
        if n == 0:
            write(parent, 0, 2)
        together.wait()
        m.check(parent.load(at(0)) == 2, "what another thread has stored is loaded")

    for n in range(m.ncpus):
        m.spawn(thread, n)
    m.join()
    m.check(read(child, 0) == 1, "the child's memory is its own")
    exits(child)
    exits(parent)
