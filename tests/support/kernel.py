"""Every kernel function and constant by its name alone, for tests that call what a table names."""

from vmsmp.vm import pmap, vm_meter, vm_object, vm_page, vm_pageout

FILES = (vm_page, vm_object, vm_meter, vm_pageout, pmap)


def __getattr__(name):
    for file in FILES:
        if hasattr(file, name):
            return getattr(file, name)
    raise AttributeError(f"no kernel file has {name!r}")
