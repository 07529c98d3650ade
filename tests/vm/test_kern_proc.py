"""What the kernel shares with a process or a thread: where it is mapped, and how that ends."""

from __future__ import annotations

import pytest

from faults import new_process
from maps import at, layout
from vmsmp.scenarios._kit import give_back
from vmsmp.sync.errno import EINVAL
from vmsmp.vm import vm_map as v
from vmsmp.vm.kern_proc import lwp_userunmap, memuksmap, proc_usermap, proc_userunmap
from vmsmp.vm.pmap import pmap_kextract
from vmsmp.vm.vm_fault import vm_fault
from vmsmp.vm.vm_page import PAGE_SIZE


class Device:
    def __init__(self, minor):
        self.minor = minor


def show(map, page, pages, minor=v.LPMAP):
    """Map a device there."""
    what = v.Mapping(object=memuksmap, aux=Device(minor), maptype=v.VM_MAPTYPE_UKSMAP, prot=3, max=7)
    v.vm_map_find(map, at(page), pages * PAGE_SIZE, PAGE_SIZE, False, what)


def test_a_thread_knows_where_its_page_is_mapped(alone):
    def program(vm):
        map = new_process(vm)
        lp = vm.mycpu().lwp
        show(map, 4, 1)
        show(map, 8, 2)
        listed = [ba.peek("start") for ba in lp.lwp_lpmap_backing_list]
        v.vm_map_remove(map, at(4), at(5))
        left = [ba.peek("start") for ba in lp.lwp_lpmap_backing_list]
        lwp_userunmap(lp)
        end = lp.lwp_lpmap_backing_list, [page for page, *_ in layout(map) if page >= 4]
        give_back(lp.lwp_vmspace)
        return listed, left, end

    assert ([at(4), at(8)], [at(8)], ([], [])) == alone(program)


@pytest.mark.parametrize("minor", [v.UPMAP, v.KPMAP])
def test_pages_of_others_are_not_listed(alone, minor):
    def program(vm):
        map = new_process(vm)
        show(map, 4, 1, minor)
        listed = list(vm.mycpu().lwp.lwp_lpmap_backing_list)
        give_back(vm.mycpu().lwp.lwp_vmspace)
        return listed

    assert [] == alone(program)


def test_the_page_of_a_thread_itself_is_not_there(alone):
    def program(vm):
        map = new_process(vm)
        show(map, 4, 1)
        (ba,) = vm.mycpu().lwp.lwp_lpmap_backing_list
        answer = memuksmap(ba, v.UKSMAPOP_FAULT, Device(v.LPMAP), None)
        give_back(vm.mycpu().lwp.lwp_vmspace)
        return answer

    assert EINVAL == alone(program)


def test_the_page_of_a_process_is_there_once_it_is_used(alone):
    def program(vm):
        map = new_process(vm)
        p = vm.mycpu().proc
        show(map, 4, 1, v.UPMAP)
        before = p.p_upmap
        vm.machine.curcpu.store(at(4), 7)
        seen = vm.memory.load(pmap_kextract(vm, p.p_upmap) // PAGE_SIZE, 0)
        give_back(vm.mycpu().lwp.lwp_vmspace)
        proc_userunmap(p)
        return before, seen, p.p_upmap

    assert (0, 7, 0) == alone(program)


def test_a_process_has_one_page(alone):
    def program(vm):
        p = vm.mycpu().proc
        proc_usermap(p)
        first = p.p_upmap
        proc_usermap(p)
        proc_userunmap(p)
        return first != 0, first

    given, first = alone(program)
    assert given, first


def test_a_mapping_for_no_process_and_pages_behind_the_first_are_refused(alone):
    def program(vm):
        map = new_process(vm)
        show(map, 4, 2, v.UPMAP)
        behind = vm_fault(map, at(5), v.VM_PROT_READ, v.VM_FAULT_NORMAL)
        map.raw_rb_root.at_or_before(at(4)).ba.raw_aux_info = None
        first = vm_fault(map, at(4), v.VM_PROT_READ, v.VM_FAULT_NORMAL)
        give_back(vm.mycpu().lwp.lwp_vmspace)
        return first, behind

    assert (v.KERN_FAILURE, v.KERN_FAILURE) == alone(program)
