"""Findings in the kernel's callouts: the model does what kern_timeout.c of 2020-07 does, step for step."""

from vmsmp import scenario


@scenario(
    cpus=1,
    tags={"callout", "finding"},
    locks="exact",
    timeouts="any",
    fixed=True,
    schedule="v1:cancel_passes_a_rearmed_call+exact+any:2b:1.17>0",
)
def cancel_passes_a_rearmed_call(m):
    """A cancel, or terminate, returns while the function of the callout still runs.

    When a function sets its own callout again, INPROG is cleared first, as if the function had ended.
    A cancel from another CPU then finds the callout on the wheel, takes it off and does not wait.
    Later kernels leave INPROG set.
    Repair `rearmed-call-in-progress`: requests of a function for its own callout are done when it ends.
    """
    alive = m.cell(1, name="alive")
    callout = m.callout("tick")

    def tick():
        callout.reset(5, tick)
        m.check(alive.load() == 1, "the structure is there until the tick is over")

    callout.reset(1, tick)
    m.tsleep("a while", 0, "a while", 2)
    callout.cancel()
    alive.store(0)


@scenario(
    cpus=1,
    tags={"callout", "lockmgr", "finding"},
    locks="exact",
    timeouts="any",
    schedule="v1:stop_cancels_another_call+exact+any:0:",
)
def stop_cancels_another_call(m):
    """A stop of one callout keeps another one, which shares its lock, from being called.

    The stop holds the lock and cancels all requests for it that may be cancelled, until the call that it
    waits for has given up.  The softclock thread may come to the next callout meanwhile: its request for the
    lock is cancelled, too, as if that callout had been stopped.
    Repair `cancel-of-another-call`: a call whose request is cancelled without a stop of it asks again.
    """
    lock = m.lockmgr("lk")
    called = m.cell(0, name="called")
    stopped, other = m.callout("stopped", lock), m.callout("other", lock)
    with lock:
        stopped.reset(1, m.yield_)
        other.reset(1, called.store, 1)
        m.tsleep("a while", 0, "a while", 3)
        stopped.stop()
    m.join()
    m.check(called.load() == 1, "a callout that nobody stops is called")
