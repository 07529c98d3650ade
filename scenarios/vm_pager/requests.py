"""A device that completes requests on a CPU of its own, later and in any order."""

from vmsmp import scenario
from vmsmp.sync.errno import PINTERLOCKED
from vmsmp.vm.vm_pager import Bio, device_attach, device_detach, vn_strategy


@scenario(cpus=3, tags={"io", "wait", "sleep"}, fixed=True, pages=None)
def requests_are_completed_later(m):
    """A thread hands requests to a device, which is attached twice: its CPU completes each of them, once."""
    vm = m.boot(pages=4, l2_size=1)
    left = m.atomic(0, name="left")
    token = m.token("token")
    completed = []  # with the token

    def user():
        asker = m.curcpu

        def done(bio):
            m.check(m.curcpu is not asker, "a request is completed by the device's CPU")
            token.acquire()
            completed.append(bio)
            token.release()
            if left.fetchadd(-1) == 1:
                m.wakeup(left)

        def ask(count):
            """Make requests at once, and wait for all of them."""
            left.store(count)
            before = len(completed)
            asked = [Bio([], write=False, done=done) for _ in range(count)]
            for bio in asked:
                vn_strategy(vm, bio)
            while True:
                m.tsleep_interlock(left)
                if not left.load():
                    break
                m.tsleep(left, PINTERLOCKED, "biowait", 0)
            times = [sum(one is bio for one in completed[before:]) for bio in asked]
            m.check(times == [1] * count and len(completed) == before + count, "each is, and once")

        for _ in range(2):
            device_attach(vm)
            for count in (2, 1, 1):
                ask(count)
            device_detach(vm)

    m.spawn(user)
    m.join()
