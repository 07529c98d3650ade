"""Findings in sleeps and wakeups: the model does what vm_pager.c and vm_glue.c do, step for step."""

from vmsmp import scenario
from vmsmp.vm.vm_glue import P_SWAPPEDOUT, Swapper, scheduler, swapper_stop, wait_for_swapin
from vmsmp.vm.vm_pager import PbufPool, getpbuf_kva, relpbuf


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
