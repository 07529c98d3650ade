"""The textbook's virtual memory, mechanism by mechanism: small models that stand on their own.

| mechanism | module |
|---|---|
| segments, their limits and permissions | segmentation |
| what is lost between and within segments | fragmentation |
| page tables of one, two and four levels | paging |
| the bits of an entry and of a page fault's error code | entry |
| the TLB, address spaces that share it, homonyms | tlb |
| caches indexed and tagged by virtual or physical address, synonyms | cache |
| pages that come with their first touch | demand |
| replacement: FIFO, LRU, OPT, CLOCK | replacement |
| CLOCK beside CPUs that fault | clock |
| working sets | working_set |
| thrashing, and a detector that names it | thrashing |
| reclaim, in order, and the out-of-memory killer | reclaim |
| the segments of an address space | segment_index |
| mmap, munmap, mprotect, msync, mlock | address_space |
| zones and their buddy allocators | buddy |

`clock` and `buddy` run on a machine's CPUs and locks; all others are sequential.  `vmsmp textbook` shows what
they compute (`vmsmp.report.textbook`).
"""
