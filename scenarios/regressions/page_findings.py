"""Findings of the kernel's own in the page layer: the model does what vm_page.c does, step for step."""

from vmsmp import scenario
from vmsmp.vm.vm_meter import vmstats_rollup
from vmsmp.vm.vm_page_alloc import vm_page_alloczwq, vm_page_freezwq
from vmsmp.vm.vm_page_h import VM_ALLOC_NORMAL
from vmsmp.vm.vm_page_wait import vm_wait


@scenario(
    cpus=2,
    tags={"page", "wait", "finding"},
    fixed=True,
    schedule="v1:vm_wait_misses_a_free:0:",
)
def vm_wait_misses_a_free(m):
    """A process sleeps for memory that is there, and nobody will wake it before its time is up.

    Memory is short by this CPU's view of the counts; another CPU has given pages back since, saw that
    nobody waited, and woke nobody.  `vm_wait` tests its own view, which only a rollup renews, and then
    sleeps with no interlock between test and sleep.  The timeout of a second is the only way out.
    Repair `vm-wait-interlocks`: the sleep is announced and the wait counted first, then the counts are
    rolled up and tested again.
    """
    vm = m.boot(pages=4, l2_size=1)
    vm.limits.v_free_min = 2
    hoard = [vm_page_alloczwq(vm, n, VM_ALLOC_NORMAL) for n in range(3)]
    vmstats_rollup(vm)

    def giver():
        for page in hoard:
            vm_page_freezwq(page)

    def waiter():
        vm_wait(vm, 100)

    m.spawn(giver, name="giver")
    m.spawn(waiter, name="waiter")
    m.join()
