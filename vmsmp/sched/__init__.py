"""Who runs next: one algorithm a file, all behind the one interface in `base`."""
