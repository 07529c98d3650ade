"""The daemon that swaps processes out, and who asks it to: when it is woken, and what it takes then."""

from vmsmp import scenario
from vmsmp.engine.clock import HZ
from vmsmp.scenarios._kit import repaired
from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.vm.vm_glue import P_SWAPPEDOUT, VM_SWAP_IDLE, VM_SWAP_NORMAL, Swapper
from vmsmp.vm.vm_pageout import VmDaemon, vm_daemon, vm_daemon_stop, vm_daemon_turn, vm_req_vmdaemon


class _Asked:
    """A daemon, and the processes of all CPUs, which it swaps out if that is asked for."""

    def __init__(self, m):
        self.m = m
        self.processes = [gd.proc for gd in m.vm.meter.cpus()]
        self.daemon = VmDaemon(Swapper(m.vm, self.processes))
        self.word = self.daemon.vm_pageout_req_swapout

    def has_taken(self, action):
        """Check that this is what it has taken, and has done; let the processes in again."""
        # without the repair the daemon forgets what it has taken
        done = bool(action) and repaired(self.m, "daemon-knows-what-is-asked-for")
        out = [bool(p.p_flags.load() & P_SWAPPEDOUT) for p in self.processes]
        self.m.check(out == [done] * len(out), "all processes are swapped out if that is asked for")
        for p in self.processes:
            p.p_flags.clearbits(P_SWAPPEDOUT)


@scenario(cpus=2, tags={"swap", "pageout", "wait", "clock"}, fixed=True, pages=None)
def vmdaemon_is_woken_in_its_time(m):
    """A CPU asks for processes to be swapped out: the daemon is woken if it was not in the second before."""
    m.boot(pages=4, l2_size=1)
    asked = _Asked(m)
    daemon = asked.daemon
    ready, done = m.atomic(0, name="ready"), m.atomic(0, name="done")

    def sleeper():
        for n in (1, 2, 3, 4):
            m.tsleep_interlock(daemon.vm_daemon_needed)
            ready.store(n)
            m.tsleep(daemon.vm_daemon_needed, PINTERLOCKED, "psleep", 0)
            m.check(daemon.stopped.load() == (n == 4), "who is woken by the end knows that it is the end")
            vm_daemon_turn(daemon)
            done.store(n)

    def request(action, ago):
        """Ask; return whether the daemon was woken, as it is if it was last woken that many ticks ago."""
        asked.word.store(action)
        daemon.lastrun = last = m.ticks - ago
        times = [m.ticks]
        vm_req_vmdaemon(daemon)
        times.append(m.ticks)
        woken = daemon.lastrun != last
        due = [now > last + HZ or now < last for now in times]
        m.check(woken in due, "it is woken after a second, or when the clock was put back")
        m.check(not woken or daemon.lastrun in times, "and when it was is known")
        return woken

    def pagedaemon():
        turns = 0
        m.check(daemon.lastrun < -HZ, "at first it may be woken at once")
        for action, ago in (
            (VM_SWAP_NORMAL, HZ + 1),
            (VM_SWAP_IDLE, 0),
            (VM_SWAP_NORMAL, HZ),
            (VM_SWAP_IDLE, -10 * HZ),
            (VM_SWAP_NORMAL, 1),
            (VM_SWAP_NORMAL | VM_SWAP_IDLE, 2 * HZ),
        ):
            while ready.load() <= turns:
                m.yield_()
            woken = request(action, ago)
            turns += woken
            while done.load() < turns:
                m.yield_()
            m.check(asked.word.load() == (0 if woken else action), "what is asked for is taken once")
            asked.has_taken(action if woken else 0)
            if turns == 3:
                break
        m.check(turns == 3, "who was woken long ago is woken")
        while ready.load() < 4:
            m.yield_()
        vm_daemon_stop(daemon)

    m.spawn(sleeper)
    m.spawn(pagedaemon)
    m.join()


@scenario(cpus=2, tags={"swap", "pageout", "wait", "clock"}, fixed=True, pages=None)
def vmdaemon_runs_until_told(m):
    """The daemon that swaps processes out sleeps until it is asked to, again and again, and then ends."""
    m.boot(pages=4, l2_size=1)
    asked = _Asked(m)
    daemon = asked.daemon
    ended = m.atomic(0, name="ended")

    def thread():
        vm_daemon(daemon)
        ended.store(1)

    def insist(done):
        """Wake it until that is so: it misses a wakeup before it sleeps."""
        while not done():
            m.wakeup(daemon.vm_daemon_needed)
            m.yield_()

    def pagedaemon():
        for action in (VM_SWAP_NORMAL, VM_SWAP_IDLE):
            asked.word.setbits(action)
            insist(lambda: not asked.word.load())
            # that time passes shows that it sleeps
            m.tsleep("a while", 0, "", 1, overdue=lambda: None)
        vm_daemon_stop(daemon)
        insist(ended.load)

    m.spawn(thread, name="vmdaemon")
    m.spawn(pagedaemon)
    m.join()
