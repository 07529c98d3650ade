"""Loading a file: it is mapped, and text."""

from __future__ import annotations

from faults import new_process
from maps import at, entry_at
from vmsmp.scenarios._kit import end_of_file, file_object, give_back
from vmsmp.sync.errno import EIO, ENOENT
from vmsmp.vm import vm_map as v
from vmsmp.vm.imgact_elf import each_segment, elf_load_file
from vmsmp.vm.vm_object import vm_object_deallocate
from vmsmp.vm.vm_page import PAGE_SIZE
from vmsmp.vm.vnode import VTEXT, getnewvnode, vn_lock, vput
from vmsmp.vm.vnode_reclaim import vclean_vxlocked


def test_a_file_is_mapped_to_be_executed_and_copied_and_is_text(alone):
    def program(vm):
        map = new_process(vm)
        vp, obj = file_object(vm, 2)
        error = elf_load_file(map, vp, at(4), 2)
        entry = entry_at(map, 4)
        how = entry.protection, entry.peek("eflags"), entry.ba.peek("object") is obj
        told = vp.peek("v_flag") & VTEXT, obj.peek("ref_count"), entry.ba.peek("end") - entry.ba.peek("start")
        vm_object_deallocate(obj)
        give_back(vm.mycpu().lwp.lwp_vmspace)
        left = vp.peek("v_flag") & VTEXT
        end_of_file(vp)
        return error, how, told, left

    how = v.VM_PROT_READ | v.VM_PROT_EXECUTE, v.MAP_ENTRY_COW | v.MAP_ENTRY_NEEDS_COPY, True
    assert (0, how, (VTEXT, 2, 2 * PAGE_SIZE), 0) == alone(program)


def test_a_file_that_cannot_be_mapped_there_is_not_referenced(alone):
    def program(vm):
        map = new_process(vm, 1)
        vp, obj = file_object(vm, 1)
        error = elf_load_file(map, vp, at(0), 1)
        left = obj.peek("ref_count"), obj.token.held(), map.lock.held()
        vm_object_deallocate(obj)
        end_of_file(vp)
        return error, left

    assert (EIO, (1, False, False)) == alone(program)


def test_a_file_without_an_object_cannot_be_mapped(alone):
    def program(vm):
        vp = getnewvnode(vm, "file")
        return elf_load_file(new_process(vm), vp, at(0), 1)

    assert EIO == alone(program)


def test_a_file_that_was_reclaimed_is_gone(alone):
    def program(vm):
        vp, obj = file_object(vm, 1)
        vm_object_deallocate(obj)
        vn_lock(vp)
        vclean_vxlocked(vp)
        vput(vp)
        return elf_load_file(new_process(vm), vp, at(0), 1), vp.v_lock.held()

    assert (ENOENT, False) == alone(program)


def test_a_dump_has_what_may_be_accessed_and_was_not_left_out(alone):
    def program(vm):
        map = new_process(vm, 4)
        cpu = vm.machine.curcpu
        for page in range(3):
            cpu.store(at(page), 1)
        v.vm_map_protect(map, at(1), at(2), v.VM_PROT_NONE, False)
        v.vm_map_madvise(map, at(2), at(3), v.MADV_NOCORE, 0)
        seen = []

        def segment(entry):
            seen.append((entry.ba.peek("start"), entry.ba.peek("end")))
            return 0

        errors = each_segment(map, segment), each_segment(map, lambda _entry: EIO)
        give_back(vm.mycpu().lwp.lwp_vmspace)
        return seen, errors

    assert ([(at(0), at(1)), (at(3), at(4))], (0, EIO)) == alone(program)


def test_a_dump_holds_the_first_and_the_last_object(alone):
    def program(vm):
        map = new_process(vm)
        vp, obj = file_object(vm, 1, range(1))
        elf_load_file(map, vp, at(4), 1)
        v.vm_map_protect(map, at(4), at(5), v.VM_PROT_RW, False)
        vm.machine.curcpu.store(at(4), 1)
        held = []

        def segment(entry):
            chain = [ba.peek("object") for ba in entry.chain()]
            held.append([one.peek("hold_count") for one in chain])
            return 0

        each_segment(map, segment)
        after = obj.peek("hold_count")
        vm_object_deallocate(obj)
        give_back(vm.mycpu().lwp.lwp_vmspace)
        end_of_file(vp)
        return held, after

    assert ([[1, 1]], 0) == alone(program)
