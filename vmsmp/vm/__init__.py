"""The model of sys/vm: one package or module per kernel file, under the kernel file's name.

| kernel file | module |
|---|---|
| vm_init.c | system |
| vm_page.c, vm_page.h, vm_page2.h | vm_page |
| vm_object.c, vm_object.h | vm_object |
| vm_meter.c | vm_meter |
| vm_pageout.c | vm_pageout |
| pmap.c | pmap |

Other modules: `config` (the sizes to boot with), `observer` (the events that checkers see), `exports` (lazily
loaded names), `command` and `ddb` (the debugger's commands).

`from vmsmp.vm.vm_page import vm_page_alloc` works for every function of a kernel file, whichever module
of the package holds it.
"""
