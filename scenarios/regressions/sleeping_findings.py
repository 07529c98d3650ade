"""Findings in sleeps and wakeups: the model does what vm_pager.c and vm_glue.c do, step for step."""

from vmsmp import scenario
from vmsmp.engine.clock import HZ
from vmsmp.scenarios.fork._processes import exits, new_process, write
from vmsmp.vm.vm_glue import (
    P_SWAPPEDOUT,
    VM_SWAP_IDLE,
    VM_SWAP_NORMAL,
    Swapper,
    scheduler,
    swapper_stop,
    wait_for_swapin,
)
from vmsmp.vm.vm_pageout import (
    Killer,
    VmDaemon,
    vm_daemon,
    vm_daemon_turn,
    vm_pageout_kill,
    vm_req_vmdaemon,
)
from vmsmp.vm.vm_pager import PbufPool, getpbuf_kva, relpbuf, trypbuf_kva


@scenario(
    cpus=2, tags={"pager", "sleep", "finding"}, fixed=True, schedule="v1:last_buffer_wakes_nobody:0:1.7>2"
)
def last_buffer_wakes_nobody(m):
    """Two threads write to swap with one buffer (vm.swap_async_max is 1), and one of them waits for ever.

    A client at its limit sleeps on the count of buffers that it may still take.  `relpbuf` wakes the sleepers
    when the count goes from 1 to 2.  With a limit of one it never does.
    Repair `first-buffer-wakes`: wake them also when it goes from 0 to 1.
    """
    vm = m.boot(pages=4, l2_size=1)
    pool = PbufPool(vm, 16)
    limit = m.atomic(1, name="nsw_wcount_async")

    def writer(cpu):
        relpbuf(pool, getpbuf_kva(pool, cpu, limit), limit)

    for cpu in range(2):
        m.spawn(writer, cpu, name="writer")
    m.join()
    m.check(limit.peek() == 1 and pool.count.peek() == 16, "all buffers are back")


@scenario(cpus=2, tags={"pager", "finding"}, fixed=True, schedule="v1:clients_pass_their_limit:0:1.4>2")
def clients_pass_their_limit(m):
    """A client may have one buffer of a pool, so that others have some, and two of its threads have two.

    `getpbuf_kva` tests the client's count before it locks a list, and `trypbuf_kva` with its list locked; the
    count is lowered with the buffer's list locked.  There are sixteen lists: that two threads lock different
    ones keeps neither from passing the test before the other lowers the count.
    Repair `buffers-are-counted-before`: test and lower the count in one step.
    """
    vm = m.boot(pages=4, l2_size=1)
    pool = PbufPool(vm, 16)
    limit = m.atomic(1, name="nsw_wcount_async")
    taken = []

    def client(cpu):
        buffer = trypbuf_kva(pool, cpu, limit)
        if buffer is not None:
            taken.append(buffer)

    for cpu in range(2):
        m.spawn(client, cpu, name="client")
    m.join()
    m.check(len(taken) == 1, "a client has as many buffers as it may have")
    for buffer in taken:
        relpbuf(pool, buffer, limit)


@scenario(
    cpus=2,
    tags={"swap", "sleep", "finding"},
    fixed=True,
    timeouts="any",
    schedule="v1:swapper_misses_a_request+any:10:1.4>2,2.6>2,2.8>1",
)
def swapper_misses_a_request(m):
    """A process that was swapped out asks to be let in, and never is.

    The swapper finds no request.  It tests again whether one has come since, and goes to sleep without a
    timeout and without an interlock.  A wakeup between the two finds no sleeper.  The request is noted, so
    later requests do not even send a wakeup.
    Repair `swapper-interlocks`: interlock the sleep before the test.
    """
    vm = m.boot(pages=4, l2_size=1)
    swappers = []

    def process():
        p = vm.mycpu().proc
        p.p_flags.setbits(P_SWAPPEDOUT)
        swapper = Swapper(vm, [p])
        swappers.append(swapper)
        m.spawn(scheduler, swapper, name="swapper")
        wait_for_swapin(swapper, p)
        swapper_stop(swapper)

    m.spawn(process, name="process")
    m.join()


@scenario(
    cpus=3,
    tags={"vmspace", "sleep", "livelock", "finding"},
    fixed=True,
    schedule="v1:swapper_lets_in_who_is_in:0:3.2>4,2.12>3",
)
def swapper_lets_in_who_is_in(m):
    """Two threads of a process ask to be let in; one is late, sleeps for ever, and the swapper spins.

    Before a thread returns to user mode it tests whether its process is swapped out, takes the process'
    token, and asks to be let in (P_SWAPWAIT), without another test under the token.  If the process has been
    let in meanwhile, nobody wakes the thread.  `scheduler` finds the request, `faultin` has nothing to do and
    leaves the request where it is, and that goes on for ever.
    Repair `swapped-in-is-asked-again`: test under the token.
    """
    vm = m.boot(pages=4, l2_size=1)
    swappers = []

    def process():
        p = vm.mycpu().proc
        p.p_flags.setbits(P_SWAPPEDOUT)
        swapper = Swapper(vm, [p])
        swappers.append(swapper)
        cpus = [m.spawn(wait_for_swapin, swapper, p, name="thread") for _ in range(2)]
        m.spawn(scheduler, swapper, name="swapper")
        for cpu in cpus:
            cpu.join()
        swapper_stop(swapper)

    m.spawn(process, name="process")
    m.join()


@scenario(cpus=2, tags={"pager", "sleep", "finding"}, fixed=True, schedule="v1:free_buffers_wake_nobody:0:")
def free_buffers_wake_nobody(m):
    """A thread waits for a buffer while some are free, for as long as others keep most of them.

    `relpbuf` wakes who waits for the pool when a fourth of it was free and one more is given back.  Who has
    found none sleeps until then, without a timeout.  If those who have the rest wait for him, all do for
    ever.
    Repair `each-free-buffer-wakes`: wake him as long as there are no more than that.
    """
    vm = m.boot(pages=4, l2_size=1)
    pool = PbufPool(vm, 8)
    taken = [getpbuf_kva(pool, 0, None) for _ in range(8)]

    def reader():
        relpbuf(pool, getpbuf_kva(pool, 0, None), None)

    m.spawn(reader)
    m.spawn(relpbuf, pool, taken.pop(), None, name="writer")
    m.join()
    for buffer in taken:
        relpbuf(pool, buffer, None)


@scenario(cpus=1, tags={"swap", "finding"}, fixed=True, schedule="v1:nobody_is_swapped_out:0:")
def nobody_is_swapped_out(m):
    """Memory is short, idle processes are to be swapped out, and none is.

    The daemon takes the word that says what is asked for, and leaves 0 there, so that nothing is done twice.
    Then it has `swapout_procs` do what the word says, by another look at it.
    Repair `daemon-knows-what-is-asked-for`: do what was taken.
    """
    vm = m.boot(pages=4, l2_size=1)

    def process():
        p = vm.mycpu().proc
        daemon = VmDaemon(Swapper(vm, [p]))
        daemon.vm_pageout_req_swapout.setbits(VM_SWAP_NORMAL)
        vm_daemon_turn(daemon)
        m.check(p.p_flags.peek() & P_SWAPPEDOUT, "who is to be swapped out is")

    m.spawn(process, name="process")
    m.join()


@scenario(
    cpus=2, tags={"swap", "sleep", "finding"}, fixed=True, schedule="v1:vmdaemon_misses_a_request:8:1.3>2"
)
def vmdaemon_misses_a_request(m):
    """The daemon that is to swap processes out sleeps, and what it is to do has been asked for.

    It does what is asked for and goes to sleep, without a timeout and without an interlock.  Who asks in
    between wakes nobody, and the request stays until somebody asks again, a second later or more.
    Repair `vmdaemon-interlocks`: announce the sleep, and look then.
    """
    vm = m.boot(pages=4, l2_size=1)
    daemon = VmDaemon(Swapper(vm, []))

    def pagedaemon():
        daemon.stopped.store(1)  # one turn is enough
        daemon.vm_pageout_req_swapout.setbits(VM_SWAP_IDLE)
        vm_req_vmdaemon(daemon)

    m.spawn(vm_daemon, daemon, name="vmdaemon")
    m.spawn(pagedaemon)
    m.join()


@scenario(
    cpus=3, tags={"pageout", "wait", "finding"}, fixed=True, schedule="v1:killed_process_is_killed_again:0:"
)
def killed_process_is_killed_again(m):
    """A process that is killed for its memory cannot end, and nobody else is killed.

    While swap is full and too few pages can be had, the pagedaemon kills a process in every second: the one
    with the most anonymous memory.  It does not ask whether it has killed that already.  A process ends in
    its own time, and may wait for what another one has that waits for memory.
    Repair `killer-passes-the-killed`: the next one is the largest of those that have not been killed.
    """
    vm = m.boot(pages=40, l2_size=1)
    spaces = [new_process(m, vm, pages) for pages in (2, 1)]
    processes = []

    def process(space, pages):
        for page in range(pages):
            write(space, page, page)
        processes.append(vm.mycpu().proc)

    for space, pages in zip(spaces, (2, 1), strict=True):
        m.spawn(process, space, pages, name="process").join()
    killer = Killer(Swapper(vm, processes))

    def pagedaemon():
        first = vm_pageout_kill(killer)
        m.tsleep("a second", 0, "psleep", HZ)
        m.check(vm_pageout_kill(killer) is not first, "another process is killed if one cannot end")

    m.spawn(pagedaemon)
    m.join()
    for space in spaces:
        exits(space)
