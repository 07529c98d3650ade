"""Devices that are swapped to: which there are, who references them, and how many blocks are free."""

from vmsmp import scenario
from vmsmp.scenarios._kit import repaired
from vmsmp.sync.errno import EBUSY, EINTR, EINVAL
from vmsmp.vm.vm_swap import NSWAPDEV, SWB_DMMAX, Swap, swapacctspace, sys_swapoff, sys_swapon
from vmsmp.vm.vnode import getnewvnode, vrele


class _Disks:
    """A table of swap devices, and one disk more than it has room for, each of another size."""

    def __init__(self, m):
        self.m = m
        self.swap = Swap(m.vm)
        self.disks = [getnewvnode(m.vm, f"disk{n}") for n in range(NSWAPDEV + 1)]
        #: References of look-ups that nobody has dropped.
        self.lost = [0] * len(self.disks)

    def on(self, n):
        return sys_swapon(self.swap, self.disks[n], (2 + n) * SWB_DMMAX)

    def off(self, n):
        if not repaired(self.m, "swapoff-drops-what-it-looked-up"):
            self.lost[n] += 1
        return sys_swapoff(self.swap, self.disks[n])

    def has(self, *slots):
        """Check which disk is in which slot, and the books."""
        swap, check = self.swap, self.m.check
        there = [device for device in swap.swdevt if device is not None]
        found = [device and self.disks.index(device.sw_vp) for device in swap.swdevt]
        check(found == [*slots], "a device has the first slot that was empty")
        check(
            swap.vm_swap_size.load() == sum(device.free for device in there),
            "what is free are their free blocks",
        )
        check(swap.vm_swap_max == sum(device.usable for device in there), "all swap is that of the devices")
        references = [disk.v_refcnt.load() for disk in self.disks]
        expected = [1 + found.count(n) + lost for n, lost in enumerate(self.lost)]
        check(references == expected, "a device is referenced for its slot")


@scenario(cpus=1, tags={"swap", "vnode"}, pages=None)
def swap_devices_alone(m):
    """Devices are swapped to, refused, used and given up: slots, references and free blocks are right."""
    m.boot(pages=4, l2_size=1)
    disks = _Disks(m)

    def user():
        disks.has(None, None, None, None)
        m.check(disks.off(0) == EINVAL, "who is not in the table cannot be given up")
        for n in range(4):
            m.check(not disks.on(n), "there is room")
        disks.has(0, 1, 2, 3)
        m.check((disks.on(4), disks.on(2)) == (EINVAL, EBUSY), "there is no room, or it is there already")
        disks.has(0, 1, 2, 3)
        for n, blocks in ((1, -3), (2, -2), (1, 1)):
            swapacctspace(disks.swap, disks.swap.swdevt[n], blocks)
        disks.has(0, 1, 2, 3)
        free = [device.free - device.usable for device in disks.swap.swdevt]
        m.check(free == [0, -2, -2, 0], "blocks are their device's")
        m.check(not disks.off(1), "who is in the table is given up, whatever is on it")
        disks.has(0, None, 2, 3)
        m.check(disks.off(1) == EINVAL, "once")
        m.check((disks.on(0), disks.on(4)) == (EBUSY, 0), "a slot that is empty is taken")
        disks.has(0, 4, 2, 3)
        stuck = disks.swap.swdevt[0]
        stuck.stuck = 1
        m.check(disks.off(0) == EINTR, "what cannot be read back stays")
        m.check(disks.swap.swdevt[0] is stuck and not stuck.free, "and nothing more is written there")
        if repaired(m, "swapoff-takes-off-what-it-closes"):
            disks.has(0, 4, 2, 3)
            stuck.stuck = 0
            m.check(not disks.off(0), "until it can be")
            disks.has(None, 4, 2, 3)

    m.spawn(user)
    m.join()
    for disk in disks.disks:
        vrele(disk)
