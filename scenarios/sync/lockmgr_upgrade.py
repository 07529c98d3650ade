"""Upgrades and downgrades of a lockmgr lock, as the VM map uses them."""

from vmsmp import LK_EXCLUPGRADE, LK_EXCLUSIVE, LK_NOWAIT, LK_RELEASE, LK_SHARED, LK_UPGRADE, scenario


@scenario(cpus=3, tags={"lockmgr", "upgrade"}, locks="exact")
def upgrade_contention(m):
    """Readers of a map all want to change it: only one upgrade may win without releasing the lock.

    Every CPU reads the map's timestamp under a shared lock and requests LK_EXCLUPGRADE.  Success
    promises that no one changed the map in between; the losers get EBUSY and have lost their shared
    lock.  The timestamp must count the winners exactly.
    """
    lock = m.lockmgr("map")
    timestamp = m.cell(0, name="timestamp")
    wins = m.atomic(0, name="wins")

    def upgrader():
        lock.lock(LK_SHARED)
        before = timestamp.load()
        if lock.lock(LK_EXCLUPGRADE) == 0:
            m.check(timestamp.load() == before, "nobody changed the map during an EXCLUPGRADE")
            timestamp.store(before + 1)
            wins.fetchadd(1)
            lock.lock(LK_RELEASE)

    for _ in range(m.ncpus):
        m.spawn(upgrader)
    m.join()
    m.check(timestamp.load() == wins.load(), "every winner's change is there")
    m.check(wins.load() >= 1, "somebody won")


@scenario(cpus=3, tags={"lockmgr", "upgrade"}, locks="exact")
def upgrade_against_writer(m):
    """A reader upgrades while another reader leaves and a writer waits.

    The upgrade goes first if it was requested first: if EXCLUPGRADE is granted, the writer must not
    have held the lock in between.  Every CPU gets the lock in the end.
    """
    lock = m.lockmgr("map")
    version = m.cell(0, name="version")

    def upgrader():
        lock.lock(LK_SHARED)
        before = version.load()
        if lock.lock(LK_EXCLUPGRADE) == 0:
            m.check(version.load() == before, "the writer was not let in before the upgrade")
            version.store(before + 1)
            lock.lock(LK_RELEASE)

    def reader():
        lock.lock(LK_SHARED)
        version.load()
        lock.lock(LK_RELEASE)

    def writer():
        lock.lock(LK_EXCLUSIVE)
        version.store(version.load() + 1)
        lock.lock(LK_RELEASE)

    roles = [upgrader, reader, writer]
    for n in range(m.ncpus):
        m.spawn(roles[n % len(roles)], name=f"{roles[n % len(roles)].__name__}{n}")
    m.join()


@scenario(cpus=3, tags={"lockmgr", "upgrade"}, locks="exact")
def upgrade_or_wait(m):
    """Plain LK_UPGRADE: the loser waits its turn as a writer, and may find things changed."""
    lock = m.lockmgr("obj")
    total = m.cell(0, name="total")

    def adder():
        lock.lock(LK_SHARED)
        total.load()
        if lock.lock(LK_UPGRADE) == 0:
            total.store(total.load() + 1)
            lock.lock(LK_RELEASE)

    for _ in range(m.ncpus):
        m.spawn(adder)
    m.join()
    m.check(total.load() == m.ncpus, "every upgrader got its turn")


@scenario(cpus=3, tags={"lockmgr", "downgrade"}, locks="exact")
def downgrade_keeps_the_lock(m):
    """A writer becomes a reader in one step: no other writer comes between its write and its read."""
    lock = m.lockmgr("map")
    stamp = m.cell(0, name="stamp")

    def writer(mine):
        lock.lock(LK_EXCLUSIVE)
        stamp.store(mine)
        lock.downgrade()
        m.check(stamp.load() == mine, "nobody wrote between the downgrade and the look")
        lock.lock(LK_RELEASE)

    def reader():
        if lock.lock(LK_SHARED | LK_NOWAIT) == 0:
            seen = stamp.load()
            m.check(stamp.load() == seen, "the stamp stands still while it is read")
            lock.lock(LK_RELEASE)
        lock.lock(LK_SHARED)
        lock.lock(LK_RELEASE)

    for n in range(m.ncpus):
        if n % 3 == 2:
            m.spawn(reader, name=f"reader{n}")
        else:
            m.spawn(writer, n + 1, name=f"writer{n}")
    m.join()
