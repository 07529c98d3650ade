"""vm_pager.c: reading the contents of an object's pages in, and writing them out.

The pagers of swap and of files are stand-ins with no more than objects need; transfers end later, on
another CPU.

| module | contents |
|---|---|
| result | the results of a transfer |
| bio | block I/O, and the CPU that completes it |
| swap_meta, swap_io, swap_strategy | swap_pager.c |
| vnode_io, vnode_lock, vnode_size | vnode_pager.c |
| device | device_pager.c |
| pbuf | the physical buffers of vm_pager.c |
| table | the table of pagers by type of object, and the calls through it |
| startup | the globals of pagers |
"""

from __future__ import annotations

from vmsmp.vm.exports import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "startup": ("Pagers", "startup"),
        "result": (
            "VM_PAGER_OK",
            "VM_PAGER_BAD",
            "VM_PAGER_FAIL",
            "VM_PAGER_PEND",
            "VM_PAGER_ERROR",
            "VM_PAGER_AGAIN",
        ),
        "bio": (
            "Bio",
            "Device",
            "vn_strategy",
            "started",
            "transfer",
            "device_attach",
            "device_thread",
            "device_detach",
        ),
        "swap_meta": (
            "BLIST_MAX_ALLOC",
            "SWAP_META_PAGES",
            "swp_pager_getswapspace",
            "swp_pager_getswapblocks",
            "swp_pager_freeswapspace",
            "swp_pager_meta_convert",
            "swp_pager_meta_build",
            "swp_pager_meta_ctl",
            "swp_pager_meta_free",
            "swp_pager_meta_free_all",
            "swap_pager_freespace",
            "swap_pager_reserve",
            "swap_pager_freespace_all",
            "swap_pager_dealloc",
            "swap_pager_haspage",
            "swap_pager_haspage_locked",
            "swap_pager_page_inserted",
            "swap_pager_unswapped",
        ),
        "swap_io": (
            "swap_pager_putpages",
            "_put",
            "swap_pager_getpage",
            "swp_pager_async_iodone",
            "_read",
            "_written",
        ),
        "swap_strategy": (
            "swap_pager_strategy",
            "Cluster",
            "swap_pager_read",
            "swap_chain_iodone",
            "swap_pager_condfree",
            "swp_pager_fault_page",
        ),
        "vnode_io": (
            "vnode_pager_alloc",
            "vnode_pager_reference",
            "vinitvmio",
            "vnode_pager_dealloc",
            "vnode_pager_haspage",
            "vnode_pager_getpage",
            "vnode_pager_putpages",
        ),
        "vnode_size": ("vnode_pager_setsize", "nvnode_pager_setsize"),
        "vnode_lock": ("vnode_pager_lock", "vnode_pager_freepage"),
        "device": (
            "vm_pager_object_lookup",
            "cdev_pager_lookup",
            "cdev_pager_allocate",
            "Cdev",
            "CdevPagerOps",
            "Devp",
            "dev_dmmap",
            "dev_pager_alloc",
            "dev_pager_dealloc",
            "dev_pager_getpage",
            "old_dev_pager_ctor",
            "old_dev_pager_dtor",
            "old_dev_pager_fault",
            "old_dev_pager_ops",
        ),
        "pbuf": ("PbufPool", "getpbuf_kva", "trypbuf_kva", "relpbuf", "pbuf_adjcount"),
        "table": (
            "PagerOps",
            "default_pager_dealloc",
            "default_pager_getpage",
            "default_pager_haspage",
            "phys_pager_dealloc",
            "phys_pager_getpage",
            "phys_pager_putpages",
            "phys_pager_haspage",
            "dev_pager_putpages",
            "dead_pager_putpages",
            "pagertab",
            "vm_pager_get_page",
            "vm_pager_put_pages",
            "vm_pager_has_page",
            "vm_pager_deallocate",
        ),
    },
)
