"""LWKT tokens: they serialise while the holder runs, and are lost while it sleeps."""

from vmsmp import PINTERLOCKED, scenario


@scenario(cpus=3, tags={"token", "sleep"}, locks="exact")
def token_lost_across_sleep(m):
    """A consumer sleeps with the object's token; producers need the same token to feed it.

    This works only because the sleep releases the token.  The consumer must check again when it has
    reacquired it: another CPU may have been faster.
    """
    token = m.token("obj")
    items = m.cell(0, name="items")

    def producer():
        with token:
            items.store(items.load() + 1)
            m.wakeup("items")

    def consumer():
        token.acquire()
        while items.load() == 0:
            m.tsleep_interlock("items")
            if items.load() == 0:
                m.tsleep("items", PINTERLOCKED, "items")
            m.check(token.held(), "the token is back after the sleep")
        items.store(items.load() - 1)
        token.release()

    pairs = m.ncpus // 2
    for n in range(pairs):
        m.spawn(consumer, name=f"consumer{n}")
    for n in range(m.ncpus - pairs):
        m.spawn(producer, name=f"producer{n}")
    m.join()
    m.check(items.load() == m.ncpus - 2 * pairs, "as many items left as were not consumed")


@scenario(cpus=3, tags={"token"}, locks="exact")
def tokens_in_any_order(m):
    """Three CPUs take two tokens each, in a ring: all-or-nothing acquisition avoids a deadlock."""
    tokens = [m.token(f"t[{n}]") for n in range(m.ncpus)]
    owner = [m.cell(0, name=f"owner[{n}]") for n in range(m.ncpus)]

    def worker(n):
        first, second = n, (n + 1) % m.ncpus
        with tokens[first], tokens[second]:
            owner[first].store(n)
            owner[second].store(n)
            m.check(owner[first].load() == n, "the first token is really ours")
            m.check(owner[second].load() == n, "the second token is really ours")

    for n in range(m.ncpus):
        m.spawn(worker, n)
    m.join()


@scenario(cpus=3, tags={"token", "sleep"}, locks="exact")
def many_tokens_come_back(m):
    """A CPU sleeps with several tokens, one of them twice, and runs again only with all of them."""
    outer = m.token("outer")
    inner = m.token("inner")
    inside = m.cell(0, name="inside")
    ready = m.atomic(0, name="ready")

    def sleeper():
        with outer, inner, outer:
            while not ready.load():
                m.tsleep_interlock("go")
                if not ready.load():
                    m.tsleep("go", PINTERLOCKED, "go")
            inside.store(1)
            m.check(outer.held(), "the outer token is back")
            m.check(inner.held(), "the inner token is back")
            inside.store(0)

    def visitor():
        with inner, outer:
            m.check(inside.load() == 0, "nobody else is inside")

    m.spawn(sleeper, name="sleeper")
    for n in range(m.ncpus - 1):
        m.spawn(visitor, name=f"visitor{n}")
    ready.store(1)
    m.wakeup("go")
    m.join()


@scenario(cpus=3, tags={"token"}, locks="exact")
def token_readers_and_writer(m):
    """Shared and exclusive holders of one token; the exclusive ones take it twice."""
    token = m.token("vm")
    value = m.cell(0, name="value")

    def reader():
        token.acquire_shared()
        seen = value.load()
        m.check(value.load() == seen, "nothing is written while a reader reads")
        token.release()

    def writer():
        with token:
            value.store(value.load() + 1)
            with token:
                value.store(value.load() + 1)
            m.check(value.load() % 2 == 0, "the inner release did not let anybody in")

    for n in range(m.ncpus):
        role = reader if n % 3 == 2 else writer
        m.spawn(role, name=f"{role.__name__}{n}")
    m.join()


@scenario(cpus=2, tags={"token"}, locks="exact")
def token_chain_walk(m):
    """Hand over hand along a chain of objects: take the next token, swap, release the previous one.

    Both walkers go the same way; each must own its current object.  The chain's last two objects
    are the same one, where a swap must do nothing.
    """
    chain = [m.token(f"obj[{n}]") for n in range(3)]
    chain.append(chain[-1])
    visits = [m.cell(0, name=f"visits[{n}]") for n in range(len(chain))]

    def walker():
        chain[0].acquire()
        for n in range(1, len(chain)):
            chain[n].acquire()
            m.token_swap()
            chain[n - 1].release()
            seen = visits[n].load()
            m.check(chain[n].held(), "the walker owns what it stands on")
            visits[n].store(seen + 1)
        chain[-1].release()

    for _ in range(m.ncpus):
        m.spawn(walker)
    m.join()
    for n in range(1, len(chain)):
        m.check(visits[n].load() == m.ncpus, "every visit is counted")


@scenario(cpus=3, tags={"token", "try"}, locks="exact")
def token_try_and_pool(m):
    """Tries and pool tokens: a failed try leaves no ref behind, two idents may share a token."""
    token = m.token("obj")
    count = m.cell(0, name="count")
    tried = m.atomic(0, name="tried")

    def trier():
        if token.try_acquire():
            count.store(count.load() + 1)
            tried.fetchadd(1)
            token.release()

    def taker():
        pool = m.pool_token("page 7")
        with token:
            count.store(count.load() + 1)
            tried.fetchadd(1)
        pool.release()

    for n in range(m.ncpus):
        role = trier if n % 2 else taker
        m.spawn(role, name=f"{role.__name__}{n}")
    m.join()
    m.check(count.load() == tried.load(), "everybody inside was alone")


@scenario(cpus=3, tags={"token"}, locks="exact")
def token_readers_at_depth_two(m):
    """Readers that hold another token take one twice, while writers wait for it.

    A waiting writer holds off readers without another token, outside their time window.  A reader that has
    one is let in, and so does not lose its tokens: nothing is written between its two gets.
    """
    outer = m.token("map")
    inner = m.token("obj")
    value = m.cell(0, name="value")

    def reader():
        outer.acquire_shared()
        inner.acquire_shared()
        seen = value.load()
        inner.acquire_shared()
        m.check(value.load() == seen, "the second get did not wait, so no token was lost")
        inner.release()
        inner.release()
        outer.release()

    def writer():
        with inner:
            value.store(value.load() + 1)

    def deep_writer():
        with outer, inner:
            value.store(value.load() + 1)

    roles = (reader, writer, deep_writer)
    for n in range(m.ncpus):
        m.spawn(roles[n % 3], name=f"{roles[n % 3].__name__}{n}")
    m.join()
    m.check(value.load() == m.ncpus - (m.ncpus + 2) // 3, "every writer's change is there")


@scenario(cpus=2, tags={"token", "sleep"}, locks="exact")
def token_swap_keeps_modes(m):
    """A parent is taken shared and its child exclusively; they are swapped and lost in a sleep.

    They are taken again as they were, the child exclusively and the parent shared, so a reader of the parent
    gets in and a reader of the child does not.
    """
    parent = m.token("parent")
    child = m.token("child")
    inside = m.cell(0, name="inside")

    def walker():
        parent.acquire_shared()
        child.acquire()
        m.token_swap()
        m.tsleep("nap", 0, "nap", 1)
        inside.store(1)
        m.check(child.held(), "the child is owned exclusively again")
        m.check(not parent.held(), "the parent is only shared")
        inside.store(0)
        parent.release()
        child.release()

    def reader():
        child.acquire_shared()
        m.check(inside.load() == 0, "nobody owns the child exclusively")
        child.release()

    for n in range(m.ncpus):
        role = reader if n % 2 else walker
        m.spawn(role, name=f"{role.__name__}{n}")
    m.join()
