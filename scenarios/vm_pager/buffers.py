"""Buffers for transfers: a pool of them, and a limit of how many a client may have at once."""

from vmsmp import scenario
from vmsmp.vm.vm_pager import PbufPool, getpbuf_kva, pbuf_adjcount, relpbuf, trypbuf_kva


@scenario(cpus=1, tags={"pager"}, pages=None)
def buffers_alone(m):
    """A client takes buffers up to its limit, its own CPU's first, and gives them back."""
    vm = m.boot(pages=4, l2_size=1)
    pool = PbufPool(vm, 20)
    limit = m.atomic(2, name="limit")

    def kept(free, left):
        m.check((pool.count.load(), limit.load()) == (free, left), "buffers are counted, twice")
        m.check(sum(map(len, pool.lists)) == free, "who is not taken is on a list")

    def client():
        first, second = (trypbuf_kva(pool, 3, limit) for _ in range(2))
        m.check((first, second) == (3, 19), "a CPU has buffers of its own")
        kept(18, 0)
        m.check(trypbuf_kva(pool, 3, limit) is None, "a client has a limit")
        kept(18, 0)
        pbuf_adjcount(pool, limit, 2)
        third, fourth = (getpbuf_kva(pool, cpu, limit) for cpu in (3, 15))
        m.check((third, fourth) == (4, 15), "whose CPU has none left takes another's")
        kept(16, 0)
        for buffer in (first, second, third, fourth):
            relpbuf(pool, buffer, limit)
        kept(20, 4)
        m.check(getpbuf_kva(pool, 3, None) == 19, "what was used last is used first")
        kept(19, 4)
        relpbuf(pool, 19, None)
        m.check([pool.lists[n] for n in (2, 3, 4, 15)] == [[2, 18], [19, 3], [4], [15]], "on its own list")
        kept(20, 4)

    m.spawn(client)
    m.join()


@scenario(cpus=2, tags={"pager", "sleep", "wait", "clock"}, fixed=True, pages=None)
def client_waits_for_a_buffer(m):
    """A client has taken all buffers that there are, or that it may have; another thread waits for more."""
    vm = m.boot(pages=4, l2_size=1)
    scarce, raised = ((True, False), (False, False), (False, True))[m.choose(3)]
    pool = PbufPool(vm, 2 if scarce else 16)
    limit = None if scarce else m.atomic(2, name="limit")
    full, got = m.atomic(0, name="full"), m.atomic(0, name="got")

    def holder():
        taken = [getpbuf_kva(pool, 0, limit) for _ in range(2)]
        m.check(limit is None or trypbuf_kva(pool, 1, limit) is None, "none is left for who does not wait")
        full.store(1)
        # time passes once the other one sleeps
        m.tsleep("a while", 0, "", 1, overdue=lambda: None)
        m.check(not got.load(), "who finds none waits")
        if raised:
            pbuf_adjcount(pool, limit, 1)
            while not got.load():
                m.yield_()
        for buffer in taken:
            relpbuf(pool, buffer, limit)

    def waiter():
        while not full.load():
            m.yield_()
        buffer = getpbuf_kva(pool, 1, limit)
        got.store(1)
        relpbuf(pool, buffer, limit)

    m.spawn(holder)
    m.spawn(waiter)
    m.join()
    m.check(
        pool.count.peek() == pool.size and (limit is None or limit.peek() == 2 + raised), "all are given back"
    )
