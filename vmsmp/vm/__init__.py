"""The model of sys/vm: one package or module per kernel file, under the kernel file's name.

| kernel file | module |
|---|---|
| vm_init.c | system |
| vm_page.c, vm_page.h, vm_page2.h | vm_page |
| vm_object.c, vm_object.h | vm_object |
| vm_map.c, vm_map.h | vm_map |
| vm_zone.c | vm_zone |
| vm_meter.c | vm_meter |
| vm_pageout.c | vm_pageout |
| vm_pager.c, swap_pager.c, vnode_pager.c, device_pager.c | vm_pager, as far as objects ask |
| kern/vfs_subr.c and others of the vnode layer | vnode, vfs_subr, as far as objects ask |
| kern/vfs_bio.c | vfs_bio, as far as a buffer reads and writes a page |
| vm_swapcache.c | vm_swapcache |
| vm_contig.c | vm_contig |
| vm_fault.c | vm_fault |
| vm_mmap.c | vm_mmap, but for devices, and system calls that do no more than a function of vm_map.c |
| vm_unix.c | vm_unix |
| vm_glue.c | vm_glue, as far as processes are let in again |
| kern/imgact_resident.c | imgact_resident |
| kern/kern_proc.c, kern/kern_memio.c | kern_proc, as far as pages are shared with a process |
| kern/kern_exec.c | kern_exec, as far as a page of a program is looked at; and vm_map.exec |
| vfs/procfs/procfs_mem.c | procfs_mem |
| kern/imgact_elf.c | imgact_elf, as far as a file is mapped and is text, and what is dumped |
| trap.c | trap |
| pmap.c | pmap |
| pmap_inval.c, mp_machdep.c | pmap_inval |
| swtch.s | swtch |
| kern/subr_alist.c | subr_alist |

Other modules: `config` (the sizes to boot with), `observer` (the events that checkers see), `exports` (lazily
loaded names), `command` and `ddb` (the debugger's commands), `sysctl` (numbers by name).

`from vmsmp.vm.vm_page import vm_page_alloc` works for every function of a kernel file, whichever module
of the package holds it.
"""
