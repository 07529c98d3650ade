"""Small programs that searches are tried on: a bug in a crowd, two bugs, none, and random kernel programs."""

from __future__ import annotations

import random

from vmsmp import PINTERLOCKED
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.machine import Machine
from vmsmp.scenarios._kit import active_page
from vmsmp.sched.names import make_scheduler
from vmsmp.vm.vm_object import vm_object_allocate, vm_object_drop, vm_object_hold, vm_object_hold_shared
from vmsmp.vm.vm_page import (
    vm_page_activate,
    vm_page_busy_try,
    vm_page_deactivate,
    vm_page_hold,
    vm_page_unhold,
    vm_page_unqueue_nowakeup,
    vm_page_wakeup,
)


def noisy(m):
    """The same bug among much that has nothing to do with it."""
    word, noise = m.cell(0), m.cell(0)

    def incrementer():
        for n in range(5):
            noise.store(n)
        word.store(word.load() + 1)
        for n in range(5):
            noise.store(n)

    for _ in range(3):
        m.spawn(incrementer)
    m.join()
    m.check(word.load() == 3, "every increment is counted")


def two_bugs(m):
    word = m.cell(0)

    def incrementer():
        word.store(word.load() + 1)

    def reader():
        m.check(word.load() != 1, "somebody saw the middle")

    m.spawn(incrementer)
    m.spawn(incrementer)
    m.spawn(reader)
    m.join()
    m.check(word.load() == 2, "both increments are counted")


def clean(m):
    word = m.atomic(0)
    m.spawn(word.fetchadd, 1)
    m.spawn(word.fetchadd, 1)
    m.join()
    m.check(word.load() == 2, "both increments are counted")


class Shared:
    """What the CPUs of a random kernel program share, and what each of them saw."""

    def __init__(self, m):
        self.m = m
        self.vm = m.boot(pages=2, l2_size=1)
        self.obj = vm_object_allocate(self.vm, 2)
        self.page = active_page(self.vm, self.obj, 0)
        self.queue = self.vm.page.vm_page_queues[self.page.peek("queue")]
        self.lock, self.token, self.lockmgr = m.spinlock("lock"), m.token("token"), m.lockmgr("lockmgr")
        self.word = m.atomic(0)
        self.seen = {}

    def saw(self, what):
        self.seen.setdefault(self.m.curcpu.index, []).append(what)

    def outcome(self):
        """What came out of it: what the CPUs saw, how the run ended, and how the page was left."""
        violation = self.m.violation
        queued = self.queue.peek("tqh_first") is not None, self.queue.peek("lcnt")
        ended = violation.kind.name if violation is not None else ""
        return str(sorted(self.seen.items())), ended, self.word.peek(), self.page.dump(), queued


def read_queue(t):
    t.saw(t.page.hint("queue"))


def read_act_count(t):
    t.saw(t.page.hint("act_count"))


def read_head(t):
    t.saw(t.queue.hint("tqh_first") is None)


def read_length(t):
    t.saw(t.queue.hint("lcnt"))


def unqueue(t):
    vm_page_unqueue_nowakeup(t.page)


def activate(t):
    vm_page_activate(t.page)


def deactivate(t):
    vm_page_deactivate(t.page)


def hold(t):
    vm_page_hold(t.page)
    vm_page_unhold(t.page)


def count(t):
    t.saw(t.word.fetchadd(1))


def busy(t):
    if not vm_page_busy_try(t.page, True):
        t.saw("busied")
        vm_page_wakeup(t.page)


def hold_object(t):
    vm_object_hold(t.obj)
    t.saw(t.word.fetchadd(1))
    vm_object_drop(t.obj)


def share_object(t):
    vm_object_hold_shared(t.obj)
    t.saw(t.word.load())
    vm_object_drop(t.obj)


def spin(t):
    with t.lock:
        t.saw(t.word.fetchadd(1))


def spin_try(t):
    if t.lock.try_acquire():
        t.saw("got")
        t.lock.release()


def spin_shared(t):
    t.lock.acquire_shared()
    t.saw(t.word.load())
    t.lock.release_shared()


def spin_upgrade(t):
    t.lock.acquire_shared()
    if t.lock.try_upgrade():
        t.saw("upgraded")
        t.lock.release()
    else:
        t.lock.release_shared()


def take_token(t):
    with t.token:
        t.saw(t.word.fetchadd(1))


def take_lockmgr(t):
    t.lockmgr.acquire()
    t.saw(t.word.load())
    t.lockmgr.release()


def share_lockmgr(t):
    t.lockmgr.acquire_shared()
    t.lockmgr.release()


def sleep(t):
    t.m.tsleep_interlock(t.obj)
    if not t.word.load():
        t.m.tsleep(t.obj, PINTERLOCKED, "bed")


def wake(t):
    t.word.fetchadd(1)
    t.m.wakeup(t.obj)


#: Operations that are drawn together.
KERNEL_OPERATIONS = {
    "hints": (read_queue, read_act_count, read_head, read_length, unqueue),
    "queues": (unqueue, activate, deactivate, read_queue),
    "holds": (hold, busy, unqueue, read_head),
    "objects": (hold_object, share_object, read_queue, count),
    "spinlocks": (spin, spin_try, spin_shared, spin_upgrade),
    "locks": (take_token, take_lockmgr, share_lockmgr, spin_upgrade),
    "sleeps": (sleep, wake, spin_try, read_queue),
}


def kernel_program(kinds, seed):
    """Two or three CPUs with up to three operations of the kind in all; a function of a `Shared`."""
    rng = random.Random(f"{kinds} {seed}")
    plan = [[rng.choice(KERNEL_OPERATIONS[kinds])] for _ in range(rng.choice((2, 2, 2, 3)))]
    if len(plan) == 2 and rng.randrange(2):
        plan[rng.randrange(2)].append(rng.choice(KERNEL_OPERATIONS[kinds]))

    def program(t):
        def run(steps):
            for step in steps:
                step(t)

        for steps in plan:
            t.m.spawn(run, steps)

    program.__name__ = "; ".join(" ".join(step.__name__ for step in steps) for steps in plan)
    return program


def outcomes(program, sched, most):
    """Return the outcomes of a search of a function of a `Shared`, and whether it ended by itself."""
    seen = set()
    scheduler = make_scheduler(sched, 0)
    ended = False
    shared = []

    def body(m):
        shared.append(Shared(m))
        program(shared[0])

    with WorkerPool(current_core()) as pool:
        engine = ControlledEngine(pool)

        def loop():
            nonlocal ended
            for n in range(most):
                if not scheduler.begin():
                    ended = True
                    return
                execution = engine.prepare(scheduler)
                machine = Machine(execution, seed=n)
                execution.execute(machine, body)
                seen.add(shared.pop().outcome())
                machine.close()

        pool.drive(loop)
    return seen, ended
