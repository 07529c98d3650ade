"""Hardware below the kernel's virtual memory: physical frames, page tables, and what each CPU caches of them.

`m.mmu(frames=64)` gives a machine's CPUs memory-management units.  `cpu.load(va)` and `cpu.store(va, value)`
then go through TLB and page tables; `cpu.mmu` is the CPU's unit, with its control registers and flushes.

| module | contents |
|---|---|
| config | sizes and features |
| entry | the bits of page-table entries, and where an address's entries are |
| fault | page faults and their codes |
| memory | physical frames: contents, page tables stored in them, owners |
| walk | what four levels of tables say of an address |
| tlb | the translations that one CPU caches |
| unit | one CPU's registers, accesses, walks and flushes |
| system | the units of one machine, and the promise that a flush is done |
| space, shootdown | an address space, and taking rights away from CPUs that may cache them |
| observer | the hooks through which checkers see all that |
| ddb | what the debugger shows |
"""
