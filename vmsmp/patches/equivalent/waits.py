"""Removals of sleeps, calls and what protocols are written with that change nothing."""

from __future__ import annotations

from typing import Final

from vmsmp.patches.equivalent.entry import Equivalent

EQUIVALENTS: Final = (
    # -- sleep queues ----------------------------------------------------------------------------
    Equivalent(
        "sync.sleepq.atomic.AtomicSleepQueues.*-swap",
        "td",
        "one step at the atomic depth: nobody sees what is between",
    ),
    Equivalent(
        "sync.sleepq.atomic.AtomicSleepQueues.interlock-never",
        "",
        "the thread is in the list twice, of which once counts",
    ),
    Equivalent(
        "sync.sleepq.atomic.AtomicSleepQueues.*-gone",
        "self._waiting.remove(td)",
        "the thread stays in the list, with a channel that nobody wakes",
    ),
    Equivalent(
        "sync.sleepq.atomic.AtomicSleepQueues._wakeup-gone",
        "woke.append",
        "only observers are told who was woken",
    ),
    Equivalent(
        "sync.sleepq.atomic.AtomicSleepQueues._wakeup-always",
        "TDF_TSLEEP_DESCHEDULED",
        "a thread that is not descheduled may be scheduled",
    ),
    Equivalent(
        "sync.sleepq.atomic.AtomicSleepQueues._schedule-always",
        "if td.idle",
        "a CPU that is not idle may be readied",
    ),
    Equivalent("sync.sleepq.exact.CpuQueue.clear_hints-gone", "", "hints may be stale"),
    Equivalent(
        "sync.sleepq.exact.CpuQueue.hint_at-never",
        "",
        "a hint more, or one that matches all, costs needless IPIs",
    ),
    Equivalent("sync.sleepq.exact.CpuQueue.narrow_hints-never", "", "hints may be stale"),
    Equivalent("sync.sleepq.exact.CpuQueue.narrow_hints-gone", "", "hints may be stale"),
    Equivalent("sync.sleepq.exact.CpuQueue.narrow_hints-term[34]", "", "hints may be stale"),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues.interlock-*",
        "an IPI that comes before this step",
        "a switch point less or more, and no step of the kernel",
    ),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues.interlock-gone",
        "ops.INTERLOCK",
        "a switch point less, and no step of the kernel",
    ),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues.interlock-always",
        "or not same",
        "it goes to the end of the queue, on which it is alone",
    ),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues.interlock-term1",
        "or not same",
        "a thread on no queue has no channel",
    ),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues._enqueue-always",
        "if not old.queue",
        "a CPU has one thread, so the queue is empty",
    ),
    Equivalent("sync.sleepq.exact.ExactSleepQueues._enqueue-gone", "clear_hints", "hints may be stale"),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues._enqueue-swap",
        "old.clear_hints",
        "nobody is on the queue any more",
    ),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues._enqueue-swap",
        "qp.hint_at",
        "a wakeup that falls between the two comes before the look that follows the interlock",
    ),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues._enqueue-swap",
        "td",
        "in a critical section, and nothing that others see is between",
    ),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues.remove-always",
        "if not qp.queue",
        "a CPU has one thread, so the queue is empty",
    ),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues.remove-swap",
        "",
        "in a critical section, and nothing that others see is between",
    ),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues.wakeup-term1",
        "if not left",
        "a CPU has one thread, which does not sleep while it wakes",
    ),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues._wakeup_remote-always", "", "an IPI that finds nobody is needless"
    ),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues._wakeup_local-always",
        "TDF_TSLEEP_DESCHEDULED",
        "a thread that is not descheduled may be scheduled",
    ),
    Equivalent("sync.sleepq.exact.ExactSleepQueues._wakeup_local-*", "PWAKEUP_ONE", "a CPU has one thread"),
    Equivalent(
        "sync.sleepq.exact.ExactSleepQueues._wakeup_local-*", "if qp.queue", "hints and masks may be stale"
    ),
    Equivalent("sync.sleepq.exact.ExactSleepQueues._wakeup_local-gone", "qp.", "hints may be stale"),
    Equivalent("sync.sleepq.exact.ExactSleepQueues._wakeup_local-*", "clearbits", "masks may be stale"),
    Equivalent("sync.sleepq.queues.SleepQueues.tsleep-gone", "ticks(timo)", "it only refuses an argument"),
    Equivalent(
        "sync.sleepq.queues.SleepQueues.tsleep-never", "if flags & PINTERLOCKED", "only observers are told"
    ),
    Equivalent(
        "sync.sleepq.queues.SleepQueues.tsleep-always", "if flags & PINTERLOCKED", "only observers are told"
    ),
    Equivalent("sync.sleepq.queues.SleepQueues.tsleep-*", "machine.point", "a switch point less, or earlier"),
    Equivalent(
        "sync.sleepq.queues.SleepQueues._switch-never",
        "if timo and",
        "a sleep that was woken need not be late",
    ),
    Equivalent(
        "sync.sleepq.queues.SleepQueues._switch-gone", "woken, but", "a sleep that was woken need not be late"
    ),
    Equivalent(
        "sync.sleepq.queues.SleepQueues._switch-term3",
        "if timo and",
        "a sleep that was woken may be late as well",
    ),
    Equivalent("sync.sleepq.queues.SleepQueues._switch-term[12]", "return how", "only observers are told"),
    Equivalent(
        "sync.sleepq.queues.SleepQueues.deschedule-never",
        "if not td.td_flags",
        "a thread on no queue has no channel, which is looked at next",
    ),
    Equivalent("sync.sleepq.queues.SleepQueues.deschedule-swap", "", "nothing that others see is between"),
    Equivalent(
        "sync.sleepq.queues.SleepQueues.endtsleep-gone",
        "self.remove",
        "a CPU has one thread: a wakeup that it takes is missed by nobody",
    ),
    Equivalent(
        "sync.sleepq.queues.SleepQueues.endtsleep-gone", "lwkt_schedule", "the end of the sleep does so"
    ),
    Equivalent("sync.sleepq.queues.SleepQueues.endtsleep-swap", "", "nothing that others see is between"),
    Equivalent(
        "sync.sleepq.queues.SleepQueues.resume-gone",
        "self.remove",
        "who stays on a queue leaves it with the next wakeup or interlock",
    ),
    Equivalent("sync.sleepq.queues.SleepQueues.resume-swap", "", "nothing that others see is between"),
    # -- callouts --------------------------------------------------------------------------------
    Equivalent(
        "sync.callout.atomic.AtomicCallout.*-swap",
        "self.flags",
        "one step at the atomic depth: nobody sees what is between",
    ),
    Equivalent(
        "sync.callout.*.withdraw-term3", "if wait and", "it finds at once that there is nothing to wait for"
    ),
    Equivalent(
        "sync.callout.callout.Callout.terminate-gone", "CALLOUT_DID_INIT", "only a misuse would be told"
    ),
    Equivalent(
        "sync.callout.callout.Callout.update-never",
        "called_here",
        "the softclock thread carries it out when the function returns",
    ),
    Equivalent(
        "sync.callout.callout.Callout.update-swap",
        "softclock.running",
        "nobody else looks while the function runs",
    ),
    Equivalent(
        "sync.callout.callout.Callout._update_*-swap", "", "with the spinlocks of the callout and the wheel"
    ),
    Equivalent(
        "sync.callout.callout.Callout._update_*-always",
        "elif flags & CALLOUT_STOP",
        "nobody updates without a request",
    ),
    Equivalent(
        "sync.callout.callout.Callout.begin-never",
        "",
        "a call that is in progress may be made, and the answer says so",
    ),
    Equivalent(
        "sync.callout.callout.Callout.finish-swap", "", "with the spinlocks of the callout and the wheel"
    ),
    Equivalent(
        "sync.callout.exact.ExactCallout._await-open",
        "self.spin",
        "a plain count, which is changed in one step here",
    ),
    Equivalent("sync.callout.exact.ExactCallout._await-gone", "tsleep(self", "it spins instead of sleeping"),
    Equivalent("sync.callout.exact.ExactCallout.wake-always", "", "a wakeup that is not needed"),
    Equivalent("sync.callout.softclock.Softclock.kick-swap", "td.idle", "nothing that others see is between"),
    Equivalent("sync.callout.softclock.Softclock.wanted-term1", "", "it looks, and finds nothing"),
    Equivalent("sync.callout.softclock.Softclock.run-gone", "lwkt_schedule", "who kicks it does so"),
    Equivalent(
        "sync.callout.softclock.Softclock._carry_out-always",
        "callout.begin",
        "a call that is in progress may be made, and the answer says so",
    ),
    Equivalent("sync.callout.softclock.Softclock._take-swap", "CALLOUT_INPROG", "with the wheel's spinlock"),
    Equivalent("sync.callout.softclock.Softclock._finish-swap", "", "nobody else looks at what runs"),
    # -- IPIs ------------------------------------------------------------------------------------
    Equivalent("sync.ipiq.cpusync.*-swap", "cs_mack.store", "no other CPU knows it yet"),
    Equivalent("sync.ipiq.cpusync.*-swap", "crit_enter", "nothing that others see is between"),
    Equivalent("sync.ipiq.cpusync.*-swap", "cs.others", "nothing that others see is between"),
    Equivalent("sync.ipiq.cpusync.*-swap", "td_cscount += 1", "IPIs are not taken while others are sent"),
    Equivalent("sync.ipiq.cpusync.*-swap", "lwkt_process_ipiq", "IPIs are taken in either"),
    Equivalent("sync.ipiq.fifo.send-gone", "machine.point", "a switch point less"),
    Equivalent("sync.ipiq.fifo.send-swap", "machine.point", "a switch point later"),
    Equivalent("sync.ipiq.fifo.send-always", "len(fifo.entries) > most", "it waits for nothing"),
    Equivalent(
        "sync.ipiq.fifo.send-term[12]",
        "len(fifo.entries) > most",
        "it may wait at any depth, and for nothing",
    ),
    Equivalent("sync.ipiq.fifo.send-never", "if target.idle", "an idle CPU is roused, too"),
    Equivalent("sync.ipiq.fifo.send-swap", "", "nothing that others see is between"),
    Equivalent(
        "sync.ipiq.fifo.lwkt_send_ipiq-always",
        "ip_xindex is None",
        "who waits looks at the word that was made last",
    ),
    Equivalent("sync.ipiq.fifo.lwkt_send_ipiq-*", "machine.point", "a switch point less, or later"),
    Equivalent(
        "sync.mutex.atomic.AtomicMutex._wait-term[12]",
        "error is None and",
        "a wait at a gate ends for a reason",
    ),
    Equivalent(
        "sync.mutex.atomic.AtomicMutex._wait-always",
        "error is not None",
        "a wait at a gate ends for a reason",
    ),
    Equivalent(
        "sync.lockmgr.atomic.AtomicLockmgr._enter-always",
        "WaitEnd.TIMEOUT",
        "a wait at a gate ends for a reason",
    ),
    Equivalent(
        "sync.token.switch._halts-gone",
        "switcher.halt(td)",
        "an idle CPU that counts as one that runs is interrupted, and answers",
    ),
    # -- what protocols are written with ---------------------------------------------------------
    Equivalent("sync.*-open", "machine.making", "a lock of the host, for the free engine"),
    Equivalent("sync.condvar.Condvar.wait-*", "self._enter", "only a misuse would be told"),
    Equivalent("sync.condvar.Condvar._enter-swap", "self._lock", "ghost state"),
    Equivalent(
        "sync.condvar.ExactCondvar._announce-swap",
        "tsleep_interlock",
        "both come before the lock is let go of",
    ),
    Equivalent("sync.condvar.ExactCondvar.signal-always", "if waiters", "a wakeup that is not needed"),
    Equivalent(
        "sync.condvar.ExactCondvar.signal-*",
        "cv_waiters.store",
        "a count that is too high costs wakeups that are not needed",
    ),
    Equivalent("sync.condvar.ExactCondvar.broadcast-always", "cv_waiters", "a wakeup that is not needed"),
    Equivalent(
        "sync.condvar.ExactCondvar.broadcast-*",
        "cv_waiters.store",
        "a count that is too high costs wakeups that are not needed",
    ),
    Equivalent("sync.condvar.ExactCondvar.*-gone", "_reached_nobody", "only observers are told"),
    Equivalent("sync.semaphore.*-gone", "_may_sleep", "only observers are told"),
    Equivalent("sync.semaphore.ExactSemaphore.acquire-never", "if self.try_acquire", "the loop tries, too"),
    Equivalent(
        "sync.semaphore.ExactSemaphore.acquire-gone",
        "waiters.fetchadd(-1)",
        "a count that is too high costs wakes that are not needed",
    ),
    Equivalent("sync.semaphore.ExactSemaphore.release-always", "", "a wake that is not needed"),
    Equivalent("sync.semaphore.ExactSemaphore.try_acquire-once", "", "a try that was overtaken may fail"),
    Equivalent("sync.rwlock.AtomicRwLock._write-always", "", "a set that has it already"),
    Equivalent("sync.rwlock.ExactRwLock.acquire*-always", "if not self._", "the loop takes a free lock, too"),
    Equivalent("sync.rwlock.ExactRwLock.acquire_shared-gone", "self._sleep", "it spins instead of sleeping"),
    Equivalent("sync.rwlock.ExactRwLock._*-once", "while not word", "a try that was overtaken may fail"),
    Equivalent(
        "sync.barrier.AtomicBarrier._wait-swap",
        "self._count = 0",
        "one step at the atomic depth: nobody sees what is between",
    ),
    Equivalent("sync.barrier.ExactBarrier._wait-swap", "count.store(0)", "with the spinlock"),
    Equivalent("sync.barrier.ExactBarrier._wait-swap", "generation", "all who may come are inside"),
    Equivalent("sync.barrier.ExactBarrier._wait-swap", "lock.release", "all who may come are inside"),
    Equivalent("sync.futex.Futexes.wait-gone", "ticks(timo)", "it only refuses an argument"),
    Equivalent("sync.futex.Futexes.sleep-term1", "waiter.woken or", "who leaves the queue looks, too"),
    Equivalent("sync.futex.ExactFutexes._begin-swap", "", "with the bucket's spinlock"),
    Equivalent("sync.futex.ExactFutexes._leave-open", "", "nothing that others see is between"),
    # -- edges -----------------------------------------------------------------------------------
    Equivalent("sync.callout.softclock.Softclock.run-edge1", "left > 0", "a call may be a tick late"),
    Equivalent("sync.ipiq.fifo.send-edge1", "> most", "one function more or less makes a FIFO full"),
    Equivalent(
        "sync.sleepq.queues.SleepQueues._switch-edge1",
        "self.engine.ticks >= due",
        "of a wakeup and a timeout in the same tick either is first",
    ),
)
