"""Findings in the kernel's mutexes: the model does what kern_mutex.c does, step for step.

They need a request that gives up, by a timeout or a signal, or a downgrade.  The VM's own requests are
exclusive and wait as long as it takes, so the VM is not affected.
"""

from vmsmp import scenario
from vmsmp.sync.errno import PINTERLOCKED


@scenario(
    cpus=1,
    tags={"mutex", "finding"},
    locks="exact",
    timeouts="any",
    fixed=True,
    schedule="v1:late_request_keeps_mutex+exact+any:4:0.5>1,1.17>1,1.21>0",
)
def late_request_keeps_mutex(m):
    """A timed request fails but holds the mutex, which is never released.

    The sleep on the link ends by its timeout.  `mtx_wait_link` finds the link still in its list and is about
    to take it out; before it has locked the lists, the owner's release grants it the mutex.
    `mtx_delete_link` finds nothing to do, and the request returns EWOULDBLOCK.
    Repair `late-mutex-looks-again`: with the lists locked, a link that was granted is a success.
    """
    mtx = m.mutex("mtx")

    def late():
        if mtx.lock_timed(1) == 0:
            mtx.unlock()

    mtx.lock()
    m.spawn(late, name="late")
    mtx.unlock()
    m.join()


@scenario(
    cpus=1,
    tags={"mutex", "finding"},
    locks="exact",
    fixed=True,
    schedule="v1:downgrade_gives_its_count_away+exact:0:0.6>1",
)
def downgrade_gives_its_count_away(m):
    """After a downgrade that lets readers in the mutex counts one hold too few.

    `mtx_chain_link_sh` lets readers in with the count of a release: the first of them takes that over.
    `mtx_downgrade` calls it too, but its caller goes on to hold the mutex.
    Repair `downgrade-keeps-its-count`: readers that a downgrade lets in are counted beside the caller.
    """
    mtx = m.mutex("mtx")

    def reader():
        mtx.lock_shared()
        mtx.unlock()

    mtx.lock()
    m.spawn(reader, name="reader")
    mtx.downgrade()
    mtx.unlock()
    m.join()


@scenario(
    cpus=3,
    tags={"mutex", "finding"},
    locks="exact",
    timeouts="any",
    fixed=True,
    schedule="v1:late_writer_strands_readers+exact+any:1:",
)
def late_writer_strands_readers(m):
    """A writer gives up waiting for a mutex that readers hold, and a reader that let it go first waits on.

    While a writer waits, readers queue behind it.  `mtx_delete_link` takes the last writer off its list and
    clears EXWANTED, so that new readers come in at once; those in the list are let in by the next last
    release only.  Here the one that holds the mutex waits for the one in the list.
    Repair `late-writer-lets-readers-in`: with the last writer gone, readers that wait come in beside others.
    """
    mtx = m.mutex("mtx")
    inside = m.atomic(0, name="inside")

    def holder():
        m.tsleep_interlock("inside")
        if not inside.load():
            m.tsleep("inside", PINTERLOCKED, "inside", 0)
        mtx.unlock()

    def writer():
        if mtx.lock_timed(1) == 0:
            mtx.unlock()

    def reader():
        mtx.lock_shared()
        inside.store(1)
        m.wakeup("inside")
        mtx.unlock()

    def first():
        mtx.lock_shared()
        m.spawn(writer, name="writer")
        m.spawn(reader, name="reader")
        holder()

    m.spawn(first, name="holder")
    m.join()
